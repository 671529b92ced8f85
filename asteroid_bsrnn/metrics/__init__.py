"""Scores, always ``(est_targets, targets)`` in float64: uSDR and cSDR of music, SI-SDR and SDR of speech, in dB."""

from .intelligibility import check_extra_scores, estoi, extra_scores, pesq, stoi
from .medians import MEDIAN_RULES, frame_median, nan_median
from .track_sdr import csdr, csdr_frames, usdr, usdr_from_energies
from .utterance_sdr import best_permutation, sdr, sdr_imp, si_sdr, si_sdr_imp, utterance_scores
from .stream import TrackScores

__all__ = [
    "MEDIAN_RULES",
    "TrackScores",
    "best_permutation",
    "check_extra_scores",
    "csdr",
    "csdr_frames",
    "estoi",
    "extra_scores",
    "frame_median",
    "nan_median",
    "pesq",
    "sdr",
    "sdr_imp",
    "si_sdr",
    "si_sdr_imp",
    "stoi",
    "usdr",
    "usdr_from_energies",
    "utterance_scores",
]
