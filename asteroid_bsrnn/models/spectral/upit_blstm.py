"""uPIT-BLSTM: masks from a recurrent network, trained with utterance-level permutation invariance.

References
    [1] : "Multi-talker Speech Separation with Utterance-level Permutation Invariant Training of Deep Recurrent
    Neural Networks", Kolbaek et al., TASLP 2017.
"""

from typing import Any

import torch
from torch import nn

from ...losses.upit import PhaseSensitiveUPIT, phase_sensitive_targets
from .blstm import BLSTM, MaskHead
from .config import UPITConfig
from .spectral_model import SpectralSpeechModel


class UPITBLSTM(SpectralSpeechModel):
    """uPIT-BLSTM [1], and with ``stacked`` uPIT-BLSTM-ST.

    The stacked model has a second network of the same kind; the masks of both are averaged, and the loss is the mean
    of the losses before and after.

    Args: those of :class:`~asteroid_bsrnn.models.spectral.config.UPITConfig`.

    References
        - [1] : "Multi-talker Speech Separation with Utterance-level Permutation Invariant Training of Deep Recurrent
          Neural Networks", Kolbaek et al., TASLP 2017.
    """

    Config = UPITConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = UPITConfig(*args, **kwargs)
        super().__init__(config, "hann")
        bins, n_seen = self.front_end.n_bins, 1 + config.n_src * config.stack_estimates
        in_sizes = [bins, bins * n_seen][: 1 + config.stacked]
        self.rnns = nn.ModuleList(BLSTM(size, config.hid_size, config.n_layers, config.dropout) for size in in_sizes)
        self.heads = nn.ModuleList(MaskHead(2 * config.hid_size, config.n_src, bins, config.mask_act) for _ in in_sizes)
        self.loss_func = PhaseSensitiveUPIT()

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        spectrum = self.front_end.analyse(mixture)
        return self._masked(self.masks(spectrum.abs())[-1], spectrum, mixture.shape[-1])

    def masks(self, magnitude: torch.Tensor, n_frames: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Masks (batch, n_src, F, T) after each stage, from magnitudes (batch, F, T)."""
        features = self.front_end.features(magnitude)
        stages = [self.heads[0](self.rnns[0](features, n_frames))]
        if self.config.stacked:
            if self.config.stack_estimates:
                estimates = stages[0].float() * magnitude.unsqueeze(1)
                features = torch.cat([features] + [self.front_end.features(e) for e in estimates.unbind(1)], dim=-1)
            refined = self.heads[1](self.rnns[1](features, n_frames))
            stages.append((stages[0] + refined) / 2)
        return stages

    def training_loss(
        self, mixture: torch.Tensor, sources: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Phase-sensitive uPIT loss.

        Args:
            mixture: (batch, time).
            sources: (batch, n_src, time).
            lengths: (batch,) valid samples; what lies past them changes nothing.

        Returns:
            Scalar.
        """
        mixture, sources, n_frames = self._padded(mixture, sources, lengths)
        spectrum = self.front_end.analyse(mixture)
        targets = phase_sensitive_targets(spectrum, self.front_end.analyse(sources))
        magnitude = spectrum.abs()
        losses = [
            self.loss_func(masks.float() * magnitude.unsqueeze(1), targets, n_frames=n_frames)
            for masks in self.masks(magnitude, n_frames)
        ]
        return sum(losses) / len(losses)
