"""TF-Locoformer: complex spectra of every speaker mapped directly from that of the mixture.

Legend: B batch, S speaker, L sample, T frame, F bin, C feature.

References
    [1] : "TF-Locoformer: Transformer with Local Modeling by Convolution for Speech Separation and Enhancement",
    Saijo et al., IWAENC 2024.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...dsp.inverse_stft import istft
from ..base import SpeechModel
from .config import Config
from .layers import Block


class TFLocoformer(SpeechModel):
    """TF-Locoformer [1]; the defaults are its size M (15.0 M parameters for two speakers).

    The mixture is divided by its standard deviation and the estimates are multiplied by it, so the level of the
    output follows that of the input exactly. Silence gives silence.

    Args: see :class:`~asteroid_bsrnn.models.locoformer.config.Config`; sizes are in ``config.SIZES``.

    References
        - [1] : "TF-Locoformer: Transformer with Local Modeling by Convolution for Speech Separation and Enhancement",
          Saijo et al., IWAENC 2024.
    """

    Config = Config
    activation_checkpointing: bool | float | None = False
    level_equivariant = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = Config(*args, **kwargs)
        super().__init__(config)
        self.embed = nn.Conv2d(2, config.emb_dim, 3, padding=1)
        self.norm = nn.GroupNorm(1, config.emb_dim, eps=config.eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.spectra = nn.ConvTranspose2d(config.emb_dim, 2 * config.n_src, 3, padding=1)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier-uniform weights, zero biases, as the published training begins."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def estimate(self, mixture_BL: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time); inputs shorter than a reflection allows end in zeros."""
        length = mixture_BL.shape[-1]
        mixture_BL = F.pad(mixture_BL, (0, max(0, self.config.n_fft // 2 + 1 - length)))
        variance_B1 = mixture_BL.float().var(-1, keepdim=True)
        audible_B1 = variance_B1.isfinite() & (variance_B1 > 0)
        deviation_B1 = torch.where(audible_B1, variance_B1, 1.0).sqrt()
        scaled_BL = torch.where(audible_B1, mixture_BL.float(), 0.0) / deviation_B1
        estimate_BSL = self._synthesise(self._separated(self._analyse(scaled_BL)), mixture_BL.shape[-1])
        estimate_BSL = estimate_BSL * (deviation_B1 * audible_B1).unsqueeze(1)
        return estimate_BSL[..., :length].to(mixture_BL.dtype)

    def _analyse(self, wav_BL: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, 2, frames, bins): real and imaginary part."""
        with torch.autocast(wav_BL.device.type, enabled=False):
            spectra = torch.stft(wav_BL, self.config.n_fft, self.config.hop, window=self.window, return_complex=True)
        return torch.stack([spectra.real, spectra.imag], dim=1).mT

    def _separated(self, x_B2TF: torch.Tensor) -> torch.Tensor:
        """(batch, 2, frames, bins) -> (batch, n_src, 2, frames, bins); both ends in 32 bits."""
        with torch.autocast(x_B2TF.device.type, enabled=False):
            x_BTFC = self.norm(self.embed(x_B2TF)).permute(0, 2, 3, 1)
        for block in self.blocks:
            x_BTFC = self.run_part(block, x_BTFC)
        with torch.autocast(x_B2TF.device.type, enabled=False):
            return self.spectra(x_BTFC.float().permute(0, 3, 1, 2)).unflatten(1, (self.n_src, 2))

    def recomputable(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.blocks)

    def _synthesise(self, spectra_BS2TF: torch.Tensor, length: int) -> torch.Tensor:
        real, imag = spectra_BS2TF.flatten(0, 1).mT.unbind(1)
        with torch.autocast(real.device.type, enabled=False):
            spectra = torch.complex(real.contiguous(), imag.contiguous())
            wav = istft(spectra, self.config.n_fft, self.config.hop, self.window, length=length)
        return wav.unflatten(0, (-1, self.n_src))
