"""Norms over all frames so far, and how layers go on where they stopped.

Legend: P position, B batch, S sequence of frames, N feature, Q group of features, E feature of a group.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Memory = dict[Any, Any]
"""What the layers of one stream know of its past."""


class Remembering:
    """Layer that goes on from :attr:`memory` and leaves there what the next block needs; None: every input is a whole."""

    memory: Memory | None = None


@contextmanager
def remembering(network: nn.Module, memory: Memory) -> Iterator[None]:
    """All remembering layers of a network go on from ``memory``. One block at a time: the network holds it meanwhile."""
    layers = [layer for layer in network.modules() if isinstance(layer, Remembering)]
    for layer in layers:
        layer.memory = memory
    try:
        yield
    finally:
        for layer in layers:
            layer.memory = None


def cumulative_norm(
    x_PBSN: torch.Tensor, n_groups: int, eps: float, memory: Memory | None = None, key: Any = None
) -> torch.Tensor:
    """Each frame less the mean of all frames up to it, over their deviation; for each group of features, no gains.

    Sums are kept in double precision where there is one, so that they do not depend on how frames came in blocks.

    Args:
        x_PBSN: features.
        n_groups: groups of features with statistics of their own.
        eps: added to the variance.
        memory: of the stream, which knows the sums so far under ``key``.

    Shape:
        (positions, batch, frames, features) in and out.
    """
    x_PBSQE = x_PBSN.float().unflatten(-1, (n_groups, -1))
    precise = torch.float32 if x_PBSN.device.type == "mps" else torch.float64
    sums = torch.stack([x_PBSQE.sum(-1), x_PBSQE.square().sum(-1)]).to(precise).cumsum(3)
    count = torch.arange(1, x_PBSN.shape[2] + 1, device=x_PBSN.device)
    if memory is not None:
        known_sums, known_count = memory.get(key, (0.0, 0))
        sums, count = sums + known_sums, count + known_count
        memory[key] = (sums[:, :, :, -1:], known_count + x_PBSN.shape[2])
    mean, power = sums / (count[:, None] * x_PBSQE.shape[-1])
    scale = ((power - mean.square()).clamp(min=0) + eps).rsqrt()
    y_PBSQE = (x_PBSQE - mean.float().unsqueeze(-1)) * scale.float().unsqueeze(-1)
    return y_PBSQE.flatten(-2).to(x_PBSN.dtype)
