"""Multi-scale fusion of A-FRCNN and S-FRCNN, along a sequence or along the chunk axis of a dual-path network.

Legend: B batch, C channel, F frame, K position in a chunk, L chunk. Features are ``x_BCF`` (``n_axes=1``) or
``x_BCKL`` (``n_axes=2``); scale s has the first of these axes divided by 2**s, rounded up.

References
    [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
    NeurIPS 2021, and its supplementary material.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import pointwise
from .checks import set_plain, truth, whole_numbers

FUSIONS = ("concat", "sum")
_CONV = {1: nn.Conv1d, 2: nn.Conv2d}


def global_layer_norm(chan: int) -> nn.GroupNorm:
    """Normalisation over all but the batch axis with one gain and bias per channel."""
    return nn.GroupNorm(1, chan, eps=1e-8)


class DepthwiseNorm(nn.Sequential):
    """Depthwise convolution (5 taps) along the scaled axis, then global layer norm; no activation.

    Shape: (B, C, F, ...) -> (B, C, ceil(F / stride), ...)
    """

    def __init__(self, chan: int, stride: int, n_axes: int = 1) -> None:
        taps: Any = (5, stride, 2) if n_axes == 1 else ((5, 1), (stride, 1), (2, 0))
        kernel_size, steps, padding = taps
        conv = _CONV[n_axes](chan, chan, kernel_size, steps, padding, groups=chan)
        super().__init__(conv, global_layer_norm(chan))


class FusePointwise(nn.Module):
    """1x1 convolution of the concatenated inputs, then global layer norm and a one-parameter PReLU.

    The inputs are brought to the length of the first one. A 1x1 convolution commutes with nearest upsampling, so
    each input meets its slice of the weight at its own length and only the product is upsampled: the same function
    as concatenating first, with fewer multiply-adds and without the concatenated copy.
    """

    def __init__(self, n_inputs: int, in_chan: int, out_chan: int, n_axes: int = 1) -> None:
        super().__init__()
        self.in_chan = in_chan
        self.conv = _CONV[n_axes](n_inputs * in_chan, out_chan, 1)
        self.norm, self.act = global_layer_norm(out_chan), nn.PReLU()

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        first, *others = self.conv.weight.split(self.in_chan, dim=1)
        total = pointwise(inputs[0], first, self.conv.bias)
        for x, weight in zip(inputs[1:], others):
            total += _resize(pointwise(x, weight), total.shape[2:])
        return self.act(self.norm(total))


class FuseSum(nn.Module):
    """Sum of the inputs at the length of the first one, then global layer norm and a one-parameter PReLU."""

    def __init__(self, chan: int) -> None:
        super().__init__()
        self.norm, self.act = global_layer_norm(chan), nn.PReLU()

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return self.act(self.norm(sum(_resize(x, inputs[0].shape[2:]) for x in inputs)))


def _resize(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="nearest")


class NeighbourFusion(nn.Module):
    """Update each scale from itself and its two neighbours, all from the values before the update.

    Args:
        chan: channels of every scale.
        n_in: scales that come in.
        n_out: scales that are updated, the finest ones; at most ``n_in``.
        n_axes: 1 for (B, C, F), 2 for (B, C, K, L).
        fusion: "concat" (1x1 convolution of the concatenation) or "sum".
    """

    def __init__(self, chan: int, n_in: int, n_out: int, n_axes: int = 1, fusion: str = "concat") -> None:
        super().__init__()
        self.down = nn.ModuleList(DepthwiseNorm(chan, 2, n_axes) for _ in range(n_out - 1))
        n_inputs = [1 + (s > 0) + (s + 1 < n_in) for s in range(n_out)]
        self.fuse = nn.ModuleList(
            FusePointwise(n, chan, chan, n_axes) if fusion == "concat" else FuseSum(chan) for n in n_inputs
        )

    def forward(self, scales: list[torch.Tensor]) -> list[torch.Tensor]:
        return [fuse(self._inputs(scales, s)) for s, fuse in enumerate(self.fuse)]

    def _inputs(self, scales: list[torch.Tensor], s: int) -> list[torch.Tensor]:
        finer = [self.down[s - 1](scales[s - 1])] if s > 0 else []
        return finer + scales[s : s + 2]


class AsyncFusion(nn.Module):
    """Asynchronous scheme: every scale with its neighbours once, then all scales into the finest one.

    Shape: list of ``n_scales`` features -> feature of the first.
    """

    def __init__(self, chan: int, n_scales: int, n_axes: int = 1, fusion: str = "concat") -> None:
        super().__init__()
        self.n_scales = n_scales
        self.neighbours = NeighbourFusion(chan, n_scales, n_scales, n_axes, fusion)
        self.last = FusePointwise(n_scales, chan, chan, n_axes)

    def forward(self, scales: list[torch.Tensor]) -> torch.Tensor:
        return self.last(self.neighbours(scales))


class SyncFusion(nn.Module):
    """Synchronous scheme: all scales are updated in parallel ``sync_steps`` times; the finest one is read.

    After step t of T only the finest T - t + 1 scales can still reach the output. With ``prune_dead`` the other
    updates, and scales that are too far away ever to arrive, are left out: same function, no dead weights.

    Args:
        chan: channels of every scale.
        n_scales: scales that the bottom-up path may offer; ``self.n_scales`` says how many are needed.
        sync_steps: steps T, each with its own weights.
        n_axes: 1 for (B, C, F), 2 for (B, C, K, L).
        prune_dead: leave out what cannot reach the output.
    """

    def __init__(self, chan: int, n_scales: int, sync_steps: int, n_axes: int = 1, prune_dead: bool = True) -> None:
        super().__init__()
        self.n_scales = min(n_scales, sync_steps + 1) if prune_dead else n_scales
        n_out = [min(n_scales, sync_steps - t) if prune_dead else n_scales for t in range(sync_steps)]
        n_in = [self.n_scales] + n_out[:-1]
        self.steps = nn.Sequential(*(NeighbourFusion(chan, i, o, n_axes) for i, o in zip(n_in, n_out)))

    def forward(self, scales: list[torch.Tensor]) -> torch.Tensor:
        return self.steps(scales)[0]


def check_sync_steps(config: Any) -> None:
    """Complete and check the arguments of a :class:`SyncFusion`: ``sync_steps`` is ``n_scales - 1`` if None."""
    if config.sync_steps is None:
        set_plain(config, sync_steps=config.n_scales - 1)
    whole_numbers(config, ("sync_steps",))
    truth(config, "prune_dead")
