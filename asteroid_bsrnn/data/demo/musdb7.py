"""A demonstration corpus of real music that needs no form: 7 seconds of every song of MUSDB18, in the official splits.

The excerpts are read by musdb itself, whose stems are compressed (AAC); they are written as WAV files in MUSDB18-HQ's
layout. Scores on them show that everything works; they are not those of whole songs.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.wav import write_wav
from ...common.errors import UserError
from ...common.files import write_json
from ..corpus import CORPUS_FILE, get_corpus
from ..music.musdb_archive import is_there, unpacked

RECORD = 3270814
ARCHIVE = "MUSDB18-7-STEMS.zip"
SAMPLE_RATE = 44100

_WHERE = f"""the excerpts are not at {{root}}.
They are 147 MB at https://doi.org/10.5281/zenodo.{RECORD} (file {ARCHIVE}, 144 songs, MD5 dc2bdfac5b46ce742bd60009866758a5): let this
stage download them (--download true), or put the file beside {{root}} and do the same."""


def provide_musdb7(root: str | Path, download: bool = False, api: str | None = None) -> None:
    """Make sure that ``root`` holds the excerpts as WAV files; what is there stays untouched.

    Args:
        root: folder for ``train`` and ``test``.
        download: fetch them when they are missing.
        api: address of the Zenodo API.

    Raises:
        UserError: if they are missing and ``download`` is false (says where they come from), the download fails, or musdb
            or ffmpeg is missing.
    """
    root = Path(root)
    if not is_there(root, download, _WHERE):
        _musdb()
        with unpacked(RECORD, ARCHIVE, root, api) as top:
            write_excerpts(top, top / "wav")
            os.replace(top / "wav", root)


def _musdb() -> Any:
    try:
        import musdb
    except (ImportError, RuntimeError) as error:  # stempeg raises RuntimeError without ffmpeg
        raise UserError(f"the corpus musdb7 needs the package musdb and the program ffmpeg: {error}") from None
    return musdb


def write_excerpts(stems_dir: Path, out_dir: Path) -> int:
    """Decode a folder of MUSDB18's stem files into MUSDB18-HQ's layout.

    Args:
        stems_dir: holds train/ and test/ with ``<song>.stem.mp4``.
        out_dir: where train/<song>/<stem>.wav and test/... go.

    Returns:
        Number of songs.

    Raises:
        UserError: if there is none.
    """
    songs = _musdb().DB(root=str(stems_dir), subsets=["train", "test"])
    streams = songs.setup["stem_ids"]
    if not songs.tracks:
        raise UserError(f"{stems_dir} holds no *.stem.mp4 in train/ and test/")

    def decode(song: Any) -> None:
        audio = np.asarray(song.stems).swapaxes(1, 2)  # (streams, channels, time)
        stems = {name: audio[streams[name]] for name in get_corpus("musdb7").stems}
        gain = 1 / max(1.0, max(np.abs(stem).max() for stem in stems.values()))  # what AAC adds must not clip
        for name, stem in stems.items():
            write_wav(out_dir / song.subset / song.name / f"{name}.wav", gain * stem, SAMPLE_RATE)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is ffmpeg's
        list(pool.map(decode, songs.tracks))
    write_json(out_dir / CORPUS_FILE, {"corpus": "musdb7", "settings": {}, "infos": get_corpus("musdb7").infos()})
    return len(songs.tracks)
