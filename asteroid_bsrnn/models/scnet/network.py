"""SCNet: sparse compression network.

Letters of shapes: B batch, S source, C channel, D feature channels, F bin, T frame, L sample.
"""

from typing import Any

import torch
from torch import nn

from ...common.errors import UserError
from ..base import MusicModel
from ..layers.lstm_inputs import cast_inputs
from .config import SCNetConfig
from .dual_path import DualPath, from_fourier, to_fourier
from .layers import Decoder, Encoder
from .spectrum import Spectrum, as_complex

SEGMENT = 11.0  # seconds
LEAST = 1e-5  # added to the standard deviation
MASK_WIDTH = 64


class SCNet(MusicModel):
    """Sparse compression network: one trunk for all sources.

    Bands of the spectrum are shortened the more the higher they lie; dual-path recurrent layers work on what remains,
    every other one on a Fourier transform along time; a mirrored decoder gives the spectra of all sources, or
    (``masked``) complex masks of the mixture's.

    Args: those of :class:`~asteroid_bsrnn.models.scnet.config.SCNetConfig`.

    References:
        [1] Tong et al., "SCNet: Sparse Compression Network for Music Source Separation", ICASSP 2024.
    """

    Config = SCNetConfig

    def __init__(self, **arguments: Any) -> None:
        config = SCNetConfig(**arguments)
        super().__init__(config)
        self.segment, self.multiple = round(SEGMENT * config.sample_rate), config.hop_size
        self.spectrum = Spectrum(
            config.nfft, config.hop_size, config.win_size or config.nfft, config.normalized, hann=config.masked
        )
        bands = (config.band_SR, config.band_stride, config.band_kernel, config.conv_depths)
        steps = list(zip(config.dims, config.dims[1:]))
        self.encoder = nn.ModuleList(Encoder(i, o, *bands, config.compress, config.conv_kernel) for i, o in steps)
        wide = [config.dims[-1] * (1 + index % 2) for index in range(config.num_dplayer)]
        self.separator = nn.ModuleList(DualPath(dim, config.expand) for dim in wide)
        outs = [config.dims[0] * self.n_src, *config.dims[1:-1]]
        back = list(zip(config.dims[1:], outs))[::-1]
        self.decoder = nn.ModuleList(Decoder(i, o, config.band_stride, config.band_kernel) for i, o in back)
        cast_inputs(self.separator)
        self._check_bins(config.nfft // 2 + 1)
        self.position = self.mask = None
        if config.masked:
            self.position = nn.Parameter(torch.zeros(1, config.dims[0], config.nfft // 2 + 1, 1))
            self.mask = _mask_head(outs[0])

    def _check_bins(self, n_bins: int) -> None:
        stage: Any
        for stage in self.encoder:
            lengths = stage.band_lengths(n_bins)
            short = stage.shortened(lengths)
            if min(lengths) < 1 or min(short) < 1:
                raise UserError(f"nfft {self.config.nfft} is too small: a stage has bands of {lengths} bins")
            n_bins = sum(short)

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)
        """
        with torch.autocast(wav_BCL.device.type, enabled=False):
            mix = self.spectrum(wav_BCL)
            x, undo = _standardised(mix) if self.config.standardise else (mix, None)
        out = self._estimate(x if self.position is None else x + self.position)
        with torch.autocast(wav_BCL.device.type, enabled=False):
            est = self._finish(out.float(), mix, undo)
            return self.spectrum.inverse(est, wav_BCL.shape[-1]).unflatten(1, (self.n_src, -1))

    def recomputable(self) -> list[nn.Module]:
        """All that is learnt."""
        head = [] if self.mask is None else [self.mask]
        return [*self.encoder, *self.separator, *self.decoder, *head]

    def _estimate(self, x_BDFT: torch.Tensor) -> torch.Tensor:
        """(batch, n_src * 2 channels, bins, frames) from the mixture's (batch, 2 channels, bins, frames)."""
        kept = []
        stage: Any
        for stage in self.encoder:
            lengths = stage.band_lengths(x_BDFT.shape[2])
            x_BDFT, skip = self.run_part(stage, x_BDFT)
            kept.append((skip, stage.shortened(lengths), lengths))
        n_frames = x_BDFT.shape[-1]
        for index, layer in enumerate(self.separator):
            x_BDFT = self.run_part(layer, x_BDFT)
            x_BDFT = from_fourier(x_BDFT, n_frames) if index % 2 else to_fourier(x_BDFT)
        for stage in self.decoder:
            x_BDFT = self.run_part(stage, x_BDFT, *kept.pop())
        return x_BDFT if self.mask is None else self.run_part(self.mask, x_BDFT)

    def _finish(
        self, out: torch.Tensor, mix: torch.Tensor, undo: tuple[torch.Tensor, torch.Tensor] | None
    ) -> torch.Tensor:
        if self.mask is not None:
            masks = as_complex(out).unflatten(1, (self.n_src, -1))
            return torch.view_as_real(masks * as_complex(mix)[:, None]).permute(0, 1, 2, 5, 3, 4).flatten(1, 3)
        return out if undo is None else out * undo[1] + undo[0]


def _standardised(x_BDFT: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Each item less its mean over its standard deviation, and both."""
    std, mean = torch.std_mean(x_BDFT, dim=(1, 2, 3), keepdim=True)
    return (x_BDFT - mean) / (LEAST + std), (mean, std)


def _mask_head(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(dim, MASK_WIDTH, 3, padding=1), nn.GELU(), nn.Conv2d(MASK_WIDTH, dim, 1), nn.Tanh())
