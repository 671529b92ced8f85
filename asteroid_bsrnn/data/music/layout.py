"""How tracks lie on disk: folders of stems as in MUSDB18-HQ, and MoisesDB; and the checks of what lies there."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.wav import WavReader
from ...common.errors import AudioError, UserError
from ...common.files import nfc, read_json
from ...common.registry import check_known, nearest
from ..corpus import CORPUS_FILE, LAYOUTS, SPLITS, Corpus, Share, Track, get_corpus
from .musdb import MUSDB18HQ_CORPUS, VALIDATION_TRACKS
from .musdb_archive import refuse_stem_mp4
from .stem_reader import StemReader

MIXTURE_AGREES = 0.02  # of the mixture's RMS: less than any stem that one hears, more than clipping and rounding
BLOCK, PLACES = 1 << 20, 8  # samples that are read at a time; stretches in which a mixture is compared


def corpus_infos(root: str | Path, corpus: Corpus = MUSDB18HQ_CORPUS) -> dict[str, Any]:
    """What ``get_infos`` of a data set in ``root`` returns: the corpus' own file, else what the corpus value says."""
    path = Path(root) / CORPUS_FILE
    return read_json(path)["infos"] if path.exists() else corpus.infos()


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; the corpus is expected as {path.parent}/{{train,test}}/<track>/<stem>.wav"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


@LAYOUTS.register
def folders(
    corpus: Corpus, root: Path, split: str, valid_tracks: Sequence[str] | None = None, limit: int | None = None
) -> list[Track]:
    """``root/{train,valid,test}/<track>/<stem>.wav``, as MUSDB18-HQ lies.

    Without a folder ``valid`` the validation tracks are those of ``train`` that are named, or drawn, and the others train.
    """
    check_known("split", split, SPLITS)
    refuse_stem_mp4(root)
    apart = split == "test" or (root / "valid").is_dir()
    found = _folders(root / (split if apart else "train"))
    if valid_tracks is not None:
        _check_there(valid_tracks, _folders(root / ("valid" if (root / "valid").is_dir() else "train")))
    wanted = "it holds no track"
    if not apart:
        named = corpus.splits.get("valid", VALIDATION_TRACKS) if valid_tracks is None else tuple(valid_tracks)
        found = [folder for folder in found if _drawn(folder.name, {"valid": named}) == split]
        if split == "valid" and not isinstance(named, float):
            wanted = f"none of the {len(named)} validation tracks is in {root / 'train'}"
    if not found:
        raise UserError(f"{root}: no {split} tracks; {wanted}")
    return [folder_track(folder, corpus) for folder in found[:limit]]


def folder_track(folder: str | Path, corpus: Corpus) -> Track:
    """The track in a folder ``<stem>.wav``, with ``mixture.wav`` beside the stems or not.

    Raises:
        AudioError: names a stem that is missing where all must be there, or a file that is no stem of the corpus.
    """
    folder = Path(folder)
    for path in sorted(folder.glob("*.wav")):
        if path.stem not in corpus.stems and path.stem != "mixture" and not path.name.startswith("."):
            raise AudioError(str(path), f"is no stem of the corpus {corpus.name}, which has {', '.join(corpus.stems)}")
    stems: dict[str, tuple[str, ...]] = {stem: (str(folder / f"{stem}.wav"),) for stem in corpus.stems}
    if not corpus.complete:
        stems = {stem: tuple(path for path in paths if Path(path).exists()) for stem, paths in stems.items()}
    mixture = folder / "mixture.wav"
    return Track(nfc(folder.name), stems, str(mixture) if mixture.exists() else None)


def _check_there(names: Iterable[str], found: Sequence[Path]) -> None:
    """Refuse a name without a folder: what was meant would train."""
    there = {nfc(folder.name) for folder in found}
    for name in names:
        if name not in there:
            where = found[0].parent if found else "an empty folder"
            raise UserError(
                f"data.valid_tracks names {name!r}, which is no track in {where}; {nearest(name, there)}".rstrip("; ")
            )


@LAYOUTS.register
def moisesdb(
    corpus: Corpus, root: Path, split: str, valid_tracks: Sequence[str] | None = None, limit: int | None = None
) -> list[Track]:
    """``root/<id>/data.json`` and ``root/<id>/<stem>/<file>.wav``; a stem is the sum of its files."""
    folders_ = [folder for folder in _folders(root) if (folder / "data.json").is_file()]
    if valid_tracks is not None:
        _check_there(valid_tracks, folders_)
    shares = dict(corpus.splits) if valid_tracks is None else {**corpus.splits, "valid": tuple(valid_tracks)}
    chosen = [folder for folder in folders_ if _drawn(folder.name, shares) == split]
    if not chosen:
        raise UserError(f"{root}: no {split} tracks among {len(folders_)} folders with a data.json")
    return [_moises_track(folder, corpus) for folder in chosen[:limit]]


def _moises_track(folder: Path, corpus: Corpus) -> Track:
    try:
        listed = json.loads((folder / "data.json").read_text(encoding="utf-8"))["stems"]
        entries = [(stem["stemName"], [entry["id"] for entry in stem["tracks"]]) for stem in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise AudioError(str(folder / "data.json"), f"lists no stems as MoisesDB does ({error!r})") from None
    stems: dict[str, tuple[str, ...]] = {stem: () for stem in corpus.stems}
    for name, ids in entries:
        if name not in stems:
            raise AudioError(
                str(folder / "data.json"),
                f"has a stem {name!r}; the corpus {corpus.name} has {', '.join(corpus.stems)}",
            )
        stems[name] += tuple(str(folder / name / f"{entry}.wav") for entry in ids)
    return Track(nfc(folder.name), stems)


def _drawn(name: str, shares: Mapping[str, Share]) -> str:
    """The split of a track: where it is named, else by the place of its name's hash among the shares."""
    name = nfc(name)
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    for split, share in shares.items():
        if not isinstance(share, (int, float)):
            if name in map(nfc, share):
                return split
        elif place < share:
            return split
        else:
            place -= share
    return "train"


def check_track(track: Track, reader: StemReader, corpus: Corpus = MUSDB18HQ_CORPUS) -> int:
    """Check the files of one track by their headers.

    Args:
        track: as :meth:`Corpus.tracks` gives it.
        reader: remembers the headers.

    Returns:
        Length in samples, of the longest file where a stem is made of several.

    Raises:
        AudioError: names the file that is missing, unreadable, or of another length, rate or number of channels.
    """
    files = [path for paths in track.stems.values() for path in paths] + ([track.mixture] if track.mixture else [])
    if not files:
        raise UserError(f"the track {track.name} of {corpus.name} has no stem at all")
    single = all(len(paths) <= 1 for paths in track.stems.values())
    frames = None
    for path in files:
        info = reader.wav.info(path)
        if info.sample_rate != corpus.sample_rate:
            raise AudioError(path, f"has a sample rate of {info.sample_rate} Hz; {corpus.sample_rate} Hz was expected")
        if info.channels != corpus.channels:
            raise AudioError(
                path, f"has {info.channels} channel{'s' * (info.channels > 1)}; {corpus.channels} were expected"
            )
        frames = info.frames if frames is None or not single else frames
        if info.frames != frames:
            raise AudioError(
                path,
                f"has {info.frames} samples and {Path(files[0]).name} {frames}; stems of a track must be equally long",
            )
    return max(reader.wav.info(path).frames for path in files)


def check_corpus(
    root: str | Path, corpus: str | Corpus = "musdb18hq", valid_tracks: Sequence[str] | None = None
) -> dict[str, int]:
    """Check a whole corpus: every split has tracks, every track its stems. Headers, and samples that may be NaN.

    A mixture that lies beside the stems must be their sum.

    Returns:
        Split -> number of tracks.

    Raises:
        UserError: for a missing or unreadable folder, or an empty split.
        AudioError: for the first file that cannot be used.
    """
    corpus, reader, counts = get_corpus(corpus), StemReader(WavReader(max_open=8)), {}
    for split in SPLITS:
        tracks = corpus.tracks(root, split, valid_tracks=valid_tracks)
        for track in tracks:
            frames = check_track(track, reader, corpus)
            _check_samples(track, reader, corpus, frames)
        counts[split] = len(tracks)
    return counts


def _check_samples(track: Track, reader: StemReader, corpus: Corpus, frames: int) -> None:
    """Floats are read through, which raises at a NaN (integers cannot hold one); a mixture is compared in places."""
    floats = [path for paths in track.stems.values() for path in paths if reader.wav.info(path).is_float]
    for path in floats:
        length = reader.wav.info(path).frames
        for start in range(0, length, BLOCK):
            reader.wav.read(path, start, min(BLOCK, length - start))
    if track.mixture and track.name not in corpus.mixtures_differ:
        _check_mixture(track, track.mixture, reader, corpus, frames)


def _check_mixture(track: Track, mixture: str, reader: StemReader, corpus: Corpus, frames: int) -> None:
    """Hold the mixture against the sum of the stems in a few stretches, spread over the track."""
    count = min(BLOCK // 4, frames)
    error = energy = 0.0
    for start in sorted({int(start) for start in np.linspace(0, frames - count, PLACES)}):
        total = sum(reader.read(track.stems[stem], start, count, corpus.channels) for stem in corpus.stems)
        mixed = reader.wav.read(mixture, start, count)
        error += float(np.square(total - mixed, dtype=np.float64).sum())
        energy += float(np.square(mixed, dtype=np.float64).sum())
    rounding = PLACES * count * corpus.channels * len(corpus.stems) * (1 / 32768) ** 2
    if error > MIXTURE_AGREES**2 * energy + rounding:
        share = (error / max(energy, 1e-30)) ** 0.5
        stems = ", ".join(corpus.stems)
        raise AudioError(mixture, f"is not the sum of the stems {stems}: it differs by {share:.1%} of its level")
