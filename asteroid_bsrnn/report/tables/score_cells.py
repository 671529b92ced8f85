"""Per-track scores of experiments as arrays, and the tables made of them: scores, gains, differences to the base row."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...metrics import Metric, of_task
from .. import statistics
from ..changes import said, variant_words
from ..experiments import Experiment, metrics_of
from ..published import usual_order
from ..statistics import Aggregate
from .cells import Cell, Table
from .comparison import recordings


def columns_of(group: Sequence[Experiment]) -> list[tuple[Metric, str, str]]:
    """What some experiments have been scored by: metric, column, heading; of speech, each score and its gain."""
    task = group[0].task
    found = [(metric, metric.name, metric.heading) for metric in metrics_of(group)]
    if task == "speech":
        found = [
            (metric, column, head)
            for metric, name, heading in found
            for column, head in ((name, heading), (metric.columns[-1], metric.gain_heading))
        ]
    return [entry for entry in found if any(exp.scores is not None and entry[1] in exp.scores for exp in group)]


def aggregate_of(metric: Metric) -> Aggregate:
    """Aggregate over tracks that a metric is defined with.

    The median rule of an evaluation concerns the frames of a track; over tracks the median is numpy's, as published.
    """
    return statistics.AGGREGATES[metric.aggregate]


def sources_of(exps: Sequence[Experiment]) -> list[str]:
    """Sources that occur in the scores, in the usual order."""
    found = {source for exp in exps if exp.scores is not None for source in exp.scores.sources}
    return sorted(found, key=usual_order)


def by_track(exp: Experiment, column: str, sources: Sequence[str] | None = None) -> pd.DataFrame:
    """A column of scores as a table: tracks by sources, or mixtures of speech; empty where there is none."""
    return pd.DataFrame() if exp.scores is None else exp.scores.by_recording(column, sources)


def score_cell(values: Any, aggregate: Aggregate, seed: int) -> Cell:
    """A score with its interval over tracks, (tracks,) or (tracks, sources); NaN tracks are left out of both."""
    values = np.asarray(values, dtype=float)
    if not values.size or np.isnan(values).all():
        return Cell(why="no finite score")
    whole = statistics.nothing_missing(values)
    joint = statistics.average_of_columns(aggregate) if values.ndim == 2 else aggregate
    value = joint(values, axis=0)
    if np.isnan(value):
        return Cell(why="a source has no finite score")
    low, high = statistics.bootstrap(whole, joint, seed)
    return Cell(float(value), None if np.isnan(low) else low, None if np.isnan(low) else high, digits=2)


def source_cells(exp: Experiment, metric: Metric, sources: Sequence[str], seed: int) -> list[Cell]:
    """A score of music for each source and their average; empty with a reason where a source was not scored."""
    table, aggregate = by_track(exp, metric.name, sources), aggregate_of(metric)
    cells = [
        score_cell(table[source], aggregate, seed)
        if source in table and table[source].notna().any()
        else Cell(why="source not scored")
        for source in sources
    ]
    whole = all(cell.value is not None for cell in cells)
    return [*cells, score_cell(table.to_numpy(), aggregate, seed) if whole else Cell(why="not all sources")]


def score_table(group: Sequence[Experiment], name: str, seed: int = 0) -> Table:
    """Scores of one comparable group with 95 % intervals over tracks."""
    make = _speech_scores if group[0].task == "speech" else _music_scores
    return make(group, name, seed)


def _music_scores(group: Sequence[Experiment], name: str, seed: int) -> Table:
    sources, metrics = sources_of(group), [entry[0] for entry in columns_of(group)]
    columns = ["Experiment", "Variant", "Seed", "Metric"] + [source.capitalize() for source in sources] + ["Average"]
    rows, notes = [], [_interval_note(group, seed)]
    for exp in group:
        for metric in metrics:
            table = by_track(exp, metric.name, sources)
            if not len(table):
                continue
            cells = source_cells(exp, metric, sources, seed)
            rows.append([exp.tag, variant_words(exp), exp.seed, metric.heading, *cells])
            notes += _nan_notes(exp, metric.label, table)
    over = ". ".join(f"{metric.label}: {metric.aggregate} over tracks" for metric in metrics)
    rule = group[0].evaluation.median_rule or "unknown"
    notes.append(f"{over} (median rule over frames: {rule}). No two of them are comparable with each other.")
    return Table(name, "Scores (dB)", columns, rows, notes)


def _speech_scores(group: Sequence[Experiment], name: str, seed: int) -> Table:
    found = columns_of(group)
    columns = ["Experiment", "Variant", "Seed", "Mixtures"] + [head for _, _, head in found]
    rows, notes = [], [_interval_note(group, seed)]
    for exp in group:
        cells = []
        for metric, column, head in found:
            table = by_track(exp, column)
            cells.append(
                score_cell(table.to_numpy()[:, 0], aggregate_of(metric), seed)
                if table.size
                else Cell(why="not recorded")
            )
            notes += _nan_notes(exp, head, table)
        rows.append([exp.tag, variant_words(exp), exp.seed, len(exp.scores or ())] + cells)
    return Table(name, "Scores (dB)", columns, rows, notes)


def _interval_note(group: Sequence[Experiment], seed: int) -> str:
    return (
        f"In brackets: 95 % interval of a bootstrap over {recordings(group)} "
        f"({statistics.N_RESAMPLES} draws, seed {seed}); it says nothing about other seeds of training."
    )


def _nan_notes(exp: Experiment, label: str, table: pd.DataFrame) -> list[str]:
    missing = table.isna().sum()
    return [
        f"{exp.tag}: {label} of {column} has no value for {count} of {len(table)} tracks; they are left out."
        for column, count in missing.items()
        if count
    ]


def difference_table(group: Sequence[Experiment], name: str, seed: int = 0) -> Table | None:
    """Differences of every experiment to the base row on the tracks that both have, paired.

    Returns:
        None when the group has no base experiment or nothing else.
    """
    base_name = "afrcnn_16" if group[0].task == "speech" else "base"
    base = next((exp for exp in group if exp.variant == base_name and not said(exp)), None)
    others = [exp for exp in group if exp is not base]
    if base is None or not others:
        return None
    notes = [f"Base row: {base.tag}. Positive is better than it; an interval without 0 is a clear difference."]
    make = _speech_differences if base.task == "speech" else _music_differences
    heads, rows = make(base, others, seed, notes)
    columns = ["Experiment", "Variant", "Metric", *heads]
    return Table(name, "Paired differences to the base row (dB)", columns, rows, list(dict.fromkeys(notes)))


def _speech_differences(
    base: Experiment, others: Sequence[Experiment], seed: int, notes: list[str]
) -> tuple[list[str], list[list]]:
    metrics = of_task("speech")
    rows = [
        [exp.tag, exp.variant, "all"]
        + [_paired(exp, base, metric, metric.columns[-1], None, seed, notes)[0] for metric in metrics]
        for exp in others
    ]
    return [metric.gain_heading for metric in metrics], rows


def _music_differences(
    base: Experiment, others: Sequence[Experiment], seed: int, notes: list[str]
) -> tuple[list[str], list[list]]:
    sources = sources_of([base, *others])
    rows = [
        [exp.tag, exp.variant, heading, *_paired(exp, base, metric, metric.name, sources, seed, notes)]
        for exp in others
        for metric, _, heading in columns_of([base, *others])
    ]
    return [source.capitalize() for source in sources] + ["Average"], rows


def _paired(
    exp: Experiment,
    base: Experiment,
    metric: Metric,
    column: str,
    sources: Sequence[str] | None,
    seed: int,
    notes: list[str],
) -> list[Cell]:
    """Difference cells of one experiment: one per source and their average, or the one of speech."""
    mine, theirs = by_track(exp, column, sources), by_track(base, column, sources)
    common = mine.index.intersection(theirs.index)
    if not len(common) or not mine.size or not theirs.size:
        return [Cell(why="no common track")] * (len(sources) + 1 if sources else 1)
    apart = len(mine.index.union(theirs.index)) - len(common)
    if apart:
        notes.append(f"{exp.tag}: {apart} tracks that only one of the two has are left out.")
    aggregate, sign = aggregate_of(metric), 1 if metric.better == "higher" else -1
    ours, others = sign * mine.loc[common].to_numpy(), sign * theirs.loc[common].to_numpy()
    cells = [_difference(ours[:, i], others[:, i], aggregate, seed) for i in range(ours.shape[1])]
    if sources:
        cells.append(_difference(ours, others, statistics.average_of_columns(aggregate), seed))
    return cells


def _difference(mine: np.ndarray, theirs: np.ndarray, aggregate: Callable, seed: int) -> Cell:
    whole = statistics.nothing_missing(np.stack([mine, theirs], axis=1))
    if not len(whole):
        return Cell(why="no finite score")
    if np.isinf(whole).any():
        return Cell(why="an exact estimate")
    value, low, high = statistics.paired_difference(whole[:, 0], whole[:, 1], aggregate, seed)
    return Cell(value, None if np.isnan(low) else low, None if np.isnan(low) else high, digits=2, sign=True)
