"""Which bins of the STFT a band holds."""

import numpy as np

from ...common.errors import UserError

BANDS = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)
"""Bins of the 62 published bands, in order, for a window of 2048 samples."""


def mel_points(count: int, highest: float) -> np.ndarray:
    """Frequencies, Hz, that lie equally far apart on Slaney's mel scale from 0 to ``highest``.

    The scale is linear below 1000 Hz (15 mel) and logarithmic above: 27 mel for each factor of 6.4.
    """
    slope = np.log(6.4) / 27
    top = 3 * highest / 200 if highest < 1000 else 15 + np.log(highest / 1000) / slope
    mel = np.linspace(0, top, count)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(slope * (mel - 15)))


def mel_bands(n_bands: int, n_fft: int, sample_rate: float) -> list[list[int]]:
    """Bins of overlapping bands: band ``m`` reaches from point ``m`` to point ``m + 2``, without its ends.

    The ends of the scale are bins themselves and belong to the outermost bands.

    Raises:
        UserError: if a band holds no bin, or a bin lies in no band.

    Examples
        >>> bands = mel_bands(60, 2048, 44100)
        >>> len(bands), sum(len(bins) for bins in bands)
        (60, 1979)
        >>> [bins[0] for bins in bands[:4]]
        [0, 4, 7, 10]
    """
    point_M = mel_points(n_bands + 2, sample_rate / 2)[:, None]
    bin_F = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    inside_MF = (bin_F > point_M[:-2]) & (bin_F < point_M[2:])
    inside_MF[0, 0] = inside_MF[-1, -1] = True
    if not inside_MF.any(1).all() or not inside_MF.any(0).all():
        wrong = "a band without a bin" if not inside_MF.any(1).all() else "a bin without a band"
        raise UserError(f"n_bands {n_bands} gives {wrong} for n_fft {n_fft} at {sample_rate} Hz")
    return [np.flatnonzero(row).tolist() for row in inside_MF]
