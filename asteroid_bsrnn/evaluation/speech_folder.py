"""Scores of separated speech on disk, in the supplement's layout: ``<system>/{s1,s2}/<mixture>.wav``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..common.errors import UserError
from ..common.files import atomic_path
from ..experiment.evaluation import Evaluation
from ..experiment.records import Records
from ..metrics import Metric, with_extra
from .folders import AlignedFiles, audio_files, paired, stat_of, subfolders
from .pool import score_each
from .speech_utterances import lacking, utterance_entries
from .summary import write_speech_summary

MIXTURE_FOLDERS = ("mix", "mix_clean")


def evaluate_speech_folder(
    est_dir: str | Path,
    references_dir: str | Path,
    out_dir: str | Path,
    *,
    mixtures_dir: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
    extra: Iterable[str] = (),
    shard: tuple[int, int] | None = None,
) -> dict[str, Evaluation]:
    """Score every system in a folder.

    ``est_dir`` is one system (it has ``s1``, ``s2``, ...) or holds several; ``references_dir`` has ``s1``, ``s2``, ... with
    the same file names. Each system's files go to ``out_dir/<system>`` (those of a single one to ``out_dir``), and a
    table of all to ``out_dir/summary.csv``.

    Args:
        est_dir: estimates in any order of speakers.
        references_dir: references.
        out_dir: where the results go.
        mixtures_dir: mixtures; by default the folder ``mix`` or ``mix_clean`` in or beside
            ``references_dir``.
        jobs: utterances at the same time.
        progress: show a bar.
        extra: names of optional scores.
        shard: as of :func:`.music_folder.evaluate_folder`, for the utterances of each system.

    Returns:
        The evaluation by system.

    Raises:
        UserError: when there is nothing to compare.
    """
    est_dir, references_dir, out_dir = Path(est_dir), Path(references_dir), Path(out_dir)
    references = _by_utterance(references_dir)
    mixtures = audio_files(_mixtures_dir(references_dir, mixtures_dir))
    lacking = sorted(set(references) - set(mixtures))
    if lacking:
        raise UserError(
            f"there is no mixture of {lacking[0]!r} and {len(lacking) - 1} others in {mixtures_dir or 'mix'}"
        )
    systems, metrics, results = _systems(est_dir, references_dir), with_extra(extra), {}
    for name, folder in systems.items():
        target = out_dir if folder == est_dir else out_dir / name
        results[name] = _evaluate_system(
            name, folder, references, mixtures, target, references_dir, jobs, progress, metrics, shard
        )
    if shard is not None:
        return results
    rows = [
        {
            "system": name,
            **{name: result.final[name] for metric in metrics for name in metric.columns},
            "n_tracks": result.n_tracks,
        }
        for name, result in results.items()
    ]
    with atomic_path(out_dir / "summary.csv") as partial:
        pd.DataFrame(rows).to_csv(partial, index=False, na_rep="nan")
    return results


def _systems(est_dir: Path, references_dir: Path) -> dict[str, Path]:
    """Folders that hold ``s1``, without the references."""
    if (est_dir / "s1").is_dir():
        return {est_dir.resolve().name: est_dir}
    found = {
        name: folder
        for name, folder in subfolders(est_dir).items()
        if (folder / "s1").is_dir() and folder.resolve() != references_dir.resolve()
    }
    if not found:
        raise UserError(f"{est_dir} holds no separated speech; expected is s1/<mixture>.wav in it or in its folders")
    return found


def _mixtures_dir(references_dir: Path, given: str | Path | None) -> str | Path:
    if given is not None:
        return given
    for folder in (place / name for place in (references_dir, references_dir.parent) for name in MIXTURE_FOLDERS):
        if folder.is_dir():
            return folder
    raise UserError(f"no folder {' or '.join(MIXTURE_FOLDERS)} in or beside {references_dir}; name it with --mixtures")


def _by_utterance(folder: Path) -> dict[str, list[Path | None]]:
    """Files of the speakers by utterance: {id: [s1, s2, ...]}; None where a speaker's file is missing."""
    speakers = [entry for name, entry in subfolders(folder).items() if name[:1] == "s" and name[1:].isdigit()]
    speakers.sort(key=lambda entry: int(entry.name[1:]))
    if [entry.name for entry in speakers] != [f"s{i + 1}" for i in range(len(speakers))] or not speakers:
        raise UserError(f"{folder} must have folders s1, s2, ..., got {', '.join(e.name for e in speakers) or 'none'}")
    files = [audio_files(entry) for entry in speakers]
    return {name: [by_name.get(name) for by_name in files] for name in sorted(set().union(*files))}


def _evaluate_system(
    system: str,
    folder: Path,
    references: Mapping[str, list[Path | None]],
    mixtures: Mapping[str, Path],
    out_dir: Path,
    references_dir: Path,
    jobs: int | None,
    progress: bool,
    metrics: Sequence[Metric],
    shard: tuple[int, int] | None,
) -> Evaluation:
    estimates = _by_utterance(folder)
    names, unpaired = paired(references, estimates, references_dir, folder, "utterance")
    records = Records(out_dir / "utterances", {"system": system}, lacking(metrics))

    def score(name: str) -> dict[str, Any]:
        return _score_utterance(name, estimates[name], references[name], mixtures[name], records, metrics)

    scored, problems = score_each(score, names, jobs, shard, unit="utterance", progress=progress, label=system)
    if shard is not None:
        return Evaluation(problems=problems, n_tracks=len(scored))
    if not scored:
        raise UserError(f"no utterance of {system} could be scored; the first: {problems[names[0]]}")
    rates = sorted({record["sample_rate"] for record in scored})
    about = {
        "corpus": str(references_dir),
        "subset": "test",
        "system": system,
        "estimates": str(folder),
        "sample_rate": rates[0] if len(rates) == 1 else rates,
    }
    lists = {**unpaired, "problems": problems, "notes": [records.differences()]}
    return write_speech_summary(out_dir, scored, about, **lists)


def _score_utterance(
    name: str,
    estimates: list[Path | None],
    references: list[Path | None],
    mixture: Path,
    records: Records,
    metrics: Sequence[Metric],
) -> dict[str, Any]:
    wanted, given = ([path for path in paths if path] for paths in (references, estimates))
    if len(wanted) < len(references) or len(given) < len(estimates) or len(given) != len(wanted):
        raise UserError(f"{name}: {len(given)} estimates for {len(wanted)} references")
    paths = [mixture, *wanted, *given]
    files = stat_of(paths)
    record = records.load(name, files=files)
    if record:
        return record
    aligned, n_src = AlignedFiles(paths), len(references)
    signals = torch.cat([torch.stack(blocks) for blocks in aligned], -1)
    if signals.shape[1] != 1:
        raise UserError(f"{mixture}: speech is scored in one channel, this has {signals.shape[1]}")
    mix, targets, outputs = signals[0, 0], signals[1 : 1 + n_src, 0], signals[1 + n_src :, 0]
    entries = utterance_entries(name, mix, outputs, targets, aligned.sample_rate, metrics)
    unknown = float("nan")
    entries.update(sample_rate=aligned.sample_rate, speakers="", sexes="", seconds=unknown, rtf=unknown)
    return records.save(name, entries, files=files)
