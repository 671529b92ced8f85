"""A score as a value, and the registry of them: what evaluation computes, tables show and plug-ins add to."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from ..common.registry import Registry
from .energies import FrameEnergies

AGGREGATES, DIRECTIONS, TASKS = ("mean", "median"), ("higher", "lower"), ("music", "speech")


@dataclass(frozen=True)
class Metric:
    """A score of separated recordings.

    Args:
        name: its column; ``input_<name>`` is that of the mixture taken as the estimate, ``<name>_imp`` (speech) the gain.
        label: what tables call it.
        unit: ``"dB"``; empty for none.
        task: ``"music"`` or ``"speech"``.
        per_track: the score of one recording, NaN where it has none. Music: what ``collect`` has gathered -> tensor
            (n_src,), or such a tensor for each median rule by its name. Speech: ``(mix, est_targets, targets,
            sample_rate)`` with (time,), twice (n_src, time) in the same order and Hz -> the means over the sources of
            the mixture and of the estimates; :func:`against_mixture` makes it of a function of estimates and targets.
        aggregate: over recordings: ``"mean"`` or ``"median"`` (of an even number, the mean of the middle two).
        better: ``"higher"`` or ``"lower"``.
        definition: for the record of an evaluation.
        collect: music: called with the sample rate in Hz, makes what gathers a song from blocks by
            ``update(est_targets, targets, mixture)``: (n_src, channels, time), the same, and (channels, time) or None.
            Every block but the last holds whole seconds. Metrics with the same ``collect`` share one.
        silence: the score of an estimate of zeros, or why that has none.
        undefined: why a recording may have none.
        gain: speech: label of the gain; by default the label with an i.
        optional: computed only when it is asked for.

    Raises:
        ValueError: for a task, an aggregate or a direction that there is not.
    """

    name: str
    label: str
    unit: str
    task: str
    per_track: Callable[..., Any]
    aggregate: str
    better: str
    definition: str
    collect: Callable[[int], Any] = FrameEnergies
    silence: float | str = "not defined for silence"
    undefined: str = "a signal is silent"
    gain: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        for key, known in (("task", TASKS), ("aggregate", AGGREGATES), ("better", DIRECTIONS)):
            if getattr(self, key) not in known:
                raise ValueError(f"{key} of a metric is one of {', '.join(known)}, not {getattr(self, key)!r}")

    @property
    def heading(self) -> str:
        """Its label in a table of dB where larger is better; what is otherwise is said."""
        words = [] if self.unit == "dB" else [self.unit or "no unit"]
        words += ["lower is better"] if self.better == "lower" else []
        return f"{self.label} ({', '.join(words)})" if words else self.label

    @property
    def gain_heading(self) -> str:
        """Label of its gain over the mixture."""
        return self.gain or f"{self.label}i"

    @property
    def columns(self) -> tuple[str, str, str]:
        """Columns of a recording of speech: of the mixture, of the estimates, the gain."""
        return f"input_{self.name}", self.name, f"{self.name}_imp"

    def about(self) -> dict[str, Any]:
        """What a record says of it: everything but how it is computed."""
        names = [entry.name for entry in fields(self) if entry.name not in ("per_track", "collect")]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def told(cls, about: dict[str, Any]) -> "Metric":
        """A metric of a record, to be shown: the plug-in that computed it need not be here."""
        known = {entry.name for entry in fields(cls)} - {"per_track", "collect"}

        def cannot(*signals: Any) -> None:
            raise ValueError(f"{about.get('name')} is known from a record alone: name its plug-in to compute it")

        return cls(per_track=cannot, **{key: value for key, value in about.items() if key in known})


_REGISTRY = Registry("metric")
get, register_metric = _REGISTRY.get, _REGISTRY.register


def of_task(task: str, optional: bool = False) -> list[Metric]:
    """Metrics of a task in the order of their registration.

    Args:
        task: ``"music"`` or ``"speech"``.
        optional: those that are computed when asked for, instead of those that always are.
    """
    return [metric for metric in _REGISTRY.values() if metric.task == task and metric.optional is optional]


def all_of(task: str) -> list[Metric]:
    """Every metric of a task, the optional ones last."""
    return of_task(task) + of_task(task, optional=True)


def unit_of(column: str) -> str:
    """Unit of a column or of a final score such as ``input_<name>_<source>``; empty for none and for unknown scores."""
    found = [metric for metric in _REGISTRY.values() if metric.name in column]
    return max(found, key=lambda metric: len(metric.name)).unit if found else ""


def against_mixture(score: Callable[..., Any]) -> Callable[..., tuple[float, float]]:
    """``per_track`` of speech from ``score(est_targets, targets, sample_rate)``, (n_src, time) twice -> (n_src,)."""

    def both(mix: Any, est_targets: Any, targets: Any, sample_rate: int) -> tuple[float, float]:
        after = score(est_targets, targets, sample_rate).mean()
        return float(score(mix.expand_as(targets), targets, sample_rate).mean()), float(after)

    return both
