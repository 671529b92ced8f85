"""Cut a sequence of frames into overlapping chunks, and put them together again exactly.

Legend: B batch, C channel, F frame, K position in a chunk, L chunk.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Chunks(nn.Module):
    """Chunks of ``chunk_size`` frames every ``hop_size``; every frame lies in exactly chunk_size / hop_size of them.

    ``join(split(x), x.shape[-1])`` is ``x`` for every length. As both are linear, a 1x1 convolution may come before
    or after ``join`` with the same result (its bias included, since the overlap is divided out).

    Args:
        chunk_size: K, frames.
        hop_size: frames between chunk starts; divides ``chunk_size``.
    """

    def __init__(self, chunk_size: int, hop_size: int) -> None:
        super().__init__()
        self.chunk_size, self.hop_size = chunk_size, hop_size

    def split(self, x_BCF: torch.Tensor) -> torch.Tensor:
        """(B, C, F) -> (B, C, K, L)."""
        margin = self.chunk_size - self.hop_size
        tail = -(x_BCF.shape[-1] + margin) % self.hop_size
        padded = F.pad(x_BCF, (margin, margin + tail))
        return padded.unfold(-1, self.chunk_size, self.hop_size).transpose(2, 3)

    def join(self, x_BCKL: torch.Tensor, n_frames: int) -> torch.Tensor:
        """(B, C, K, L) -> (B, C, n_frames): mean over the chunks that hold a frame."""
        batch, chan, _, n_chunks = x_BCKL.shape
        margin = self.chunk_size - self.hop_size
        total = (n_chunks - 1) * self.hop_size + self.chunk_size
        added = F.fold(
            x_BCKL.reshape(batch, chan * self.chunk_size, n_chunks),
            (total, 1),
            kernel_size=(self.chunk_size, 1),
            stride=(self.hop_size, 1),
        )
        return added[:, :, margin : margin + n_frames, 0] * (self.hop_size / self.chunk_size)
