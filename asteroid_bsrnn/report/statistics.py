"""Scores over tracks: the field's aggregates, their bootstrap confidence intervals and paired differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

Aggregate = Callable[..., Any]  # (values, axis) -> values without that axis
LEVEL = 0.95
N_RESAMPLES = 2000


AGGREGATES: dict[str, Aggregate] = {"mean": np.nanmean, "median": np.nanmedian}  # NaN is skipped


def average_of_columns(aggregate: Aggregate) -> Aggregate:
    """The score that the field calls average: aggregate over tracks for each source, then the mean over sources."""
    return lambda values, axis=0: np.mean(aggregate(values, axis=axis), axis=-1)


def bootstrap(
    values: Any, aggregate: Aggregate = np.nanmean, seed: int = 0, n_resamples: int = N_RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """Percentile bootstrap interval of an aggregate over tracks.

    Args:
        values: (tracks,) or (tracks, columns); whole tracks are drawn, so columns stay paired.
        aggregate: ``aggregate(values, axis)``.
        seed: of the drawing; equal seeds give equal intervals.
        n_resamples: number of draws.
        level: coverage.

    Returns:
        Lower and upper end; NaN for fewer than two tracks, and where a score is infinite.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or np.isinf(values).any():
        return float("nan"), float("nan")

    def statistic(picks: np.ndarray, axis: int) -> Any:
        return aggregate(values[picks.astype(int)], axis=picks.ndim - 1)

    found = stats.bootstrap(
        (np.arange(len(values)),), statistic, n_resamples=n_resamples, batch=100, confidence_level=level,
        method="percentile", vectorized=True, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_difference(
    ours: Any, base: Any, aggregate: Aggregate = np.nanmean, seed: int = 0, **kwargs: Any
) -> tuple[float, float, float]:
    """Difference of an aggregate between two systems on the same tracks, with its interval.

    Args:
        ours: (tracks,) or (tracks, columns).
        base: the same shape, the same tracks in the same order.
        aggregate: ``aggregate(values, axis)``.
        seed: of the drawing.
        **kwargs: ``n_resamples`` and ``level`` of :func:`bootstrap`.

    Returns:
        Difference, lower and upper end.
    """
    ours, base = np.asarray(ours, dtype=float), np.asarray(base, dtype=float)
    if ours.shape != base.shape:
        raise ValueError(f"a paired difference needs the same tracks twice, got shapes {ours.shape} and {base.shape}")
    both = np.stack([ours, base], axis=1)  # (tracks, 2, ...)

    def difference(values: np.ndarray, axis: int) -> np.ndarray:
        return aggregate(values.take(0, axis=axis + 1), axis=axis) - aggregate(values.take(1, axis=axis + 1), axis=axis)

    low, high = bootstrap(both, difference, seed, **kwargs)
    return float(difference(both, 0)), low, high


def nothing_missing(values: Any) -> np.ndarray:
    """Rows of (tracks, columns) or (tracks,) in which no value is NaN."""
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)]
