"""Corpora as values: any stems, the mixture is the sum of all, MoisesDB's layout, a corpus file is all one needs."""

import json

import numpy as np
import pytest
import soundfile
import torch
from helpers import ROOT
from music_corpus import SOURCES, write_corpus

from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.config import load_conf
from asteroid_bsrnn.data import MUSDB18HQ, MUSDB18HQTracks, music_data
from asteroid_bsrnn.data.corpus import Corpus, get_corpus, read_corpus
from asteroid_bsrnn.data.music.layout import check_corpus

SIX = (*SOURCES, "guitar", "piano")
PLAIN = {"segment": 0.1, "n_items": 8, "augmentations": [], "peak_normalise": False}


@pytest.fixture
def six(tmp_path):
    """A corpus of six stems and the file that describes it."""
    write_corpus(tmp_path / "six", stems=SIX)
    file = tmp_path / "six.yml"
    file.write_text(f"name: six\nstems: [{', '.join(SIX)}]\nsplits: {{valid: [Valid A]}}\n")
    return tmp_path / "six", str(file)


def read(path):
    return torch.from_numpy(soundfile.read(path, dtype="float32", always_2d=True)[0].T)


def test_the_mixture_is_the_sum_of_all_stems(six):
    root, file = six
    tracks = MUSDB18HQTracks(root, split="test", targets=("guitar", "vocals"), corpus=file)
    mixture, sources = tracks[0]
    folder = root / "test" / "Test A"
    torch.testing.assert_close(mixture, sum(read(folder / f"{stem}.wav") for stem in SIX), rtol=0, atol=1e-6)
    torch.testing.assert_close(sources, torch.stack([read(folder / f"{stem}.wav") for stem in ("guitar", "vocals")]))
    items = MUSDB18HQ(root, targets=SIX, corpus=file, **PLAIN)
    mixture, sources = items[3]
    torch.testing.assert_close(mixture, sources.sum(0))


def test_an_unknown_stem_is_neither_dropped_nor_guessed(six):
    root, _ = six
    for use in (lambda: check_corpus(root, valid_tracks=["Valid A"]), lambda: MUSDB18HQ(root, **PLAIN)):
        with pytest.raises(
            AudioError, match="guitar.wav: is no stem of the corpus musdb18hq, which has vocals, bass, drums"
        ):
            use()


def test_a_mixture_is_held_against_the_sum(six):
    root, file = six
    folder = root / "test" / "Test A"
    total = sum(read(folder / f"{stem}.wav") for stem in SIX)
    soundfile.write(folder / "mixture.wav", total.T.numpy(), 44100, subtype="PCM_16")
    assert check_corpus(root, file) == {"train": 3, "valid": 1, "test": 1}
    soundfile.write(folder / "mixture.wav", (total - read(folder / "guitar.wav")).T.numpy(), 44100, subtype="PCM_16")
    with pytest.raises(AudioError, match="is not the sum of the stems .*guitar.*: it differs by [34]"):
        check_corpus(root, file)


def moises_track(folder, stems, frames=9000):
    """Stems of several files each, of different lengths, as MoisesDB's data.json lists them."""
    listed = []
    for k, (stem, count) in enumerate(stems.items()):
        ids = [f"{stem}-{index}" for index in range(count)]
        (folder / stem).mkdir(parents=True)
        for index, entry in enumerate(ids):
            noise = np.random.default_rng([k, index, frames]).uniform(-0.1, 0.1, (frames - 100 * index, 2))
            soundfile.write(folder / stem / f"{entry}.wav", noise, 44100, subtype="PCM_16")
        listed.append({"id": stem, "stemName": stem, "tracks": [{"id": entry, "trackType": "x"} for entry in ids]})
    (folder / "data.json").write_text(json.dumps({"song": "S", "artist": "A", "genre": "pop", "stems": listed}))


@pytest.fixture
def moises(tmp_path):
    root = tmp_path / "moisesdb"
    for index in range(30):
        moises_track(
            root / f"song-{index:02}", {"vocals": 2, "drums": 1, **({"piano": 1} if index % 2 else {})}, 9000 + index
        )
    return root


def test_moisesdb_lies_as_it_comes(moises):
    counts = check_corpus(moises, "moisesdb")
    assert sum(counts.values()) == 30 and min(counts.values()) >= 1
    corpus = get_corpus("moisesdb")
    names = [track.name for split in counts for track in corpus.tracks(moises, split)]
    assert len(set(names)) == 30, "no song is in two splits"
    tracks = MUSDB18HQTracks(moises, split="test", targets=("vocals", "piano", "guitar"), corpus="moisesdb")
    for index, name in enumerate(tracks.names):
        mixture, (vocals, piano, guitar) = tracks[index]
        files = sorted((moises / name / "vocals").glob("*.wav"))
        first, second = read(files[0]), read(files[1])
        first[:, : second.shape[1]] += second
        torch.testing.assert_close(vocals, first)
        assert not guitar.any() and piano.any() == (int(name[-2:]) % 2 == 1)
        drums = read(next((moises / name / "drums").glob("*.wav")))
        torch.testing.assert_close(mixture, vocals + drums + piano)


def test_moisesdb_trains_from_a_corpus_file_alone(moises):
    settings = {"data": {"corpus": "moisesdb", "root": str(moises), "lists": str(moises.parent / "lists"), "sad_window": 0.1,
                         "segment": 0.05, "n_items": 4}, "task": {"sources": ["vocals", "drums"]}}  # fmt: skip
    conf = load_conf(ROOT / "recipes" / "musdb18hq", overrides=settings)
    data = music_data(conf)
    data.prepare()
    with pytest.raises(UserError, match="bass is active in no window"):
        data.index()
    data = music_data(
        load_conf(ROOT / "recipes" / "musdb18hq", overrides={**settings, "data": {**settings["data"], "sad": None}})
    )
    mixture, sources = data.train_set(("vocals", "drums"))[0]
    assert mixture.shape == (2, 2205) and sources.shape == (2, 2, 2205) and mixture.isfinite().all()


def test_a_stem_that_moisesdb_does_not_list_is_named(moises):
    moises_track(moises / "odd", {"theremin": 1})
    with pytest.raises(AudioError, match="has a stem 'theremin'"):
        for split in ("train", "valid", "test"):
            get_corpus("moisesdb").tracks(moises, split)


@pytest.mark.parametrize("text, sentence", [
    ("stems: [a, b]\ncolour: red\n", "unknown key 'colour'"),
    ("name: x\n", "at least the key 'stems'"),
    ("stems: vocals\n", "stems must be a list of names"),
    ("stems: [a, a]\n", "stems must be different names"),
    ("stems: [a]\nlayout: heap\n", "unknown layout 'heap' of .*: known are folders, moisesdb"),
    ("stems: [a\n", "is no readable YAML"),
])  # fmt: skip
def test_what_describes_no_corpus(tmp_path, text, sentence):
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_corpus(tmp_path / "c.yml")


def test_a_corpus_says_whose_it_is():
    infos = Corpus("mine", ("a", "b"), licence="CC BY-NC 4.0", author="me", citation="Me, 2026").infos()
    assert infos["task"] == "music_separation" and infos["licenses"][0]["citation"] == "Me, 2026"
    assert infos["licenses"][0]["license"] == "CC BY-NC 4.0" and infos["licenses"][0]["non_commercial"]
