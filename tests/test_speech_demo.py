"""The demonstrations of speech: voices, corpora in the real layouts, held-out speakers, and the recipes from stage 0 to 4."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import ROOT

from asteroid_bsrnn.audio.sphere import read_header
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.demo import talks as demo_speech
from asteroid_bsrnn.data.demo import voices as demo_voices
from asteroid_bsrnn.data.demo.voices import Speaker, choose_engine, formant_speech, make_speakers, speak
from asteroid_bsrnn.data.speech.libri2mix import read_metadata
from asteroid_bsrnn.data.speech.speech_section import SpeechData
from asteroid_bsrnn.data.speech.wsj0_2mix import read_levels, read_list

HAS_ESPEAK = shutil.which("espeak-ng") is not None
MAN, WOMAN = Speaker("M", "en-us+m1", 0.4, 160, 1.0), Speaker("F", "en-us+f2", 0.4, 160, 1.17)
SIZES = {"n_train": 12, "n_valid": 4, "n_test": 30}
engines = pytest.mark.parametrize(
    "engine",
    [
        "formant",
        pytest.param("espeak-ng", marks=pytest.mark.skipif(not HAS_ESPEAK, reason="espeak-ng is not installed")),
    ],
)


def section(root, corpus, **changes):
    stream = "mix" if corpus.startswith("wsj0") else "mix_clean"
    settings = {"voices": "formant", "segment": 1.0, **SIZES, **changes}
    return SpeechData(corpus=corpus, speech_dir=str(root / "speech"), metadata_dir=str(root / "speech" / "metadata"),
                      storage_dir=str(root), stream=stream, **settings)  # fmt: skip


@pytest.fixture(scope="module")
def libri(tmp_path_factory):
    data = section(tmp_path_factory.mktemp("libri"), "libri2mix_demo")
    data.prepare(), data.index()
    return data


@pytest.fixture(scope="module")
def wsj0(tmp_path_factory):
    data = section(tmp_path_factory.mktemp("wsj0"), "wsj0_2mix_demo")
    data.prepare(), data.index()
    return data


def pitch(wav, rate=16000):
    """Most frequent pitch in Hz, by autocorrelation of the loud frames."""
    frames = wav[: len(wav) // 640 * 640].reshape(-1, 640)
    loud = frames[np.square(frames).mean(1) > np.square(wav).mean()]
    lags = range(rate // 330, rate // 70)
    found = [max(lags, key=lambda lag: np.corrcoef(frame[:-lag], frame[lag:])[0, 1]) for frame in loud]
    return rate / np.median(found)


@engines
def test_voices_are_of_men_and_women_and_say_different_things(engine):
    text = "the tired captain painted a wooden bridge"
    man, woman = speak(text, MAN, engine), speak(text, WOMAN, engine)
    assert all(1.0 < len(wav) / 16000 < 6.0 and 0.5 < np.abs(wav).max() < 1 for wav in (man, woman))
    assert 70 < pitch(man) < 160 < pitch(woman) < 330
    assert np.array_equal(speak(text, MAN, engine), man), "the same sentence, the same sound"
    assert not np.array_equal(speak("seven letters", MAN, engine)[:8000], man[:8000])


def test_fallback_voices_have_formants_and_words():
    """The vowel a has its energy where its formants are; a word sounds the same in two sentences; words are apart."""
    vowel = formant_speech("aaaaaaaaaa", MAN)
    spectrum = np.abs(np.fft.rfft(vowel * np.hanning(len(vowel)))) ** 2
    hz = np.fft.rfftfreq(len(vowel), 1 / 16000)

    def power(centre):
        return spectrum[np.abs(hz - centre) < 120].mean()

    first, second, _ = demo_voices.VOWELS["a"]
    assert power(first) > 10 * power(1750) and power(second) > 10 * power(1750)
    spoken = formant_speech("bo bo", MAN)
    assert np.abs(spoken).max() > 0.1 and len(formant_speech("bo", MAN)) < len(spoken) / 2 + 10
    frames = np.square(spoken[: len(spoken) // 160 * 160]).reshape(-1, 160).mean(1)
    assert (frames < 1e-6 * frames.max()).any(), "a pause between words"


def test_speakers_differ():
    speakers = make_speakers(12, ("m1", "m2"), ("f1", "f2"), seed=0)
    assert len(set(speakers)) == len({speaker.variant for speaker in speakers}) == 12
    assert [speaker.sex for speaker in speakers[:4]] == ["M", "F", "M", "F"]
    held_out = [set(names) for split in ("train", "test") for names in demo_speech.SPLITS[split][1:3]]
    assert not held_out[0] & held_out[2] and not held_out[1] & held_out[3]


def test_choice_of_voices(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_engine("auto") == "formant"
    with pytest.raises(UserError, match="the program is not installed"):
        choose_engine("espeak-ng")
    with pytest.raises(UserError, match="unknown voices 'human'"):
        choose_engine("human")
    said = section(tmp_path, "libri2mix_demo", voices="auto", n_train=2, n_test=2).prepare()
    assert said.startswith("voices: the package's own formant synthesiser")


@pytest.mark.parametrize("corpus", ["libri", "wsj0"])
def test_the_generators_ran_and_agree_with_load_time_mixing(corpus, request):
    import dataclasses

    data = request.getfixturevalue(corpus)
    records = data.index()
    assert [records[split]["mixtures"] for split in ("train", "valid", "test")] == [12, 4, 30]
    whole, quantised = data.test_set(), dataclasses.replace(data, storage="on_the_fly", quantise=True).test_set()
    assert len(whole) == 30 and whole.names == quantised.names
    for index in range(0, 30, 7):
        for one, other in zip(whole[index], quantised[index]):
            assert np.array_equal(one, other)
        mixture, sources = whole[index]
        assert np.abs((mixture - sources.sum(0)).numpy()).max() < 2.1 / 32768
        gain = 10 * np.log10(np.square(sources.numpy()).mean(1))
        assert (gain > -60).all() and len(mixture) > 8000
    assert data.train_set()[(0, 0)][0].shape == (8000,)


def test_librispeech_layout_and_held_out_speakers(libri):
    root = libri.root.parents[2] / "speech"
    speakers = {split: {s for mixture in read_metadata(root / "metadata", split) for s in mixture.speakers} for split in
                ("train-clean-100", "dev-clean", "test-clean")}  # fmt: skip
    assert not set.intersection(*speakers.values()) and not speakers["test-clean"] & speakers["train-clean-100"]
    assert all(mixture.sexes in (("M", "F"), ("F", "M")) for mixture in read_metadata(root / "metadata", "test-clean"))
    flac = next((root / "test-clean").rglob("*.flac"))
    assert flac.stem.split("-")[:2] == [flac.parent.parent.name, flac.parent.name] and sf.info(flac).samplerate == 16000
    assert (root / "SPEAKERS.TXT").read_text().count("\n") == 23


def test_wsj0_layout_and_held_out_speakers(wsj0):
    root = wsj0.root.parents[3] / "speech"
    files = {path.stem: path for path in root.rglob("*.wv1")}
    levels = read_levels(root / "metadata")
    assert set(files) == set(levels) and all(read_header(path).coding == "pcm" for path in list(files.values())[:3])
    people = {}
    for split in ("tr", "cv", "tt"):
        lines = read_list(root / "metadata", split)
        assert all(line.levels[0] == -line.levels[1] and 0 < line.levels[0] <= 2.5 for line in lines)
        people[split] = {path.split("/")[1] for line in lines for path in line.paths}
        assert {path.split("/")[0] for line in lines for path in line.paths} == (
            {"si_dt_05", "si_et_05"} if split == "tt" else {"si_tr_s"}
        )
    assert people["cv"] <= people["tr"] | people["cv"] and not people["tt"] & (people["tr"] | people["cv"])
    utterances = {
        split: {path for line in read_list(root / "metadata", split) for path in line.paths} for split in ("tr", "cv")
    }
    assert not utterances["tr"] & utterances["cv"]


def _digest(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.*")
        if path.is_file()
    }


def test_a_demonstration_depends_on_its_seed_alone(libri, tmp_path):
    again, other = section(tmp_path / "a", "libri2mix_demo"), section(tmp_path / "b", "libri2mix_demo", demo_seed=1)
    again.prepare(), other.prepare()
    first = _digest(libri.root.parents[2] / "speech")
    assert _digest(tmp_path / "a" / "speech") == first
    assert not set(_digest(tmp_path / "b" / "speech").values()) & set(first.values())


def test_what_is_there_stays_and_something_else_is_refused(libri):
    before = {path: path.stat().st_mtime_ns for path in libri.root.parents[2].rglob("*")}
    assert libri.is_prepared and libri.is_indexed
    libri.prepare(), libri.index()
    assert {path: path.stat().st_mtime_ns for path in libri.root.parents[2].rglob("*")} == before
    with pytest.raises(UserError, match="holds something else than the demonstration"):
        section(libri.root.parents[2], "libri2mix_demo", n_train=13).prepare()
    with pytest.raises(UserError, match="cannot have 99999 mixtures"):
        demo_speech.draw_pairs([2, 2, 2], 99999, np.random.default_rng(0))


def run(folder, *options):
    command = ["bash", str(folder / "run.sh"), "--python_path", sys.executable, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


SHORT = ("--demo", "true", "--tag", "t", "--set", "data.n_train=8 data.n_valid=2 data.n_test=3 data.voices=formant "
         "training.epochs=1 training.effective_batch=2 energy.track=false")  # fmt: skip


def copied(recipe, tmp_path):
    """A copy of a recipe without what it has made so far."""
    shutil.copytree(ROOT / "recipes" / "speech", tmp_path / "speech")  # the variants
    return shutil.copytree(
        ROOT / "recipes" / recipe, tmp_path / recipe, ignore=shutil.ignore_patterns("data", "exp", "logs")
    )


@pytest.mark.slow
def test_the_recipe_runs_from_stage_0_to_4(tmp_path):
    """The short form; the scores of the whole one are in the recipe's README."""
    folder = copied("libri2mix", tmp_path)
    done = run(folder, "--stage", "0", *SHORT)
    assert done.returncode == 0, done.stderr
    exp = folder / "exp" / "t"
    for name in (
        "conf.yml",
        "run.json",
        "best_model.pth",
        "best_k_models.json",
        "history.csv",
        "final_metrics.json",
        "report/index.md",
    ):
        assert (exp / name).exists(), name
    table = pd.read_csv(exp / "all_metrics.csv")
    assert len(table) == 3 and np.isfinite(table["si_sdr_imp"]).all()
    assert len(list((exp / "examples" / "mix").glob("*.wav"))) == 3
    run_json = json.loads((exp / "run.json").read_text())
    assert run_json["corpus"] == "libri2mix_demo" and run_json["status"] == "finished"
    assert "demonstration" in (exp / "report" / "index.md").read_text()


@pytest.mark.slow
def test_finished_stages_change_nothing(tmp_path):
    folder = copied("wsj0-2mix", tmp_path)
    assert run(folder, "--stage", "0", "--stop_stage", "2", *SHORT).returncode == 0
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(folder, "--stage", "0", "--stop_stage", "2", *SHORT).returncode == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept


@pytest.mark.parametrize("recipe", ["libri2mix", "wsj0-2mix"])
def test_options_of_run_sh(recipe):
    folder = ROOT / "recipes" / recipe
    shown = run(folder, "--help").stdout
    wanted = "stage stop_stage variant tag demo librispeech_root download metadata_dir storage_dir allow_missing seed id python_path set repeat resume_with".split()
    wanted.append("librispeech_dir" if recipe == "libri2mix" else "wsj0_dir")
    assert all(f"  --{name} [" in shown for name in wanted) and "--protocol" not in shown
    for options, said in (
        (("--stage", "7"), "stages are 0 to 4"),
        (("--demo", "synth"), "true, real or false"),
        (("--vareant", "x"), "unknown option"),
    ):
        done = run(folder, *options)
        assert done.returncode == 2 and said in done.stderr
