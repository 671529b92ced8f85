"""Scores of speech separation: Asteroid's PIT wrapper, SI-SDR and ``get_metrics`` with the best permutation.

SI-SDR (also called SI-SNR) is Asteroid's, on zero-mean signals. SDR is that of BSS Eval v3 with 512-tap distortion
filters (mir_eval through ``get_metrics``), which is not museval's SDR of music. Both are relative to the mixture in
``*_imp``. The permutation is the one with the best mean SI-SDR, for SDR too.

References
    [1] J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019.
    [2] E. Vincent, R. Gribonval, C. Févotte, "Performance measurement in blind audio source separation", IEEE TASLP,
        2006.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr
from asteroid.metrics import get_metrics
from pb_bss_eval.evaluation import mir_eval_sources

from ..common.errors import UserError
from .energies import check_signals, in_float64
from .metric import Metric, register_metric

SHAPE = "(batch, n_src, time)"
# What mir_eval says of its own function at each call; pb_bss_eval, hence Asteroid, knows no other.
warnings.filterwarnings("ignore", message=r"mir_eval\.separation\.bss_eval_sources", category=FutureWarning)


def _unit_power(wav: torch.Tensor) -> torch.Tensor:
    """Float64 signals at RMS 1 (silence stays): these scores ignore level, the constants in them do not."""
    wav = in_float64(wav)
    rms = wav.square().mean(-1, keepdim=True).sqrt()
    return wav / rms.masked_fill(rms == 0, 1)


def _checked(est_targets: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    check_signals(est_targets, targets, SHAPE)
    for name, signal in (("est_targets", est_targets), ("targets", targets)):
        if not torch.isfinite(signal).all():
            raise UserError(f"{name} contains NaN or infinite samples")
    return _unit_power(est_targets), _unit_power(targets)


def _check_mixture(mix: Any, targets: torch.Tensor) -> torch.Tensor:
    if not torch.is_tensor(mix) or mix.shape != targets[:, 0].shape:
        given = tuple(mix.shape) if torch.is_tensor(mix) else type(mix).__name__
        raise UserError(f"mix must be a tensor (batch, time) = {tuple(targets[:, 0].shape)}, got {given}")
    return mix.unsqueeze(1).expand(-1, targets.shape[1], -1)


def best_permutation(est_targets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Which estimate belongs to which target, by the mean SI-SDR over the sources.

    Args:
        est_targets: estimates in any order.
        targets: references.

    Shape:
        - est_targets, targets: (batch, n_src, time)
        - output: (batch, n_src), integers; ``output[b, i]`` is the index of target i's estimate

    Raises:
        TypeError: if an input is not a floating-point tensor.
        UserError: for wrong or different shapes, NaN or infinite samples.
    """
    return PITLossWrapper.find_best_perm(pairwise_neg_sisdr(*_checked(est_targets, targets)))[1]


def si_sdr(est_targets: torch.Tensor, targets: torch.Tensor, permute: bool = True) -> torch.Tensor:
    """Scale-invariant SDR of each target in dB, with the best permutation of the estimates.

    Args:
        est_targets: estimates.
        targets: references.
        permute: take the permutation with the best mean; False scores estimate i against target i.

    Shape:
        - est_targets, targets: (batch, n_src, time)
        - output: (batch, n_src), float64, in the order of the targets; NaN where the target is silent (the ratio is
          not defined there)

    Raises:
        TypeError: if an input is not a floating-point tensor.
        UserError: for wrong or different shapes, NaN or infinite samples.

    Examples
        >>> import torch
        >>> targets = torch.tensor([[[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]])
        >>> noise = torch.tensor([0.1, -0.1, -0.1, 0.1])
        >>> si_sdr(3 * (targets + noise).flip(1), targets).round(decimals=3)
        tensor([[20., 20.]], dtype=torch.float64)
    """
    estimates, references = _checked(est_targets, targets)
    pairs = -pairwise_neg_sisdr(estimates, references)  # (batch, estimate, target)
    if permute:
        order = PITLossWrapper.find_best_perm(-pairs)[1]
    else:
        order = torch.arange(pairs.shape[-1], device=pairs.device).expand(pairs.shape[0], -1)
    scores = pairs.transpose(-1, -2).gather(-1, order[..., None])[..., 0]
    return scores.masked_fill(_is_constant(references), float("nan"))


def si_sdr_imp(
    est_targets: torch.Tensor, targets: torch.Tensor, mix: torch.Tensor, permute: bool = True
) -> torch.Tensor:
    """Gain in SI-SDR over the mixture (SI-SDRi, SI-SNRi) in dB; arguments as for :func:`si_sdr`.

    Args:
        mix: the mixture, (batch, time).

    Raises:
        TypeError: if an input is not a floating-point tensor.
        UserError: for wrong or different shapes, NaN or infinite samples.
    """
    before = si_sdr(_check_mixture(mix, targets), targets, permute=False)
    return si_sdr(est_targets, targets, permute) - before


def sdr(est_targets: torch.Tensor, targets: torch.Tensor, permute: bool = True) -> torch.Tensor:
    """SDR of BSS Eval v3 (512 taps) of each target in dB; arguments and output as for :func:`si_sdr`.

    NaN for all sources of a recording in which a target or an estimate is silent (or constant): mir_eval does not define it.
    """
    if permute:
        order = best_permutation(est_targets, targets).to(est_targets.device)
        est_targets = PITLossWrapper.reorder_source(est_targets, order)
    estimates, references = _checked(est_targets, targets)
    scores = torch.full(references.shape[:2], float("nan"), dtype=torch.float64)
    for row, estimate, reference in zip(scores, estimates.cpu(), references.cpu()):
        if not _is_constant(torch.cat([reference, estimate])).any():
            row[:] = torch.from_numpy(
                mir_eval_sources(reference.numpy(), estimate.numpy(), compute_permutation=False)[0]
            )
    return scores.to(references.device)


def sdr_imp(est_targets: torch.Tensor, targets: torch.Tensor, mix: torch.Tensor, permute: bool = True) -> torch.Tensor:
    """Gain in SDR over the mixture (SDRi) in dB; arguments as for :func:`si_sdr_imp`, NaN as for :func:`sdr`."""
    return sdr(est_targets, targets, permute) - sdr(_check_mixture(mix, targets), targets, permute=False)


def _by_host(name: str, of_silence: bool) -> Callable[..., tuple[float, float]]:
    """Mean of one of Asteroid's scores over the sources of a recording, of its mixture and of its estimates.

    Args:
        name: as ``get_metrics`` calls it.
        of_silence: whether a silent estimate or mixture has the score; a silent target never has.
    """

    def scores(
        mix: torch.Tensor, est_targets: torch.Tensor, targets: torch.Tensor, sample_rate: int
    ) -> tuple[float, float]:
        mixtures, references = _checked(_check_mixture(mix[None], targets[None]), targets[None])
        signals = (mixtures[0, :1], references[0], _unit_power(est_targets))
        if any(_is_constant(signal).any() for signal in (signals[1:2] if of_silence else signals)):
            return float("nan"), float("nan")
        found = get_metrics(*(wav.cpu().numpy() for wav in signals), sample_rate=sample_rate, metrics_list=[name])
        return float(found[f"input_{name}"]), float(found[name])

    return scores


def _is_constant(wav: torch.Tensor) -> torch.Tensor:
    """Whether nothing is left of a signal without its mean."""
    return (wav == wav[..., :1]).all(-1)


register_metric(
    Metric(
        "si_sdr",
        "SI-SDR",
        "dB",
        "speech",
        _by_host("si_sdr", of_silence=True),
        "mean",
        "higher",
        "scale-invariant SDR of zero-mean signals (SI-SNR), best permutation by its mean over the sources",
        gain="SI-SNRi",
    )
)
register_metric(
    Metric(
        "sdr",
        "SDR",
        "dB",
        "speech",
        _by_host("sdr", of_silence=False),
        "mean",
        "higher",
        "BSS Eval v3 sources (mir_eval, 512 taps) in the same permutation",
    )
)
