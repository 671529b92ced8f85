"""Scores, always ``(est_targets, targets)`` in float64: uSDR and cSDR of music, SI-SDR and SDR of speech, in dB."""
from .medians import MEDIAN_RULES, frame_median, nan_median
from .track_sdr import csdr, csdr_frames, usdr, usdr_from_energies
from .utterance_sdr import best_permutation, sdr, sdr_imp, si_sdr, si_sdr_imp, utterance_scores
from .stream import TrackScores

__all__ = [
    "MEDIAN_RULES",
    "TrackScores",
    "best_permutation",
    "csdr",
    "csdr_frames",
    "frame_median",
    "nan_median",
    "sdr",
    "sdr_imp",
    "si_sdr",
    "si_sdr_imp",
    "usdr",
    "usdr_from_energies",
    "utterance_scores",
]
