"""Learned encoder and decoder between waveform and frames, for the dual-path models.

Legend: B batch, S source, C channel, F frame.
"""

import torch
from torch import nn
from torch.nn import functional as F


class LearnedCodec(nn.Module):
    """Strided convolution with ReLU, and its transposed counterpart shared by all sources; no biases.

    The waveform is padded at its end such that every sample lies in a frame, whatever its length.

    Args:
        n_filters: channels C.
        kernel_size: samples of a filter.
        stride: samples between frames, at most ``kernel_size``.
    """

    def __init__(self, n_filters: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, n_filters, kernel_size, stride, bias=False)
        self.decoder = nn.ConvTranspose1d(n_filters, 1, kernel_size, stride, bias=False)
        self.overlap, self.stride = kernel_size - stride, stride
        nn.init.xavier_normal_(self.encoder.weight)
        nn.init.xavier_normal_(self.decoder.weight)

    def encode(self, mixture: torch.Tensor) -> torch.Tensor:
        """(B, samples) -> (B, C, F), not negative."""
        kernel_size, length = self.overlap + self.stride, mixture.shape[-1]
        tail = kernel_size - length if length < kernel_size else (kernel_size - length) % self.stride
        return F.relu(self.encoder(F.pad(mixture, (0, tail)).unsqueeze(1)))

    def decode(self, frames_BSCF: torch.Tensor, length: int) -> torch.Tensor:
        """(B, S, C, F) -> (B, S, length)."""
        wav = self.decoder(frames_BSCF.flatten(0, 1)).unflatten(0, frames_BSCF.shape[:2])
        return wav[:, :, 0, :length]
