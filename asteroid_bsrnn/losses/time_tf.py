"""Loss of the Band-Split RNN: mean absolute error of the waveform plus that of the spectrum [1]_."""

import torch
from torch import nn

from ..common.errors import UserError
from ..common.registry import check_known
from .signals import centred_stft, waveforms_of

DOMAINS = ("t", "tf", "t+tf")
NORMS = ("l1", "mse")


class TimeTFLoss(nn.Module):
    """Mean error of the waveform plus mean errors of the real and of the imaginary part of the STFT.

    The three terms have equal weights and are means over all elements, as in the published code ([1]_ writes norms).
    Since the STFT is not normalised, the spectral terms dominate: 39 times the first for white noise. The spectrum of
    the estimate is the network's own, before any inverse transform; that of the target is the STFT of the waveform.

    Args:
        domain: ``"t"`` (waveform only), ``"tf"`` (spectrum only) or ``"t+tf"``.
        norm: ``"l1"`` or ``"mse"``.
        n_fft: window of the targets' STFT, samples. None: the model's (:meth:`match_stft`), else 2048.
        n_hop: its hop, samples. None: the model's, else 512.

    Shape:
        - est_targets: waveforms ``(batch, n_src, channels, time)``, or the pair of these and their complex spectra
          ``(batch, n_src, channels, n_fft // 2 + 1, frames)``; waveforms alone are analysed here.
        - targets: waveforms ``(batch, n_src, channels, time)``.

    Raises:
        ValueError: unknown domain or norm, or shapes that do not agree.

    References
        [1] P. Magron, R. Serizel, C. Douwes, "The Costs of Reproducibility in Music Separation Research: a
        Replication of Band-Split RNN", arXiv 2603.09187.
    """

    def __init__(
        self, domain: str = "t+tf", norm: str = "l1", n_fft: int | None = None, n_hop: int | None = None
    ) -> None:
        super().__init__()
        check_known("loss domain", domain, DOMAINS)
        check_known("loss norm", norm, NORMS)
        self.domain, self.norm, self.n_fft, self.n_hop = domain, norm, n_fft, n_hop

    def match_stft(self, model: nn.Module) -> "TimeTFLoss":
        """Take ``n_fft`` and ``n_hop`` of ``model`` where it has them and they were left open; returns the loss itself."""
        self.n_fft = self.n_fft or getattr(model, "n_fft", None)
        self.n_hop = self.n_hop or getattr(model, "n_hop", None)
        return self

    def stft(self, wav: torch.Tensor) -> torch.Tensor:
        """Centred, one-sided, not normalised STFT with a periodic Hann window over the last axis, as the model's."""
        spectra = centred_stft(wav, self.n_fft or 2048, self.n_hop or 512)
        return spectra.reshape(*wav.shape[:-1], *spectra.shape[-2:])

    def error(self, estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over all elements of the absolute or squared difference of two real tensors."""
        difference = estimate - target
        return (difference.abs() if self.norm == "l1" else difference.square()).mean()

    def forward(
        self, est_targets: torch.Tensor | tuple[torch.Tensor, torch.Tensor], targets: torch.Tensor
    ) -> torch.Tensor:
        waveforms = waveforms_of(est_targets, targets)
        loss = waveforms.new_zeros((), dtype=targets.dtype)
        if "tf" in self.domain:
            spectra = est_targets[1] if isinstance(est_targets, (tuple, list)) else self.stft(waveforms)
            reference = self.stft(targets)
            if spectra.shape != reference.shape:
                raise UserError(
                    f"spectra {tuple(spectra.shape)} of the estimates and {tuple(reference.shape)} of the targets "
                    "differ: give the loss the n_fft and n_hop of the model"
                )
            loss = loss + self.error(spectra.real, reference.real) + self.error(spectra.imag, reference.imag)
        return loss if self.domain == "tf" else loss + self.error(waveforms, targets)
