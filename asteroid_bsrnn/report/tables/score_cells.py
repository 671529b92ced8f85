"""Per-track scores of experiments as arrays, and the tables made of them: scores, gains, differences to the base row."""

import numpy as np

from .. import statistics
from ..changes import said, variant_words
from ..published import SOURCES
from .cells import Cell, Table
from .comparison import recordings

MUSIC_METRICS = {"usdr": "uSDR", "csdr": "cSDR"}
SPEECH_METRICS = {"si_sdr": "SI-SDR", "si_sdr_imp": "SI-SNRi", "sdr": "SDR", "sdr_imp": "SDRi"}


def aggregate_of(metric):
    """Aggregate over tracks that a metric is defined with: cSDR is a median, everything else a mean.

    ``median_rule`` of evaluation.json concerns the frames of a track; over tracks the median is numpy's, as published.
    """
    return statistics.median if metric in ("csdr", "input_csdr") else statistics.mean


def sources_of(exps):
    """Sources that occur in the scores, in the usual order."""
    found = {source for exp in exps for source in exp.scores["source"].unique()}
    return [source for source in SOURCES if source in found] + sorted(found - set(SOURCES))


def by_track(exp, metric, sources=None):
    """Scores as a table of tracks.

    Args:
        exp (Experiment): with scores.
        metric (str): column of all_metrics.csv.
        sources (list of str or None): sources to give for music.

    Returns:
        pandas.DataFrame: index = tracks or mixtures; one column per source, or the metric alone for speech. Empty when
        the metric was not recorded.
    """
    scores = exp.scores
    if metric not in scores:
        return scores.iloc[:0][[]]
    if exp.task == "speech":
        return scores.set_index("mixture_id")[[metric]]
    return scores.pivot_table(index="track", columns="source", values=metric, dropna=False).reindex(columns=sources)


def score_cell(values, aggregate, seed, digits=2):
    """A score with its interval over tracks; NaN tracks are left out of both."""
    values = np.asarray(values, dtype=float)
    if not values.size or np.isnan(values).all():
        return Cell(why="no finite score")
    whole, _ = statistics.nothing_missing(values)
    joint = statistics.average_of_columns(aggregate) if values.ndim == 2 else aggregate
    value = joint(values)
    if np.isnan(value):
        return Cell(why="a source has no finite score")
    low, high = statistics.bootstrap(whole, joint, seed)
    return Cell(float(value), None if np.isnan(low) else low, None if np.isnan(low) else high, digits=digits)


def score_table(group, name, seed=0):
    """Scores of one comparable group with 95 % intervals over tracks."""
    speech = group[0].task == "speech"
    return _speech_scores(group, name, seed) if speech else _music_scores(group, name, seed)


def _music_scores(group, name, seed):
    sources = sources_of(group)
    columns = ["Experiment", "Variant", "Seed", "Metric"] + [source.capitalize() for source in sources] + ["Average"]
    rows, notes = [], [_interval_note(group, seed)]
    for exp in group:
        for metric, label in MUSIC_METRICS.items():
            table = by_track(exp, metric, sources)
            if not len(table):
                continue
            aggregate = aggregate_of(metric)
            cells = [score_cell(table[source], aggregate, seed) for source in sources]
            average = (
                score_cell(table.to_numpy(), aggregate, seed)
                if all(cell.value is not None for cell in cells)
                else Cell(why="not all sources")
            )
            rows.append([exp.tag, variant_words(exp), exp.seed, label] + cells + [average])
            notes += _nan_notes(exp, label, table)
    notes.append(
        "uSDR: mean over tracks. cSDR: median over tracks of the median over 1 s frames "
        f"(median rule over frames: {group[0].evaluation.get('median_rule', 'unknown')}). The two are not comparable with each other."
    )
    return Table(name, "Scores (dB)", columns, rows, notes)


def _speech_scores(group, name, seed):
    metrics = [metric for metric in SPEECH_METRICS if any(metric in exp.scores for exp in group)]
    columns = ["Experiment", "Variant", "Seed", "Mixtures"] + [SPEECH_METRICS[metric] for metric in metrics]
    rows, notes = [], [_interval_note(group, seed)]
    for exp in group:
        cells = []
        for metric in metrics:
            table = by_track(exp, metric)
            cells.append(
                score_cell(table.to_numpy()[:, 0], statistics.mean, seed) if table.size else Cell(why="not recorded")
            )
            notes += _nan_notes(exp, SPEECH_METRICS[metric], table)
        rows.append([exp.tag, variant_words(exp), exp.seed, len(exp.scores)] + cells)
    return Table(name, "Scores (dB)", columns, rows, notes)


def _interval_note(group, seed):
    return (
        f"In brackets: 95 % interval of a bootstrap over {recordings(group)} "
        f"({statistics.N_RESAMPLES} draws, seed {seed}); it says nothing about other seeds of training."
    )


def _nan_notes(exp, label, table):
    missing = table.isna().sum()
    return [
        f"{exp.tag}: {label} of {column} has no value for {count} of {len(table)} tracks; they are left out."
        for column, count in missing.items()
        if count
    ]


def difference_table(group, name, seed=0):
    """Differences of every experiment to the base row on the tracks that both have, paired.

    Returns:
        Table or None: None when the group has no base experiment or nothing else.
    """
    base_name = "afrcnn_16" if group[0].task == "speech" else "base"
    base = next((exp for exp in group if exp.variant == base_name and not said(exp)), None)
    others = [exp for exp in group if exp is not base]
    if base is None or not others:
        return None
    speech = base.task == "speech"
    sources = None if speech else sources_of(group)
    metrics = {"si_sdr_imp": "SI-SNRi", "sdr_imp": "SDRi"} if speech else MUSIC_METRICS
    heads = list(metrics.values()) if speech else [source.capitalize() for source in sources] + ["Average"]
    rows, notes = (
        [],
        [f"Base row: {base.tag}. Positive is better than it; an interval without 0 is a clear difference."],
    )
    for exp in others:
        if speech:
            cells = [_paired(exp, base, metric, None, seed, notes)[0] for metric in metrics]
            rows.append([exp.tag, exp.variant, "all"] + cells)
        else:
            rows += [
                [exp.tag, exp.variant, label] + _paired(exp, base, metric, sources, seed, notes)
                for metric, label in metrics.items()
            ]
    return Table(
        name,
        "Paired differences to the base row (dB)",
        ["Experiment", "Variant", "Metric"] + heads,
        rows,
        list(dict.fromkeys(notes)),
    )


def _paired(exp, base, metric, sources, seed, notes):
    """Difference cells of one experiment: one per source and their average, or the one of speech."""
    mine, theirs = by_track(exp, metric, sources), by_track(base, metric, sources)
    common = mine.index.intersection(theirs.index)
    columns = len(mine.columns) + (1 if sources else 0) or 1
    if not len(common):
        return [Cell(why="no common track")] * columns
    apart = len(mine.index.union(theirs.index)) - len(common)
    if apart:
        notes.append(f"{exp.tag}: {apart} tracks that only one of the two has are left out.")
    aggregate = aggregate_of(metric)
    mine, theirs = mine.loc[common].to_numpy(), theirs.loc[common].to_numpy()
    cells = [_difference(mine[:, i], theirs[:, i], aggregate, seed) for i in range(mine.shape[1])]
    if sources:
        cells.append(_difference(mine, theirs, statistics.average_of_columns(aggregate), seed))
    return cells


def _difference(mine, theirs, aggregate, seed):
    whole, _ = statistics.nothing_missing(np.stack([mine, theirs], axis=1))
    if not len(whole):
        return Cell(why="no finite score")
    if np.isinf(whole).any():
        return Cell(why="an exact estimate")
    value, low, high = statistics.paired_difference(whole[:, 0], whole[:, 1], aggregate, seed)
    return Cell(value, None if np.isnan(low) else low, None if np.isnan(low) else high, digits=2, sign=True)
