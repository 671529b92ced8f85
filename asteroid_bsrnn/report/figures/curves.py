"""What a history tells: the epoch that was selected, its validation score, and the curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...experiment.history import History
from ...metrics import Metric, of_task
from ..experiments import Experiment
from . import style


def monitored(exp: Experiment) -> Metric:
    """The validation score of an experiment: the first metric of its task that a history has."""
    metrics = of_task(exp.task)
    noted = {name for history in exp.histories.values() for name in history.scores}
    return next((metric for metric in metrics if metric.name in noted), metrics[0])


def selected_epoch(exp: Experiment, source: str) -> int | None:
    """Place of the epoch whose weights were kept, best by what the configuration monitors; None if none was validated.

    Args:
        exp: any.
        source: key of ``exp.histories``.
    """
    scores, usual = exp.histories[source].scores, monitored(exp)
    run = exp.runs.get(source)
    training = (run if run and run.conf else exp.conf).section("training")
    monitor = str(training.get("monitor") or usual.name).removeprefix("val_")
    name = "loss" if "loss" in monitor else monitor if monitor in scores else usual.name
    values = scores.get(name)
    if values is None or np.isnan(values).all():
        return None
    lower = name == "loss" or (name == usual.name and usual.better == "lower")
    return int(np.nanargmin(values) if lower else np.nanargmax(values))


def validation_scores(exp: Experiment) -> dict[str, float]:
    """Validation score of the selected epochs by source; for one model of all sources, those it noted, and ``average``."""
    found: dict[str, float] = {}
    name = monitored(exp).name
    for source, history in exp.histories.items():
        place = selected_epoch(exp, source)
        if place is None:
            continue
        scores = history.at(place)
        if source:
            found[source] = scores.get(name, np.nan)
        else:
            found.update({key[len(name) + 1 :]: value for key, value in scores.items() if key.startswith(f"{name}_")})
            if len(exp.conf.section("task").get("sources") or []) > 1 or not found:
                found["average"] = scores.get(name, np.nan)
    return {source: value for source, value in found.items() if np.isfinite(value)}


@style.styled
def draw_runs(exps: Sequence[Experiment], source: str, subtitle: str) -> Figure | None:
    """Figure 2: validation score over epochs, one line per run, its best epoch marked; None without any score.

    Args:
        exps: runs to compare; each has a history for ``source``.
        source: key of their histories.
        subtitle: corpus and what kind of corpus it is.
    """
    metric = monitored(exps[0])
    fig = style.figure(6.8, 3.8)
    ax = fig.add_subplot()
    for i, exp in enumerate(exps):
        history, best = exp.histories[source], selected_epoch(exp, source)
        values = history.scores.get(metric.name)
        if best is None or values is None:
            continue
        state = f" ({exp.status})" if exp.is_unfinished else ""
        label = (
            f"{exp.tag}{state}, seed {exp.seed}: {values[best]:.2f} {metric.unit} at epoch {history.epoch[best]:.0f}"
        )
        ax.plot(history.epoch, values, color=style.color(i), linewidth=1.4, label=label)
        ax.axhline(values[best], color=style.color(i), linewidth=0.9, linestyle=(0, (5, 4)), alpha=0.8)
        ax.plot(history.epoch[best], values[best], "o", color=style.color(i), markersize=6)
    if not ax.lines:
        return None
    ax.set(
        title=f"Validation {metric.label}{', ' + source if source else ''}: {subtitle}",
        xlabel="epoch",
        ylabel=f"{metric.label} ({metric.unit})",
    )
    _whole_epochs(ax)
    ax.legend(loc="lower right")
    style.caption(fig, "Dashed: score of the epoch that was kept (dot).")
    return fig


@style.styled
def draw_learning(exp: Experiment) -> Figure:
    """Learning curves of one experiment: losses, validation score and learning rate of each of its trainings."""
    sources = list(exp.histories)
    fig = style.figure(9.6, 2.5 * len(sources) + 0.3)
    axes = fig.subplots(len(sources), 3, squeeze=False)
    for row, source in zip(axes, sources):
        history = exp.histories[source]
        for ax, (label, curves) in zip(row, _panels(exp, history).items()):
            _draw_panel(ax, history, label, curves)
        row[0].set_title(f"{exp.tag}{' / ' + source if source else ''}")
        best = selected_epoch(exp, source)
        if best is not None:
            for ax in row:
                ax.axvline(history.epoch[best], color=style.GREY, linewidth=1, linestyle=":")
    style.caption(fig, f"{exp.corpus or 'unknown corpus'}. Dotted: the epoch that was kept.")
    return fig


def _panels(exp: Experiment, history: History) -> dict[str, dict[str, np.ndarray | None]]:
    """Label of each panel, and its curves by name; None where one was not noted."""
    metric = monitored(exp)
    return {
        "loss": {"train loss": history.train_loss, "val loss": history.scores.get("loss")},
        f"validation score ({metric.unit})": {f"val {metric.label}": history.scores.get(metric.name)},
        "learning rate": {"lr": history.lr},
    }


def _draw_panel(ax: Axes, history: History, label: str, curves: dict[str, np.ndarray | None]) -> None:
    known = {name: values for name, values in curves.items() if values is not None}
    for i, (name, values) in enumerate(known.items()):
        marker = "." if len(history.epoch) < 30 else ""
        ax.plot(history.epoch, values, marker=marker, color=style.color(i), linewidth=1.4, label=name)
    ax.set(xlabel="epoch", ylabel=label)
    _whole_epochs(ax)
    if len(known) > 1:
        ax.legend()
    if not known:
        ax.text(0.5, 0.5, "not recorded", ha="center", transform=ax.transAxes, color=style.MUTED)


def _whole_epochs(ax: Axes) -> None:
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
