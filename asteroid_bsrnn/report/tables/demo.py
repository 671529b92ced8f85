"""What a demonstration's scores are shown as: beside doing nothing and beside silence, and never as a result."""

import numpy as np

from .cells import Cell, Table
from .score_cells import aggregate_of, by_track, score_cell, sources_of


def statement(exp):
    """The sentence that must stand above every score of a demo corpus."""
    return f"**A demonstration on {exp.corpus}, not a result.** It shows that the pipeline runs, not how well a model separates."


def demo_table(exp, name, seed=0):
    """Score of the estimate, of the mixture taken as the estimate, and of silence.

    Args:
        exp (Experiment): scored on a demo corpus.
        name (str): stem of the table's files.
        seed (int): of the bootstrap.

    Returns:
        Table: one row per source and metric (music) or per metric (speech).
    """
    if exp.task == "speech":
        rows = [
            _row(exp, label, metric, f"input_{metric}", None, Cell(why="not defined for silence"), seed)
            for metric, label in (("si_sdr", "SI-SDR"), ("sdr", "SDR"))
            if metric in exp.scores
        ]
    else:
        rows = [
            _row(exp, f"{source}, {label}", metric, f"input_{metric}", source, silence, seed)
            for source in sources_of([exp])
            for metric, label, silence in (
                ("usdr", "uSDR", Cell(0.0, digits=2)),
                ("csdr", "cSDR", Cell(why="museval skips silent estimates")),
            )
            if metric in exp.scores
        ]
    notes = [
        statement(exp).replace("**", ""),
        "Mixture: the score of giving the unprocessed mixture as the estimate. Silence: an estimate of zeros has a "
        "uSDR of 0 dB by definition.",
    ]
    return Table(
        name, f"{exp.tag}: demonstration on {exp.corpus}", ["Score (dB)", "Estimate", "Mixture", "Silence"], rows, notes
    )


def _row(exp, label, metric, before, source, silence, seed):
    cells = []
    for column in (metric, before):
        table = by_track(exp, column, None if source is None else [source])
        cells.append(
            score_cell(np.asarray(table)[:, 0], aggregate_of(column), seed) if table.size else Cell(why="not recorded")
        )
    return [label] + cells + [silence]
