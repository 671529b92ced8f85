"""Confidence of a mean over mixtures of people: speakers are drawn, since mixtures of one speaker are not independent."""

from collections.abc import Sequence

import numpy as np

N_RESAMPLES, LEVEL = 2000, 0.95


def speaker_interval(values: Sequence[float], speakers: Sequence[Sequence[str]], seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over mixtures; NaN scores are left out.

    The speakers are drawn with replacement; a mixture counts as often as the product of how often its speakers were drawn.

    Args:
        values: a score of each mixture.
        speakers: who speaks in each mixture.
        seed: of the drawing.

    Returns:
        Lower and upper end of the 95 % interval; NaN where fewer than three speakers are known.
    """
    kept = [(value, people) for value, people in zip(values, speakers) if np.isfinite(value) and all(people)]
    names = sorted({name for _, people in kept for name in people})
    if len(names) < 3:
        return float("nan"), float("nan")
    place = {name: index for index, name in enumerate(names)}
    scores = np.array([value for value, _ in kept])
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), N_RESAMPLES)
    weights = np.stack([drawn[:, [place[name] for name in people]].prod(1) for _, people in kept], axis=1)
    weights = weights[weights.sum(1) > 0]
    low, high = np.quantile(weights @ scores / weights.sum(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
