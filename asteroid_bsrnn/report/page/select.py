"""Which clips a page shows: drawn by a seed, the best, the worst, and a pair of one sex; never picked by hand."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...common.errors import UserError
from ...experiment.scores import sexes_of
from .score import Scored

N_EACH = 3


def mean_gain(scored: Scored) -> float:
    """Gain of a clip, averaged over its systems, flagged copies left out; NaN when nothing is left."""
    copied = {copy["system"] for copy in scored.copies}
    gains = [next(iter(means.values()))[2] for system, means in scored.means.items() if system not in copied]
    return float(np.mean(gains)) if gains else float("nan")


def choose(clips: Sequence[Scored], seed: int = 0, same_sex: Collection[str] = ()) -> list[tuple[Scored, str]]:
    """Choose clips by rule: three random ones, the three best and the three worst.

    Args:
        clips: all that there are.
        seed: of the random draw.
        same_sex: names of clips whose speakers are of one sex; one is added.

    Returns:
        (Scored, reason), the random ones first; every clip once, with all its reasons.
    """
    reasons: dict[int, list[str]] = {}
    order = np.random.default_rng(seed).permutation(len(clips))
    for i in order[:N_EACH]:
        reasons.setdefault(int(i), []).append(f"random (seed {seed})")
    ranked = sorted(
        (i for i in range(len(clips)) if np.isfinite(mean_gain(clips[i]))), key=lambda i: -mean_gain(clips[i])
    )
    for rank, i in enumerate(ranked[:N_EACH], start=1):
        reasons.setdefault(i, []).append(_place(rank, "best"))
    for rank, i in enumerate(ranked[::-1][:N_EACH], start=1):
        reasons.setdefault(i, []).append(_place(rank, "worst"))
    pairs = [int(i) for i in order if clips[i].clip.name in same_sex]
    if pairs and not any(i in reasons for i in pairs):
        reasons.setdefault(pairs[0], []).append("speakers of one sex")
    return [
        (clips[i], ", ".join(words) + (", speakers of one sex" if i in pairs and "one sex" not in words[-1] else ""))
        for i, words in reasons.items()
    ]


def _place(rank: int, word: str) -> str:
    return {1: word, 2: f"second {word}", 3: f"third {word}"}.get(rank, f"{rank}th {word}")


def same_sex_pairs(path: str | Path) -> set[str]:
    """Mixtures of two speakers of one sex, from LibriMix's ``*_info.csv`` or our ``all_metrics.csv``.

    Args:
        path: columns ``mixture_ID, speaker_1_sex, speaker_2_sex`` or ``mixture_id, sexes``.

    Returns:
        Mixture ids.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if {"mixture_ID", "speaker_1_sex", "speaker_2_sex"} <= set(table.columns):
        return set(
            table["mixture_ID"][(table["speaker_1_sex"] == table["speaker_2_sex"]) & (table["speaker_1_sex"] != "")]
        )
    ours = sexes_of(path)
    if ours is not None:
        return {mixture for mixture, sexes in ours.items() if _of_one_sex(sexes)}
    raise UserError(f"{path} has neither the columns mixture_ID, speaker_1_sex, speaker_2_sex nor mixture_id, sexes")


def _of_one_sex(text: str) -> bool:
    """``"M M"``, ``"F,F"`` or ``"FF"``, but not ``"M F"``."""
    sexes = re.findall("[MF]", text.upper())
    return len(sexes) > 1 and len(set(sexes)) == 1
