"""Scores of any folder of stems against references in MUSDB layout, block by block."""

from pathlib import Path

import torch

from ..common.errors import UserError
from ..experiment.evaluation import Records, write_museval_folder
from ..metrics import TrackScores
from .folders import MIXTURE, AlignedFiles, audio_files, sources_of, stat_of, stem_paths, tracks
from .music_tracks import check_names, music_entries
from .pool import each, shard_of
from .summary import write_music_summary


def evaluate_folder(
    est_dir, references_dir, out_dir, *, sources=None, median_rule="numpy", jobs=None, progress=True, shard=None
):
    """Score stems on disk: ``<est_dir>/<track>/<source>.wav`` against ``<references_dir>/<track>/<source>.wav``.

    Both may have a folder ``test`` in between, as MUSDB18 has; any audio format will do. Writes the same files as
    :func:`evaluate_music`. The mixture's own scores need a ``mixture.wav`` beside the references. Memory does not grow
    with the length of a track. A track whose files have not changed since the last call is not read again.

    Args:
        est_dir (str or Path): estimates, ours or another tool's.
        references_dir (str or Path): references.
        out_dir (str or Path): where the results go.
        sources (list of str, optional): what to score; by default the stems of MUSDB that the references have.
        median_rule (str): median over the frames of a track, ``"numpy"`` or ``"lower"``.
        jobs (int, optional): tracks at the same time.
        progress (bool): show a bar.
        shard (tuple of int, optional): place from 1 and number of tasks that share the tracks: score every n-th, and write
            no more than its record. A call without it then finds all records and writes the rest.

    Returns:
        dict: content of ``evaluation.json``, with ``final``; of a shard, ``missing``, ``problems`` and ``n_tracks`` only.
        ``missing`` names tracks without estimates,
        ``problems`` why others could not be scored, ``extra`` estimates without a reference.

    Raises:
        UserError: when not a single track can be scored.
    """
    references, estimates, out_dir = tracks(references_dir), tracks(est_dir), Path(out_dir)
    missing, extra = sorted(set(references) - set(estimates)), sorted(set(estimates) - set(references))
    if len(missing) == len(references):
        raise UserError(
            f"no track of {references_dir} is in {est_dir}; names must be equal, for example {missing[0]!r}"
        )
    names = sorted(set(references) & set(estimates))
    check_names(names, references_dir, "test", median_rule)
    sources = sources_of({name: references[name] for name in names}, {name: estimates[name] for name in names}, sources)
    records = Records(out_dir / "tracks", {"sources": sources})

    def score(name):
        try:
            return _score_track(name, estimates[name], references[name], sources, records)
        except UserError as error:
            return str(error)

    names = shard_of(names, shard)
    done = dict(each(score, names, jobs, progress=progress))
    problems = {name: result for name, result in done.items() if isinstance(result, str)}
    if shard is not None:
        return {"missing": [], "problems": problems, "n_tracks": len(names) - len(problems)}
    scored = [done[name] for name in names if name not in problems]
    if not scored:
        raise UserError(f"no track could be scored; the first: {names[0]}: {problems[names[0]]}")
    write_museval_folder(out_dir / "museval", records, [record["track"] for record in scored])
    rates = sorted({record["sample_rate"] for record in scored})
    info = {
        "corpus": str(references_dir),
        "subset": "test",
        "estimates": str(est_dir),
        "inference": None,
        "sample_rate": rates[0] if len(rates) == 1 else rates,
    }
    lists = {"missing": missing, "extra": extra, "problems": problems, "notes": [records.differences()]}
    return write_music_summary(out_dir, scored, sources, median_rule, info, **lists)


def _score_track(name, est_folder, ref_folder, sources, records):
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
        output.update(torch.stack(blocks[n_src : 2 * n_src]), targets)
        if mixture:
            before.update(blocks[-1].expand_as(targets), targets)
    entries, frames = music_entries(sources, output, before)
    unknown = float("nan")  # nobody measured how long the separation took
    entries.update(sample_rate=aligned.sample_rate, seconds=unknown, rtf=unknown)
    return records.save(name, entries, frames, files=files)
