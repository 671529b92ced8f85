"""Scores of a speech experiment: whole utterances, best permutation, gains over the mixture, resumable, with examples."""

import threading
from pathlib import Path

import torch

from ..common.errors import UserError
from ..experiment.evaluation import Records
from ..metrics import check_extra_scores, extra_scores, utterance_scores
from .kept_audio import chosen, write_speech_example
from .music_tracks import SUSPICIOUS_DB, check_names, timed
from .pool import each
from .summary import write_speech_summary


def evaluate_speech(
    model,
    dataset,
    exp_dir,
    corpus,
    *,
    model_id,
    subset="test",
    system=None,
    sample_rate=None,
    n_examples=10,
    seed=0,
    device=None,
    jobs=None,
    progress=True,
    extra=(),
    about=None,
):
    """Separate and score every utterance of a data set.

    Writes ``all_metrics.csv``, ``final_metrics.json``, ``evaluation.json``, ``utterances/<id>.json`` and ``examples/`` into
    ``exp_dir``; goes on where an earlier call stopped, and computes again what another model or another corpus left.

    Args:
        model (torch.nn.Module): (batch, time) -> (batch, n_src, time); put into evaluation mode here.
        dataset: ``dataset[i]`` -> (mixture (time,), sources (n_src, time)), full length; ``dataset.names[i]``; and, if
            it has one, ``dataset.describe(i)`` -> dict with ``speakers`` and ``sexes`` for the table.
        exp_dir (str or Path): where the results go.
        corpus (str): name of the data, for the record.
        model_id (str): identifies the weights, for example :func:`file_digest` of the checkpoint.
        subset (str): part of the corpus, for the record.
        system (str, optional): name of the examples' folder; the model's class by default.
        sample_rate (int, optional): samples per second; the model's by default.
        n_examples (int): utterances to keep as audio, drawn by ``seed``; -1 for all.
        seed (int): of the draw.
        device (str, optional): where the model runs; where it is by default.
        jobs (int, optional): utterances that are scored at the same time; the model runs one at a time.
        progress (bool): show a bar.
        extra (sequence of str): optional scores: ``stoi``, ``estoi``, ``pesq``.
        about (dict, optional): what else is to be said of the data, for the record (which mixtures, which mode).

    Returns:
        dict: the content of ``final_metrics.json``.

    Raises:
        UserError: for an empty data set or names that are not unique.
        UserError: when estimates do not fit the references; the message names the utterance.
    """
    names, exp_dir = list(dataset.names), Path(exp_dir)
    check_names(names, corpus, subset)
    system, sample_rate = system or type(model).__name__, int(sample_rate or model.sample_rate)
    model = model.eval() if device is None else model.eval().to(device)
    device = next(model.parameters()).device
    settings = {
        "model": model_id,
        "sample_rate": sample_rate,
        "corpus": corpus,
        "subset": subset,
        **extra_settings(extra),
        **(about or {}),
    }
    records = Records(exp_dir / "utterances", settings)
    examples, one_at_a_time, done = chosen(len(names), n_examples, seed), threading.Lock(), {}

    def separate(mix):
        return model(mix[None].to(device))[0]

    def score(index):
        name = names[index]
        record = records.load(name)
        if record and (index not in examples or (exp_dir / "examples" / "mix" / f"{name}.wav").exists()):
            return record
        mix, targets = dataset[index]
        estimates, seconds = timed(separate, mix, one_at_a_time)
        entries = utterance_entries(name, mix, estimates, targets, sample_rate, extra)
        if index in examples:
            aligned = estimates[entries["permutation"]]
            write_speech_example(exp_dir / "examples", name, system, mix, aligned, targets, sample_rate)
        described = dataset.describe(index) if hasattr(dataset, "describe") else {}
        entries.update(speakers=described.get("speakers", ""), sexes=described.get("sexes", ""))
        return records.save(name, {**entries, "seconds": seconds, "rtf": seconds * sample_rate / mix.shape[-1]})

    for index, record in each(score, range(len(names)), jobs, unit="utterance", progress=progress):
        done[names[index]] = record
    info = {
        "corpus": corpus,
        "subset": subset,
        "model": model_id,
        "system": system,
        "sample_rate": sample_rate,
        **(about or {}),
    }
    rows = [done[name] for name in names]
    return write_speech_summary(exp_dir, rows, info, notes=[records.differences()])["final"]


def extra_settings(extra):
    """What optional scores add to the settings of records: nothing where there are none, as before there were any."""
    return {"extra_scores": list(check_extra_scores(extra))} if extra else {}


def utterance_entries(name, mix, estimates, targets, sample_rate, extra=()):
    """Entries of an utterance's record.

    Args:
        name (str): the utterance, for the message.
        mix, estimates, targets (torch.Tensor): (time,), and twice (n_src, time).
        sample_rate (int): samples per second.
        extra (sequence of str): optional scores.

    Returns:
        dict: scores, permutation, level difference of the loudest to the quietest source in dB, warnings.

    Raises:
        UserError: when estimates do not fit the references.
    """
    try:
        scores = utterance_scores(mix, estimates, targets, sample_rate)
        scores.update(extra_scores(extra, mix, estimates[scores["permutation"]], targets, sample_rate))
    except UserError as error:
        raise UserError(f"{name} cannot be scored: {error}") from None
    power_db = 10 * torch.log10(targets.double().square().mean(-1))
    return {
        "n_src": len(targets),
        "level_difference_db": float(power_db.max() - power_db.min()),
        **scores,
        "warnings": copies(estimates, targets),
    }


def copies(estimates, targets):
    """A sentence for each estimate that is a reference: no system gets within 60 dB.

    Shape:
        - estimates, targets: (n_src, time)
    """
    est, ref = (wav.double() - wav.double().mean(-1, keepdim=True) for wav in (estimates, targets))
    cosine = torch.nn.functional.normalize(est, dim=-1) @ torch.nn.functional.normalize(ref, dim=-1).T
    same = 1 - cosine.square() < 10 ** (-SUSPICIOUS_DB / 10)  # SI-SDR = cos^2 / (1 - cos^2)
    pairs = (same.nonzero() + 1).tolist()
    return [f"estimate {i} is reference {j} (SI-SDR over {SUSPICIOUS_DB:.0f} dB)" for i, j in pairs]
