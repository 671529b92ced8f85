"""Box plots over tracks, so that a mean is never all that is seen."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..experiments import Experiment
from ..tables.score_cells import by_track, columns_of, sources_of
from . import style


@style.styled
def draw_boxes(group: Sequence[Experiment], subtitle: str) -> Figure:
    """Scores of every track of a comparable group: a box for the quartiles, a dot per track.

    Args:
        group: scored alike.
        subtitle: corpus, and that it is a demonstration where it is one.

    Returns:
        One panel per metric.
    """
    speech = group[0].task == "speech"
    found = columns_of(group)
    gains = [entry for entry in found if entry[1] != entry[0].name and not entry[0].optional]
    labels = {column: (head, metric.unit) for metric, column, head in gains or found}
    places = [""] if speech else sources_of(group)
    fig = style.figure(max(5.0, 1.2 + 0.55 * len(group) * len(places)) * len(labels) ** 0.5 + 1, 3.6)
    for ax, (column, (label, unit)) in zip(
        np.atleast_1d(fig.subplots(1, len(labels), squeeze=False)[0]), labels.items()
    ):
        for i, exp in enumerate(group):
            table = by_track(exp, column, None if speech else places)
            for x in range(len(places) if table.size else 0):
                _box(ax, table.to_numpy()[:, x], x + (i - (len(group) - 1) / 2) * 0.8 / len(group), 0.6 / len(group), i)
            ax.plot([], [], "s", color=style.color(i), label=exp.tag)
        ax.set_xticks(range(len(places)), places)
        ax.set(title=label, ylabel=f"{label} ({unit})" if unit else label, xlim=(-0.6, len(places) - 0.4))
        ax.grid(axis="x", visible=False)
        ax.axhline(0, color=style.GREY, linewidth=0.8)
    if len(group) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    style.caption(
        fig, f"{subtitle}. Box: quartiles and median; whiskers: 1.5 times their distance; dots: single recordings."
    )
    return fig


def _box(ax: Axes, values: np.ndarray, x: float, width: float, i: int) -> None:
    values = values[np.isfinite(values)]
    if not len(values):
        return
    ax.boxplot(
        [values],
        positions=[x],
        widths=width,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": style.color(i) + "33", "edgecolor": style.color(i)},
        medianprops={"color": style.color(i), "linewidth": 2},
        whiskerprops={"color": style.color(i)},
        capprops={"color": style.color(i)},
    )
    if len(values) <= 200:
        shift = np.random.default_rng(0).uniform(-0.25, 0.25, len(values)) * width
        ax.plot(x + shift, values, ".", color=style.color(i), markersize=4, alpha=0.7)
