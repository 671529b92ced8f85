"""``evaluation.json`` and ``final_metrics.json``: what was scored, how, and the scores over all recordings."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..common.files import strict, write_json
from .scores import write_scores
from .stored import Stored, read_object

EVALUATION_FILE, FINAL_FILE = "evaluation.json", "final_metrics.json"


@dataclass(kw_only=True)
class Evaluation(Stored):
    """An evaluation; None is not known, or has no meaning for its task.

    Args:
        corpus, subset: names of the data.
        stream, mode: of speech: which mixtures.
        model: identifies the weights.
        system, estimates: name of what was scored, and the folder it was in.
        inference: how whole songs were separated.
        sample_rate: Hz; a list where recordings differ.
        n_tracks: recordings with a score.
        sources: names, in the order of the scores.
        median_rule: over the frames of a song.
        metric_definition: what each score is.
        metrics: what else is to be known of each, as :meth:`Metric.about` says it.
        intervals: 95 % over speakers, by score.
        missing, extra: recordings without estimates, and estimates without a reference.
        problems: recording -> why it could not be scored.
        undefined: recordings that lack a score.
        warnings, notes: sentences.
        final: content of ``final_metrics.json``.
    """

    corpus: str | None = None
    subset: str | None = None
    stream: str | None = None
    mode: str | None = None
    model: str | None = None
    system: str | None = None
    estimates: str | None = None
    inference: dict[str, Any] | None = None
    sample_rate: int | list[int] | None = None
    n_tracks: int | None = None
    sources: list[str] = field(default_factory=list)
    median_rule: str | None = None
    metric_definition: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    undefined: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    final: dict[str, float] = field(default_factory=dict)

    def write(self, folder: str | Path, rows: pd.DataFrame) -> "Evaluation":
        """Write the files of an evaluation, and give it back.

        Args:
            folder: where to.
            rows: ``all_metrics.csv``.
        """
        write_scores(Path(folder), rows)
        write_json(Path(folder) / FINAL_FILE, strict(self.final))
        told = {key: value for key, value in self.content().items() if key != "final"}
        write_json(Path(folder) / EVALUATION_FILE, strict(told))
        return self


def read_evaluation(folder: str | Path) -> Evaluation | None:
    """The evaluation of an experiment folder with its final scores, None without ``evaluation.json``.

    Raises:
        UserError: if a file is broken.
    """
    path = Path(folder) / EVALUATION_FILE
    return replace(Evaluation.read(path), final=read_final(folder) or {}) if path.exists() else None


def read_final(folder: str | Path) -> dict[str, float] | None:
    """``final_metrics.json``: scores over all recordings, null (no score) and texts left out; None without the file.

    Raises:
        UserError: if it is broken.
    """
    path = Path(folder) / FINAL_FILE
    if not path.exists():
        return None
    return {key: value for key, value in read_object(path).items() if isinstance(value, (int, float))}
