"""Tables of published numbers inside READMEs: ``python -m asteroid_bsrnn.report.published.readme FILE...`` writes them anew.

A table stands between ``<!-- published CORPUS ... -->`` and ``<!-- end -->``; the corpus is ``musdb18hq``, ``wsj0-2mix`` or
``libri2mix``.
"""

import re
import sys
from pathlib import Path
from typing import Any

from ...common.files import write_text
from ...metrics import get
from ..tables.cells import Cell, Table
from ..tables.speech_tables import METRICS
from . import SOURCES, by_variant, load

_MARKS = re.compile(r"(<!-- published ([\w-]+)[^>]*-->\n).*?(<!-- end -->)", re.DOTALL)


def music_table() -> Table:
    """Test scores of the authors' systems that are variants here, from Table III and their README."""
    metric = load("bsrnn_readme")["metric"]
    rows = {row["variant"]: row for row in load("bsrnn_readme")["rows"] if row.get("variant")}
    for row in load("bsrnn_table_3")["rows"]:
        if row["variant"] and row[metric]:
            rows.setdefault(row["variant"], {**row, **row[metric]})
    scores = (*SOURCES, "average")
    cells = [[f"`{variant}`", row["name"], *(_printed(row, score) for score in scores)]
             for variant, row in rows.items()]  # fmt: skip
    return Table("", "", ["`--variant`", "System", *(f"{score} {get(metric).label}" for score in scores)], cells)


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
    """A number with the digits that the source prints."""
    value = row.get(key)
    return Cell(value, digits=len(str(value).partition(".")[2]), why="the source states no number")


def renewed(text: str) -> str:
    """A text with its tables of published numbers as the data files have them."""

    def table(match: re.Match[str]) -> str:
        made = music_table() if match[2] == load("bsrnn_table_3")["corpus"] else speech_table(match[2])
        return f"{match[1]}{made.markdown().strip()}\n{match[3]}"

    return _MARKS.sub(table, text)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_text(path, renewed(path.read_text(encoding="utf-8")))
