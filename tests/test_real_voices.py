"""Corpora of real voices: nobody is in two parts, levels are LibriMix', mixtures are fixed, and the archives are fetched once."""

import io
import tarfile

import numpy as np
import pytest
import soundfile as sf
from helpers import ROOT, SHARED
from loopback import serve
from speech_corpora import tone, write

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.speech import mini_librispeech
from asteroid_bsrnn.data.speech.dynamic_mixing import DynamicMixing
from asteroid_bsrnn.data.speech.libri2mix import read_metadata
from asteroid_bsrnn.data.speech.real_voices import (
    RECORD,
    draw_mixtures,
    find_speakers,
    make_librimix_lists,
    split_speakers,
)
from asteroid_bsrnn.data.speech.speech_section import SpeechData
from asteroid_bsrnn.dsp.k_weighting import gated_loudness, loudness
from asteroid_bsrnn.recipe.configuration import load_conf

SIZES = {"n_train": 9, "n_valid": 3, "n_test": 4}


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """22 speakers to train, 3 others in a folder for tests; two utterances each."""
    root = tmp_path_factory.mktemp("voices")
    for number in range(25):
        subset, speaker = ("test-other", 90 + number) if number >= 22 else ("train-clean-100", 10 + number)
        for place in range(2):
            wav = tone(number, 0.9 + 0.05 * place, level=0.05 + 0.03 * (number % 7))
            write(root / subset / str(speaker) / "7" / f"{speaker}-7-{place:04d}.flac", wav)
    return root


def section(voices, folder, corpus="libri2mix_real", **changes):
    places = {"metadata_dir": str(folder / "metadata"), "storage_dir": str(folder), "storage": "on_the_fly"}
    stream = "mix" if corpus.startswith("wsj0") else "mix_clean"
    return SpeechData(
        corpus=corpus, speech_dir=str(voices), stream=stream, segment=0.5, **{**places, **SIZES, **changes}
    )


@pytest.mark.parametrize("corpus", ["libri2mix_real", "wsj0_2mix_real"])
def test_a_corpus_is_made_once_with_speakers_apart(voices, tmp_path, corpus):
    data = section(voices, tmp_path, corpus, dynamic_mixing=True, speeds=[0.9, 1.1])
    assert not data.is_prepared and "22 speakers" not in data.prepare() and data.is_prepared
    said = data.prepare()
    assert said == "real voices: 25 speakers, 20 for train, 2 for valid, 3 for test"
    assert [record["mixtures"] for record in data.index().values()] == [9, 3, 4]
    sets = {"train": data.train_set(), "valid": data.valid_set(), "test": data.test_set()}
    who = {
        part: {name for index in range(len(one)) for name in one.describe(index)["speakers"]}
        for part, one in sets.items()
    }
    assert not who["train"] & who["valid"] and not who["test"] & (who["train"] | who["valid"])
    mixture, sources = sets["test"][1]
    assert np.allclose(mixture, sources.sum(0), atol=1e-6) and len(mixture) > 6000
    assert sets["train"][(0, 0)][0].shape == (4000,) and not np.array_equal(
        sets["train"][(0, 0)][0], sets["train"][(1, 0)][0]
    )
    assert sets["test"].get_infos()["licenses"][0]["license"] == "CC BY 4.0"
    with pytest.raises(UserError, match="other settings"):
        section(voices, tmp_path, corpus, demo_seed=1).prepare()


def test_mixtures_are_a_function_of_the_seed(voices, tmp_path):
    sizes = {"train": 9, "valid": 3, "test": 4}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_librimix_lists(voices, tmp_path / name, sizes, seed)
    a, b, c = (read_metadata(tmp_path / name, "test-clean") for name in "abc")
    assert a == b != c


def test_levels_are_those_of_librimix(voices, tmp_path):
    """Every source lies in [-33, -25] LUFS; it reads the same file as the loudness was measured on."""
    data = section(voices, tmp_path, sample_rate=16000)
    data.prepare()
    levels = [
        gated_loudness(source[:, None].numpy(), 16000) for index in range(4) for source in data.test_set()[index][1]
    ]
    assert (
        -33.6 < min(levels) < max(levels) < -24.4 and max(levels) - min(levels) > 2
    )  # cut to the shorter: not to the digit


def test_speakers_are_split_by_what_folders_say():
    def people(*names):
        return {name: [f"{name}/1", f"{name}/2"] for name in names}

    both = split_speakers({"train-clean-5": people(*"abcd"), "dev-clean": people(*"ef"), "test-clean": people(*"gh")})
    assert (set(both["valid"]), set(both["test"]), set(both["train"])) == (set("ef"), set("gh"), set("abcd"))
    mini = split_speakers({"train-clean-5": people(*"abcdef"), "dev-clean-2": people(*"gh")})
    assert set(mini["test"]) == set("gh") and len(mini["valid"]) == 2 and len(mini["train"]) == 4
    alone = split_speakers({"anything": people(*"abcdefgh")})
    assert [len(alone[part]) for part in ("train", "valid", "test")] == [4, 2, 2] and len(
        set().union(*alone.values())
    ) == 8
    with pytest.raises(UserError, match="1 speaker.s. for test"):
        split_speakers({"train": people(*"abcd"), "test": people("e")})


def test_pairs_are_of_two_people_and_use_all_utterances():
    speakers = {name: [f"{name}{place}" for place in range(4)] for name in "abcde"}
    pairs = draw_mixtures(speakers, 30, np.random.default_rng(0))
    assert len({frozenset(path for _, path in pair) for pair in pairs}) == len(pairs) == 30
    assert all(first[0] != second[0] for first, second in pairs)
    counts = np.unique([path for pair in pairs for _, path in pair], return_counts=True)[1]
    assert len(counts) == 20 and counts.min() >= 2 and counts.max() <= 4
    assert len(draw_mixtures({"a": ["a0"], "b": ["b0"]}, 5, np.random.default_rng(0))) == 1, "no more are possible"


def test_speed_shortens_what_is_read(voices):
    """At 1.1 a tone of 500 Hz sounds at 550 Hz."""
    path = voices / "tone.wav"
    write(path, 0.5 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000))
    mixing = DynamicMixing({"a": [path], "b": [path]}, 0.5, speeds=[1.1])
    sources, _ = mixing.draw(np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(sources[0] * np.hanning(4000)))
    assert abs(spectrum.argmax() * 2 - 550) <= 2
    with pytest.raises(UserError, match="data.speeds"):
        DynamicMixing({"a": [path], "b": [path]}, 0.5, speeds=[0])


def test_gates_of_loudness():
    """EBU Tech 3341, cases 1 and 3 in short: a tone at -23 LUFS among quieter ones."""

    def sine(lufs, seconds):
        return 10 ** ((lufs + 0.0) / 20) * np.sin(2 * np.pi * 1000 * np.arange(seconds * 48000) / 48000)

    steady = np.stack([sine(-23, 5)] * 2, 1)
    assert (
        gated_loudness(steady, 48000) == pytest.approx(-23, abs=0.1) == pytest.approx(loudness(steady, 48000), abs=0.1)
    )
    spoken = np.stack([np.concatenate([sine(-36, 3), sine(-23, 12), sine(-36, 3)])] * 2, 1)
    assert gated_loudness(spoken, 48000) == pytest.approx(-23, abs=0.1) and loudness(spoken, 48000) < -24
    assert gated_loudness(np.zeros((48000, 1)), 48000) == -np.inf


def archive(files):
    """A tar.gz, bytes."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def test_mini_librispeech_is_fetched_once_when_asked(tmp_path, monkeypatch):
    import hashlib

    flac = io.BytesIO()
    sf.write(flac, tone(1, 0.6), 16000, format="FLAC", subtype="PCM_16")
    whole = {"train-clean-5.tar.gz": "train-clean-5", "dev-clean-2.tar.gz": "dev-clean-2"}
    content = {name: archive({"LibriSpeech/README.TXT": b"x", f"LibriSpeech/{subset}/1/2/1-2-0000.flac": flac.getvalue()})
               for name, subset in whole.items()}  # fmt: skip
    monkeypatch.setattr(
        mini_librispeech,
        "ARCHIVES",
        {name: (len(data), hashlib.md5(data).hexdigest()) for name, data in content.items()},
    )
    with pytest.raises(UserError, match="--download"):
        mini_librispeech.provide_voices(tmp_path / "data" / "LibriSpeech")
    with serve() as server:
        for name, data in content.items():
            server.add(f"/{name}", data)
        monkeypatch.setenv("ASTEROID_BSRNN_OPENSLR", server.url)
        mini_librispeech.provide_voices(tmp_path / "data" / "LibriSpeech", download=True)
        asked = len(server.requests)
        mini_librispeech.provide_voices(tmp_path / "data" / "LibriSpeech", download=True)
        assert len(server.requests) == asked
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["LibriSpeech"]
    assert set(find_speakers(tmp_path / "data" / "LibriSpeech")) == {"train-clean-5", "dev-clean-2"}


def test_archives_are_those_of_openslr():
    assert mini_librispeech.ARCHIVES["train-clean-5.tar.gz"] == (332954390, "5df7d4e78065366204ca6845bb08f490")
    assert mini_librispeech.ARCHIVES["dev-clean-2.tar.gz"] == (126046265, "6d7ab67ac6a1d2c993d050e16d61080d")


@pytest.mark.parametrize("recipe", ["libri2mix", "wsj0-2mix"])
def test_the_overlay_changes_paths_and_sizes_only(recipe):
    conf = load_conf(ROOT / "recipes" / recipe, overlays=[ROOT / "recipes" / recipe / "local" / "demo_real.yml"])
    assert conf["data"]["corpus"].endswith("_real") and conf["data"]["dynamic_mixing"]
    assert conf["model"] == load_conf(ROOT / "recipes" / recipe)["model"]


@pytest.mark.skipif(SHARED is None, reason="needs the voices")
def test_the_voices_as_they_lie(tmp_path):
    found = find_speakers(SHARED / "data" / "LibriSpeech")
    assert {subset: len(speakers) for subset, speakers in found.items()} == {"test-other": 10, "train-clean-100": 251}
    split = split_speakers(found)
    assert [len(split[part]) for part in ("train", "valid", "test")] == [226, 25, 10]
    assert set(split["test"]) == set(found["test-other"])
    assert RECORD == "real_voices.json"
