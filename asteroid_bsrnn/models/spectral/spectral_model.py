"""What the models on spectrograms share: features fitted to data, padded batches, masks applied to the mixture."""

from collections.abc import Iterable
from typing import Any

import torch

from ...common.errors import UserError
from ..base import SpeechModel, as_mixtures
from .blstm import SpectralFrontEnd


class SpectralSpeechModel(SpeechModel):
    """Separator that masks the mixture's spectrogram. A subclass writes ``training_loss``.

    Its loss compares more than waveforms, so training calls ``training_loss(mixture, sources, lengths)`` instead of
    a loss on ``model(mixture)``.
    """

    def __init__(self, config: Any, window: str) -> None:
        super().__init__(config)
        self.keep_arguments()
        self.front_end = SpectralFrontEnd(config.n_fft, config.n_hop, window)

    def fit_normalisation(self, mixtures: Iterable[Any]) -> None:
        """Set the statistics that features are normalised with; they are stored with the weights.

        Args:
            mixtures: waveforms (..., time), or (mixture, sources) pairs as data sets and loaders give them.

        Raises:
            ValueError: if there is no mixture.
        """
        self.front_end.fit(item[0] if isinstance(item, (tuple, list)) else item for item in mixtures)

    def _padded(
        self, mixture: torch.Tensor, sources: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Check a training batch; samples past ``lengths`` become zeros.

        Returns:
            Mixture (batch, time), sources (batch, n_src, time), frames of each example (batch,) or None.
        """
        mixture = as_mixtures(mixture)
        expected = (len(mixture), self.n_src, mixture.shape[-1])
        if tuple(sources.shape) != expected:
            raise UserError(f"expected sources of shape {expected}, got {tuple(sources.shape)}")
        if lengths is None:
            return mixture, sources, None
        lengths = torch.as_tensor(lengths, device=mixture.device)
        if lengths.shape != (len(mixture),) or lengths.min() < 1 or lengths.max() > mixture.shape[-1]:
            raise UserError(f"lengths must be {len(mixture)} numbers of samples in [1, {mixture.shape[-1]}]")
        inside = torch.arange(mixture.shape[-1], device=mixture.device) < lengths.unsqueeze(1)
        return mixture * inside, sources * inside.unsqueeze(1), self.front_end.n_frames(lengths)

    def _masked(self, masks: torch.Tensor, spectrum: torch.Tensor, length: int) -> torch.Tensor:
        """Masks (batch, n_src, F, T) times the mixture's spectrum, back to (batch, n_src, length)."""
        return self.front_end.synthesise(masks.float() * spectrum.unsqueeze(1), length)
