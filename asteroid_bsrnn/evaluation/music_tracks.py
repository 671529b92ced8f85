"""Scores of a music experiment: separate whole tracks, uSDR and cSDR of each, resumable, with examples."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..common.errors import UserError
from ..common.registry import check_known
from ..experiment.records import Records, write_museval_folder
from ..metrics import MEDIAN_RULES, TrackScores, of_task
from .kept_audio import chosen, write_music_example
from .pool import each
from .summary import write_music_summary

SUSPICIOUS_DB = 60.0  # an estimate this close is the reference itself


def evaluate_music(
    separate: Callable[[torch.Tensor], torch.Tensor],
    dataset: Any,
    exp_dir: str | Path,
    sources: Sequence[str],
    sample_rate: int,
    inference: dict[str, Any],
    corpus: str,
    *,
    model_id: str,
    subset: str = "test",
    median_rule: str = "numpy",
    n_examples: int = 3,
    example_seconds: float | None = 30.0,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = True,
) -> dict[str, float]:
    """Separate and score every track of a data set.

    Writes ``all_metrics.csv``, ``final_metrics.json``, ``evaluation.json``, ``tracks/<track>.json`` (museval's format),
    ``museval/`` (for museval's ``add_eval_dir``) and ``examples/`` into ``exp_dir``. A track is recorded when it is
    done, so a second call goes on where the first one stopped; records of another model or other settings are
    computed again.

    Args:
        separate: (channels, time) -> (n_src, channels, time), in the order of ``sources``.
        dataset: ``dataset[i]`` -> (mixture (channels, time), sources (n_src, channels, time)); ``dataset.names[i]``. If it
            has ``complete = False``, silent sources are lacking ones: they get no score.
        exp_dir: where the results go.
        sources: names of the sources.
        sample_rate: samples per second.
        inference: how whole tracks are separated, for the record.
        corpus: name of the data, for the record.
        model_id: identifies the weights, for example :func:`file_digest` of the checkpoint.
        subset: part of the corpus, for the record.
        median_rule: median over the frames of a track, ``"numpy"`` or ``"lower"``; see ``metrics.csdr``.
        n_examples: tracks to keep as audio, drawn by ``seed``; -1 for all.
        example_seconds: length of the excerpts from the middle of these tracks; None for whole ones.
        seed: of the draw.
        jobs: tracks that are loaded and scored at the same time; separation itself is one at a time.
        progress: show a bar.

    Returns:
        The content of ``final_metrics.json``.

    Raises:
        UserError: for an empty data set, names that are not unique, an unknown median rule.
        UserError: when estimates do not fit the references; the message names the track.
    """
    names, exp_dir, sources = list(dataset.names), Path(exp_dir), list(sources)
    check_names(names, corpus, subset, median_rule)
    settings = {"model": model_id, "inference": inference, "sources": sources, "sample_rate": sample_rate}
    about = {**settings, "corpus": corpus, "subset": subset}
    complete = getattr(dataset, "complete", True)
    records = Records(exp_dir / "tracks", about, lacking)
    examples, one_at_a_time = chosen(len(names), n_examples, seed), threading.Lock()

    def score(index: int) -> dict[str, Any]:
        name, example = names[index], exp_dir / "examples" / names[index]
        record = records.load(name)
        if record and (index not in examples or example.is_dir()):
            return record
        mixture, targets = dataset[index]
        estimates, seconds = timed(separate, mixture, one_at_a_time)
        try:
            scores, frames = score_present(estimates, targets, mixture, sources, sample_rate, complete)
        except UserError as error:
            raise UserError(f"track {name!r} cannot be scored: {error}") from None
        if index in examples:
            write_music_example(example, mixture, estimates, targets, sources, sample_rate, example_seconds)
        duration = mixture.shape[-1] / sample_rate
        return records.save(name, {**scores, "seconds": seconds, "rtf": seconds / duration}, frames)

    done = dict(each(score, range(len(names)), jobs, progress=progress))
    write_museval_folder(exp_dir / "museval", records, names)
    tracks = [done[index] for index in range(len(names))]
    return write_music_summary(exp_dir, tracks, sources, median_rule, about, notes=[records.differences()]).final


def lacking(record: dict[str, Any]) -> list[str]:
    """Metrics that a track's record has no score of: they were registered later."""
    scores = next(iter(record["scores"].values()))
    names = {
        metric.name: {metric.name, *(f"{metric.name}_{rule}" for rule in MEDIAN_RULES)} for metric in of_task("music")
    }
    return [name for name, keys in names.items() if not keys & set(scores)]


def check_names(names: Sequence[str], corpus: str | Path, subset: str, median_rule: str = "numpy") -> None:
    """Refuse a data set that cannot be reported on by name.

    Raises:
        UserError: if it is empty, two recordings share a name, or the median rule is unknown.
    """
    if not names:
        raise UserError(f"there is nothing to evaluate in {corpus} ({subset})")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UserError(f"{corpus} ({subset}) has two recordings named {twice[0]!r}; names must be unique")
    check_known("median_rule", median_rule, MEDIAN_RULES)


def timed(
    separate: Callable[[torch.Tensor], torch.Tensor], mixture: torch.Tensor, lock: threading.Lock
) -> tuple[torch.Tensor, float]:
    """Estimates on the CPU and the seconds that they took; with ``lock``, one separation at a time."""
    with lock, torch.no_grad():
        start = time.perf_counter()
        estimates = separate(mixture).cpu()  # the copy also waits for the GPU
        return estimates, time.perf_counter() - start


def score_present(
    estimates: torch.Tensor,
    targets: torch.Tensor,
    mixture: torch.Tensor,
    sources: Sequence[str],
    sample_rate: int,
    complete: bool = True,
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """:func:`track_scores` of the sources that a track has; NaN for the others, where tracks may lack some."""
    if complete:
        return track_scores(estimates, targets, mixture, sources, sample_rate)
    absent = [source for source, target in zip(sources, targets) if not target.any()]
    kept = [number for number, source in enumerate(sources) if source not in absent] or list(range(len(sources)))
    names = [sources[number] for number in kept]
    entries, frames = track_scores(estimates[kept], targets[kept], mixture, names, sample_rate)
    some, length = entries["scores"][names[0]], len(frames[names[0]])
    entries["scores"].update({source: dict.fromkeys(some, math.nan) for source in absent})
    return entries, {**frames, **{source: [math.nan] * length for source in absent}}


def track_scores(
    estimates: torch.Tensor,
    targets: torch.Tensor,
    mixture: torch.Tensor,
    sources: Sequence[str],
    sample_rate: int,
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Scores of a whole track in memory.

    Shape:
        - estimates, targets: (n_src, channels, time)
        - mixture: (channels, time)

    Returns:
        The entries of a record, and the SDR of each frame by source.
    """
    output, before = TrackScores(sample_rate), TrackScores(sample_rate)
    output.update(estimates, targets, mixture)
    before.update(mixture.expand_as(targets), targets, mixture)
    return music_entries(sources, output, before)


def music_entries(
    sources: Sequence[str], output: TrackScores, before: TrackScores | None = None
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Entries of a record from collected :class:`TrackScores`.

    Args:
        sources: names.
        output: estimates against references.
        before: the mixture against references; without it these scores are NaN.

    Returns:
        ``{"scores": {source: {...}}, "warnings": [...]}`` and ``{source: [SDR of each frame]}``.
    """
    found = output.scores()
    unknown = torch.full((len(sources),), math.nan)
    inputs = before.scores() if before else dict.fromkeys(found, unknown)
    columns = {**found, **{f"input_{name}": values for name, values in inputs.items()}}
    rows = {source: {name: float(values[i]) for name, values in columns.items()} for i, source in enumerate(sources)}
    warnings = [
        f"the estimate of {source} is the reference (SDR over the whole track: {closeness:.0f} dB)"
        for source, closeness in zip(sources, output.closeness_db().tolist())
        if closeness > SUSPICIOUS_DB
    ]
    frames = dict(zip(sources, np.asarray(output.frames()).tolist()))
    return {"scores": rows, "warnings": warnings}, frames
