"""A table that knows how to become Markdown and CSV, and whose empty cells say why they are empty."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.files import write_text


@dataclass
class Cell:
    """One value of a table.

    Args:
        value: None for an empty cell.
        low: lower end of the confidence interval.
        high: upper end of the confidence interval.
        spread: standard deviation over seeds.
        digits: decimals shown for a number.
        why: why the cell is empty.
        sign: show the sign of positive numbers, as for differences.
        mark: of a footnote, behind the value.
    """

    value: Any = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    digits: int = 1
    why: str = ""
    sign: bool = False
    mark: str = ""

    def _number(self, number: float) -> str:
        return f"{number:{'+' if self.sign else ''}.{self.digits}f}"

    def text(self) -> str:
        """The cell as a reader sees it, e.g. ``9.12 [8.90, 9.31]`` or ``– (not run)``."""
        if self.value is None:
            return f"– ({self.why})" if self.why else "–"
        if not isinstance(self.value, float) and not self.sign:
            return str(self.value) + self.mark
        text = self._number(self.value)
        if self.low is not None and self.high is not None:
            text += f" [{self._number(self.low)}, {self._number(self.high)}]"
        if self.spread is not None:
            text += f" ± {self.spread:.{self.digits}f}"
        return text + self.mark


@dataclass
class Table:
    """A titled table.

    Args:
        name: stem of its files.
        title: heading.
        columns: heading of each column.
        rows: cells; anything that is not a :class:`Cell` is wrapped in one.
        notes: printed below.
        groups: sub-heading of each row, printed where it changes.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self.rows = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: a row has {len(row)} cells for {len(self.columns)} columns")

    def markdown(self) -> str:
        """The table, its sub-headings and its notes as GitHub Markdown.

        A reason stands once: below the table when all empty cells share it, else in the first of a run of empty cells.
        """
        reasons = {cell.why for row in self.rows for cell in row if cell.value is None and cell.why}
        shared = reasons.pop() if len(reasons) == 1 else None
        lines = [
            "| " + " | ".join(_escape(column) for column in self.columns) + " |",
            "|" + "|".join(" --- " if self.is_text(i) else " ---: " for i in range(len(self.columns))) + "|",
        ]
        previous = None
        for i, row in enumerate(self.rows):
            if self.groups and self.groups[i] != previous:
                previous = self.groups[i]
                if previous:
                    lines.append(f"| **{_escape(previous)}** |" + " |" * (len(self.columns) - 1))
            told = [shared] + [
                cell.why if cell.value is None else None for cell in row
            ]  # what the cell to the left said
            texts = [
                "–" if cell.value is None and cell.why in (shared, told[i]) else cell.text()
                for i, cell in enumerate(row)
            ]
            lines.append("| " + " | ".join(map(_escape, texts)) + " |")
        notes = ([f"–: {shared}."] if shared else []) + self.notes
        return "\n".join(lines + [""] + [f"* {plain_html(note)}" for note in notes]) + "\n"

    def csv(self) -> str:
        """Plain numbers, intervals in columns of their own, reasons of empty cells in the last column."""
        wide = {
            i: [
                extra
                for extra in ("low", "high", "spread")
                if any(getattr(row[i], extra) is not None for row in self.rows)
            ]
            for i in range(len(self.columns))
        }
        head = ["group"] if self.groups else []
        for i, column in enumerate(self.columns):
            head += [column] + [f"{column} {extra}" for extra in wide[i]]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(head + ["why empty"])
        for r, row in enumerate(self.rows):
            line = [self.groups[r]] if self.groups else []
            for i, cell in enumerate(row):
                line += [_plain(cell.value)] + [_plain(getattr(cell, extra)) for extra in wide[i]]
            why = "; ".join(
                f"{column}: {cell.why}" for column, cell in zip(self.columns, row) if cell.value is None and cell.why
            )
            writer.writerow(line + [why])
        return buffer.getvalue()

    def is_text(self, i: int) -> bool:
        """Whether column ``i`` holds words rather than numbers."""
        return any(isinstance(row[i].value, str) for row in self.rows)

    def write(self, folder: Path) -> None:
        """Write ``<name>.md`` and ``<name>.csv`` into a folder."""
        write_text(folder / f"{self.name}.md", f"# {plain_html(self.title)}\n\n{self.markdown()}")
        write_text(folder / f"{self.name}.csv", self.csv())


def _escape(text: Any) -> str:
    return plain_html(str(text).replace("|", "\\|").replace("\n", " "))


def plain_html(text: str) -> str:
    """Markdown without HTML in it: what looks like a tag is the name of a folder or a track."""
    return text.replace("<", "&lt;")


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return repr(round(value, 6)) if isinstance(value, float) else str(value)
