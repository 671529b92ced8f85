"""Activation checkpointing that leaves running statistics as one forward pass leaves them."""
from contextlib import contextmanager, nullcontext
from typing import Any, Iterator

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, *inputs: Any) -> Any:
    """``module(*inputs)``, whose inside is computed again in the backward pass instead of being kept.

    The second pass draws the same dropout and does not count in the running statistics of batch normalisation.
    """
    return checkpoint(module, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _buffers_kept(module)))


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:  # PyTorch leaves by an exception as soon as it has what it needs
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
