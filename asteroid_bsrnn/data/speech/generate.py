"""Writes the mixtures of a plan as 16-bit WAV files with metadata: in parallel, resumable, nothing half-written."""

import csv
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile as sf

from ...common.errors import AudioError, UserError
from ...common.files import atomic_path, read_json, write_json, write_text
from .plan import Plan, in_parallel

RECORD, LEFT_OUT = "generated.json", "left_out.txt"
_HEADER = 44  # bytes of a WAV file before its samples
_RESERVE = 64 << 20  # bytes that stay free on the disk


def generate(
    plan: Plan, root: str | Path, allow_missing: bool = False, limit: int | None = None, n_jobs: int | None = None
) -> dict[str, Any]:
    """Write ``root/<split>/<stream>/<name>.wav`` and ``root/metadata/<split>/mixture_<split>_<stream>.csv``.

    Files that are there already, whole, are not written again; a split that is finished is left as it is.

    Args:
        plan: which mixtures.
        root: folder of one rate and mode, for example ``Libri2Mix/wav8k/min``.
        allow_missing: leave mixtures out whose files cannot be used, and list them in ``left_out.txt``.
        limit: the first so many mixtures only.
        n_jobs: mixtures at a time; by default one per core.

    Returns:
        Record of the split: ``mixtures``, ``left_out``, ``hours``, ``limit``, ``settings``, ``finished``.

    Raises:
        UserError: a file that cannot be used, a folder with other settings, too little room on the disk.
    """
    root = Path(root)
    folder = root / "metadata" / plan.split
    settings = plan.settings()
    begun = {"settings": settings, "finished": False}
    record: dict[str, Any] = read_json(folder / RECORD) if (folder / RECORD).exists() else begun
    if record["settings"] != settings:
        changed = next(key for key in settings if record["settings"].get(key) != settings[key])
        raise UserError(
            f"{folder} was generated with {changed} {record['settings'].get(changed)!r}, now it is {settings[changed]!r}: "
            f"remove {root / plan.split} and {folder}, or use another storage_dir"
        )
    if record["finished"] and record["limit"] == limit and (allow_missing or not record["left_out"]):
        return record
    lengths, problems = plan.lengths(allow_missing, n_jobs)
    rows = [row for row in range(len(plan.names))[:limit] if lengths[row]]
    _check_room(plan, root, rows, lengths)
    write_json(folder / RECORD, begun)
    for stream in plan.streams:
        (root / plan.split / stream).mkdir(parents=True, exist_ok=True)

    def write(row: int) -> None:
        try:
            _write_mixture(plan, root, row, lengths[row])
        except AudioError as error:  # damaged where a look at the file does not see it
            if not allow_missing:
                raise
            lengths[row] = 0
            problems.append(str(error))

    in_parallel(write, rows, f"mixing {plan.split}", n_jobs, "mixture")
    rows = [row for row in rows if lengths[row]]
    _write_metadata(plan, root, folder, rows, lengths)
    left_out = [plan.names[row] for row in range(len(plan.names))[:limit] if not lengths[row]]
    if left_out:
        write_text(folder / LEFT_OUT, "".join(f"{line}\n" for line in [*left_out, "", "because of:", *problems]))
    record = {
        "mixtures": len(rows),
        "left_out": len(left_out),
        "hours": sum(lengths[row] for row in rows) / plan.sample_rate / 3600,
        "limit": limit,
        "settings": settings,
        "finished": True,
    }
    write_json(folder / RECORD, record)
    return record


def _check_room(plan: Plan, root: Path, rows: Sequence[int], lengths: Sequence[int]) -> None:
    """Refuse to begin what the disk cannot hold."""
    sizes = {row: len(plan.streams) * (_HEADER + 2 * lengths[row]) for row in rows}
    needed = sum(size for row, size in sizes.items() if not _is_written(plan, root, row, lengths[row]))
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed and needed + _RESERVE > free:
        raise UserError(
            f"{plan.split} needs {needed / 1e9:.2f} GB in {root}, where {free / 1e9:.2f} GB are free: use another "
            "storage_dir, or storage on_the_fly, which stores nothing"
        )


def _files(plan: Plan, root: Path, row: int) -> dict[str, Path]:
    return {stream: root / plan.split / stream / f"{plan.names[row]}.wav" for stream in plan.streams}


def _is_written(plan: Plan, root: Path, row: int, length: int) -> bool:
    """Whether all files are there, whole."""
    try:
        return all(path.stat().st_size == _HEADER + 2 * length for path in _files(plan, root, row).values())
    except FileNotFoundError:
        return False


def _write_mixture(plan: Plan, root: Path, row: int, length: int) -> None:
    if _is_written(plan, root, row, length):
        return
    signals = plan.signals(row)
    for stream, path in _files(plan, root, row).items():
        partial = path.with_name(f".{secrets.token_hex(8)}.partial.wav")
        try:  # not atomic_path, which waits for the disk: the size tells a file that a crash has cut
            sf.write(partial, plan.pcm16(signals[stream]), plan.sample_rate, subtype="PCM_16")
            os.replace(partial, path)
        except (OSError, sf.LibsndfileError) as error:
            raise UserError(f"{path} cannot be written ({error}); the same command goes on from here") from None
        finally:
            partial.unlink(missing_ok=True)


def _write_metadata(plan: Plan, root: Path, folder: Path, rows: Sequence[int], lengths: Sequence[int]) -> None:
    """The CSV that Asteroid's ``LibriMix`` reads, and the JSON lists that its ``Wsj0mixDataset`` reads."""
    numbers = range(1, plan.n_src + 1)
    columns = ["mixture_ID", "mixture_path", *(f"source_{number}_path" for number in numbers), "length"]
    columns += [f"speaker_{number}_{what}" for what in ("ID", "sex") for number in numbers]
    lists: dict[str, list[list[str | int]]] = {
        stream: [] for stream in [plan.mixture_stream, *(f"s{number}" for number in numbers)]
    }
    with atomic_path(folder / f"mixture_{plan.split}_{plan.mixture_stream}.csv") as partial:
        with open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for row in rows:
                paths = {stream: str(path.resolve()) for stream, path in _files(plan, root, row).items()}
                people = plan.describe(row)
                blank = [""] * plan.n_src
                writer.writerow([plan.names[row], *(paths[stream] for stream in lists), lengths[row],
                                 *(people["speakers"] or blank), *(people["sexes"] or blank)])  # fmt: skip
                for stream, entries in lists.items():
                    entries.append([paths[stream], lengths[row]])
    for stream, entries in lists.items():
        name = "mix" if stream == plan.mixture_stream else stream
        write_json(folder / f"{name}.json", entries)
