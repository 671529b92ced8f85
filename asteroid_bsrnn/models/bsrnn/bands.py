"""Band tables of BSRNN as data, and from them the widths of the sub-bands in STFT bins."""

import math
from collections.abc import Sequence
from itertools import groupby

from ...common.errors import UserError
from ...common.registry import nearest

Scheme = tuple[tuple[int, float], ...]
#: (count, Hz) from 0 Hz upwards; one last band takes all bins that are left.
_VOCALS: Scheme = ((10, 100), (12, 250), (8, 500), (8, 1000), (2, 2000))
SCHEMES: dict[str, Scheme] = {
    "vocals": _VOCALS,
    "bass": ((10, 50), (5, 100), (6, 500), (4, 1000), (4, 2000)),
    "drums": ((20, 50), (10, 100), (8, 250), (8, 500), (8, 1000)),
    "other": _VOCALS,
    "joint": ((20, 50), (10, 100), (8, 250), (8, 500), (8, 1000), (2, 2000)),
}


def choose_scheme(sources: Sequence[str], bands: str | Sequence[Sequence[float]] | None = None) -> Scheme:
    """Name or table of the band scheme that a model for ``sources`` uses.

    Args:
        sources: what the model separates.
        bands: None is the single source's own scheme, the joint one for several sources or a
            source without a scheme; a name of :data:`SCHEMES`; or a list of (count, Hz).

    Returns:
        The (count, Hz) pairs.

    Raises:
        UserError: for an unknown name, a malformed list, or a scheme made for another source.
    """
    own = sources[0] if len(sources) == 1 and sources[0] in SCHEMES else "joint"
    if bands is None:
        return SCHEMES[own]
    if not isinstance(bands, str):
        return _check_pairs(bands)
    if bands not in SCHEMES:
        hint = nearest(bands, SCHEMES, 0.6)
        raise UserError(f"unknown bands {bands!r}: {hint}known are {', '.join(SCHEMES)}, or a list of (count, Hz)")
    unknown_source = len(sources) == 1 and sources[0] not in SCHEMES
    if bands != "joint" and not unknown_source and (len(sources) > 1 or SCHEMES[bands] != SCHEMES[own]):
        raise UserError(
            f"bands {bands!r} contradict the sources {', '.join(sources)}: that scheme is made for {bands} alone; "
            "use None, 'joint' or an explicit list of (count, Hz)"
        )
    return SCHEMES[bands]


def _check_pairs(bands: Sequence[Sequence[float]]) -> Scheme:
    try:
        pairs = tuple((count, hz) for count, hz in bands)
        valid = bool(pairs) and all(int(count) == count >= 1 and 0 < hz < math.inf for count, hz in pairs)
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise UserError(f"bands must be a list of (count, Hz) pairs with count >= 1 and Hz > 0, got {bands!r}")
    return tuple((int(count), hz) for count, hz in pairs)


def band_widths(scheme: Sequence[Sequence[float]], n_fft: int, sample_rate: float = 44100) -> list[int]:
    """Width of each sub-band in bins, from 0 Hz upwards; they sum to ``n_fft // 2 + 1``.

    A nominal width of b Hz is ``floor(b * n_bins / (sample_rate / 2))`` bins as in the published implementation. In a
    named scheme it is at least one bin (at small ``n_fft``, where that implementation has no model).

    Args:
        scheme: (count, Hz) pairs.
        n_fft: STFT window length in samples.
        sample_rate: in Hz.

    Returns:
        Widths; the last is the remainder, left out when nothing remains.

    Raises:
        UserError: if the bands take more bins than there are, or a band of the caller's own is narrower than a bin.
    """
    n_bins = n_fft // 2 + 1
    widths = [int(hz * n_bins * 2 // sample_rate) for count, hz in scheme for _ in range(int(count))]
    if 0 in widths and tuple(scheme) not in SCHEMES.values():
        narrow, bin_hz = min(hz for _, hz in scheme), sample_rate / 2 / n_bins
        raise UserError(f"a band of {narrow:g} Hz is narrower than one bin of n_fft {n_fft}, which has {bin_hz:.1f} Hz")
    widths = [max(1, width) for width in widths]
    rest = n_bins - sum(widths)
    if rest < 0:
        raise UserError(
            f"the bands {[tuple(pair) for pair in scheme]} take {sum(widths)} bins, but n_fft {n_fft} has only {n_bins}"
        )
    return widths + [rest] * (rest > 0)


def scheme_from_widths(widths: Sequence[int], n_fft: int, sample_rate: float = 44100) -> Scheme:
    """(count, Hz) pairs that :func:`band_widths` turns into exactly ``widths`` (the last one is the remainder)."""
    hz_per_bin = sample_rate / 2 / (n_fft // 2 + 1)
    return tuple((len(list(run)), (width + 0.5) * hz_per_bin) for width, run in groupby(widths[:-1]))


def equal_width_groups(widths: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Runs of neighbouring bands of one width.

    Returns:
        (first band, number of bands, width, first bin) of each run.
    """
    groups, band, start = [], 0, 0
    for width, run in groupby(widths):
        count = len(list(run))
        groups.append((band, count, width, start))
        band, start = band + count, start + count * width
    return groups
