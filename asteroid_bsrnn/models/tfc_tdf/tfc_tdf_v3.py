"""TFC-TDF-UNet v3 and its layers. B batch, P part, C channel, N frame, F bin.

Nothing has a bias, and norms and activations stand before the layers. Names of the members are those of published
weights.
"""

from typing import Any

import torch
from torch import nn

from ...common.products import Linear
from .config import TFCTDFv3Config
from .norms import norm
from .spectrogram import SpectrogramNet


class TFCTDFv3(SpectrogramNet):
    """TFC-TDF-UNet v3 [1]: any number of sources from one network, spectrogram in, spectrograms out.

    The bins are cut into bands that are read as channels. Silence gives silence; level is not kept.

    Args:
        See :class:`~asteroid_bsrnn.models.tfc_tdf.config.TFCTDFv3Config`. The defaults are the network of leaderboards
        A and B of the Sound Demixing Challenge 2023; ``n_hop`` 2048 with ``dim_t`` 128 and ``n_chan`` 128 is "model 1"
        of leaderboard C.

    References:
        [1] Kim and Lee, "Sound Demixing Challenge 2023 Music Demixing Track Technical Report: TFC-TDF-UNet v3", 2023.
    """

    Config = TFCTDFv3Config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config)
        parts, widths = 2 * config.in_channels * config.n_subbands, config.widths
        bins = [config.dim_f // config.n_subbands // config.scale[1] ** level for level in range(config.n_scales + 1)]
        levels = list(zip(widths, widths[1:], bins))
        self.first_conv = nn.Conv2d(parts, widths[0], 1, bias=False)
        self.encoder_blocks = nn.ModuleList(Encoder(*level, config) for level in levels)
        self.bottleneck_block = Stage(widths[-1], widths[-1], bins[-1], config)
        self.decoder_blocks = nn.ModuleList(Decoder(*level, config) for level in levels[::-1])
        mix = nn.Conv2d(parts + widths[0], widths[0], 1, bias=False)
        out = nn.Conv2d(widths[0], parts * self.n_src, 1, bias=False)
        self.final_conv = nn.Sequential(mix, activation(config.act), out)

    def recomputable(self) -> list[nn.Module]:
        """The stages of all levels."""
        levels: list[Any] = [*self.encoder_blocks, *self.decoder_blocks]
        stages = [level.tfc_tdf for level in levels]
        return [*stages[: len(self.encoder_blocks)], self.bottleneck_block, *stages[len(self.encoder_blocks) :]]

    def estimate(self, spec_BPFN: torch.Tensor) -> torch.Tensor:
        """(batch, 2 * channels, dim_f, frames) -> (batch, n_src * 2 * channels, dim_f, frames)."""
        batch, n_parts, n_bins, n_frames = spec_BPFN.shape
        mix_BPFN = spec_BPFN.reshape(batch, n_parts * self.config.n_subbands, -1, n_frames)
        first_BCFN = self.first_conv(mix_BPFN)
        x_BCFN = self._unet(first_BCFN.transpose(2, 3)).transpose(2, 3) * first_BCFN
        return self.final_conv(torch.cat([mix_BPFN, x_BCFN], 1)).reshape(batch, -1, n_bins, n_frames)

    def _unet(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        skips = []
        level: Any
        for level in self.encoder_blocks:
            skips.append(self.run_part(level.tfc_tdf, x_BCNF))
            x_BCNF = level.downscale(skips[-1])
        x_BCNF = self.run_part(self.bottleneck_block, x_BCNF)
        for level in self.decoder_blocks:
            x_BCNF = torch.cat([level.upscale(x_BCNF), skips.pop()], 1)
            x_BCNF = self.run_part(level.tfc_tdf, x_BCNF)
        return x_BCNF


def activation(act: str) -> nn.Module:
    """An activation by its name: "gelu", "relu" or "elu" with its alpha."""
    return {"gelu": nn.GELU, "relu": nn.ReLU}[act]() if act in ("gelu", "relu") else nn.ELU(float(act[3:]))


def before(n_chan: int, config: TFCTDFv3Config, layer: nn.Module) -> list[nn.Module]:
    """Norm, activation and then a layer."""
    return [norm(config.norm_type, n_chan), activation(config.act), layer]


class Encoder(nn.Module):
    """A level on the way down: its stage, and the step to the next (``here`` to ``below`` channels)."""

    def __init__(self, here: int, below: int, n_bins: int, config: TFCTDFv3Config) -> None:
        super().__init__()
        self.tfc_tdf = Stage(here, here, n_bins, config)
        self.downscale = Rescale(here, nn.Conv2d(here, below, config.scale, config.scale, bias=False), config)


class Decoder(nn.Module):
    """A level on the way up: the step to it, and its stage, which reads the skip connection as well."""

    def __init__(self, here: int, below: int, n_bins: int, config: TFCTDFv3Config) -> None:
        super().__init__()
        self.upscale = Rescale(below, nn.ConvTranspose2d(below, here, config.scale, config.scale, bias=False), config)
        self.tfc_tdf = Stage(2 * here, here, n_bins, config)


class Rescale(nn.Module):
    """The step from one level to another: norm, activation, strided convolution."""

    def __init__(self, n_in: int, layer: nn.Module, config: TFCTDFv3Config) -> None:
        super().__init__()
        self.conv = nn.Sequential(*before(n_in, config, layer))

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, n_in, frames, bins) -> (batch, n_out, other frames, other bins)."""
        return self.conv(x_BCNF)


class Stage(nn.Module):
    """Blocks one after the other: (batch, n_in, frames, bins) -> (batch, n_chan, frames, bins)."""

    def __init__(self, n_in: int, n_chan: int, n_bins: int, config: TFCTDFv3Config) -> None:
        super().__init__()
        inputs = [n_in] + [n_chan] * (config.n_blocks - 1)
        self.blocks = nn.Sequential(*(Block(first, n_chan, n_bins, config) for first in inputs))

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, n_in, frames, bins) -> (batch, n_chan, frames, bins)."""
        return self.blocks(x_BCNF)


class Block(nn.Module):
    """``y = conv1(x)``, then ``conv2(y + TDF(y)) + shortcut(x)``."""

    def __init__(self, n_in: int, n_chan: int, n_bins: int, config: TFCTDFv3Config) -> None:
        super().__init__()
        hidden = n_bins // config.bottleneck
        inwards, outwards = Linear(n_bins, hidden, bias=False), Linear(hidden, n_bins, bias=False)
        self.tfc1 = nn.Sequential(*before(n_in, config, nn.Conv2d(n_in, n_chan, 3, padding=1, bias=False)))
        self.tdf = nn.Sequential(*before(n_chan, config, inwards), *before(n_chan, config, outwards))
        self.tfc2 = nn.Sequential(*before(n_chan, config, nn.Conv2d(n_chan, n_chan, 3, padding=1, bias=False)))
        self.shortcut = nn.Conv2d(n_in, n_chan, 1, bias=False)

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, n_in, frames, bins) -> (batch, n_chan, frames, bins)."""
        y_BCNF = self.tfc1(x_BCNF)
        return self.tfc2(y_BCNF + self.tdf(y_BCNF)) + self.shortcut(x_BCNF)
