"""What a demonstration's scores are shown as: beside doing nothing and beside silence, and never as a result."""

import numpy as np

from ...metrics import Metric
from ..experiments import Experiment, metrics_of
from .cells import Cell, Table
from .score_cells import aggregate_of, by_track, score_cell, sources_of


def statement(exp: Experiment) -> str:
    """The sentence that must stand above every score of a demo corpus."""
    return f"**A demonstration on {exp.corpus}, not a result.** It shows that the pipeline runs, not how well a model separates."


def demo_table(exp: Experiment, name: str, seed: int = 0) -> Table:
    """Score of the estimate, of the mixture taken as the estimate, and of silence; one row per metric (and source).

    Args:
        exp: scored on a demo corpus.
        name: stem of the table's files.
        seed: of the bootstrap.
    """
    known = [metric for metric in metrics_of([exp]) if exp.scores is not None and metric.name in exp.scores]
    places = [None] if exp.task == "speech" else sources_of([exp])
    rows = [_row(exp, metric, source, seed) for source in places for metric in known]
    notes = [
        statement(exp).replace("**", ""),
        "Mixture: the score of giving the unprocessed mixture as the estimate. Silence: an estimate of zeros.",
    ]
    columns = ["Score (dB)", "Estimate", "Mixture", "Silence"]
    return Table(name, f"{exp.tag}: demonstration on {exp.corpus}", columns, rows, notes)


def _row(exp: Experiment, metric: Metric, source: str | None, seed: int) -> list:
    cells = []
    for column in (metric.name, metric.columns[0]):
        table = by_track(exp, column, None if source is None else [source])
        cells.append(
            score_cell(np.asarray(table)[:, 0], aggregate_of(metric), seed) if table.size else Cell(why="not recorded")
        )
    silence = Cell(why=metric.silence) if isinstance(metric.silence, str) else Cell(metric.silence, digits=2)
    return [metric.heading if source is None else f"{source}, {metric.heading}", *cells, silence]
