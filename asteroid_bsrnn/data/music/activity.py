"""Source activity detection: which segments of each stem hold sound, so that training does not draw silence.

Two rules. ``reference`` is the published one [1], whose quantile is taken within each window and therefore changes
nothing: a window is kept if at least 6 of its 10 chunks have an RMS above 1e-3 in both channels. ``track`` takes the
quantile over all windows of the track, as [2] does, counts a chunk as active when either channel is (a source panned
to one side is not silent), and thereby drops the quiet passages of a stem.

References:
    [1] Magron et al., "The Costs of Reproducibility in Music Separation Research", arXiv 2603.09187.
    [2] Luo and Yu, "Music Source Separation with Band-split RNN", IEEE/ACM TASLP 2023.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...audio.wav import WavReader
from ...common.errors import AudioError, UserError
from ...common.files import atomic_path, nfc, read_json, write_json
from ...common.registry import check_known
from ..corpus import Track
from .stem_reader import StemReader

N_CHUNKS = 10  # per window
HOP_CHUNKS = 5  # between windows: half a window
QUANTILE, GAMMA, KEEP, EPS = 0.15, 1e-3, 0.5, 1e-5
MODES = ("reference", "track")
_BLOCK_CHUNKS = 60  # read at a time


def window_samples(window: float, sample_rate: int) -> int:
    """Length of a window of ``window`` seconds in samples, a multiple of its number of chunks."""
    return N_CHUNKS * int(round(window * sample_rate / N_CHUNKS))


def chunk_rms(read: Callable[[int, int], np.ndarray], frames: int, chunk_len: int) -> np.ndarray:
    """RMS of consecutive chunks; exact zeros become ``EPS``. Windows start at chunks, so each is computed once.

    Args:
        read: ``read(start, frames)`` -> (channels, frames).
        frames: length of the track; a tail shorter than a chunk is left out.
        chunk_len: samples per chunk.

    Returns:
        (channels, n_chunks)
    """
    blocks = []
    for first in range(0, frames // chunk_len, _BLOCK_CHUNKS):
        count = min(_BLOCK_CHUNKS, frames // chunk_len - first)
        audio = read(first * chunk_len, count * chunk_len)
        chunks = audio.reshape(len(audio), count, 1, chunk_len)
        blocks.append((chunks @ chunks.swapaxes(-1, -2))[..., 0, 0] / chunk_len)
    if not blocks:
        return np.empty((1, 0))
    rms = np.sqrt(np.concatenate(blocks, 1).astype(np.float64))
    return np.where(rms == 0, EPS, rms)


def active_windows(rms: np.ndarray, mode: str) -> np.ndarray:
    """Which windows are kept.

    Args:
        rms: RMS of the track's chunks, (channels, n_chunks).
        mode: ``"reference"`` or ``"track"``.

    Returns:
        One bool per window; windows are 10 chunks long and start every 5 chunks. Empty for a shorter track.
    """
    if rms.shape[1] < N_CHUNKS:
        return np.zeros(0, bool)
    windows = np.lib.stride_tricks.sliding_window_view(rms, N_CHUNKS, axis=1)[:, ::HOP_CHUNKS]
    over = (2,) if mode == "reference" else (1, 2)
    active = windows > np.maximum(np.quantile(windows, QUANTILE, axis=over, keepdims=True), GAMMA)
    if mode == "track":
        return active.any(0).mean(-1) > KEEP
    return (active.mean(-1) > KEEP).all(0)


def detect_track(track: Track, sources: Sequence[str], mode: str, window: float) -> dict[str, list[int]]:
    """First samples of the active windows of each stem of one track.

    Args:
        window: seconds.

    Returns:
        Source -> first samples; none where the track lacks the stem.
    """
    stems = StemReader(WavReader(max_open=len(sources)))
    found: dict[str, list[int]] = {source: [] for source in sources}
    for source, files in ((source, track.stems[source]) for source in sources if track.stems[source]):
        info = stems.wav.info(files[0])
        chunk_len = window_samples(window, info.sample_rate) // N_CHUNKS
        rms = chunk_rms(partial(stems.read, files, channels=info.channels), stems.frames(files), chunk_len)
        found[source] = (np.flatnonzero(active_windows(rms, mode)) * HOP_CHUNKS * chunk_len).tolist()
    return found


def write_segments(
    root: str | Path,
    tracks: Sequence[Track],
    sources: Sequence[str],
    out_dir: str | Path,
    mode: str = "reference",
    window: float = 6.0,
    sample_rate: int = 44100,
    n_jobs: int | None = 1,
    split: str = "train",
) -> list[Path]:
    """Write ``<source>_<split>.csv`` for each source: row number, ``track``, ``ind_beg``, ``ind_end`` (samples).

    Tracks that an interrupted run finished are not read again, and lists that are complete stay untouched.

    Args:
        root: folder of the corpus, for the record.
        tracks: of the corpus.
        out_dir: where the lists go.
        mode: see the module.
        window: seconds; the hop is half of it.
        n_jobs: threads; NumPy works outside of Python's lock.

    Returns:
        The lists.

    Raises:
        UserError: if the folder holds lists made otherwise, or a source is active nowhere.
        AudioError: if a stem cannot be read.
    """
    check_known("activity rule", mode, MODES)
    out_dir, made_from = (
        Path(out_dir),
        {
            "mode": mode,
            "window": window,
            "sample_rate": sample_rate,
            "tracks": sorted(track.name for track in tracks),
        },
    )
    named = {track.name: track for track in sorted(tracks, key=lambda track: track.name)}
    lists, record = [out_dir / f"{source}_{split}.csv" for source in sources], out_dir / f"{split}.json"
    check_made_from(record, {**made_from, "lengths": _lengths(named, sources)}, root)
    if all(path.exists() for path in lists):
        return lists
    made_from["root"] = str(Path(root).resolve())
    if not record.exists():
        write_json(record, made_from)
    found = _detect_all(named, sources, mode, window, out_dir / f".{split}_tracks", n_jobs)
    length = window_samples(window, sample_rate)
    for source, path in zip(sources, lists):
        rows = [(track, begin, begin + length) for track in named for begin in found[track][source]]
        if not rows:
            raise UserError(
                f"{root}: {source} is active in no window of {window:g} s in {len(tracks)} tracks; use a shorter window"
            )
        with atomic_path(path) as partial:
            pd.DataFrame(rows, columns=["track", "ind_beg", "ind_end"]).to_csv(partial)
    write_json(record, {**made_from, "lengths": _lengths(named, sources)})
    shutil.rmtree(out_dir / f".{split}_tracks")
    return lists


def _lengths(named: Mapping[str, Track], sources: Sequence[str]) -> dict[str, int]:
    """Samples of each track, of its longest file that can be read."""
    reader, found = StemReader(WavReader(max_open=len(sources))), dict.fromkeys(named, 0)
    for name, track in named.items():
        for files in track.stems.values():
            with suppress(AudioError):
                found[name] = max(found[name], reader.frames(files))
    return found


def check_made_from(path: Path, wanted: Mapping[str, Any], root: str | Path) -> None:
    """Refuse segment lists of another corpus, whatever its name, or of other settings.

    Args:
        path: ``<split>.json`` beside the lists; none, or one of version 0.1.0, says nothing of the corpus.
        wanted: settings, and ``lengths`` of tracks in samples: what must be the same, as far as the file says it.
        root: folder of the corpus, or the one in it that holds the tracks.
    """
    known, root = read_json(path) if path.exists() else {}, Path(root).resolve()
    lengths, then = wanted.get("lengths", {}), known.get("lengths", {})
    differing = [key for key in wanted.keys() & known.keys() - {"lengths"} if known[key] != wanted[key]]
    differing += ["lengths of tracks"] * any(then.get(name, length) != length for name, length in lengths.items())
    differing += ["root"] * ("root" in known and Path(known["root"]) not in (root, root / "train"))
    if differing:
        raise UserError(
            f"{path.parent} holds segment lists made with other settings or tracks ({', '.join(sorted(differing))}; root "
            f"{known.get('root', 'unknown')}): remove it to make them anew (stage 1), or name another folder in data.lists"
        )


def _detect_all(
    named: Mapping[str, Track], sources: Sequence[str], mode: str, window: float, parts: Path, n_jobs: int | None
) -> dict[str, dict[str, list[int]]]:
    """Detect on all tracks, each track's result kept in a file of its own until the lists are written."""
    from tqdm import tqdm

    def detect(name: str) -> dict[str, list[int]]:
        part = parts / f"{name}.json"
        if not part.exists():
            write_json(part, detect_track(named[name], sources, mode, window))
        return read_json(part)

    with ThreadPoolExecutor(n_jobs) as pool:
        found = tqdm(pool.map(detect, named), total=len(named), desc=f"activity ({mode})", unit="track")
        return dict(zip(named, list(found)))


def read_segments(path: str | Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A segment list as columns: track names (list), first samples and last samples + 1 (int64 arrays).

    Raises:
        UserError: if the list is missing or is not one.
    """
    try:
        table = pd.read_csv(path, index_col=0, dtype={"track": str}, keep_default_na=False)  # a track may be called NA
        columns = (
            table["track"].map(nfc).tolist(),
            table["ind_beg"].to_numpy(np.int64),
            table["ind_end"].to_numpy(np.int64),
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing: stage 1 of the recipe writes the segment lists") from None
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not a segment list (columns: row number, track, ind_beg, ind_end): {error}"
        ) from None
    if not columns[0]:
        raise UserError(f"{path} lists no segment")
    return columns
