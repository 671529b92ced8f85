"""Scores of any folder of stems against references in MUSDB layout, block by block."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..experiment.evaluation import Evaluation
from ..experiment.records import Records, write_museval_folder
from ..metrics import TrackScores
from .folders import MIXTURE, AlignedFiles, audio_files, paired, sources_of, stat_of, stem_paths, tracks
from .music_tracks import check_names, lacking, music_entries
from .pool import score_each
from .summary import write_music_summary


def evaluate_folder(
    est_dir: str | Path,
    references_dir: str | Path,
    out_dir: str | Path,
    *,
    sources: Sequence[str] | None = None,
    median_rule: str = "numpy",
    jobs: int | None = None,
    progress: bool = True,
    shard: tuple[int, int] | None = None,
) -> Evaluation:
    """Score stems on disk: ``<est_dir>/<track>/<source>.wav`` against ``<references_dir>/<track>/<source>.wav``.

    Both may have a folder ``test`` in between, as MUSDB18 has; any audio format will do. Writes the same files as
    :func:`evaluate_music`. The mixture's own scores need a ``mixture.wav`` beside the references. Memory does not grow
    with the length of a track. A track whose files have not changed since the last call is not read again.

    Args:
        est_dir: estimates, ours or another tool's.
        references_dir: references.
        out_dir: where the results go.
        sources: what to score; by default the stems of MUSDB that the references have.
        median_rule: median over the frames of a track, ``"numpy"`` or ``"lower"``.
        jobs: tracks at the same time.
        progress: show a bar.
        shard: place from 1 and number of tasks that share the tracks: score every n-th, and write no more than its record. A
            call without it then finds all records and writes the rest.

    Returns:
        The evaluation, as it was written; of a shard, ``problems`` and ``n_tracks`` only. ``missing`` names tracks without estimates,
        ``problems`` why others could not be scored, ``extra`` estimates without a reference.

    Raises:
        UserError: when not a single track can be scored.
    """
    references, estimates, out_dir = tracks(references_dir), tracks(est_dir), Path(out_dir)
    names, unpaired = paired(references, estimates, references_dir, est_dir, "track")
    check_names(names, references_dir, "test", median_rule)
    sources = sources_of({name: references[name] for name in names}, {name: estimates[name] for name in names}, sources)
    records = Records(out_dir / "tracks", {"sources": sources}, lacking)

    def score(name: str) -> dict[str, Any]:
        return _score_track(name, estimates[name], references[name], sources, records)

    scored, problems = score_each(score, names, jobs, shard, progress=progress)
    if shard is not None:
        return Evaluation(problems=problems, n_tracks=len(scored))
    if not scored:
        raise UserError(f"no track could be scored; the first: {names[0]}: {problems[names[0]]}")
    write_museval_folder(out_dir / "museval", records, [record["track"] for record in scored])
    rates = sorted({record["sample_rate"] for record in scored})
    about = {
        "corpus": str(references_dir),
        "subset": "test",
        "estimates": str(est_dir),
        "sample_rate": rates[0] if len(rates) == 1 else rates,
    }
    lists = {**unpaired, "problems": problems, "notes": [records.differences()]}
    return write_music_summary(out_dir, scored, sources, median_rule, about, **lists)


def _score_track(
    name: str, est_folder: Path, ref_folder: Path, sources: Sequence[str], records: Records
) -> dict[str, Any]:
    """The record of one track, from before or computed now."""
    paths = stem_paths(ref_folder, sources, "references") + stem_paths(est_folder, sources, "estimates")
    mixture = audio_files(ref_folder).get(MIXTURE)
    paths += [mixture] if mixture else []
    files = stat_of(paths)
    record = records.load(name, files=files)
    if record:
        return record
    aligned, n_src = AlignedFiles(paths), len(sources)
    output, before = TrackScores(aligned.sample_rate), TrackScores(aligned.sample_rate) if mixture else None
    for blocks in aligned:
        targets = torch.stack(blocks[:n_src])
        mix = blocks[-1] if before else None
        output.update(torch.stack(blocks[n_src : 2 * n_src]), targets, mix)
        if before and mix is not None:
            before.update(mix.expand_as(targets), targets, mix)
    entries, frames = music_entries(sources, output, before)
    unknown = float("nan")  # nobody measured how long the separation took
    entries.update(sample_rate=aligned.sample_rate, seconds=unknown, rtf=unknown)
    return records.save(name, entries, frames, files=files)
