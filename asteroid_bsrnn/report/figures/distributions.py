"""Box plots over tracks, so that a mean is never all that is seen."""

import numpy as np

from ..tables.score_cells import MUSIC_METRICS, SPEECH_METRICS, by_track, sources_of
from . import style


@style.styled
def draw_boxes(group, subtitle):
    """Scores of every track of a comparable group: a box for the quartiles, a dot per track.

    Args:
        group (list of Experiment): scored alike.
        subtitle (str): corpus, and that it is a demonstration where it is one.

    Returns:
        matplotlib.figure.Figure: one panel per metric.
    """
    speech = group[0].task == "speech"
    labels = {"si_sdr_imp": "SI-SNRi", "sdr_imp": "SDRi"} if speech else MUSIC_METRICS
    labels = {metric: label for metric, label in labels.items() if any(metric in exp.scores for exp in group)}
    labels = labels or {metric: SPEECH_METRICS[metric] for metric in SPEECH_METRICS if metric in group[0].scores}
    places = [None] if speech else sources_of(group)
    fig = style.figure(max(5.0, 1.2 + 0.55 * len(group) * len(places)) * len(labels) ** 0.5 + 1, 3.6)
    for ax, (metric, label) in zip(np.atleast_1d(fig.subplots(1, len(labels), squeeze=False)[0]), labels.items()):
        for i, exp in enumerate(group):
            table = by_track(exp, metric, None if speech else places)
            for x in range(len(places) if table.size else 0):
                _box(ax, table.to_numpy()[:, x], x + (i - (len(group) - 1) / 2) * 0.8 / len(group), 0.6 / len(group), i)
            ax.plot([], [], "s", color=style.color(i), label=exp.tag)
        ax.set_xticks(range(len(places)), [""] if speech else places)
        ax.set(title=label, ylabel=f"{label} (dB)", xlim=(-0.6, len(places) - 0.4))
        ax.grid(axis="x", visible=False)
        ax.axhline(0, color=style.GREY, linewidth=0.8)
    if len(group) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    style.caption(
        fig, f"{subtitle}. Box: quartiles and median; whiskers: 1.5 times their distance; dots: single recordings."
    )
    return fig


def _box(ax, values, x, width, i):
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
