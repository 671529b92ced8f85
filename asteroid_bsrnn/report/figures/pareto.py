"""Score against a cost (Figure 3 of the paper: energy), and the points that nothing beats on both axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from . import style


def pareto_front(costs: Any) -> np.ndarray:
    """Which points are optimal in the sense of Pareto.

    Args:
        costs: (points, axes), smaller is better on every axis.

    Returns:
        (points,) of bool. A point is dropped when another is at least as good on all axes and better
        on one; of exact duplicates the first stays.
    """
    costs = np.asarray(costs, dtype=float)
    keep = np.ones(len(costs), dtype=bool)
    for i, cost in enumerate(costs):
        as_good = (costs <= cost).all(axis=1)
        better = as_good & (costs < cost).any(axis=1)
        twin = as_good & (costs == cost).all(axis=1) & (np.arange(len(costs)) < i)
        keep[i] = not (better | twin).any()
    return keep


@style.styled
def draw_pareto(
    points: Sequence[tuple[str, float, float]],
    title: str,
    score_label: str,
    source: str,
    zoom: tuple[float, float, float, float] | None = None,
    cost_label: str = "energy of training (kWh)",
    logarithmic: bool = False,
) -> Figure:
    """Draw score against cost, the front in blue and joined.

    Args:
        points: (label, cost, score in dB).
        title: heading.
        score_label: label of the vertical axis.
        source: where the costs come from.
        zoom: (low cost, high cost, low dB, high dB), drawn larger in the lower right corner.
        cost_label: label of the horizontal axis.
        logarithmic: whether that axis is.
    """
    points = _merge(points)
    fig = style.figure(7.2, 4.8)
    ax = fig.add_subplot()
    front = pareto_front([(energy, -score) for _, energy, score in points])
    low_x, high_x, low_y, high_y = zoom or (np.inf,) * 4
    inside = [low_x <= cost <= high_x and low_y <= score <= high_y for _, cost, score in points]
    _scatter(ax, points, front, [not hidden for hidden in inside])
    ax.margins(x=0.08, y=0.12)
    ax.set(title=title, xlabel=cost_label, ylabel=score_label)
    if logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")  # powers of ten would be written in mathematics, which is not parsed
        ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper left")
    if zoom:
        inset = ax.inset_axes((0.43, 0.08, 0.55, 0.39), xlim=zoom[:2], ylim=zoom[2:])
        _scatter(inset, points, front, inside)
        inset.tick_params(labelsize=7)
        inset.spines[["top", "right"]].set_visible(True)
        ax.indicate_inset_zoom(inset, edgecolor=style.GREY)
    style.caption(fig, source)
    return fig


def _merge(points: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Points at one place become one point that carries all their labels."""
    places: dict[tuple[float, float], list[str]] = {}
    for label, energy, score in points:
        places.setdefault((energy, score), []).append(str(label))
    return [(", ".join(labels), *place) for place, labels in places.items()]


def _scatter(ax: Axes, points: Sequence[tuple[str, float, float]], front: np.ndarray, labelled: Sequence[bool]) -> None:
    energy = np.array([point[1] for point in points], dtype=float)
    score = np.array([point[2] for point in points], dtype=float)
    order = np.argsort(energy[front])
    ax.step(energy[front][order], score[front][order], where="post", color=style.ACCENT, linewidth=1.2, alpha=0.5)
    ax.scatter(energy[~front], score[~front], s=26, color=style.GREY, label="another costs no more and scores no less")
    ax.scatter(energy[front], score[front], s=34, color=style.ACCENT, label="optimal in the sense of Pareto", zorder=3)
    for i, (label, x, y) in enumerate(points):
        to_left = front[i] and (x > energy.min() or len(label) < 3)
        if labelled[i]:
            ax.annotate(
                label,
                (x, y),
                xytext=(-4 if to_left else 4, 5 if front[i] else -11),
                textcoords="offset points",
                fontsize=8,
                ha="right" if to_left else "left",
                color=style.ACCENT if front[i] else style.MUTED,
                weight="bold" if front[i] else "normal",
                annotation_clip=False,
            )
