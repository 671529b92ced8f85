"""Scores of music separation: uSDR over a whole track, cSDR as museval computes it, without its filters.

References
    [1] F.-R. Stöter, A. Liutkus, N. Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018 (museval,
        BSS Eval v4).
    [2] Y. Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in Signal Processing, 2022 (uSDR).
"""

import numbers

import torch

from ..common.errors import UserError
from .energies import FrameEnergies, check_finite, check_signals, frame_energies
from .medians import MEDIAN_RULES, frame_median
from .metric import Metric, register_metric

SHAPE = "(batch, n_src, channels, time)"
EPS = 1e-7  # added to both energies of uSDR, as in the replication
_BLOCK = 65536  # samples that uSDR reads at a time


def usdr(est_targets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """SDR over the whole track ("utterance SDR"), in dB: ``10 log10((sum s^2 + 1e-7) / (sum (est - s)^2 + 1e-7))``.

    The constants are absolute, so the score of a very quiet track depends on its level; a silent reference gives
    a low but finite score (about -110 dB), which counts like any other. Over tracks it is averaged by the mean.

    Args:
        est_targets: estimates.
        targets: references.

    Shape:
        - est_targets, targets: (batch, n_src, channels, time)
        - output: (batch, n_src), float64

    Raises:
        TypeError: if an input is not a floating-point tensor.
        UserError: for wrong or different shapes, NaN or infinite samples.

    Examples
        >>> import torch
        >>> targets = torch.ones(1, 1, 2, 1000)
        >>> usdr(0.9 * targets, targets).round(decimals=3)
        tensor([[20.]], dtype=torch.float64)
    """
    check_signals(est_targets, targets, SHAPE)
    signal, error, _ = frame_energies(est_targets, targets, _BLOCK)
    return usdr_from_energies(signal.sum(-1), error.sum(-1))


def usdr_from_energies(signal: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    """uSDR in dB from the energies of references and errors over whole tracks."""
    return 10 * torch.log10((signal + EPS) / (error + EPS))


def csdr(
    est_targets: torch.Tensor,
    targets: torch.Tensor,
    sample_rate: float = 44100,
    frames: bool = False,
    median_rule: str = "numpy",
) -> torch.Tensor:
    """SDR of museval's ``evaluate`` (BSS Eval v4, frames of 1 s), in dB.

    In BSS Eval v4 the parts of the error add up to ``est - s`` whatever the 512-tap filters are, so the SDR of a
    frame is ``10 log10(sum s^2 / sum (est - s)^2)`` and the filters need not be solved for. museval's rules hold:

    * frames of one second without overlap, the rest at the end is dropped; a track shorter than one second is
      one frame;
    * a frame is NaN for **all** sources when any reference or any estimate of the set is silent in it (the sum of
      its channels is 0 at each sample), so the score depends on the set of sources that are scored together;
    * over the frames, infinite values (an exact estimate) are left out like NaN, then the median is taken; a track
      that is exact in all of them has the score ``inf``.

    Two departures. museval refuses a track in which one source is silent from end to end; here the rule for frames
    is carried to its end: every frame is NaN, and so is the score. And where the estimate equals the reference
    exactly museval's rounding gives some value around 300 dB; here it is ``inf``.

    Args:
        est_targets: estimates.
        targets: references.
        sample_rate: samples per second, the length of a frame.
        frames: return the score of each frame instead of the median over them.
        median_rule: ``"numpy"`` (mean of the two middle frames of an even number, museval's aggregation) or
            ``"lower"`` (the lower one, torch's, as in the published results).

    Shape:
        - est_targets, targets: (batch, n_src, channels, time)
        - output: (batch, n_src), or with ``frames`` (batch, n_src, n_frames), float64

    Raises:
        TypeError: if an input is not a floating-point tensor.
        UserError: for wrong or different shapes, NaN or infinite samples, a sample rate that is not a positive
            whole number, an unknown rule.
    """
    check_signals(est_targets, targets, SHAPE)
    if not isinstance(sample_rate, numbers.Real) or not sample_rate >= 1 or sample_rate % 1:
        raise UserError(f"sample_rate must be a positive whole number of samples, got {sample_rate!r}")
    frame_len = int(sample_rate)
    n_samples = targets.shape[-1]
    whole = max(n_samples // frame_len, 1) * frame_len
    check_finite(est_targets[..., whole:])
    check_finite(targets[..., whole:])
    signal, error, silent = frame_energies(est_targets[..., :whole], targets[..., :whole], frame_len)
    scores = csdr_frames(signal, error, silent)
    return scores if frames else frame_median(scores, median_rule)


def csdr_frames(signal: torch.Tensor, error: torch.Tensor, silent: torch.Tensor) -> torch.Tensor:
    """SDR of each frame, NaN for all sources where one of them is silent.

    Args:
        signal, error: energies of references and errors.
        silent: whether reference or estimate is silent.

    Shape:
        - inputs and output: (..., n_src, n_frames)
    """
    scores = (10 * torch.log10(signal / error)).masked_fill(error == 0, float("inf"))
    return scores.masked_fill(silent.any(-2, keepdim=True), float("nan"))


def usdr_of(energies: FrameEnergies) -> torch.Tensor:
    """uSDR of each source of a song in dB, (n_src,)."""
    signal, error, _ = energies.all()
    return usdr_from_energies(signal.sum(-1), error.sum(-1))


def csdr_of(energies: FrameEnergies) -> dict[str, torch.Tensor]:
    """cSDR of each source of a song in dB, (n_src,), by median rule."""
    frames = csdr_frames(*energies.whole_seconds())
    return {rule: frame_median(frames, rule) for rule in MEDIAN_RULES}


register_metric(
    Metric(
        "usdr",
        "uSDR",
        "dB",
        "music",
        usdr_of,
        "mean",
        "higher",
        "10 log10((sum s^2 + 1e-7) / (sum (est - s)^2 + 1e-7)) over the whole track; mean over tracks",
        silence=0.0,
    )
)
register_metric(
    Metric(
        "csdr",
        "cSDR",
        "dB",
        "music",
        csdr_of,
        "median",
        "higher",
        "SDR of museval 0.4.1 (BSS Eval v4 images), frames of 1 s, NaN for all sources where one is silent; "
        "median over frames (by median_rule), then median over tracks (of an even number, the mean of the middle two)",
        silence="museval skips silent estimates",
        undefined="in every frame a signal is silent",
    )
)
