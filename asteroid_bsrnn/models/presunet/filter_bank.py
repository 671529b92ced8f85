"""Filter bank of K sub-bands at a K-th of the sampling rate, in polyphase form.

Letters of shapes: B batch, C channel, K sub-band, L sample, M sample of a sub-band.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .design import design_bank

N_TAPS = 64


class FilterBank(nn.Module):
    """Analysis and synthesis by filters that are saved with the weights and not trained.

    Args:
        n_subbands: K, which divides 64.

    The filters that a new model starts with are those of :func:`~asteroid_bsrnn.models.presunet.design.design_bank`:
    all but the first and the last 64 samples come back. Published weights bring their own. The analysis is computed in
    double precision where there is one: it costs nothing, and its rounding would decide on which side of their kink the
    heads' rectifiers fall.

    References:
        Liu et al., "CWS-PResUNet: Music Source Separation with Channel-Wise Subband Phase-Aware ResUNet", 2021.
    """

    analysis: torch.Tensor
    synthesis: torch.Tensor

    def __init__(self, n_subbands: int) -> None:
        super().__init__()
        self.n_subbands = n_subbands
        analysis_KJ, synthesis_PKJ = design_bank(n_subbands, N_TAPS)
        self.register_buffer("analysis", analysis_KJ[:, None])
        self.register_buffer("synthesis", synthesis_PKJ)

    def forward(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Split into sub-bands.

        Shape:
            (batch, channels, time) -> (batch, channels * K, time // K), the K bands of a channel side by side
        """
        batch, n_chan, length = wav_BCL.shape
        precise = torch.float32 if wav_BCL.device.type == "mps" else torch.float64
        wav = F.pad(wav_BCL.reshape(-1, 1, length), (N_TAPS - self.n_subbands, 0)).to(precise)
        bands = F.conv1d(wav, self.analysis.to(precise), stride=self.n_subbands)
        return bands.to(wav_BCL.dtype).reshape(batch, n_chan * self.n_subbands, -1)

    def inverse(self, bands_BCM: torch.Tensor) -> torch.Tensor:
        """Put sub-bands together.

        Shape:
            (batch, channels * K, time // K) -> (batch, channels, K * (time // K))
        """
        batch, _, n_samples = bands_BCM.shape
        bands = F.pad(bands_BCM.reshape(-1, self.n_subbands, n_samples), (0, self.synthesis.shape[-1] - 1))
        wav_BPM = F.conv1d(bands, self.synthesis)
        return wav_BPM.transpose(1, 2).reshape(batch, -1, n_samples * self.n_subbands)
