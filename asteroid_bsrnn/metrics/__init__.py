"""Scores, always ``(est_targets, targets)`` in float64, and the registry of them: ``get(name)``, ``register_metric(metric)``."""

from .metric import Metric, against_mixture, all_of, get, of_task, register_metric, unit_of
from .medians import MEDIAN_RULES, frame_median, nan_median
from .track_sdr import csdr, csdr_frames, usdr, usdr_from_energies
from .l1_snr import l1_snr
from .log_wmse import log_wmse
from .utterance_sdr import best_permutation, sdr, sdr_imp, si_sdr, si_sdr_imp
from .intelligibility import estoi, pesq, stoi
from .stream import TrackScores
from .utterance import check_extra_scores, utterance_scores, with_extra

__all__ = [
    "MEDIAN_RULES",
    "Metric",
    "TrackScores",
    "against_mixture",
    "all_of",
    "best_permutation",
    "check_extra_scores",
    "csdr",
    "csdr_frames",
    "estoi",
    "frame_median",
    "get",
    "l1_snr",
    "log_wmse",
    "nan_median",
    "of_task",
    "pesq",
    "register_metric",
    "sdr",
    "sdr_imp",
    "si_sdr",
    "si_sdr_imp",
    "stoi",
    "unit_of",
    "usdr",
    "usdr_from_energies",
    "utterance_scores",
    "with_extra",
]
