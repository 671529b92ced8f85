"""CWS-PResUNet: a residual U-Net over the spectra of sub-bands that estimates masks and phases.

Letters of shapes: B batch, S source, C channel, M maps (channel and sub-band), F bin, T frame, L sample.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...dsp.stft import STFT
from ..base import MusicModel
from .config import PResUNetConfig
from .filter_bank import FilterBank
from .layers import MOMENTUM, Head, UpStage, residual_units
from .phase import apply_maps, magnitude

N_FFT, HOP = 2048, 441  # at the full sampling rate; a sub-band has a K-th of both
N_MIDDLE = 4
FRAME_MULTIPLE = 64
SEGMENT = 3.0  # seconds


class PResUNet(MusicModel):
    """Channel-wise sub-band phase-aware residual U-Net.

    The song is cut into K sub-bands by a filter bank; their spectra, all channels together, go through a U-Net of
    residual units. For each source a head gives masks, rotations of the phase and additions to the magnitude. Where K
    does not divide the length and ``edge`` is 0, the last samples (fewer than K) are silent, as in the original.

    Args: those of :class:`~asteroid_bsrnn.models.presunet.config.PResUNetConfig`.

    References:
        [1] Liu, Kong and Liu, "CWS-PResUNet: Music Source Separation with Channel-Wise Subband Phase-Aware ResUNet",
            MDX Workshop 2021.
    """

    Config = PResUNetConfig

    def __init__(self, **arguments: Any) -> None:
        config = PResUNetConfig(**arguments)
        super().__init__(config)
        widths = [*config.widths, config.widths[-1]]
        self.segment, self.multiple = round(SEGMENT * config.sample_rate), config.n_subbands
        self.bank = FilterBank(config.n_subbands) if config.n_subbands > 1 else None
        self.stft = STFT(N_FFT // config.n_subbands, HOP // config.n_subbands)
        self.norm = nn.BatchNorm2d(self.stft.n_fft // 2 + 1, momentum=MOMENTUM)
        ins = [config.n_maps, *widths[:-1]]
        self.encoder = nn.ModuleList(residual_units(i, o, config.n_units) for i, o in zip(ins, widths))
        self.middle = nn.ModuleList(residual_units(widths[-1], widths[-1], config.n_units) for _ in range(N_MIDDLE))
        downs = [widths[-1], *reversed(widths)]
        self.decoder = nn.ModuleList(UpStage(i, o, config.n_units) for i, o in zip(downs, downs[1:]))
        self.heads = nn.ModuleList(Head(widths[0], 4 * config.n_maps, config.n_head_units) for _ in self.sources)
        self.apply(_initialise)

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)
        """
        edge, length = self.config.edge, wav_BCL.shape[-1]
        missing = max(0, self.config.n_subbands - length - 2 * edge)
        with torch.autocast(wav_BCL.device.type, enabled=False):
            bands_BML = self._split(F.pad(wav_BCL.float(), (edge, edge + missing)))
            spec_BMFT = self.stft(bands_BML)
        maps = self._maps(magnitude(spec_BMFT))
        with torch.autocast(wav_BCL.device.type, enabled=False):
            specs = torch.stack([apply_maps(spec_BMFT, map_BMFT) for map_BMFT in maps], dim=1).flatten(0, 1)
            est = self._join(self.stft.inverse(specs, bands_BML.shape[-1]))
        est = est.unflatten(0, (len(wav_BCL), self.n_src))[..., edge:]
        return F.pad(est, (0, length - est.shape[-1])) if est.shape[-1] < length else est[..., :length]

    def _split(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        return wav_BCL if self.bank is None else self.bank(wav_BCL)

    def _join(self, bands_BML: torch.Tensor) -> torch.Tensor:
        return bands_BML if self.bank is None else self.bank.inverse(bands_BML)

    def _maps(self, mag_BMFT: torch.Tensor) -> list[torch.Tensor]:
        """Maps of each source, (batch, 4 M, bins, frames), from magnitudes."""
        x = self.norm(mag_BMFT.transpose(1, 2)).permute(0, 2, 3, 1)
        n_frames = x.shape[2]
        x = F.pad(x, (0, 0, 0, -n_frames % FRAME_MULTIPLE))[..., :-1]
        skips = []
        for stage in self.encoder:
            skips.append(self.run_part(stage, x))
            x = F.avg_pool2d(skips[-1], 2)
        for stage in self.middle:
            x = self.run_part(stage, x)
        for stage in self.decoder:
            x = self.run_part(stage, x, skips.pop())
        maps = [self.run_part(head, x)[:, :, :n_frames] for head in self.heads]
        return [F.pad(map_BMTF, (0, 1)).transpose(2, 3) for map_BMTF in maps]

    def recomputable(self) -> list[nn.Module]:
        """All units, and the heads."""
        return [*self.encoder, *self.middle, *self.decoder, *self.heads]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
