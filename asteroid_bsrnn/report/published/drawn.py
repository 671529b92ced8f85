"""The paper's and the supplement's own tables and figures, drawn from the published numbers alone."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from ...metrics import get
from ..document import Document
from ..figures import style
from ..figures.fig_table import draw_table
from ..figures.pareto import draw_pareto
from ..tables.cells import Cell, Table
from ..tables.speech_tables import CORPORA, METRICS, TODAY, today_cells
from ..tables.systems_table import draw_systems, table_1
from . import SCORES, SOURCES, load

HEADS = [name.capitalize() for name in SCORES]
Column = tuple[str, str, int | None]


def published_tables() -> list[tuple[Table, Sequence[str]]]:
    """Every published table in the order of reading, and the names of its columns to shade in a picture."""
    name, params = ("Variant", "name", None), ("Parameters (M)", "params_m", 1)
    sources: list[Column] = [(head, score, 1) for head, score in zip(HEADS, SCORES)]
    gains = [(get(metric).gain_heading, gain) for gain, metric in METRICS.items()]
    energy = ("Energy (kWh)", "energy_kwh", 0)
    both: list[Column] = [(f"{head} {get(metric).label}", f"{metric}.{score}", 1)
                          for head, score in zip(HEADS, SCORES) for metric in load("bsrnn_table_3")["metric"]]  # fmt: skip
    afrcnn: list[Column] = [(f"{head} {label}", f"{corpus}.{gain}", 1)
                            for corpus, head in (("libri2mix", "Libri2Mix"), ("wham", "WHAM!")) for label, gain in gains]  # fmt: skip
    wsj0: list[Column] = [(label, gain, 1) for label, gain in gains]
    supplement: list[Column] = [(head, corpus, 1) for corpus, head in CORPORA.items()]
    model = ("Model", "name", None)
    return [
        (table_1(), ()),
        (_table("bsrnn_table_2", "table_2", [("Line", "line", None), name, *sources, params, energy]), HEADS),
        (_table("bsrnn_table_3", "table_3", [("System", "name", None), *both]), ()),
        (_table("bsrnn_analysis", "bsrnn_analysis", [name, *sources, params]), ()),
        (_table("bsrnn_readme", "bsrnn_readme", [name, *((head, score, 2) for head, score, _ in sources)]), ()),
        (_table("supplement_table_s1", "table_s1", [model, *supplement, params]), ()),
        (_table("afrcnn_readme", "afrcnn", [model, *afrcnn, params, ("Time (s)", "time_s", 2)]), ()),
        (_table("wsj0_2mix", "wsj0_2mix", [model, *wsj0, ("Source", "row_source", None)]), ()),
        (_today(), ()),
    ]


def write_published(document: Document) -> None:
    """Add all published tables and figures to a document."""
    document.heading("Published numbers")
    document.text("Nothing below was measured here: these are the numbers that the named sources print.")
    for table, shaded in published_tables():
        document.table(table)
        document.figure(draw_table(table, shaded), table.name, f"{table.title}, as a picture of the table above")
    document.figure(
        draw_systems(),
        "table_1_operations_published",
        "Average test cSDR of each system of Table I against its operations per second of music",
    )
    document.figure(draw_seed_runs(), "figure_2_published", "Figure 2: best validation uSDR of the base model's runs")
    document.figure(
        draw_published_pareto(),
        "figure_3_published",
        "Figure 3: average validation uSDR of each line of Table II against its training energy",
    )


def draw_published_pareto() -> Figure:
    """Figure 3 from Table II's two columns."""
    rows = load("bsrnn_table_2")["rows"]
    points = [("+TAC" if row["line"] == "+" else row["line"], row["energy_kwh"], row["average"]) for row in rows]
    return draw_pareto(
        points,
        "Figure 3. Validation uSDR against training energy",
        "average validation uSDR (dB)",
        "Numbers are lines of Table II, placed by the energies that it prints; exact duplicates share a dot.",
        zoom=(84, 141, 6.52, 7.62),
    )


@style.styled
def draw_seed_runs() -> Figure:
    """Figure 2 as far as it is published in numbers: the best uSDR of each run, not the curves."""
    rows = load("bsrnn_analysis")["rows"]
    runs = [row for row in rows if "run" in row]
    patient = next(row for row in rows if row.get("variant") == "base_patience_30")
    fig = style.figure(6.6, 3.4)
    ax = fig.add_subplot()
    for x, source in enumerate(SOURCES):
        values = [row[source] for row in runs]
        ax.hlines(sum(values) / len(values), x - 0.22, x + 0.22, color=style.SOURCE_COLORS[source], linewidth=1)
        for shift, value in zip((-0.1, 0, 0.1), values):
            ax.plot(x + shift, value, "o", color=style.SOURCE_COLORS[source], markersize=6, alpha=0.85)
    ax.errorbar(
        len(SOURCES),
        patient["vocals"],
        yerr=patient["vocals_std"],
        fmt="D",
        capsize=4,
        color=style.SOURCE_COLORS["vocals"],
        markersize=5,
    )
    ax.set_xticks(range(len(SOURCES) + 1), [f"{source}\npatience 10" for source in SOURCES] + ["vocals\npatience 30"])
    ax.grid(axis="x", visible=False)
    ax.set(title="Figure 2, in numbers. Best validation uSDR of the base model's three runs", ylabel="uSDR (dB)")
    style.caption(
        fig,
        "Dots: runs; lines: their mean; diamond: mean and standard deviation of three runs. "
        "The curves over epochs are not published as numbers.",
    )
    return fig


def _table(data_file: str, name: str, columns: Sequence[Column]) -> Table:
    """A data file as a table: heading, key (``a.b``: within another) and decimals of each column, None for words."""
    data = load(data_file)
    known = [column for column in columns if any(_value(row, column[1]) is not None for row in data["rows"])]
    rows = [[_cell(row, key, digits) for _, key, digits in known] for row in data["rows"]]
    groups = [row["group"] for row in data["rows"]] if "group" in data["rows"][0] else None
    heads = [head for head, _, _ in known]
    metric = data["metric"] if isinstance(data["metric"], str) else ""
    label = (
        get(METRICS[metric]).gain_heading + ", " if metric in METRICS else ""
    )  # of a gain that the title does not name
    return Table(f"{name}_published", f"{data['title']} ({label}dB)", heads, rows, _notes(data), groups)


def _cell(row: dict[str, Any], key: str, digits: int | None) -> Cell:
    value = _value(row, key)
    if digits is None:
        return Cell("published value" if value is None else value)
    return Cell(None if value is None else float(value), digits=digits, why="the source states no number")


def _value(row: dict[str, Any], key: str) -> Any:
    first, _, rest = key.partition(".")
    value = row.get(first)
    return _value(value, rest) if rest and value is not None else value


def _notes(data: dict[str, Any]) -> list[str]:
    return [f"Source: {data['source']}."] + data["caveats"]


def _today() -> Table:
    data = load("speech_today")
    rows = [[row["name"], *today_cells(row)] for row in data["rows"]]
    return Table("speech_today_published", f"{data['title']} (dB)", ["Model", *TODAY], rows, _notes(data))
