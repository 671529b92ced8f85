"""Deep clustering and Chimera++: embeddings of time-frequency bins, and masks beside them.

References
    [1] : "Deep clustering: discriminative embeddings for segmentation and separation", Hershey et al., ICASSP 2016.
    [2] : "Alternative objective functions for deep clustering", Wang et al., ICASSP 2018.
"""

from typing import Any

import torch
from torch.nn import functional as F

from ...common.products import Linear
from ...losses.clustering import ClusteringLoss, affinity_distance
from ...losses.upit import PhaseSensitiveUPIT, phase_sensitive_targets
from .blstm import BLSTM, MaskHead
from .config import ChimeraConfig, DPCLConfig
from .kmeans import kmeans
from .spectral_model import SpectralSpeechModel

ACTIVE_DB = 40.0
"""A bin counts if it is at most this much below the loudest one of its utterance."""


def active_bins(magnitude: torch.Tensor) -> torch.Tensor:
    """Bins (batch, F, T) within 40 dB of the utterance's maximum, as booleans."""
    threshold = magnitude.amax((-2, -1), keepdim=True) * 10 ** (-ACTIVE_DB / 20)
    return magnitude >= threshold


class _ClusteringModel(SpectralSpeechModel):
    """BLSTM with a unit-norm embedding for every time-frequency bin."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config, "sqrt_hann")
        self.rnn = BLSTM(self.front_end.n_bins, config.hid_size, config.n_layers, config.dropout)
        self.embed = Linear(2 * config.hid_size, self.front_end.n_bins * config.embedding_dim)

    def embeddings(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden frames (batch, T, H) -> unit vectors (batch, F * T, embedding_dim)."""
        raw = torch.tanh(self.embed(hidden)).unflatten(-1, (-1, self.config.embedding_dim))
        return F.normalize(raw.transpose(1, 2).flatten(1, 2).float(), dim=-1)

    def cluster_masks(self, hidden: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """Binary masks (batch, n_src, F, T): k-means on the active bins, other bins follow the nearest centre."""
        active = active_bins(magnitude).flatten(1)
        labels = kmeans(
            self.embeddings(hidden), self.n_src, active, self.config.kmeans_starts, seed=self.config.kmeans_seed
        )[0]
        return F.one_hot(labels, self.n_src).mT.unflatten(-1, magnitude.shape[-2:]).to(magnitude.dtype)

    def _training_batch(
        self, mixture: torch.Tensor, sources: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Hidden frames, spectra of mixture and sources, labels and weights (batch, F * T), valid frames."""
        mixture, sources, n_frames = self._padded(mixture, sources, lengths)
        spectrum, source_spectra = self.front_end.analyse(mixture), self.front_end.analyse(sources)
        hidden = self.rnn(self.front_end.features(spectrum.abs()), n_frames)
        weights = active_bins(spectrum.abs())
        if n_frames is not None:
            frames = torch.arange(weights.shape[-1], device=weights.device)
            weights = weights & (frames < n_frames.unsqueeze(1)).unsqueeze(1)
        labels = source_spectra.abs().argmax(1)
        return hidden, spectrum, source_spectra, labels.flatten(1), weights.flatten(1), n_frames


class DPCL(_ClusteringModel):
    """Deep clustering [1]; the defaults are the clustering network of DPCL++ (10.6 M parameters).

    Args: those of :class:`~asteroid_bsrnn.models.spectral.config.DPCLConfig`.

    References
        - [1] : "Deep clustering: discriminative embeddings for segmentation and separation", Hershey et al.,
          ICASSP 2016.
    """

    Config = DPCLConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_func = ClusteringLoss(self.n_src)

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time); the sources sum to the mixture."""
        spectrum = self.front_end.analyse(mixture)
        hidden = self.rnn(self.front_end.features(spectrum.abs()))
        return self._masked(self.cluster_masks(hidden, spectrum.abs()), spectrum, mixture.shape[-1])

    def training_loss(
        self, mixture: torch.Tensor, sources: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Deep clustering loss; arguments as in :meth:`UPITBLSTM.training_loss`."""
        hidden, _, _, labels, weights, _ = self._training_batch(mixture, sources, lengths)
        return self.loss_func(self.embeddings(hidden), labels, weights)


class Chimera(_ClusteringModel):
    """Chimera++ [2]: an embedding head for training and a mask head for separation (32.9 M parameters).

    The loss is ``alpha`` times the clustering loss per pair of bins plus ``1 - alpha`` times the phase-sensitive
    uPIT loss per bin.

    Args: those of :class:`~asteroid_bsrnn.models.spectral.config.ChimeraConfig`.

    References
        - [2] : "Alternative objective functions for deep clustering", Wang et al., ICASSP 2018.
    """

    Config = ChimeraConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mask_head = MaskHead(2 * self.config.hid_size, self.n_src, self.front_end.n_bins, self.config.mask_act)
        self.mask_loss = PhaseSensitiveUPIT()

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        spectrum = self.front_end.analyse(mixture)
        hidden = self.rnn(self.front_end.features(spectrum.abs()))
        by_mask = self.config.separate_by == "mask"
        masks = self.mask_head(hidden) if by_mask else self.cluster_masks(hidden, spectrum.abs())
        return self._masked(masks, spectrum, mixture.shape[-1])

    def training_loss(
        self, mixture: torch.Tensor, sources: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Both losses, weighted; arguments as in :meth:`UPITBLSTM.training_loss`."""
        hidden, spectrum, source_spectra, labels, weights, n_frames = self._training_batch(mixture, sources, lengths)
        clustering = affinity_distance(self.embeddings(hidden), labels, self.n_src, weights)[0].mean()
        estimates = self.mask_head(hidden).float() * spectrum.abs().unsqueeze(1)
        targets = phase_sensitive_targets(spectrum, source_spectra)
        return self.config.alpha * clustering + (1 - self.config.alpha) * self.mask_loss(
            estimates, targets, n_frames=n_frames
        )
