"""The layout of MUSDB18-HQ, ``root/{train,test}/<track>/{mixture,vocals,bass,drums,other}.wav``, and its checks."""

from pathlib import Path

import numpy as np

from ...common.errors import AudioError, UserError
from ...common.files import read_json
from ...audio.wav import WavReader

#: Stems in the order of the published models' outputs.
SOURCES = ("vocals", "bass", "drums", "other")
#: The 14 tracks of train/ that validate: musdb's list (`configs/mus.yaml`), repeated here because importing musdb
#: needs ffmpeg and training does not. A test holds the two together.
VALIDATION_TRACKS = (
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
)
SPLITS = ("train", "valid", "test")
CORPUS_FILE = "corpus.json"  # what the demonstration corpora say of themselves; MUSDB18-HQ has none

MUSDB18HQ_INFOS = {
    "dataset": "MUSDB18-HQ",
    "task": "music_separation",
    "licenses": [
        {
            "title": "MUSDB18-HQ, the uncompressed version of MUSDB18",
            "title_link": "https://doi.org/10.5281/zenodo.3338373",
            "author": "Zafar Rafii, Antoine Liutkus, Fabian-Robert Stöter, Stylianos Ioannis Mimilakis and Rachel Bittner",
            "author_link": "https://sigsep.github.io/",
            "license": "Academic, non-commercial use only; the tracks' own licences, mostly CC BY-NC-SA 4.0",
            "license_link": "https://sigsep.github.io/datasets/musdb.html",
            "non_commercial": True,
        }
    ],
}


def corpus_infos(root):
    """What ``get_infos`` of a data set in ``root`` returns: the corpus' own file, else MUSDB18-HQ's licence."""
    path = Path(root) / CORPUS_FILE
    return read_json(path)["infos"] if path.exists() else MUSDB18HQ_INFOS


def find_tracks(root, split, valid_tracks=None, limit=None):
    """Track folders of a split, sorted by name.

    A corpus may have a folder ``valid``; otherwise the validation tracks are those of ``train`` that are named in
    ``valid_tracks``, and the others train.

    Args:
        root (str or Path): folder of the corpus.
        split (str): ``"train"``, ``"valid"`` or ``"test"``.
        valid_tracks (list of str, optional): names; by default the 14 of MUSDB18.
        limit (int, optional): the first so many only.

    Returns:
        list of Path

    Raises:
        UserError: if there is no such folder or no track in it.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: known are {', '.join(SPLITS)}")
    root, names = Path(root), set(VALIDATION_TRACKS if valid_tracks is None else valid_tracks)
    if split == "test" or (root / "valid").is_dir():
        tracks = _folders(root / split)
    else:
        tracks = [folder for folder in _folders(root / "train") if (folder.name in names) == (split == "valid")]
    if not tracks:
        wanted = (
            f"none of the {len(names)} validation tracks is in {root / 'train'}"
            if split == "valid"
            else "it holds no track"
        )
        raise UserError(f"{root}: no {split} tracks; {wanted}")
    return tracks[:limit]


def _folders(path):
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; the corpus is expected as {path.parent}/{{train,test}}/<track>/<stem>.wav"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def check_track(folder, reader, sources=SOURCES, sample_rate=44100, channels=2):
    """Check the stems of one track by their headers.

    Args:
        folder (Path): holds ``<source>.wav`` for each source, and may hold ``mixture.wav``.
        reader (WavReader): remembers the headers.

    Returns:
        int: length in samples.

    Raises:
        AudioError: names the file that is missing, unreadable, or of another length, rate or number of channels.
    """
    folder = Path(folder)
    names = [*sources, *(["mixture"] if (folder / "mixture.wav").exists() else [])]
    frames = None
    for name in names:
        path = str(folder / f"{name}.wav")
        info = reader.info(path)
        frames = info.frames if frames is None else frames
        if info.sample_rate != sample_rate:
            raise AudioError(path, f"has a sample rate of {info.sample_rate} Hz; {sample_rate} Hz was expected")
        if info.channels != channels:
            raise AudioError(path, f"has {info.channels} channel{'s' * (info.channels > 1)}; {channels} were expected")
        if info.frames != frames:
            raise AudioError(
                path, f"has {info.frames} samples and {names[0]}.wav {frames}; stems of a track must be equally long"
            )
    return frames


def check_corpus(root, sources=SOURCES, sample_rate=44100, channels=2, valid_tracks=None):
    """Check a whole corpus: every split has tracks, every track its stems. Headers, and samples that may be NaN.

    Returns:
        dict: split -> number of tracks.

    Raises:
        UserError: for a missing or unreadable folder, or an empty split.
        AudioError: for the first file that cannot be used.
    """
    reader, counts = WavReader(max_open=8), {}
    for split in SPLITS:
        tracks = find_tracks(root, split, valid_tracks)
        for folder in tracks:
            check_track(folder, reader, sources, sample_rate, channels)
            for source in sources:
                _check_samples(reader, str(folder / f"{source}.wav"))
        counts[split] = len(tracks)
    return counts


def _check_samples(reader, path, block=1 << 20):
    """Read a floating-point file through, which raises at a NaN; integers cannot hold one."""
    info = reader.info(path)
    if info.is_float:
        out = np.empty((info.channels, min(block, info.frames)), np.float32)
        for start in range(0, info.frames, block):
            count = min(block, info.frames - start)
            reader.read(path, start, count, out=out[:, :count])
