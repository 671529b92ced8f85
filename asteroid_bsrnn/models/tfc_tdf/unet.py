"""U-Net of ConvTDFNet and DTTNet: multiplied by its skip connections. B batch, P part, C channel, N frame, F bin."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .blocks import conv_norm
from .spectrogram import SpectrogramNet


class TDFUNet(SpectrogramNet):
    """Levels of blocks with halved frames and bins; a subclass has a :meth:`bottleneck`.

    Args:
        config: constructor arguments, checked.
        make_block: (channels, bins, config) -> Module.
    """

    def __init__(self, config: Any, make_block: Callable[..., nn.Module]) -> None:
        super().__init__(config)
        parts, widths, norm_type = 2 * config.in_channels, config.widths, config.norm_type
        bins = [config.dim_f // 2**level for level in range(config.n_levels)]
        steps = list(zip(widths, widths[1:]))
        self.first_conv = conv_norm(nn.Conv2d(parts, widths[0], 1), norm_type)
        self.encoding_blocks = nn.ModuleList(make_block(width, n_bins, config) for width, n_bins in zip(widths, bins))
        self.ds = nn.ModuleList(conv_norm(nn.Conv2d(here, below, 2, 2), norm_type) for here, below in steps)
        up = [conv_norm(nn.ConvTranspose2d(below, here, 2, 2), norm_type) for here, below in steps[::-1]]
        self.us = nn.ModuleList(up)
        levels = list(zip(widths, bins))[::-1]
        self.decoding_blocks = nn.ModuleList(make_block(width, n_bins, config) for width, n_bins in levels)
        self.final_conv = nn.Sequential(nn.Conv2d(widths[0], parts, 1))

    def bottleneck(self) -> list[nn.Module]:
        """What is done at the lowest level, in this order: (batch, channels, frames, bins), shape kept."""
        raise TypeError(f"{type(self).__name__} needs a method 'bottleneck'")

    def recomputable(self) -> list[nn.Module]:
        """The blocks of all levels."""
        return [*self.encoding_blocks, *self.bottleneck(), *self.decoding_blocks]

    def estimate(self, spec_BPFN: torch.Tensor) -> torch.Tensor:
        """(batch, 2 * channels, dim_f, frames), shape kept; frames are a multiple of ``frame_multiple``."""
        x_BCNF, skips = self.first_conv(spec_BPFN).transpose(2, 3), []
        for block, down in zip(self.encoding_blocks, self.ds):
            skips.append(self.run_part(block, x_BCNF))
            x_BCNF = down(skips[-1])
        for block in self.bottleneck():
            x_BCNF = self.run_part(block, x_BCNF)
        for up, block in zip(self.us, self.decoding_blocks):
            x_BCNF = self.run_part(block, up(x_BCNF) * skips.pop())
        return self.final_conv(x_BCNF.transpose(2, 3))
