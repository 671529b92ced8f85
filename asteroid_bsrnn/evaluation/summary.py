"""From the records of an evaluation to ``all_metrics.csv``, ``final_metrics.json`` and ``evaluation.json``.

Everything that was missing, undefined or suspicious is listed in ``evaluation.json``; nothing is left out silently.
"""

import math
from pathlib import Path

import pandas as pd

from ..common.files import atomic_path, strict, write_json
from ..metrics.by_speaker import speaker_interval
from ..metrics.intelligibility import INTELLIGIBILITY_DEFINITION

MUSIC_COLUMNS = ["track", "source", "usdr", "csdr", "input_usdr", "input_csdr", "seconds", "rtf"]
SPEECH_COLUMNS = [
    *("mixture_id", "n_src", "speakers", "sexes", "level_difference_db", "input_si_sdr", "si_sdr", "si_sdr_imp"),
    *("input_sdr", "sdr", "sdr_imp", "permutation", "seconds", "rtf"),
]
SPEECH_SCORES = ["si_sdr", "si_sdr_imp", "sdr", "sdr_imp", "input_si_sdr", "input_sdr"]
MUSIC_DEFINITION = {
    "usdr": "10 log10((sum s^2 + 1e-7) / (sum (est - s)^2 + 1e-7)) over the whole track; mean over tracks",
    "csdr": "SDR of museval 0.4.1 (BSS Eval v4 images), frames of 1 s, NaN for all sources where one is silent; "
    "median over frames (by median_rule), then median over tracks (of an even number, the mean of the middle two)",
    "input": "the same scores with the mixture as the estimate",
    "average": "usdr and csdr without a source are means over the sources",
    "unit": "dB",
}
SPEECH_DEFINITION = {
    "si_sdr": "scale-invariant SDR of zero-mean signals (SI-SNR), best permutation by its mean over the sources",
    "sdr": "BSS Eval v3 sources (mir_eval, 512 taps) in the same permutation",
    "imp": "gain over the mixture as the estimate",
    "average": "mean over the sources of an utterance, then over utterances with a score",
    "unit": "dB",
}


def write_music_summary(folder, records, sources, median_rule, info, *, missing=(), extra=(), problems=None, notes=()):
    """Write the three files of a music evaluation.

    Args:
        folder (str or Path): where to.
        records (list of dict): one record for each scored track.
        sources (list of str): names.
        median_rule (str): which median over the frames to take.
        info (dict): corpus, subset, sample rate, inference, model: copied into ``evaluation.json``.
        missing, extra (list of str): what was expected and not there, and the reverse.
        problems (dict, optional): sentence by track that could not be scored.
        notes (list of str or None): other remarks.

    Returns:
        dict: ``evaluation.json``'s content and, under ``final``, that of ``final_metrics.json``.
    """
    rows = [_music_row(record, source, median_rule) for record in records for source in sources]
    table = pd.DataFrame(rows, columns=MUSIC_COLUMNS)
    final = _music_means(table, sources)
    undefined = sorted({row["track"] for row in rows if math.isnan(row["csdr"])})
    notes = list(notes)
    if undefined:
        notes.append("no cSDR (in every frame a signal is silent): " + ", ".join(undefined))
    evaluation = {"sources": list(sources), "median_rule": median_rule, "metric_definition": MUSIC_DEFINITION}
    lists = _lists(records, missing, extra, problems, notes, undefined)
    return _write(folder, table, final, {**info, "n_tracks": len(records), **evaluation, **lists})


def _music_row(record, source, median_rule):
    scores = record["scores"][source]
    return {
        "track": record["track"],
        "source": source,
        "usdr": scores["usdr"],
        "csdr": scores[f"csdr_{median_rule}"],
        "input_usdr": scores["input_usdr"],
        "input_csdr": scores[f"input_csdr_{median_rule}"],
        "seconds": record["seconds"],
        "rtf": record["rtf"],
    }


def _music_means(table, sources):
    """Means of uSDR and medians of cSDR over tracks by source, and their means over the sources."""
    final = {}
    for name, over_tracks in (("usdr", "mean"), ("csdr", "median"), ("input_usdr", "mean"), ("input_csdr", "median")):
        by_source = getattr(table.groupby("source")[name], over_tracks)().reindex(sources)
        if not name.startswith("input"):
            final[name] = float(by_source.mean(skipna=False))
        final.update({f"{name}_{source}": float(value) for source, value in by_source.items()})
    return final


def write_speech_summary(folder, records, info, *, missing=(), extra=(), problems=None, notes=()):
    """Write the three files of a speech evaluation; arguments and result as :func:`write_music_summary`."""
    rows = [
        {**record, "mixture_id": record["track"], "permutation": " ".join(map(str, record["permutation"]))}
        for record in records
    ]
    asked = [name for name in INTELLIGIBILITY_DEFINITION if rows and name in rows[0]]
    optional = [column for name in asked for column in (f"input_{name}", name, f"{name}_imp")]
    table = pd.DataFrame(rows, columns=[*SPEECH_COLUMNS, *optional])
    final = {name: float(table[name].mean()) for name in [*SPEECH_SCORES, *optional]}
    undefined = table.loc[table["sdr_imp"].isna() | table["si_sdr_imp"].isna(), "mixture_id"].tolist()
    notes = list(notes)
    if undefined:
        notes.append("left out of a mean, as a signal is silent: " + ", ".join(undefined))
    lists = _lists(records, missing, extra, problems, notes, undefined)
    definition = {**SPEECH_DEFINITION, **{name: INTELLIGIBILITY_DEFINITION[name] for name in asked}}
    info = {**info, "n_tracks": len(records), "metric_definition": definition, "intervals": _intervals(records)}
    return _write(folder, table, final, {**info, **lists})


def _intervals(records):
    """Score -> ends of its 95 % interval over speakers; empty where it is not known who speaks."""
    people = [record.get("speakers") or () for record in records]
    if not all(people):
        return {}
    return {name: speaker_interval([record[name] for record in records], people) for name in ("si_sdr_imp", "sdr_imp")}


def _lists(records, missing, extra, problems, notes, undefined):
    return {
        "missing": sorted(missing),
        "extra": sorted(extra),
        "problems": dict(sorted((problems or {}).items())),
        "undefined": undefined,
        "warnings": [f"{record['track']}: {text}" for record in records for text in record["warnings"]],
        "notes": [note for note in notes if note],
    }


def _write(folder, table, final, evaluation):
    folder = Path(folder)
    with atomic_path(folder / "all_metrics.csv") as partial:
        table.to_csv(partial, index=False, na_rep="nan")
    write_json(folder / "final_metrics.json", strict(final))
    write_json(folder / "evaluation.json", strict(evaluation))
    return {**evaluation, "final": final}


def report_lines(evaluation):
    """What a person should know after an evaluation, as lines of text."""
    lines = [f"missing: {name}" for name in evaluation["missing"]]
    lines += [f"not scored: {name}: {why}" for name, why in evaluation["problems"].items()]
    lines += [f"extra, not in the references: {name}" for name in evaluation["extra"]]
    lines += [f"warning: {text}" for text in evaluation["warnings"]]
    return lines + [f"note: {text}" for text in evaluation["notes"]]
