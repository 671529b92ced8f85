"""Loudness of ITU-R BS.1770-4: K-weighted power, over everything or over the blocks that its gates let pass."""

from collections.abc import Iterator

import numpy as np
from scipy.signal import freqz, lfilter

_OFFSET = -0.691  # dB, so that a sine of 997 Hz at full scale has -3.01 LUFS
_BLOCK, _STEP = 0.4, 0.1  # s
_SILENCE, _BELOW = -70.0, -10.0  # LUFS, LU: the two gates


def loudness(wav: np.ndarray, sample_rate: float) -> float:
    """K-weighted loudness without gating.

    Args:
        wav: (time, channels).
        sample_rate: Hz.

    Returns:
        LUFS; ``-inf`` for silence.

    References:
        ITU-R BS.1770-4, with the filters designed for any sample rate.
    """
    return _lufs((_weighted(wav, sample_rate) ** 2).mean(axis=1).sum())


def gated_loudness(wav: np.ndarray, sample_rate: float) -> float:
    """Integrated loudness: of blocks of 400 ms, without silence and without what lies 10 LU below the rest.

    Args:
        wav: (time, channels), at least 400 ms.
        sample_rate: Hz.

    Returns:
        LUFS; ``-inf`` where no block passes.
    """
    power = (_weighted(wav, sample_rate) ** 2).sum(axis=0)
    total, block, step = (
        np.concatenate([[0], np.cumsum(power)]),
        round(_BLOCK * sample_rate),
        round(_STEP * sample_rate),
    )
    starts = np.arange(0, len(power) - block + 1, step)
    blocks = (total[starts + block] - total[starts]) / block
    heard = blocks[blocks > _power(_SILENCE)]
    if not len(heard):
        return -np.inf
    return _lufs(heard[heard > heard.mean() * 10 ** (_BELOW / 10)].mean())


def power_response(sample_rate: float, n_fft: int) -> np.ndarray:
    """Squared magnitude of K-weighting at the frequencies of a real FFT, (n_fft // 2 + 1,)."""
    frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    responses = [freqz(*coefficients, worN=frequencies, fs=sample_rate)[1] for coefficients in _k_filters(sample_rate)]
    return np.abs(np.prod(responses, axis=0)) ** 2


def _lufs(power: float) -> float:
    return float(_OFFSET + 10 * np.log10(power)) if power > 0 else -np.inf


def _power(lufs: float) -> float:
    return 10 ** ((lufs - _OFFSET) / 10)


def _weighted(wav: np.ndarray, sample_rate: float) -> np.ndarray:
    """(time, channels) -> K-weighted (channels, time)."""
    weighted = wav.T
    for numerator, denominator in _k_filters(sample_rate):
        weighted = lfilter(numerator, denominator, weighted)
    return weighted


def _k_filters(sample_rate: float) -> Iterator[tuple[list[float], list[float]]]:
    """The two biquads of K-weighting: a high shelf of 4 dB above 1.7 kHz and a high pass at 38 Hz."""
    gain, quality = 3.999843853973347, 0.7071752369554196
    k = np.tan(np.pi * 1681.974450955533 / sample_rate)
    high, band = 10 ** (gain / 20), 10 ** (gain / 20 * 0.4996667741545416)
    norm = 1 + k / quality + k * k
    yield (
        [
            (high + band * k / quality + k * k) / norm,
            2 * (k * k - high) / norm,
            (high - band * k / quality + k * k) / norm,
        ],
        [1, 2 * (k * k - 1) / norm, (1 - k / quality + k * k) / norm],
    )
    quality = 0.5003270373238773
    k = np.tan(np.pi * 38.13547087602444 / sample_rate)
    norm = 1 + k / quality + k * k
    yield [1, -2, 1], [1, 2 * (k * k - 1) / norm, (1 - k / quality + k * k) / norm]
