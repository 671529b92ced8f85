"""What history.csv tells: the epoch that was selected, its validation score, and the curves."""

import numpy as np

from . import style

MUSIC, SPEECH = "val_usdr", "val_si_sdr"


def monitored(exp):
    """Column of the validation score of an experiment: uSDR for music, SI-SDR for speech."""
    return SPEECH if exp.task == "speech" else MUSIC


def selected_row(exp, source):
    """The epoch whose weights were kept: best by what the configuration monitors.

    Args:
        exp (Experiment): any.
        source (str): key of ``exp.histories``.

    Returns:
        pandas.Series or None: None when no epoch was validated.
    """
    history = exp.histories[source]
    conf = exp.runs.get(source, {}).get("conf") or exp.info("conf", {})
    monitor = str((conf.get("training") or {}).get("monitor") or monitored(exp))
    column = "val_loss" if "loss" in monitor else monitor if monitor in history else monitored(exp)
    if column not in history or history[column].isna().all():
        return None
    values = history[column]
    return history.loc[values.idxmin() if column == "val_loss" else values.idxmax()]


def validation_scores(exp):
    """Validation uSDR of the selected epochs, per source.

    Returns:
        dict: source -> dB; for one model of all sources from its columns ``val_usdr_<source>``, where recorded.
    """
    found = {}
    for source in exp.histories:
        row = selected_row(exp, source)
        if row is None:
            continue
        if source:
            found[source] = float(row.get(MUSIC, np.nan))
        else:
            found.update(
                {name[len(MUSIC) + 1 :]: float(value) for name, value in row.items() if name.startswith(MUSIC + "_")}
            )
            if len(exp.info("conf", {}).get("task", {}).get("sources") or []) > 1 or not found:
                found["average"] = float(row.get(MUSIC, np.nan))
    return {source: value for source, value in found.items() if np.isfinite(value)}


@style.styled
def draw_runs(exps, source, subtitle):
    """Figure 2: validation score over epochs, one line per run, its best epoch marked.

    Args:
        exps (list of Experiment): runs to compare; each has a history for ``source``.
        source (str): key of their histories.
        subtitle (str): corpus and what kind of corpus it is.

    Returns:
        matplotlib.figure.Figure or None: None when no run has a validation score.
    """
    column = monitored(exps[0])
    fig = style.figure(6.8, 3.8)
    ax = fig.add_subplot()
    for i, exp in enumerate(exps):
        history, best = exp.histories[source], selected_row(exp, source)
        if best is None or column not in history:
            continue
        state = f" ({exp.status})" if exp.is_unfinished else ""
        label = f"{exp.tag}{state}, seed {exp.seed}: {best[column]:.2f} dB at epoch {best['epoch']:.0f}"
        ax.plot(history["epoch"], history[column], color=style.color(i), linewidth=1.4, label=label)
        ax.axhline(best[column], color=style.color(i), linewidth=0.9, linestyle=(0, (5, 4)), alpha=0.8)
        ax.plot(best["epoch"], best[column], "o", color=style.color(i), markersize=6)
    if not ax.lines:
        return None
    name = "SI-SDR" if column == SPEECH else "uSDR"
    ax.set(
        title=f"Validation {name}{', ' + source if source else ''}: {subtitle}", xlabel="epoch", ylabel=f"{name} (dB)"
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="lower right")
    style.caption(fig, "Dashed: score of the epoch that was kept (dot).")
    return fig


@style.styled
def draw_learning(exp):
    """Learning curves of one experiment: losses, validation score and learning rate of each of its trainings.

    Returns:
        matplotlib.figure.Figure
    """
    panels = [
        ("loss", ("train_loss", "val_loss")),
        ("validation score (dB)", (monitored(exp),)),
        ("learning rate", ("lr",)),
    ]
    sources = list(exp.histories)
    fig = style.figure(9.6, 2.5 * len(sources) + 0.3)
    axes = fig.subplots(len(sources), 3, squeeze=False)
    for row, source in zip(axes, sources):
        history = exp.histories[source]
        for ax, (label, columns) in zip(row, panels):
            for i, column in enumerate(name for name in columns if name in history):
                style_of = {"color": style.color(i), "linewidth": 1.4, "label": column.replace("_", " ")}
                ax.plot(history["epoch"], history[column], marker="." if len(history) < 30 else "", **style_of)
            ax.set(xlabel="epoch", ylabel=label)
            ax.xaxis.get_major_locator().set_params(integer=True)
            if len(ax.lines) > 1:
                ax.legend()
            if not ax.lines:
                ax.text(0.5, 0.5, "not recorded", ha="center", transform=ax.transAxes, color=style.MUTED)
        row[0].set_title(f"{exp.tag}{' / ' + source if source else ''}")
        best = selected_row(exp, source)
        if best is not None:
            for ax in row:
                ax.axvline(best["epoch"], color=style.GREY, linewidth=1, linestyle=":")
    style.caption(fig, f"{exp.corpus or 'unknown corpus'}. Dotted: the epoch that was kept.")
    return fig
