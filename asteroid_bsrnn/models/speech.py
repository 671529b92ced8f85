"""What the speech models share: the shapes they take and give."""
import torch

from .base import SeparationModel


class SpeechModel(SeparationModel):
    """Separator of one-channel mixtures.

    A subclass sets ``n_src`` and writes ``estimate``: (batch, time) -> (batch, n_src, time).
    """

    def forward(self, wav):
        """Separate.

        Args:
            wav (torch.Tensor): (time,), (batch, time) or (batch, 1, time), floating point.

        Returns:
            torch.Tensor: (n_src, time) for 1-D input, else (batch, n_src, time).
        """
        return self._as_given(wav, self.estimate(as_mixtures(wav)))

    @staticmethod
    def _as_given(wav, estimates):
        return estimates[0] if wav.ndim == 1 else estimates


def as_mixtures(wav):
    """(time,), (batch, time) or (batch, 1, time) -> (batch, time).

    Raises:
        TypeError: for anything but a floating point tensor.
        ValueError: for another rank, several channels, or nothing to separate.
    """
    if not torch.is_tensor(wav) or not wav.is_floating_point():
        raise TypeError(f"a mixture is a floating point tensor, got {getattr(wav, 'dtype', type(wav).__name__)}")
    if wav.ndim not in (1, 2, 3):
        raise ValueError(f"a mixture is (time,), (batch, time) or (batch, 1, time), got shape {tuple(wav.shape)}")
    if wav.ndim == 3 and wav.shape[1] != 1:
        raise ValueError(f"a mixture has one channel, got shape {tuple(wav.shape)}")
    if wav.numel() == 0:
        raise ValueError(f"an empty mixture cannot be separated, got shape {tuple(wav.shape)}")
    return wav.reshape(1, -1) if wav.ndim == 1 else wav.reshape(wav.shape[0], -1)
