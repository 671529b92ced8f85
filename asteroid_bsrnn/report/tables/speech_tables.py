"""Table S1, the A-FRCNN tables and the strongest systems of today with ours beside the published numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...metrics import get
from .. import published
from ..changes import said, variant_words
from ..experiments import Experiment, corpus_key
from .cells import Cell, Table
from .comparison import ours, recordings, same_settings
from .costs import parameters_of
from .score_cells import aggregate_of, by_track, score_cell

CORPORA = {"wsj0-2mix": "WSJ0-2mix", "libri2mix": "Libri2Mix"}
METRICS = {
    "si_sdr_imp": "si_sdr",
    "sdr_imp": "sdr",
}  # gains that the published tables print, and the scores they are of
KEYS = [(corpus, gain) for corpus in CORPORA for gain in METRICS]
HEADS = [f"{CORPORA[corpus]} {get(METRICS[gain]).gain_heading}" for corpus, gain in KEYS]
TODAY = [*HEADS, "Parameters (M)", "GMAC per s", "GMAC as printed", "Source"]


def table_s1(exps: Sequence[Experiment], seed: int = 0) -> Table:
    """Table S1: SI-SNRi of the dual-path systems on both corpora and their parameters.

    Args:
        exps: speech experiments scored on a test set, no demo.
        seed: of the bootstrap.
    """
    data, exps = published.load("supplement_table_s1"), [exp for exp in exps if not said(exp)]
    rows, keys = [], [(corpus, next(iter(METRICS))) for corpus in CORPORA]
    for row in data["rows"]:
        rows.append([row["name"], "published", *(Cell(row[corpus]) for corpus in CORPORA), Cell(row["params_m"])])
        rows += [_our_row(row["name"], mine, seed, keys) for mine in _alike(exps, row["variant"])]
    notes = [f"Published: {data['source']}."] + data["caveats"] + [_ours_note(seed, exps)]
    columns = ["Model", "From"] + list(CORPORA.values()) + ["Parameters (M)"]
    return Table("table_s1", "Table S1: SI-SNRi (dB), published and ours", columns, rows, notes)


def afrcnn_table(exps: Sequence[Experiment], seed: int = 0) -> Table:
    """Every other speech system: SI-SNRi and SDRi, published and ours, on both corpora."""
    libri = {row["variant"]: row for row in published.load("afrcnn_readme")["rows"] if row["variant"]}
    wsj0 = {row["variant"]: row for row in published.load("wsj0_2mix")["rows"] if row["variant"]}
    tables = map(published.load, ("supplement_table_s1", "speech_today"))
    elsewhere = {name for table in tables for name in published.by_variant(table)}
    changed, exps = [exp for exp in exps if said(exp)], [exp for exp in exps if not said(exp)]
    extra = [exp.variant for exp in exps if exp.variant not in libri and exp.variant not in elsewhere]
    columns = ["Model", "From", *HEADS, "Parameters (M)"]
    rows: list[list] = []
    for variant in list(libri) + list(dict.fromkeys(extra)):
        printed = {"wsj0-2mix": wsj0.get(variant, {}), "libri2mix": libri.get(variant, {}).get("libri2mix", {})}
        name = libri.get(variant, {}).get("name", variant)
        if variant in libri:
            scores = [Cell(printed[corpus].get(metric), why="not published") for corpus, metric in KEYS]
            rows.append([name, "published", *scores, Cell(libri[variant]["params_m"])])
        rows += [_our_row(name, mine, seed) for mine in _alike(exps, variant)]
    rows += [_our_row(variant_words(exp), [exp], seed) for exp in changed]
    notes = [
        "Published: JusperLee/AFRCNN-For-Speech-Separation, README (Libri2Mix, parameters); published values for "
        "WSJ0-2mix.",
        _ours_note(seed, exps + changed),
    ]
    return Table("afrcnn", "A-FRCNN and the systems it is compared with (dB), published and ours", columns, rows, notes)


def today_table(exps: Sequence[Experiment], seed: int = 0) -> Table:
    """The strongest open systems: SI-SNRi and SDRi, parameters and operations, published and ours."""
    data, rows, exps = published.load("speech_today"), [], [exp for exp in exps if not said(exp)]
    for row in data["rows"]:
        rows.append([row["name"], "published", *today_cells(row)])
        for mine in _alike(exps, row["variant"]) if row["variant"] else []:
            rows.append([*_our_row(row["name"], mine, seed), Cell(row["gmac_per_s"], digits=2), "", ""])
    title, notes = f"{data['title']} (dB), published and ours", data["caveats"] + [_ours_note(seed, exps)]
    return Table("speech_today", title, ["Model", "From", *TODAY], rows, notes)


def today_cells(row: dict[str, Any]) -> list:
    """Cells of one published system, in the order of :data:`TODAY`."""
    scores = [Cell(row.get(corpus, {}).get(metric), why="not published") for corpus, metric in KEYS]
    costs = [
        Cell(row.get("gmac_per_s"), digits=2, why="not counted"),
        Cell(row.get("gmac_printed"), why="not published"),
    ]
    return [*scores, Cell(row["params_m"]), *costs, row["row_source"]]


def _our_row(name: str, mine: Sequence[Experiment], seed: int, keys: Sequence[tuple[str, str]] = KEYS) -> list:
    """Our scores, for each corpus and gain, and parameters."""
    return [name, ours(mine), *(our_score(mine, corpus, gain, seed) for corpus, gain in keys), _parameters(mine)]


def _alike(exps: Sequence[Experiment], variant: str) -> list[list[Experiment]]:
    """Experiments of a variant in rows: those that differ in corpus and seed alone share one; an empty row for none."""
    rows: dict[tuple, list[Experiment]] = {}
    for corpus in dict.fromkeys(corpus_key(exp.corpus) for exp in exps):
        mine = [exp for exp in exps if exp.variant == variant and corpus_key(exp.corpus) == corpus]
        for place, group in enumerate(same_settings(mine)):
            rows.setdefault((group[0].protocol, place), []).extend(group)
    return list(rows.values()) or [[]]


def our_score(exps: Sequence[Experiment], corpus: str, metric: str, seed: int = 0) -> Cell:
    """Our score on one corpus: with an interval over mixtures for one run, with the spread over seeds for several."""
    mine = [exp for exp in exps if corpus_key(exp.corpus) == corpus_key(corpus)]
    if not mine:
        return Cell(why="not run")
    scored = [exp for exp in mine if exp.scores is not None and not exp.is_unfinished]
    tables = [table.to_numpy()[:, 0] for exp in scored if (table := by_track(exp, metric)).size]
    if not tables:
        return Cell(why=mine[0].status if mine[0].is_unfinished else "not evaluated")
    if len(tables) == 1:
        return score_cell(tables[0], aggregate_of(get(METRICS[metric])), seed)
    means = [float(np.nanmean(table)) for table in tables]
    return Cell(float(np.mean(means)), spread=float(np.std(means, ddof=1)), digits=2)


def _parameters(exps: Sequence[Experiment]) -> Cell:
    if not exps:
        return Cell(why="not run")
    counts = [count for exp in exps if (count := parameters_of(exp)) is not None]
    return Cell(counts[0] / 1e6 if counts else None, digits=1, why="not recorded")


def _ours_note(seed: int, exps: Sequence[Experiment]) -> str:
    counts = "; ".join(f"{exp.tag}: {recordings([exp])}" for exp in exps if exp.scores is not None)
    return (
        "Ours: in brackets the 95 % bootstrap interval over mixtures "
        f"(seed {seed}), or ± the standard deviation over seeds. Test sets: {counts or 'none'}."
    )
