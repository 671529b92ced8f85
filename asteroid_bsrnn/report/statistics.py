"""Scores over tracks: the field's aggregates, their bootstrap confidence intervals and paired differences."""

import numpy as np

LEVEL = 0.95
N_RESAMPLES = 2000


def mean(values, axis=0):
    """Mean over an axis, NaN skipped."""
    return np.nanmean(values, axis=axis)


def median(values, axis=0):
    """numpy's median, the mean of the two middle values of an even count; NaN skipped."""
    return np.nanmedian(values, axis=axis)


def average_of_columns(aggregate):
    """The score that the field calls average: aggregate over tracks for each source, then the mean over sources."""
    return lambda values, axis=0: np.mean(aggregate(values, axis=axis), axis=-1)


def bootstrap(values, aggregate=mean, seed=0, n_resamples=N_RESAMPLES, level=LEVEL):
    """Percentile bootstrap interval of an aggregate over tracks.

    Args:
        values (array): (tracks,) or (tracks, columns); whole tracks are drawn, so columns stay paired.
        aggregate (callable): ``aggregate(values, axis)``.
        seed (int): of the drawing; equal seeds give equal intervals.
        n_resamples (int): number of draws.
        level (float): coverage.

    Returns:
        tuple of float: lower and upper end; NaN for fewer than two tracks, and where a score is infinite.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or np.isinf(values).any():
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    draws = []
    for start in range(0, n_resamples, 100):
        picks = rng.integers(0, len(values), (min(100, n_resamples - start), len(values)))
        draws.append(aggregate(values[picks], axis=1))
    low, high = np.nanquantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(ours, base, aggregate=mean, seed=0, **kwargs):
    """Difference of an aggregate between two systems on the same tracks, with its interval.

    Args:
        ours (array): (tracks,) or (tracks, columns).
        base (array): the same shape, the same tracks in the same order.
        aggregate (callable): ``aggregate(values, axis)``.
        seed (int): of the drawing.
        **kwargs: ``n_resamples`` and ``level`` of :func:`bootstrap`.

    Returns:
        tuple of float: difference, lower and upper end.
    """
    ours, base = np.asarray(ours, dtype=float), np.asarray(base, dtype=float)
    if ours.shape != base.shape:
        raise ValueError(f"a paired difference needs the same tracks twice, got shapes {ours.shape} and {base.shape}")
    both = np.stack([ours, base], axis=1)  # (tracks, 2, ...)

    def difference(values, axis):
        return aggregate(values.take(0, axis=axis + 1), axis=axis) - aggregate(values.take(1, axis=axis + 1), axis=axis)

    return (float(difference(both, 0)),) + bootstrap(both, difference, seed, **kwargs)


def nothing_missing(values):
    """Rows of (tracks, columns) or (tracks,) in which no value is NaN, and how many rows were left out."""
    values = np.asarray(values, dtype=float)
    whole = ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    return values[whole], int((~whole).sum())
