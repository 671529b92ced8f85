"""From the records of an evaluation to its three files.

Everything that was missing, undefined or suspicious is listed in ``evaluation.json``; nothing is left out silently.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..experiment.evaluation import Evaluation
from ..experiment.scores import music_table, speech_table
from ..metrics import Metric, all_of, of_task
from ..metrics.by_speaker import speaker_interval

Record = dict[str, Any]
MUSIC_DEFINITION = {
    "input": "the same scores with the mixture as the estimate",
    "average": "scores without a source are means over the sources",
    "unit": "dB where the definition names no other",
}
SPEECH_DEFINITION = {
    "imp": "gain over the mixture as the estimate",
    "average": "mean over the sources of an utterance, then over utterances with a score",
    "unit": "dB where the definition names no other",
}


def write_music_summary(
    folder: str | Path,
    records: Sequence[Record],
    sources: Sequence[str],
    median_rule: str,
    about: Mapping[str, Any],
    **lists: Any,
) -> Evaluation:
    """Write the files of a music evaluation.

    Args:
        folder: where to.
        records: one for each scored track.
        sources: names.
        median_rule: which median over the frames to take.
        about: corpus, subset, sample rate, inference, model: attributes of :class:`Evaluation`.
        **lists: ``missing, extra, problems, notes``, as there.
    """
    metrics, notes, undefined = of_task("music"), list(lists.pop("notes", ())), set()
    table = music_table(_music_row(record, source, median_rule, metrics) for record in records for source in sources)
    for metric in metrics:
        lacking = sorted(set(table.loc[table[metric.name].isna(), "track"]))
        undefined.update(lacking)
        if lacking:
            which = "every track" if len(lacking) == len(records) else ", ".join(lacking)
            notes.append(f"no {metric.label} ({metric.undefined}): {which}")
    own = {
        "n_tracks": len(records),
        "sources": list(sources),
        "median_rule": median_rule,
        "undefined": sorted(undefined),
    }
    final = _music_means(table, sources, metrics)
    told = _told(records, metrics, MUSIC_DEFINITION, notes, **lists)
    return Evaluation.of({**about, **own, **told, "final": final}).write(folder, table)


def _music_row(record: Record, source: str, median_rule: str, metrics: Sequence[Metric]) -> dict[str, Any]:
    scores = record["scores"][source]
    names = [f"{prefix}{metric.name}" for prefix in ("", "input_") for metric in metrics]
    about = {"track": record["track"], "source": source, "seconds": record["seconds"], "rtf": record["rtf"]}
    by_rule = {name: scores.get(f"{name}_{median_rule}", float("nan")) for name in names}  # where the median decides
    return {**about, **by_rule, **{name: scores[name] for name in names if name in scores}}


def _music_means(table: pd.DataFrame, sources: Sequence[str], metrics: Sequence[Metric]) -> dict[str, float]:
    """Each score over tracks by source, by its own aggregate, and the means over the sources."""
    final = {}
    for name, metric in [(f"{prefix}{metric.name}", metric) for prefix in ("", "input_") for metric in metrics]:
        by_source = getattr(table.groupby("source")[name], metric.aggregate)().reindex(list(sources))
        if name == metric.name:
            final[name] = float(by_source.mean(skipna=False))
        final.update({f"{name}_{source}": float(value) for source, value in by_source.items()})
    return final


def write_speech_summary(
    folder: str | Path, records: Sequence[Record], about: Mapping[str, Any], **lists: Any
) -> Evaluation:
    """Write the files of a speech evaluation; arguments as :func:`write_music_summary`."""
    rows = [
        {**record, "mixture_id": record["track"], "permutation": " ".join(map(str, record["permutation"]))}
        for record in records
    ]
    always, found = of_task("speech"), [metric for metric in all_of("speech") if rows and metric.name in rows[0]]
    table = speech_table(rows, [name for metric in found if metric.optional for name in metric.columns])
    columns = [(name, metric) for metric in found for name in metric.columns]
    final = {name: float(getattr(table[name], metric.aggregate)()) for name, metric in columns}
    lacking = table[[metric.columns[-1] for metric in always]].isna().any(axis=1)
    undefined, notes = table.loc[lacking, "mixture_id"].tolist(), list(lists.pop("notes", ()))
    if undefined:
        notes.append("left out of a mean, as a signal is silent: " + ", ".join(undefined))
    own = {"n_tracks": len(records), "intervals": _intervals(records, always), "undefined": undefined}
    told = _told(records, found, SPEECH_DEFINITION, notes, **lists)
    return Evaluation.of({**about, **own, **told, "final": final}).write(folder, table)


def _intervals(records: Sequence[Record], metrics: Sequence[Metric]) -> dict[str, list[float]]:
    """Gain -> ends of its 95 % interval over speakers; empty where it is not known who speaks."""
    people = [record.get("speakers") or () for record in records]
    if not all(people):
        return {}
    gains = [metric.columns[-1] for metric in metrics]
    return {name: list(speaker_interval([record[name] for record in records], people)) for name in gains}


def _told(
    records: Sequence[Record],
    metrics: Sequence[Metric],
    definition: Mapping[str, str],
    notes: Sequence[str | None],
    missing: Iterable[str] = (),
    extra: Iterable[str] = (),
    problems: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a person should know of an evaluation: attributes of :class:`Evaluation`."""
    return {
        "metric_definition": {metric.name: metric.definition for metric in metrics} | dict(definition),
        "metrics": [metric.about() for metric in metrics],
        "missing": sorted(missing),
        "extra": sorted(extra),
        "problems": dict(sorted((problems or {}).items())),
        "warnings": [f"{record['track']}: {text}" for record in records for text in record["warnings"]],
        "notes": [note for note in notes if note],
    }


def report_lines(evaluation: Evaluation) -> list[str]:
    """What a person should know after an evaluation, as lines of text."""
    lines = [f"missing: {name}" for name in evaluation.missing]
    lines += [f"not scored: {name}: {why}" for name, why in evaluation.problems.items()]
    lines += [f"extra, not in the references: {name}" for name in evaluation.extra]
    lines += [f"warning: {text}" for text in evaluation.warnings]
    return lines + [f"note: {text}" for text in evaluation.notes]
