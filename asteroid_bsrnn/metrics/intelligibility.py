"""STOI, ESTOI and PESQ of separated speech, by the packages that Asteroid brings: optional, they take longer than the rest.

References
    [1] Taal et al., "An algorithm for intelligibility prediction of time-frequency weighted noisy speech", TASLP 2011.
    [2] Jensen and Taal, "An algorithm for predicting the intelligibility of speech masked by modulated noise maskers", TASLP
        2016.
    [3] ITU-T P.862 (narrow band, at 8 kHz) and P.862.2 (wide band, at 16 kHz).
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch

from ..common.errors import UserError
from .metric import Metric, against_mixture, register_metric

_PESQ_MODES = {8000: "nb", 16000: "wb"}
_FULL = 0.5  # peak at which signals are handed over: neither metric looks at the level, both use constants


def stoi(est_targets: torch.Tensor, targets: torch.Tensor, sample_rate: int, extended: bool = False) -> torch.Tensor:
    """Short-time objective intelligibility of each source, at most 1; sources in the order of the estimates.

    Args:
        est_targets: estimates, estimate i of target i.
        targets: references.
        sample_rate: Hz.
        extended: ESTOI, which also suits maskers that fluctuate, such as other speakers.

    Shape:
        - est_targets, targets: (n_src, time)
        - output: (n_src,), float64; NaN where the reference is silent or has less than 384 ms of speech
    """
    from pystoi import stoi as one

    return _each(lambda ref, est: one(ref, est, sample_rate, extended=extended), est_targets, targets)


def estoi(est_targets: torch.Tensor, targets: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Extended STOI; see :func:`stoi`."""
    return stoi(est_targets, targets, sample_rate, extended=True)


def pesq(est_targets: torch.Tensor, targets: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """PESQ (MOS-LQO, about 1 to 4.6) of each source: narrow band at 8 kHz, wide band at 16 kHz; arguments as :func:`stoi`.

    Raises:
        UserError: for another rate.
    """
    from pesq import PesqError
    from pesq import pesq as one

    if sample_rate not in _PESQ_MODES:
        raise UserError(f"PESQ is defined at 8000 and 16000 Hz, not at {sample_rate} Hz")

    def score(ref: np.ndarray, est: np.ndarray) -> float:
        try:
            return one(sample_rate, ref, est, _PESQ_MODES[sample_rate])
        except PesqError:  # no utterance found, or too short
            return float("nan")

    return _each(score, est_targets, targets)


def _each(score: Callable[..., float], est_targets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    pairs = [(_scaled(ref), _scaled(est)) for ref, est in zip(targets, est_targets)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi's way to say: too short
        return torch.tensor([_one(score, ref, est) for ref, est in pairs], dtype=torch.float64)


def _one(score: Callable[..., float], ref: np.ndarray, est: np.ndarray) -> float:
    if not ref.any() or not est.any():
        return float("nan")
    try:
        return float(score(ref, est))
    except RuntimeWarning:
        return float("nan")


def _scaled(signal: torch.Tensor) -> np.ndarray:
    wav = signal.detach().cpu().numpy().astype(np.float64)
    return wav * (_FULL / max(np.abs(wav).max(), 1e-12))


for _score, _label, _definition in (
    (stoi, "STOI", "short-time objective intelligibility (pystoi), 0 to 1"),
    (estoi, "ESTOI", "its extended form, for maskers that fluctuate, 0 to 1"),
    (pesq, "PESQ", "ITU-T P.862 at 8 kHz, P.862.2 at 16 kHz (MOS-LQO)"),
):
    register_metric(
        Metric(
            _score.__name__, _label, "", "speech", against_mixture(_score), "mean", "higher", _definition, optional=True
        )
    )
