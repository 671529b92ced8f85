"""Scores of a music experiment: separate whole tracks, uSDR and cSDR of each, resumable, with examples."""

import math
import threading
import time
from pathlib import Path

import numpy as np
import torch

from ..common.errors import UserError
from ..experiment.evaluation import Records, write_museval_folder
from ..metrics import MEDIAN_RULES, TrackScores
from .kept_audio import chosen, write_music_example
from .pool import each
from .summary import write_music_summary

SUSPICIOUS_DB = 60.0  # an estimate this close is the reference itself


def evaluate_music(
    separate,
    dataset,
    exp_dir,
    sources,
    sample_rate,
    inference,
    corpus,
    *,
    model_id,
    subset="test",
    median_rule="numpy",
    n_examples=3,
    example_seconds=30.0,
    seed=0,
    jobs=1,
    progress=True,
):
    """Separate and score every track of a data set.

    Writes ``all_metrics.csv``, ``final_metrics.json``, ``evaluation.json``, ``tracks/<track>.json`` (museval's format),
    ``museval/`` (for museval's ``add_eval_dir``) and ``examples/`` into ``exp_dir``. A track is recorded when it is
    done, so a second call goes on where the first one stopped; records of another model or other settings are
    computed again.

    Args:
        separate (callable): (channels, time) -> (n_src, channels, time), in the order of ``sources``.
        dataset: ``dataset[i]`` -> (mixture (channels, time), sources (n_src, channels, time)); ``dataset.names[i]``. If it
            has ``complete = False``, silent sources are lacking ones: they get no score.
        exp_dir (str or Path): where the results go.
        sources (sequence of str): names of the sources.
        sample_rate (int): samples per second.
        inference (dict): how whole tracks are separated, for the record.
        corpus (str): name of the data, for the record.
        model_id (str): identifies the weights, for example :func:`file_digest` of the checkpoint.
        subset (str): part of the corpus, for the record.
        median_rule (str): median over the frames of a track, ``"numpy"`` or ``"lower"``; see ``metrics.csdr``.
        n_examples (int): tracks to keep as audio, drawn by ``seed``; -1 for all.
        example_seconds (float or None): length of the excerpts from the middle of these tracks; None for whole ones.
        seed (int): of the draw.
        jobs (int): tracks that are loaded and scored at the same time; separation itself is one at a time.
        progress (bool): show a bar.

    Returns:
        dict: the content of ``final_metrics.json``.

    Raises:
        UserError: for an empty data set, names that are not unique, an unknown median rule.
        UserError: when estimates do not fit the references; the message names the track.
    """
    names, exp_dir, sources = list(dataset.names), Path(exp_dir), list(sources)
    check_names(names, corpus, subset, median_rule)
    settings = {"model": model_id, "inference": inference, "sources": sources, "sample_rate": sample_rate}
    complete = getattr(dataset, "complete", True)
    records = Records(exp_dir / "tracks", {**settings, "corpus": corpus, "subset": subset})
    examples, one_at_a_time, done = chosen(len(names), n_examples, seed), threading.Lock(), {}

    def score(index):
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

    for index, record in each(score, range(len(names)), jobs, progress=progress):
        done[names[index]] = record
    tracks = [done[name] for name in names]
    write_museval_folder(exp_dir / "museval", records, names)
    info = {"corpus": corpus, "subset": subset, "model": model_id, "inference": inference, "sample_rate": sample_rate}
    return write_music_summary(exp_dir, tracks, sources, median_rule, info, notes=[records.differences()])["final"]


def check_names(names, corpus, subset, median_rule="numpy"):
    """Refuse a data set that cannot be reported on by name.

    Raises:
        UserError: if it is empty, two recordings share a name, or the median rule is unknown.
    """
    if not names:
        raise UserError(f"there is nothing to evaluate in {corpus} ({subset})")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UserError(f"{corpus} ({subset}) has two recordings named {twice[0]!r}; names must be unique")
    if median_rule not in MEDIAN_RULES:
        raise UserError(f"median_rule must be one of {', '.join(MEDIAN_RULES)}, got {median_rule!r}")


def timed(separate, mixture, lock):
    """Estimates on the CPU and the seconds that they took; with ``lock``, one separation at a time."""
    with lock, torch.no_grad():
        start = time.perf_counter()
        estimates = separate(mixture).cpu()  # the copy also waits for the GPU
        return estimates, time.perf_counter() - start


def score_present(estimates, targets, mixture, sources, sample_rate, complete=True):
    """:func:`track_scores` of the sources that a track has; NaN for the others, where tracks may lack some."""
    if complete:
        return track_scores(estimates, targets, mixture, sources, sample_rate)
    lacking = [source for source, target in zip(sources, targets) if not target.any()]
    kept = [number for number, source in enumerate(sources) if source not in lacking] or list(range(len(sources)))
    names = [sources[number] for number in kept]
    entries, frames = track_scores(estimates[kept], targets[kept], mixture, names, sample_rate)
    some, length = entries["scores"][names[0]], len(frames[names[0]])
    entries["scores"].update({source: dict.fromkeys(some, math.nan) for source in lacking})
    return entries, {**frames, **{source: [math.nan] * length for source in lacking}}


def track_scores(estimates, targets, mixture, sources, sample_rate):
    """Scores of a whole track in memory.

    Shape:
        - estimates, targets: (n_src, channels, time)
        - mixture: (channels, time)

    Returns:
        tuple: the entries of a record, and the SDR of each frame by source.
    """
    output, before = TrackScores(sample_rate), TrackScores(sample_rate)
    output.update(estimates, targets)
    before.update(mixture.expand_as(targets), targets)
    return music_entries(sources, output, before)


def music_entries(sources, output, before=None):
    """Entries of a record from collected :class:`TrackScores`.

    Args:
        sources (list of str): names.
        output (TrackScores): estimates against references.
        before (TrackScores, optional): the mixture against references; without it these scores are NaN.

    Returns:
        tuple: ``{"scores": {source: {...}}, "warnings": [...]}`` and ``{source: [SDR of each frame]}``.
    """
    rows = {source: {} for source in sources}
    for prefix, track in (("", output), ("input_", before)):
        columns = (
            {"usdr": track.usdr(), **{f"csdr_{rule}": value for rule, value in track.csdr().items()}} if track else {}
        )
        for name in ("usdr", *(f"csdr_{rule}" for rule in MEDIAN_RULES)):
            values = columns[name].tolist() if track else [math.nan] * len(sources)
            for source, value in zip(sources, values):
                rows[source][prefix + name] = value
    warnings = [
        f"the estimate of {source} is the reference (uSDR {row['usdr']:.0f} dB)"
        for source, row in rows.items()
        if row["usdr"] > SUSPICIOUS_DB
    ]
    frames = dict(zip(sources, np.asarray(output.frames()).tolist()))
    return {"scores": rows, "warnings": warnings}, frames
