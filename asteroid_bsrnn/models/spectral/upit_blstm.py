"""uPIT-BLSTM: masks from a recurrent network, trained with utterance-level permutation invariance.

References
    [1] : "Multi-talker Speech Separation with Utterance-level Permutation Invariant Training of Deep Recurrent
    Neural Networks", Kolbaek et al., TASLP 2017.
"""

import torch
from torch import nn

from ...common.errors import UserError
from ...losses.upit import PhaseSensitiveUPIT, phase_sensitive_targets
from ..layers.checks import check_at_least
from .blstm import BLSTM, MaskHead, SpectralFrontEnd
from .spectral_model import SpectralSpeechModel


class UPITBLSTM(SpectralSpeechModel):
    """uPIT-BLSTM [1], and with ``stacked`` uPIT-BLSTM-ST.

    The stacked model has a second network of the same kind; the masks of both are averaged, and the loss is the mean
    of the losses before and after.

    Args:
        n_src: number of speakers.
        n_fft: samples of a frame.
        n_hop: samples between frames; divides ``n_fft``.
        hid_size: units of each LSTM per direction.
        n_layers: layers of each BiLSTM.
        dropout: between layers and before the masks.
        mask_act: "relu" or "sigmoid".
        stacked: add the second stage.
        stack_estimates: the second stage sees the magnitudes that the first one estimates beside the mixture;
            without, it sees the mixture alone, which gives the published size.
        sample_rate: Hz.

    References
        - [1] : "Multi-talker Speech Separation with Utterance-level Permutation Invariant Training of Deep Recurrent
          Neural Networks", Kolbaek et al., TASLP 2017.
    """

    def __init__(
        self,
        n_src: int = 2,
        n_fft: int = 256,
        n_hop: int = 128,
        hid_size: int = 896,
        n_layers: int = 3,
        dropout: float = 0.5,
        mask_act: str = "relu",
        stacked: bool = False,
        stack_estimates: bool = False,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        check_at_least(1, n_src=n_src)
        if stack_estimates and not stacked:
            raise UserError("stack_estimates needs stacked=True: there is no second stage to see the estimates")
        self.n_src, self.n_fft, self.n_hop, self.hid_size, self.n_layers = n_src, n_fft, n_hop, hid_size, n_layers
        self.dropout, self.mask_act, self.stacked, self.stack_estimates = dropout, mask_act, stacked, stack_estimates
        self.front_end = SpectralFrontEnd(n_fft, n_hop, "hann")
        bins = self.front_end.n_bins
        in_sizes = [bins] + ([bins * (1 + n_src * stack_estimates)] if stacked else [])
        self.rnns = nn.ModuleList(BLSTM(size, hid_size, n_layers, dropout) for size in in_sizes)
        self.heads = nn.ModuleList(MaskHead(2 * hid_size, n_src, bins, mask_act) for _ in in_sizes)
        self.loss_func = PhaseSensitiveUPIT()

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        spectrum = self.front_end.analyse(mixture)
        return self._masked(self.masks(spectrum.abs())[-1], spectrum, mixture.shape[-1])

    def masks(self, magnitude: torch.Tensor, n_frames: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Masks (batch, n_src, F, T) after each stage, from magnitudes (batch, F, T)."""
        features = self.front_end.features(magnitude)
        stages = [self.heads[0](self.rnns[0](features, n_frames))]
        if self.stacked:
            if self.stack_estimates:
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
