"""A table as a picture, each score shaded by how far it lies from the table's base row."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from ..tables.cells import Cell, Table
from . import style

SHADES = LinearSegmentedColormap.from_list("difference", ["#eda184", "#ffffff", "#8dbde3"])
TEXT_WIDTH, CELL_WIDTH = 3.2, 0.85  # inches: at most of a column of words, at least of one of numbers


@style.styled
def draw_table(
    table: Table,
    shaded: Collection[str] = (),
) -> Figure:
    """Draw a table.

    Args:
        table: what to draw.
        shaded: columns whose cells are colored by their difference to the first row.

    Returns:
        One line per row, sub-headings where the group changes.
    """
    lines = list(_lines(table))
    widths = _widths(table)
    edges = [sum(widths[:i]) for i in range(len(widths) + 1)]
    heads = [column if table.is_text(i) else _head(column) for i, column in enumerate(table.columns)]
    height = 0.24 * (len(lines) + 1) + 0.85
    fig = style.figure(edges[-1] + 0.3, height)
    ax = fig.add_subplot(xlim=(0, edges[-1]), ylim=(len(lines) + 1, -0.3))
    ax.axis("off")
    ax.set_title(table.title, pad=8)
    for i, _column in enumerate(table.columns):
        _put(ax, edges, i, 0, heads[i], table.is_text(i), weight="bold", color=style.MUTED)
    ax.axhline(1, color=style.INK, linewidth=1)
    for y, (heading, row) in enumerate(lines, start=1):
        if heading is not None:
            ax.text(0.04, y + 0.62, heading, va="center", color=style.MUTED, style="italic", fontsize=8)
            ax.axhline(y, color=style.GRID, linewidth=1)
            continue
        for i, cell in enumerate(row):
            if table.columns[i] in shaded:
                _shade(ax, edges, i, y, cell, table.rows[0][i])
            _put(ax, edges, i, y, cell.text() if cell.value is not None else "–", table.is_text(i))
    ax.axhline(len(lines) + 1, color=style.INK, linewidth=1)
    if shaded:
        style.caption(fig, "shade: difference to the first row, from −3 dB (orange) to +3 dB (blue)")
    return fig


def _lines(table: Table) -> Iterator[tuple[str | None, list[Cell]]]:
    """(sub-heading, []) and (None, row) in the order of the page."""
    previous = ""
    for i, row in enumerate(table.rows):
        if table.groups and table.groups[i] != previous:
            previous = table.groups[i]
            yield previous, []
        yield None, row


def _widths(table: Table) -> list[float]:
    widths = []
    for i, column in enumerate(table.columns):
        head = column if table.is_text(i) else max(_head(column).split("\n"), key=len)
        longest = max([len(head)] + [len(row[i].text()) if row[i].value is not None else 1 for row in table.rows])
        wanted = 0.085 * longest + 0.2
        widths.append(min(wanted, TEXT_WIDTH) if table.is_text(i) else max(CELL_WIDTH, wanted))
    return widths


def _head(column: str) -> str:
    """Heading of a number column on two lines where it has two words or more."""
    return "\n".join(column.rsplit(" ", 1))


def _put(ax: Axes, edges: Sequence[float], i: int, y: float, text: str, is_text: bool, **kwargs: Any) -> None:
    x, align = (edges[i] + 0.04, "left") if is_text else (edges[i + 1] - 0.1, "right")
    ax.text(x, y + 0.52, text, ha=align, va="center", fontsize=8.5, **kwargs)


def _shade(ax: Axes, edges: Sequence[float], i: int, y: float, cell: Cell, base: Cell) -> None:
    if isinstance(cell.value, (int, float)) and isinstance(base.value, (int, float)):
        shade = SHADES(TwoSlopeNorm(0, -3, 3)(cell.value - base.value))
        ax.fill_between([edges[i] + 0.02, edges[i + 1] - 0.02], y + 0.05, y + 0.97, color=shade, linewidth=0)
