"""Level matching, so that louder never sounds better: by the reference for speech, by loudness for music."""

from collections.abc import Sequence

import numpy as np

from ...dsp.k_weighting import loudness

RULES = {
    "speech": "Each estimate is divided by α = ⟨ŝ, s⟩ / ‖s‖², so that what it holds of its reference has the reference's level; "
    "where its SI-SDR is below 0 dB, it is given the RMS of the reference instead.",
    "music": "Each estimate is given the loudness of its reference (K-weighting of ITU-R BS.1770, without gating).",
}
COMMON = " One common gain then keeps all sounds of a clip below full scale."


def match(kind: str, estimate: np.ndarray, reference: np.ndarray, sample_rate: int, score: float) -> np.ndarray:
    """Bring an estimate to the level of its reference by the rule of its kind.

    Args:
        kind: ``"speech"`` or ``"music"``.
        estimate: (time, channels).
        reference: (time, channels).
        sample_rate: Hz.
        score: of the estimate in dB; SI-SDR for speech, and used for speech alone.

    Returns:
        (time, channels); silence stays silence.
    """
    if not estimate.any() or not reference.any():
        return estimate
    if kind == "music":
        return estimate * 10 ** ((loudness(reference, sample_rate) - loudness(estimate, sample_rate)) / 20)
    if score >= 0:
        return estimate / ((estimate * reference).sum() / (reference**2).sum())
    return estimate * np.sqrt((reference**2).mean() / (estimate**2).mean())


def fit(sounds: Sequence[np.ndarray], peak: float = 0.98) -> float:
    """One gain for all sounds of a clip, so that none clips.

    Args:
        sounds: (time, channels) each.
        peak: largest sample allowed.

    Returns:
        At most 1.
    """
    return min(1.0, peak / max(max(np.abs(sound).max() for sound in sounds), 1e-9))
