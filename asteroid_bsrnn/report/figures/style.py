"""How our figures look, and how they reach the disk: one palette, no chart junk, PNG and SVG alike on each run."""

import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import matplotlib
from matplotlib.figure import Figure

from ...common.files import atomic_path

INK, MUTED, GRID, PAPER = "#1b2330", "#6b7686", "#e3e7ec", "#ffffff"
ACCENT, GREY = "#1f6fb4", "#aab3bf"
SOURCE_COLORS = {"vocals": "#c8432f", "bass": "#1f6fb4", "drums": "#d99a1c", "other": "#3d8f5f", "average": INK}
DPI = 150
SERIES = ("#1f6fb4", "#d9622b", "#3d8f5f", "#8a5bb5", "#c79a1a", "#c4457c", "#2e9aa6", "#6b7686")

RC: dict[str, Any] = {
    "text.parse_math": False,  # names of folders may hold a $
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "asteroid_bsrnn",
}


F = TypeVar("F", bound=Callable[..., Any])


def color(i: int) -> str:
    """Color of the i-th series; they repeat after eight."""
    return SERIES[i % len(SERIES)]


def styled(draw: F) -> F:
    """Decorator: run a drawing function under our settings, whatever the user's are."""

    @wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        settings: Any = {**cast(Any, matplotlib.rcParamsDefault), **RC, "backend": matplotlib.get_backend()}
        with matplotlib.rc_context(settings):
            return draw(*args, **kwargs)

    return cast(F, wrapped)


def figure(width: float, height: float) -> Figure:
    """An empty figure.

    Args:
        width: inches.
        height: inches.
    """
    return Figure(figsize=(width, height), layout="constrained")


def caption(fig: Figure, text: str) -> None:
    """Small print below a figure: where the numbers come from."""
    text = textwrap.fill(text, int(fig.get_figwidth() * 15.5))
    fig.supxlabel(text, fontsize=7.5, color=MUTED, x=0.01, ha="left")


@styled
def save(fig: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.png`` and ``<name>.svg`` into ``folder``, without dates so that equal figures are equal files."""
    fig.set_dpi(DPI)
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # the layout is found; doing it again for each file takes as long as drawing
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
        with atomic_path(folder / f"{name}{suffix}") as partial:
            fig.savefig(partial, dpi=DPI, metadata=metadata)
