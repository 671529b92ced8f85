"""The report's index page and the folder around it."""

from pathlib import Path

from matplotlib.figure import Figure

from ..common.files import write_text
from .figures import style
from .tables.cells import Table, plain_html


class Document:
    """Collects sections of Markdown and writes the tables and figures that they show.

    Args:
        folder: where ``index.md``, ``tables/`` and ``figures/`` appear.
        title: heading of the index.
    """

    def __init__(self, folder: str | Path, title: str) -> None:
        self.folder = Path(folder)
        self.parts = [f"# {title}\n"]
        self.figures: set[str] = set()

    def heading(self, text: str) -> None:
        """Start a section."""
        self.parts.append(f"## {text}\n")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(f"{plain_html(text)}\n")

    def table(self, table: Table) -> None:
        """Add a table; it is also written as Markdown and CSV of its own."""
        table.write(self.folder / "tables")
        self.parts.append(f"### {plain_html(table.title)}\n\n{table.markdown()}\n[CSV](tables/{table.name}.csv)\n")

    def figure(self, fig: Figure, name: str, alt: str) -> None:
        """Add a figure, as PNG in the page and as SVG beside it.

        Args:
            fig: what to write.
            name: stem of its files; a number follows where another figure has it.
            alt: what the figure shows, for those who do not see it.
        """
        stem, count = name, 1
        while name in self.figures:
            count += 1
            name = f"{stem}_{count}"
        self.figures.add(name)
        style.save(fig, self.folder / "figures", name)
        alt = plain_html(alt).replace("[", "(").replace("]", ")")
        self.parts.append(f"![{alt}](figures/{name}.png)\n\n[SVG](figures/{name}.svg)\n")

    def write(self) -> Path:
        """Write ``index.md``.

        Returns:
            The index.
        """
        write_text(self.folder / "index.md", "\n".join(self.parts))
        return self.folder / "index.md"
