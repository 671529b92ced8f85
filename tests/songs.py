"""Songs of noise, a separation of them, and both on disk: what the tests of evaluation share."""

import csv

import soundfile as sf
import torch

from asteroid_bsrnn.evaluation import evaluate_music

RATE = 200
SOURCES = ["vocals", "bass", "drums", "other"]


class Songs:
    """Three songs of noise; the second one has a second without vocals, the third one a broken second at the end."""

    def __init__(self, n_songs=3):
        self.names = [f"Band {chr(65 + i)} - Song & {i}" for i in range(n_songs)]
        self.reads = []

    def __getitem__(self, index):
        self.reads.append(self.names[index])
        sources = torch.randn(4, 2, 5 * RATE + 37 * (index == 2), generator=torch.Generator().manual_seed(index)) * 0.1
        sources[0, :, RATE : 2 * RATE] *= index != 1
        return sources.sum(0), sources


def leaky(songs, leak=0.3):
    """A separation that gives each source with some of the rest; found by the mixture it is given."""
    answers = [(mix, sources + leak * (mix - sources)) for mix, sources in (songs[i] for i in range(len(songs.names)))]

    def separate(mixture):
        return next(est for mix, est in answers if mix.shape == mixture.shape and torch.equal(mix, mixture))

    songs.reads.clear()
    return separate


def evaluate(songs, folder, separate=None, **changes):
    options = {
        "sources": SOURCES,
        "sample_rate": RATE,
        "inference": {"scheme": "whole"},
        "corpus": "noise",
        "model_id": "m1",
    }
    options |= {"progress": False, "n_examples": 1, **changes}
    return evaluate_music(separate or leaky(songs), songs, folder, **options)


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_stems(root, songs, separate=None, suffix="wav", folder=""):
    """Songs on disk: references with the mixture, or estimates, 32-bit float (FLAC: 24 bits)."""
    for index, name in enumerate(songs.names):
        mixture, sources = songs[index]
        stems = dict(zip(SOURCES, separate(mixture) if separate else sources))
        if not separate:
            stems["mixture"] = mixture
        (root / folder / name).mkdir(parents=True)
        for stem, wav in stems.items():
            subtype = "FLOAT" if suffix == "wav" else "PCM_24"
            sf.write(root / folder / name / f"{stem}.{suffix}", wav.numpy().T, RATE, subtype=subtype)
    return root
