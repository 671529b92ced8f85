"""Tables II and III of the paper with ours beside the published numbers; trainings with other seeds give the spread."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...metrics import get
from .. import published
from ..changes import said, variant_words
from ..experiments import Experiment
from ..figures.curves import validation_scores
from ..published import SCORES, SOURCES
from .cells import Cell, Table
from .comparison import ours, recordings, same_settings
from .costs import energy_of, parameters_of
from .score_cells import source_cells

CORPUS = "musdb18hq"
METRICS = ("usdr", "csdr")  # columns of the printed Table III


def table_2(exps: Sequence[Experiment]) -> Table:
    """Table II: validation uSDR of each variant, published and ours, in the paper's order.

    Args:
        exps: trained on MUSDB18-HQ; others must have been taken out.

    Returns:
        Two rows per variant of Table II or of the authors' documentation; ours is empty with a reason when it
        was not run.
    """
    data = published.load("bsrnn_table_2")
    known = data["rows"] + [
        row
        for row in published.load("bsrnn_analysis")["rows"]
        if row.get("variant") and "run" not in row and not row.get("spread") and row["variant"] != "silent_target"
    ]
    rows: list[list] = []
    groups: list[str] = []
    faithful = [exp for exp in exps if not said(exp)]
    for row in known:
        mine = same_settings([exp for exp in faithful if exp.variant == row["variant"]]) or [[]]
        rows += [_published_row(row)] + [_our_row(row, alike) for alike in mine]
        groups += [row.get("group", "Reported beside Table II")] * (1 + len(mine))
    listed = {row["variant"] for row in known}
    for variant in dict.fromkeys(exp.variant for exp in faithful if exp.variant not in listed):
        mine = same_settings([exp for exp in faithful if exp.variant == variant])
        rows += [_our_row({"name": variant}, alike) for alike in mine]
        groups += ["Without a published number"] * len(mine)
    for alike in same_settings([exp for exp in exps if exp not in faithful]):
        rows.append(_our_row({"name": variant_words(alike[0])}, alike))
        groups.append("Changed from the configuration of a row")
    notes = [
        f"Published: {data['source']}; github.com/magronp/bsrnn, docs/analysis.md.",
        "Ours: validation uSDR of the epoch that was kept; ± is the standard deviation over seeds; "
        "no interval over tracks, since training records the mean alone.",
        "Energy: published, extrapolated from three epochs; ours, training and validation of the ledger, mean of the seeds.",
    ]
    columns = (
        ["Line", "Variant", "From"] + [score.capitalize() for score in SCORES] + ["Parameters (M)", "Energy (kWh)"]
    )
    return Table("table_2", "Table II: validation uSDR (dB), published and ours", columns, rows, notes, groups)


def _published_row(row: dict[str, Any]) -> list:
    cells = [Cell(row.get(score), why="not published") for score in SCORES]
    return (
        [row.get("line", ""), row["name"], "published"]
        + cells
        + [Cell(row.get("params_m"), why="not published"), Cell(row.get("energy_kwh"), digits=0, why="not published")]
    )


def _our_row(row: dict[str, Any], mine: Sequence[Experiment]) -> list:
    whole = [exp for exp in mine if not exp.is_unfinished]
    scores = [validation_scores(exp) for exp in whole]
    for found in scores:
        if all(source in found for source in SOURCES):
            found["average"] = float(np.mean([found[source] for source in SOURCES]))
    cells = [spread_cell([found.get(score) for found in scores], _why(mine, score)) for score in SCORES]
    params = next((value for exp in mine if (value := parameters_of(exp)) is not None), None)
    energies = [kwh for exp in whole if (kwh := energy_of(exp, ("training", "validation"))) is not None]
    return (
        [row.get("line", ""), row["name"], ours(mine)]
        + cells
        + [
            Cell(None if params is None else params / 1e6, why="not recorded" if mine else "not run"),
            Cell(float(np.mean(energies)) if energies else None, digits=1, why="not measured" if mine else "not run"),
        ]
    )


def _why(mine: Sequence[Experiment], score: str) -> str:
    if not mine:
        return "not run"
    if all(exp.is_unfinished for exp in mine):
        return mine[0].status
    if score != "average" and not any(score in exp.histories or "" in exp.histories for exp in mine):
        return "source not trained"
    return "not all sources" if score == "average" else "no validation score"


def spread_cell(values: Sequence[float | None], why: str) -> Cell:
    """Mean over seeds with its standard deviation; a single value alone."""
    known = [value for value in values if value is not None]
    if not known:
        return Cell(why=why)
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Cell(float(np.mean(known)), spread=spread)


def inference_label(exp: Experiment) -> str:
    """``fader``, ``ola_reference_0.5``, ... from evaluation.json: the rows of Table III differ in it."""
    inference = exp.evaluation.inference or {}
    scheme, hop = str(inference.get("scheme", "unknown")), inference.get("hop")
    if hop is None and "segment" in inference:
        hop = round(inference["segment"] * (1 - inference.get("overlap", 0)), 6)
    return f"{scheme}_{hop}" if scheme.startswith("ola") else scheme


def table_3(exps: Sequence[Experiment], seed: int = 0) -> Table:
    """Table III: test scores, published and ours, with intervals over tracks.

    Args:
        exps: scored on the MUSDB18-HQ test set by one definition.
        seed: of the bootstrap.
    """
    data = published.load("bsrnn_table_3")
    later = published.by_variant(published.load("bsrnn_readme"))["simo_optimized"]
    metrics = [get(name) for name in METRICS]
    columns = ["System", "From"] + [f"{score.capitalize()} {metric.label}" for score in SCORES for metric in metrics]
    rows: list[list] = []
    used: list[Experiment] = []
    for row in data["rows"]:
        rows.append(
            [row["name"], "published"]
            + [Cell((row[metric] or {}).get(score), why="not published") for score in SCORES for metric in METRICS]
        )
        mine = [
            exp
            for exp in exps
            if exp.variant == row["variant"] and _same_inference(exp, row["inference"]) and not said(exp)
        ]
        used += mine
        if row["variant"]:
            rows += [_test_row(row["name"], exp, seed) for exp in mine] or [
                [row["name"], "ours"] + [Cell(why="not run")] * (len(columns) - 2)
            ]
    for row in later:
        rows.append(
            [row["name"], "published (README)"]
            + [
                Cell(row[score] if metric == "csdr" else None, why="not published")
                for score in SCORES
                for metric in METRICS
            ]
        )
    rows += [_test_row(variant_words(exp), exp, seed) for exp in exps if exp not in used]
    rule = exps[0].evaluation.median_rule if exps else None
    notes = [
        f"Published: {data['source']}; oBSRNN-SIMO: the authors' README.",
        f"Ours: 95 % bootstrap interval over tracks; median rule over frames: {rule or 'unknown'} (published: lower).",
    ]
    return Table("table_3", "Table III: MUSDB18-HQ test set (dB), published and ours", columns, rows, notes)


def _same_inference(exp: Experiment, inference: str | None) -> bool:
    """Whether an experiment was scored as a published row says; our own form of a scheme stands beside the authors'."""
    return inference_label(exp).replace("_reference", "") == inference


def _test_row(name: str, exp: Experiment, seed: int) -> list:
    by_metric = [source_cells(exp, get(metric), SOURCES, seed) for metric in METRICS]
    label = f"ours ({exp.tag}, seed {exp.seed}, {inference_label(exp)}, {recordings([exp])})"
    return [name, label] + [cells[place] for place in range(len(SCORES)) for cells in by_metric]
