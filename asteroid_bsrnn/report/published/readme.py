"""Tables of published numbers inside READMEs: ``python -m asteroid_bsrnn.report.published.readme FILE...`` writes them anew.

A table stands between ``<!-- published CORPUS ... -->`` and ``<!-- end -->``; the corpus is ``musdb18hq-test``, ``musdb18hq-validation``,
``wsj0-2mix`` or ``libri2mix``.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...common.files import write_text
from ...metrics import get
from ..tables.cells import Cell, Table
from ..tables.speech_tables import METRICS
from . import SCORES, by_variant, load

_MARKS = re.compile(r"(<!-- published ([\w-]+)[^>]*-->\n).*?(<!-- end -->)", re.DOTALL)


def music_test_table() -> Table:
    """Test scores of systems that are variants here: the authors' README and Table III, then Table I."""
    metric = load("bsrnn_readme")["metric"]
    rows = {row["variant"]: row for row in load("bsrnn_readme")["rows"] if row.get("variant")}
    for row in load("bsrnn_table_3")["rows"]:
        if row["variant"] and row[metric]:
            rows.setdefault(row["variant"], {**row, **row[metric]})
    for row in load("table_1_systems")["rows"]:
        if len(row.get("variants", ())) == 1 and "average" in row:
            rows.setdefault(row["variants"][0], row)
    return _music_table(rows, [f"{score} {get(metric).label}" for score in SCORES], SCORES)


def music_validation_table() -> Table:
    """Validation scores, sizes and energy of the rows of Table II and of the authors' documentation."""
    metric = get(load("bsrnn_table_2")["metric"])
    rows: dict[str, dict[str, Any]] = {}
    for name in ("bsrnn_table_2", "bsrnn_analysis"):
        for variant, (row, *_) in by_variant(load(name)).items():
            if any(score in row for score in SCORES):
                rows.setdefault(variant, row)
    heads = [f"{score} {metric.label}" for score in SCORES] + ["Parameters (M)", "Energy (kWh)"]
    return _music_table(rows, heads, (*SCORES, "params_m", "energy_kwh"))


def _music_table(rows: dict[str, dict[str, Any]], heads: Sequence[str], keys: Sequence[str]) -> Table:
    cells = [[f"`{variant}`", row["name"], *(_printed(row, key) for key in keys)] for variant, row in rows.items()]
    return Table("", "", ["`--variant`", "System", *heads], cells)


def speech_table(corpus: str) -> Table:
    """Gains over the mixture that others published of systems that are variants here."""
    rows: dict[str, dict[str, Any]] = {}
    for name in ("afrcnn_readme", "wsj0_2mix", "supplement_table_s1", "speech_today"):
        table = load(name)
        for variant, (row, *_) in by_variant(table).items():
            scores = row if table["corpus"] == corpus else row.get(corpus, {})
            scores = {table["metric"]: scores} if isinstance(scores, float) else scores
            known = rows.setdefault(variant, {"name": row["name"]})
            values = {**scores, "params_m": row.get("params_m", known.get("params_m"))}
            known.update({key: values[key] for key in (*METRICS, "params_m") if key in values})
    shown = {variant: row for variant, row in rows.items() if any(gain in row for gain in METRICS)}
    cells = [[row["name"], f"`{variant}`", *(_printed(row, key) for key in (*METRICS, "params_m"))]
             for variant, row in shown.items()]  # fmt: skip
    heads = [f"{get(score).gain_heading} (dB)" for score in METRICS.values()]
    return Table("", "", ["System", "`--variant`", *heads, "Parameters (M)"], cells)


def _printed(row: dict[str, Any], key: str) -> Cell:
    """A number with the digits that the data file has."""
    value = row.get(key)
    return Cell(value, digits=len(str(value).partition(".")[2]), why="the source states no number")


def renewed(text: str) -> str:
    """A text with its tables of published numbers as the data files have them."""

    music = {"musdb18hq-test": music_test_table, "musdb18hq-validation": music_validation_table}

    def table(match: re.Match[str]) -> str:
        made = music[match[2]]() if match[2] in music else speech_table(match[2])
        return f"{match[1]}{made.markdown().strip()}\n{match[3]}"

    return _MARKS.sub(table, text)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_text(path, renewed(path.read_text(encoding="utf-8")))
