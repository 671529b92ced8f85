"""The separator of SepReformer: an encoder on the mixture, a split into speakers, a decoder on each of them.

Legend: B batch, S speaker, T frame, F feature, R relative position, E feature of a head.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear
from .blocks import BatchNorm, GlobalBlock, LocalBlock, SpeakerBlock, SpeakerSplit, depthwise
from .config import Config


class Layer(nn.Module):
    """Global block, local block and, in the decoder, a block across speakers."""

    def __init__(self, config: Config, across_speakers: bool) -> None:
        super().__init__()
        self.glob = GlobalBlock(config.bn_chan, config.n_heads, config.dropout)
        self.local = LocalBlock(config.bn_chan, config.local_kernel, config.dropout)
        self.speakers = None
        if across_speakers:
            self.speakers = SpeakerBlock(config.bn_chan, config.n_heads, config.n_src, config.dropout)

    def forward(self, x_BTF: torch.Tensor, n_coarse: int, table_RE: torch.Tensor) -> torch.Tensor:
        x_BTF = self.local(self.glob(x_BTF, n_coarse, table_RE))
        return x_BTF if self.speakers is None else self.speakers(x_BTF)


class Down(nn.Module):
    """Half the frame rate. Shape: (batch, frames, features) -> (batch, frames / 2, features)."""

    def __init__(self, n_feat: int, kernel_size: int) -> None:
        super().__init__()
        self.conv, self.norm = depthwise(n_feat, kernel_size, stride=2), BatchNorm(n_feat)

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.norm(self.conv(x_BTF)))


class Separator(nn.Module):
    """Features of every speaker at every stage.

    One table of relative positions serves all global blocks: they all attend at the coarsest frame rate.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        n_feat, n_stages = config.bn_chan, config.n_stages
        self.positions = nn.Embedding(2 * config.max_rel, n_feat // config.n_heads)
        self.encoder = nn.ModuleList(_layers(config, 2, False) for _ in range(n_stages))
        self.down = nn.ModuleList(Down(n_feat, config.down_kernel) for _ in range(n_stages))
        self.bottom = _layers(config, 2, False)
        n_splits = 1 if config.shared_split else n_stages + 1
        self.splits = nn.ModuleList(SpeakerSplit(n_feat, config.n_src) for _ in range(n_splits))
        self.fuse = nn.ModuleList(Linear(2 * n_feat, n_feat) for _ in range(n_stages))
        self.decoder = nn.ModuleList(_layers(config, 3, True) for _ in range(n_stages))

    def forward(self, x_BTF: torch.Tensor, run: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        """Separate.

        Args:
            x_BTF: features of the mixture; the number of frames is divisible by ``2 ** n_stages``.
            run: calls one of :meth:`parts` with its inputs.

        Returns:
            (batch * n_src, frames, features) of each stage, the coarsest first, ``n_stages + 1`` of them.
        """
        n_coarse = x_BTF.shape[1] >> len(self.encoder)
        skips = []
        for layers, down in zip(self.encoder, self.down):
            skips.append(self._through(layers, x_BTF, n_coarse, run))
            x_BTF = run(down, skips[-1])
        bottom = self._through(self.bottom, x_BTF, n_coarse, run)
        maps = [run(self.splits[-1], bottom)]
        for index, (fuse, layers) in enumerate(zip(self.fuse, self.decoder)):
            stage = len(skips) - 1 - index
            skip = run(self.splits[stage % len(self.splits)], skips[stage])
            raised = maps[-1].repeat_interleave(2, dim=1)
            maps.append(self._through(layers, fuse(torch.cat([raised, skip], -1)), n_coarse, run))
        return maps

    def parts(self) -> list[nn.Module]:
        """What :meth:`forward` has called, in that order."""
        down = [part for layers, halving in zip(self.encoder, self.down) for part in (*_modules(layers), halving)]
        up = [layer for layers in self.decoder for layer in _modules(layers)]
        return [*down, *self.bottom, *self.splits, *up]

    def _through(self, layers: Any, x_BTF: torch.Tensor, n_coarse: int, run: Callable) -> torch.Tensor:
        for layer in layers:
            x_BTF = run(layer, x_BTF, n_coarse, self.positions.weight)
        return x_BTF


def _layers(config: Config, count: int, across_speakers: bool) -> nn.ModuleList:
    return nn.ModuleList(Layer(config, across_speakers) for _ in range(count))


def _modules(layers: Any) -> list[nn.Module]:
    return list(layers)
