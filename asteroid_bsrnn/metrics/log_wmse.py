"""log-WMSE: the logarithm of the frequency-weighted mean square of the error, relative to the mixture's.

As published [1]: ``-4 ln(mse + 1e-8)`` of each channel, the mean of these over channels, the error's weighted mean square
divided by that of the mixture (at least 1e-16); at most 73.68, which is a perfect estimate. Not as published: the weighting
is the K-weighting of ITU-R BS.1770 instead of the authors' filter, which is given as samples only (theirs lies within 3 dB
from 200 Hz to 8 kHz, but takes 8 dB more off at 12 kHz, 35 dB at 20 kHz and 16 dB at 30 Hz); power is summed over frames of one second by
Parseval's theorem, without the filter's memory from one frame to the next; there is no threshold of audibility for single
samples (nor has their present version). Scores are to be compared with scores of this file alone.

References
    [1] Nomono, log-wmse-audio-quality, 2023, and C. Landschoot, torch-log-wmse, 2024-2026.
    [2] ITU-R BS.1770-4.
"""

import torch

from ..dsp.k_weighting import power_response
from .energies import check_finite, check_signals
from .metric import Metric, register_metric

SCALE, EPS, FLOOR = -4.0, 1e-8, 1e-16


class WeightedErrors:
    """K-weighted energies of the errors and of the mixture of a song, from blocks of whole seconds.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.frame_len = int(sample_rate)
        weights = torch.from_numpy(power_response(self.frame_len, self.frame_len)) * 2 / self.frame_len
        weights[0] /= 2  # one-sided: what lies between 0 Hz and half the rate stands for two bins
        if self.frame_len % 2 == 0:
            weights[-1] /= 2
        self.weights, self.n_samples = weights, 0
        self.error: torch.Tensor | float = 0.0
        self.mixture: torch.Tensor | float = float("nan")

    def update(self, est_targets: torch.Tensor, targets: torch.Tensor, mixture: torch.Tensor | None = None) -> None:
        """Add a block.

        Shape:
            - est_targets, targets: (n_src, channels, time)
            - mixture: (channels, time)
        """
        self.error = self.error + self._energy(est_targets, targets)
        if mixture is not None:
            before = self.mixture if self.n_samples else 0.0
            self.mixture = before + self._energy(mixture, torch.zeros(()).expand_as(mixture))
        self.n_samples += targets.shape[-1]

    def _energy(self, wav: torch.Tensor, minus: torch.Tensor) -> torch.Tensor:
        """Weighted energy of a difference, (..., time) twice -> (...), float64."""
        frames = zip(wav.split(self.frame_len, -1), minus.split(self.frame_len, -1))
        power = torch.zeros(*wav.shape[:-1], 2 * len(self.weights))
        for one, other in frames:
            spectrum = torch.fft.rfft((one - other).float().cpu(), n=self.frame_len)
            parts = torch.view_as_real(spectrum).flatten(-2)
            power.addcmul_(parts, parts)
        return power.double().unflatten(-1, (-1, 2)).sum(-1) @ self.weights

    def scores(self) -> torch.Tensor:
        """log-WMSE of each source, (n_src,); NaN without a mixture."""
        level = torch.as_tensor(self.mixture, dtype=torch.float64) / self.n_samples
        mse = torch.as_tensor(self.error) / self.n_samples / level.clamp(min=FLOOR)
        return SCALE * torch.log(mse + EPS).mean(-1)


def log_wmse(
    est_targets: torch.Tensor, targets: torch.Tensor, mix: torch.Tensor, sample_rate: int = 44100
) -> torch.Tensor:
    """log-WMSE of each source, without unit; larger is better, by 9.2 for an error that is ten times smaller in power.

    A silent reference has a score like any other. All signals times one factor change nothing.

    Args:
        est_targets: estimates.
        targets: references.
        mix: the mixture.
        sample_rate: Hz.

    Shape:
        - est_targets, targets: (batch, n_src, channels, time)
        - mix: (batch, channels, time)
        - output: (batch, n_src), float64

    Raises:
        TypeError: if an input is not a floating-point tensor.
        ValueError: for wrong or different shapes, NaN or infinite samples.
    """
    check_signals(est_targets, targets, "(batch, n_src, channels, time)")
    check_signals(mix, targets[:, 0], "(batch, channels, time)")
    found = []
    for wavs in zip(est_targets, targets, mix):
        errors = WeightedErrors(sample_rate)
        errors.update(*wavs)
        found.append(errors.scores())
    scores = torch.stack(found)
    check_finite(scores)
    return scores


register_metric(
    Metric(
        "log_wmse",
        "log-WMSE (K)",
        "",
        "music",
        WeightedErrors.scores,
        "mean",
        "higher",
        "-4 ln(m + 1e-8), m: K-weighted (ITU-R BS.1770) mean square of est - s over the track by that of the mixture, in "
        "frames of 1 s, per channel; mean over channels, then over tracks; no unit",
        collect=WeightedErrors,
        silence="depends on the mixture",
        undefined="there is no mixture",
    )
)
