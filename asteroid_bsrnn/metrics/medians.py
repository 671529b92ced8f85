"""Medians that say what they do with an even count, and leave out what is not a number."""

import torch

from ..common.registry import check_known

MEDIAN_RULES = ("numpy", "lower")


def nan_median(values: torch.Tensor, rule: str = "numpy") -> torch.Tensor:
    """Median over the last axis without NaN; NaN where nothing is left.

    Args:
        values: any numbers.
        rule: for an even count ``"numpy"`` takes the mean of the two middle values, ``"lower"`` the lower of
            them (torch's own rule, which the published results used).

    Shape:
        - values: (..., n)
        - output: (...)

    Raises:
        UserError: for an unknown rule.
    """
    check_known("median_rule", rule, MEDIAN_RULES)
    lower = values.nanmedian(-1).values
    return lower if rule == "lower" else (lower - (-values).nanmedian(-1).values) / 2


def frame_median(frames: torch.Tensor, rule: str = "numpy") -> torch.Tensor:
    """Score of a track from those of its frames, as museval's ``TrackStore`` reads them: inf is left out too.

    Where every frame that has a score is exact, so is the track: inf.
    """
    exact = frames.isposinf()
    score = nan_median(frames.masked_fill(frames.isinf(), float("nan")), rule)
    return score.masked_fill(exact.any(-1) & (exact | frames.isnan()).all(-1), float("inf"))
