"""Scores of a speech experiment: whole utterances, best permutation, gains over the mixture, resumable, with examples."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from ..common.errors import UserError
from ..experiment.records import Records
from ..metrics import Metric, utterance_scores, with_extra
from .kept_audio import chosen, write_speech_example
from .music_tracks import SUSPICIOUS_DB, check_names, timed
from .pool import each
from .summary import write_speech_summary


def evaluate_speech(
    model: torch.nn.Module,
    dataset: Any,
    exp_dir: str | Path,
    corpus: str,
    *,
    model_id: str,
    subset: str = "test",
    system: str | None = None,
    sample_rate: int | None = None,
    n_examples: int = 10,
    seed: int = 0,
    device: str | None = None,
    jobs: int | None = None,
    progress: bool = True,
    extra: Iterable[str] = (),
    about: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Separate and score every utterance of a data set.

    Writes ``all_metrics.csv``, ``final_metrics.json``, ``evaluation.json``, ``utterances/<id>.json`` and ``examples/`` into
    ``exp_dir``; goes on where an earlier call stopped, and computes again what another model or another corpus left.

    Args:
        model: (batch, time) -> (batch, n_src, time); put into evaluation mode here.
        dataset: ``dataset[i]`` -> (mixture (time,), sources (n_src, time)), full length; ``dataset.names[i]``; and, if
            it has one, ``dataset.describe(i)`` -> dict with ``speakers`` and ``sexes`` for the table.
        exp_dir: where the results go.
        corpus: name of the data, for the record.
        model_id: identifies the weights, for example :func:`file_digest` of the checkpoint.
        subset: part of the corpus, for the record.
        system: name of the examples' folder; the model's class by default.
        sample_rate: samples per second; the model's by default.
        n_examples: utterances to keep as audio, drawn by ``seed``; -1 for all.
        seed: of the draw.
        device: where the model runs; where it is by default.
        jobs: utterances that are scored at the same time; the model runs one at a time.
        progress: show a bar.
        extra: names of optional scores.
        about: what else is to be said of the data, for the record (which mixtures, which mode).

    Returns:
        The content of ``final_metrics.json``.

    Raises:
        UserError: for an empty data set or names that are not unique.
        UserError: when estimates do not fit the references; the message names the utterance.
    """
    names, exp_dir = list(dataset.names), Path(exp_dir)
    check_names(names, corpus, subset)
    name_of_system, rate, metrics = (
        system or type(model).__name__,
        int(sample_rate or cast(int, model.sample_rate)),
        with_extra(extra),
    )
    model = model.eval() if device is None else model.eval().to(device)
    place = next(model.parameters()).device
    settings = {
        "model": model_id,
        "sample_rate": rate,
        "corpus": corpus,
        "subset": subset,
        **(about or {}),
    }
    records = Records(exp_dir / "utterances", settings, lacking(metrics))
    examples, one_at_a_time = chosen(len(names), n_examples, seed), threading.Lock()

    def separate(mix: torch.Tensor) -> torch.Tensor:
        return model(mix[None].to(place))[0]

    def score(index: int) -> dict[str, Any]:
        name = names[index]
        record = records.load(name)
        if record and (index not in examples or (exp_dir / "examples" / "mix" / f"{name}.wav").exists()):
            return record
        mix, targets = dataset[index]
        estimates, seconds = timed(separate, mix, one_at_a_time)
        entries = utterance_entries(name, mix, estimates, targets, rate, metrics)
        if index in examples:
            aligned = estimates[entries["permutation"]]
            write_speech_example(exp_dir / "examples", name, name_of_system, mix, aligned, targets, rate)
        described = dataset.describe(index) if hasattr(dataset, "describe") else {}
        entries.update(speakers=described.get("speakers", ""), sexes=described.get("sexes", ""))
        return records.save(name, {**entries, "seconds": seconds, "rtf": seconds * rate / mix.shape[-1]})

    done = dict(each(score, range(len(names)), jobs, unit="utterance", progress=progress))
    rows, told = [done[index] for index in range(len(names))], {**settings, "system": name_of_system}
    return write_speech_summary(exp_dir, rows, told, notes=[records.differences()]).final


def lacking(metrics: Sequence[Metric]) -> Callable[[dict[str, Any]], list[str]]:
    """Which of some metrics an utterance's record has no score of: they were not asked for, or registered later."""
    return lambda record: [metric.name for metric in metrics if metric.name not in record]


def utterance_entries(
    name: str,
    mix: torch.Tensor,
    estimates: torch.Tensor,
    targets: torch.Tensor,
    sample_rate: int,
    metrics: Sequence[Metric],
) -> dict[str, Any]:
    """Entries of an utterance's record.

    Args:
        name: the utterance, for the message.
        mix, estimates, targets: (time,), and twice (n_src, time).
        sample_rate: samples per second.
        metrics: what to compute.

    Returns:
        Scores, permutation, level difference of the loudest to the quietest source in dB, warnings.

    Raises:
        UserError: when estimates do not fit the references.
    """
    try:
        scores = utterance_scores(mix, estimates, targets, sample_rate, metrics)
    except UserError as error:
        raise UserError(f"{name} cannot be scored: {error}") from None
    power_db = 10 * torch.log10(targets.double().square().mean(-1))
    return {
        "n_src": len(targets),
        "level_difference_db": float(power_db.max() - power_db.min()),
        **scores,
        "warnings": copies(estimates, targets),
    }


def copies(estimates: torch.Tensor, targets: torch.Tensor) -> list[str]:
    """A sentence for each estimate that is a reference: no system gets within 60 dB.

    Shape:
        - estimates, targets: (n_src, time)
    """
    est, ref = (wav.double() - wav.double().mean(-1, keepdim=True) for wav in (estimates, targets))
    cosine = torch.nn.functional.normalize(est, dim=-1) @ torch.nn.functional.normalize(ref, dim=-1).T
    same = 1 - cosine.square() < 10 ** (-SUSPICIOUS_DB / 10)  # SI-SDR = cos^2 / (1 - cos^2)
    pairs = (same.nonzero() + 1).tolist()
    return [f"estimate {i} is reference {j} (SI-SDR over {SUSPICIOUS_DB:.0f} dB)" for i, j in pairs]
