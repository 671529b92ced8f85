"""A demonstration corpus from the one real excerpt that comes with stempeg: 6 s of a MUSDB18 track, decoded and cut.

The excerpt is cut in time: the first seconds train, the next validate, the last test; no second is in two splits.
Scores on it show that everything works, and say nothing about other music.
"""

from pathlib import Path

import numpy as np

from ...audio.wav import write_wav
from ...common.errors import UserError
from ...common.files import write_json
from ..corpus import CORPUS_FILE

#: Order of the streams in a MUSDB18 stem file.
STREAMS = ("mixture", "drums", "bass", "other", "vocals")
SAMPLE_RATE = 44100
LENGTH = 6.0  # seconds at the end of the file; what comes before holds a click of the decoder
#: Split and name of each track, and its seconds of the excerpt. Training tracks overlap one another only.
CUTS = {
    ("train", "Falcon 69 - 1"): (0.0, 2.4),
    ("train", "Falcon 69 - 2"): (0.6, 3.0),
    ("train", "Falcon 69 - 3"): (1.2, 3.6),
    ("valid", "Falcon 69 - 4"): (3.6, 4.8),
    ("test", "Falcon 69 - 5"): (4.8, 6.0),
}
INFOS = {
    "dataset": "MUSDB18 excerpt",
    "task": "music_separation",
    "licenses": [
        {
            "title": "Falcon 69 (excerpt in MUSDB18)",
            "title_link": "https://sigsep.github.io/datasets/musdb.html",
            "author": "The Easton Ellises",
            "author_link": "https://sigsep.github.io/datasets/musdb.html",
            "license": "CC BY-NC-SA 3.0",
            "license_link": "https://creativecommons.org/licenses/by-nc-sa/3.0/",
            "non_commercial": True,
        }
    ],
}


def decode_excerpt() -> dict[str, np.ndarray]:
    """The excerpt's streams by name, float64 (2, time), without the decoder's click and scaled to fit 16 bit.

    Raises:
        UserError: if stempeg (which comes with musdb) or ffmpeg is missing.
    """
    try:
        import stempeg
    except (ImportError, RuntimeError) as error:  # stempeg raises RuntimeError without ffmpeg
        raise UserError(f"the excerpt corpus needs the package stempeg and the program ffmpeg: {error}") from None
    audio, sample_rate = stempeg.read_stems(stempeg.example_stem_path())
    if sample_rate != SAMPLE_RATE or len(audio) != len(STREAMS):
        raise UserError(
            f"stempeg's example has {len(audio)} streams at {sample_rate} Hz, "
            f"not {len(STREAMS)} at {SAMPLE_RATE} Hz as expected"
        )
    audio = audio[:, -int(LENGTH * SAMPLE_RATE) :].swapaxes(1, 2)
    stems = dict(zip(STREAMS[1:], audio[1:]))
    stems["mixture"] = sum(stems.values())
    peak = max(abs(stem).max() for stem in stems.values())
    return {name: stem / max(peak, 1.0) for name, stem in stems.items()}


def make_excerpt(root: str | Path) -> None:
    """Write the corpus in MUSDB18-HQ's layout, with a folder ``valid`` of its own.

    Args:
        root: where; created when missing.
    """
    streams = decode_excerpt()
    for (split, track), (begin, end) in CUTS.items():
        for name, audio in streams.items():
            cut = audio[:, int(round(begin * SAMPLE_RATE)) : int(round(end * SAMPLE_RATE))]
            write_wav(Path(root) / split / track / f"{name}.wav", cut, SAMPLE_RATE)
    write_json(Path(root) / CORPUS_FILE, {"corpus": "excerpt", "settings": {}, "infos": INFOS})
