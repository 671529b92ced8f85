"""All scores of one recording of speech: of the mixture, of the estimates in their best order, and the gain."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..common.registry import check_known
from .metric import Metric, of_task
from .utterance_sdr import best_permutation


def utterance_scores(
    mix: torch.Tensor,
    est_targets: torch.Tensor,
    targets: torch.Tensor,
    sample_rate: int,
    metrics: Sequence[Metric] | None = None,
) -> dict[str, Any]:
    """All scores of one recording, means over its sources: what a row of the table of an evaluation holds.

    Args:
        mix: the mixture.
        est_targets: estimates in any order.
        targets: references.
        sample_rate: Hz.
        metrics: by default those of speech that are not optional.

    Shape:
        - mix: (time,)
        - est_targets, targets: (n_src, time)

    Returns:
        ``permutation`` (list of int: the estimate of each target) and the floats ``input_<name>``, ``<name>``,
        ``<name>_imp`` of each metric. With a silent target SI-SDR and SDR are NaN; with a silent estimate (or mixture)
        only those of SDR, while SI-SDR is Asteroid's lowest value, -80 dB.
    """
    order = best_permutation(est_targets[None], targets[None])[0]
    scores: dict[str, Any] = {"permutation": order.tolist()}
    for metric in of_task("speech") if metrics is None else metrics:
        before, after = metric.per_track(mix, est_targets[order], targets, sample_rate)
        scores.update(zip(metric.columns, (before, after, after - before)))
    return scores


def check_extra_scores(names: Iterable[str]) -> tuple[str, ...]:
    """Names of optional scores, in their fixed order.

    Raises:
        UserError: for one that is not known.
    """
    known = [metric.name for metric in of_task("speech", optional=True)]
    for name in names:
        check_known("optional score", name, known)
    return tuple(name for name in known if name in names)


def with_extra(names: Iterable[str]) -> list[Metric]:
    """The metrics of speech, and the optional ones that are named."""
    asked = check_extra_scores(names)
    return of_task("speech") + [metric for metric in of_task("speech", optional=True) if metric.name in asked]
