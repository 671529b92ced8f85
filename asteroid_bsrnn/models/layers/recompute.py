"""Activation checkpointing that leaves running statistics as one forward pass leaves them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def how_many(share: bool | float | None, count: int) -> int:
    """How many of ``count`` parts are computed again: the share of them, rounded, but one at least; none without gradients.

    It is the first ones that are: what the later ones keep is free again when their turn comes.

    Args:
        share: between 0 and 1; True is all, False and None are none.
    """
    return max(1, round(share * count)) if share and torch.is_grad_enabled() else 0


def recomputed(module: nn.Module, *inputs: Any) -> Any:
    """``module(*inputs)``, whose inside is computed again in the backward pass instead of being kept.

    The second pass draws the same dropout and does not count in the running statistics of batch normalisation.
    """
    return checkpoint(module, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _still(module)))


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Batch norms run as always, and their running statistics stay as they are."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    kept = [
        (part, part.momentum, part.num_batches_tracked, part.num_batches_tracked.clone())
        for part in norms
        if part.num_batches_tracked is not None
    ]
    for part, *_ in kept:
        part.momentum = 0.0
    try:
        yield
    finally:  # PyTorch leaves by an exception as soon as it has what it needs
        for part, momentum, counter, count in kept:
            part.momentum = momentum
            counter.copy_(count)
