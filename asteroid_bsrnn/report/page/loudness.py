"""Level matching, so that louder never sounds better: by the reference for speech, by loudness for music."""
import numpy as np
from scipy.signal import lfilter

RULES = {
    "speech": "Each estimate is divided by α = ⟨ŝ, s⟩ / ‖s‖², so that what it holds of its reference has the reference's level; "
              "where its SI-SDR is below 0 dB, it is given the RMS of the reference instead.",
    "music": "Each estimate is given the loudness of its reference (K-weighting of ITU-R BS.1770, without gating).",
}
COMMON = " One common gain then keeps all sounds of a clip below full scale."


def loudness(wav, sample_rate):
    """K-weighted loudness without gating.

    Args:
        wav (array): (time, channels).
        sample_rate (int): Hz.

    Returns:
        float: LUFS; ``-inf`` for silence.

    References:
        ITU-R BS.1770-4, with the filters designed for any sample rate.
    """
    weighted = wav.T
    for numerator, denominator in _k_filters(sample_rate):
        weighted = lfilter(numerator, denominator, weighted)
    power = (weighted**2).mean(axis=1).sum()
    return -0.691 + 10 * np.log10(power) if power > 0 else -np.inf


def _k_filters(sample_rate):
    """The two biquads of K-weighting: a high shelf of 4 dB above 1.7 kHz and a high pass at 38 Hz."""
    gain, quality = 3.999843853973347, 0.7071752369554196
    k = np.tan(np.pi * 1681.974450955533 / sample_rate)
    high, band = 10 ** (gain / 20), 10 ** (gain / 20 * 0.4996667741545416)
    norm = 1 + k / quality + k * k
    yield ([(high + band * k / quality + k * k) / norm, 2 * (k * k - high) / norm, (high - band * k / quality + k * k) / norm],
           [1, 2 * (k * k - 1) / norm, (1 - k / quality + k * k) / norm])
    quality = 0.5003270373238773
    k = np.tan(np.pi * 38.13547087602444 / sample_rate)
    norm = 1 + k / quality + k * k
    yield [1, -2, 1], [1, 2 * (k * k - 1) / norm, (1 - k / quality + k * k) / norm]


def match(kind, estimate, reference, sample_rate, score):
    """Bring an estimate to the level of its reference by the rule of its kind.

    Args:
        kind (str): ``"speech"`` or ``"music"``.
        estimate (array): (time, channels).
        reference (array): (time, channels).
        sample_rate (int): Hz.
        score (float): SI-SDR of the estimate in dB; used for speech.

    Returns:
        numpy.ndarray: (time, channels); silence stays silence.
    """
    if not estimate.any() or not reference.any():
        return estimate
    if kind == "music":
        return estimate * 10 ** ((loudness(reference, sample_rate) - loudness(estimate, sample_rate)) / 20)
    if score >= 0:
        return estimate / ((estimate * reference).sum() / (reference**2).sum())
    return estimate * np.sqrt((reference**2).mean() / (estimate**2).mean())


def fit(sounds, peak=0.98):
    """One gain for all sounds of a clip, so that none clips.

    Args:
        sounds (list of array): (time, channels) each.
        peak (float): largest sample allowed.

    Returns:
        float: at most 1.
    """
    return min(1.0, peak / max(max(np.abs(sound).max() for sound in sounds), 1e-9))
