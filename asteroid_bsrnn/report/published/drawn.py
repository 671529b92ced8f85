"""The paper's and the supplement's own tables and figures, drawn from the published numbers alone."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from ...metrics import get
from .. import published
from ..document import Document
from ..figures import style
from ..figures.fig_table import draw_table
from ..figures.pareto import draw_pareto
from ..tables.cells import Cell, Table
from ..tables.speech_tables import TODAY, today_cells
from ..tables.systems_table import draw_systems, table_1

SOURCES = published.SOURCES
SCORES = SOURCES + ("average",)
HEADS = [name.capitalize() for name in SCORES]


def published_tables() -> list[tuple[Table, Sequence[str]]]:
    """Every published table, in the order of reading.

    Returns:
        (Table, names of the columns to shade in a picture).
    """
    return [
        (table_1(), ()),
        (_table_2(), HEADS),
        (_table_3(), ()),
        (_authors_table("bsrnn_analysis", 1), ()),
        (_authors_table("bsrnn_readme", 2), ()),
        (_table_s1(), ()),
        (_afrcnn(), ()),
        (_wsj0(), ()),
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
    rows = published.load("bsrnn_table_2")["rows"]
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
    rows = published.load("bsrnn_analysis")["rows"]
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


def _number(row: dict[str, Any] | None, key: str, digits: int = 1) -> Cell:
    value = (row or {}).get(key)
    return Cell(None if value is None else float(value), digits=digits, why="the source states no number")


def _notes(data: dict[str, Any]) -> list[str]:
    return [f"Source: {data['source']}."] + data["caveats"]


def _table_2() -> Table:
    data = published.load("bsrnn_table_2")
    rows = [
        [row["line"], row["name"]]
        + [_number(row, key) for key in SCORES]
        + [_number(row, "params_m"), _number(row, "energy_kwh", 0)]
        for row in data["rows"]
    ]
    columns = ["Line", "Variant"] + HEADS + ["Parameters (M)", "Energy (kWh)"]
    return Table(
        "table_2_published",
        f"{data['title']} (dB)",
        columns,
        rows,
        _notes(data),
        [row["group"] for row in data["rows"]],
    )


def _table_3() -> Table:
    data = published.load("bsrnn_table_3")
    columns = ["System"] + [f"{head} {metric}" for head in HEADS for metric in ("uSDR", "cSDR")]
    rows = [
        [row["name"]] + [_number(row[metric], key) for key in SCORES for metric in ("usdr", "csdr")]
        for row in data["rows"]
    ]
    return Table("table_3_published", f"{data['title']} (dB)", columns, rows, _notes(data))


def _authors_table(name: str, digits: int) -> Table:
    data = published.load(name)
    extra = any("params_m" in row for row in data["rows"])
    rows = [
        [row["name"]] + [_number(row, key, digits) for key in SCORES] + ([_number(row, "params_m")] if extra else [])
        for row in data["rows"]
    ]
    metric = get(data["metric"]).label
    columns = ["Variant"] + HEADS + (["Parameters (M)"] if extra else [])
    return Table(f"{name}_published", f"{data['title']} ({metric}, dB)", columns, rows, _notes(data))


def _table_s1() -> Table:
    data = published.load("supplement_table_s1")
    rows = [
        [row["name"]] + [_number(row, key) for key in ("wsj0-2mix", "libri2mix", "params_m")] for row in data["rows"]
    ]
    return Table(
        "table_s1_published",
        f"{data['title']} (SI-SNRi, dB)",
        ["Model", "WSJ0-2mix", "Libri2Mix", "Parameters (M)"],
        rows,
        _notes(data),
    )


def _afrcnn() -> Table:
    data = published.load("afrcnn_readme")
    rows = [
        [row["name"]]
        + [_number(row.get(corpus), key) for corpus in ("libri2mix", "wham") for key in ("si_sdr_imp", "sdr_imp")]
        + [_number(row, "params_m"), _number(row, "time_s", 2)]
        for row in data["rows"]
    ]
    columns = [
        "Model",
        "Libri2Mix SI-SNRi",
        "Libri2Mix SDRi",
        "WHAM! SI-SNRi",
        "WHAM! SDRi",
        "Parameters (M)",
        "Time (s)",
    ]
    return Table("afrcnn_published", f"{data['title']} (dB)", columns, rows, _notes(data))


def _today() -> Table:
    data = published.load("speech_today")
    rows = [[row["name"], *today_cells(row)] for row in data["rows"]]
    return Table("speech_today_published", f"{data['title']} (dB)", ["Model", *TODAY], rows, _notes(data))


def _wsj0() -> Table:
    data = published.load("wsj0_2mix")
    rows = [
        [
            row["name"],
            _number(row, "si_sdr_imp"),
            _number(row, "sdr_imp"),
            Cell(row.get("row_source", "published value")),
        ]
        for row in data["rows"]
    ]
    return Table(
        "wsj0_2mix_published", f"{data['title']} (dB)", ["Model", "SI-SNRi", "SDRi", "Source"], rows, _notes(data)
    )
