"""Activation checkpointing of a part of a network."""
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run(active: bool, module: nn.Module, *inputs: Any) -> Any:
    """``module(*inputs)``; if ``active``, what is inside is computed again in the backward pass instead of being kept.

    Running statistics of batch norms move once, not twice.
    """
    if not active or not torch.is_grad_enabled():
        return module(*inputs)
    return checkpoint(module, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _still(module)))


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Batch norms run as always, and their running statistics stay as they are."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    norms = [part for part in norms if part.num_batches_tracked is not None]
    kept = [(part, part.momentum, part.num_batches_tracked.clone()) for part in norms]
    for part, _, _ in kept:
        part.momentum = 0.0
    try:
        yield
    finally:
        for part, momentum, count in kept:
            part.momentum = momentum
            part.num_batches_tracked.copy_(count)
