"""Activation checkpointing of blocks with batch norms: their running statistics count each batch once."""
from contextlib import contextmanager, nullcontext
from typing import Iterator

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """``block(x)`` whose inner activations are computed again in the backward pass instead of being kept."""
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), held_statistics(block)))


@contextmanager
def held_statistics(block: torch.nn.Module) -> Iterator[None]:
    """Batch norms see batches and do not remember them."""
    norms = [norm for norm in block.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, count) in zip(norms, kept):
        norm.momentum, norm.num_batches_tracked = 0.0, count.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept):
            norm.momentum, norm.num_batches_tracked = momentum, count
