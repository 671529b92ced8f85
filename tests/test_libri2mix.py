"""Libri2Mix: what the metadata means, files and load-time mixing that agree, resuming, and everything that can be wrong."""

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from helpers import SHARED
from scipy.signal import resample_poly
from speech_corpora import RATE, librispeech, tone, write

from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.data.speech import generate as generate_module
from asteroid_bsrnn.data.speech.dynamic_mixing import DynamicMixing
from asteroid_bsrnn.data.speech.generate import generate
from asteroid_bsrnn.data.speech.libri2mix import LibriMixPlan, read_metadata
from asteroid_bsrnn.data.speech.metadata import provide_metadata
from asteroid_bsrnn.data.speech.mixtures import GeneratedFiles, SpeechMixtures
from asteroid_bsrnn.data.speech.plan import OnTheFly
from asteroid_bsrnn.data.speech.utterances import extend_noise


@pytest.fixture
def root(tmp_path):
    return librispeech(tmp_path)


def make_plan(root, subset="test-clean", **changes):
    return LibriMixPlan(root / "metadata", root / "LibriSpeech", subset, **changes)


def generated(root, plan, **changes):
    generate(plan, root / "out", **changes)
    return GeneratedFiles(root / "out" / "metadata" / plan.split, plan.infos, plan.sample_rate, plan.n_src)


def read(path):
    return sf.read(path, dtype="int16")[0]


@pytest.mark.parametrize("mode, sample_rate", itertools.product(("min", "max"), (8000, 16000)))
def test_a_source_is_its_utterance_times_its_gain(root, mode, sample_rate):
    plan = make_plan(root, mode=mode, sample_rate=sample_rate)
    mixture, made = plan.mixtures[1], plan.signals(1)
    wavs = [sf.read(root / "LibriSpeech" / path)[0] * gain for path, gain in zip(mixture.paths, mixture.gains)]
    wavs = [wav if sample_rate == RATE else resample_poly(wav, 1, 2) for wav in wavs]
    length = (min if mode == "min" else max)(map(len, wavs))
    expected = [np.pad(wav[:length], (0, max(0, length - len(wav)))) for wav in wavs]
    assert list(made) == ["s1", "s2", "mix_clean"]
    for stream, wav in zip(made, [*expected, sum(expected)]):
        assert made[stream].shape == wav.shape and np.abs(made[stream] - wav).max() < 1e-6
    assert plan.lengths()[0][1] == length


def test_three_speakers(tmp_path):
    plan = make_plan(librispeech(tmp_path, n_src=3), n_src=3)
    made = plan.signals(0)
    assert list(made) == ["s1", "s2", "s3", "mix_clean"]
    np.testing.assert_allclose(made["mix_clean"], made["s1"] + made["s2"] + made["s3"], atol=1e-6)
    assert len(set(plan.describe(0)["speakers"])) == 3


@pytest.mark.parametrize("mode, sample_rate, n_src", [("min", 8000, 2), ("max", 16000, 2), ("min", 16000, 3)])
def test_files_and_load_time_mixing_agree_sample_by_sample(tmp_path, mode, sample_rate, n_src):
    root = librispeech(tmp_path, n_src=n_src)
    plan = make_plan(root, mode=mode, sample_rate=sample_rate, n_src=n_src)
    files, quantised, exact = generated(root, plan), OnTheFly(plan, quantise=True), OnTheFly(plan)
    assert files.names == quantised.names and files.lengths == quantised.lengths
    for index, length in enumerate(files.lengths):
        for start, frames in ((0, -1), (17, length - 40)):
            stored, rounded, unrounded = (source.load(index, start, frames) for source in (files, quantised, exact))
            for a, b, c in zip(stored, rounded, unrounded):
                assert a.dtype == b.dtype == np.float32 and np.array_equal(a, b)
                assert 0 < np.abs(a - c).max() < 1.5 / 32768  # libsndfile scales by 32767
        assert files.describe(index) == exact.describe(index)


def test_rounding_is_that_of_the_library(root, tmp_path):
    plan = make_plan(root)
    wav = np.array(
        [0.0, 1 / 32768, 0.5 / 32768, -0.5 / 32768, 1.5 / 32768, 0.99999, 1.2, -1.2, -1.0, 0.33333], np.float32
    )
    sf.write(tmp_path / "a.wav", wav, 8000, subtype="PCM_16")
    assert np.array_equal(plan.pcm16(wav), read(tmp_path / "a.wav"))
    assert np.array_equal(plan.pcm16(np.stack([wav, -wav]))[1], plan.pcm16(-wav))


def test_asteroid_reads_what_is_generated(root):
    from asteroid.data import LibriMix

    import asteroid_bsrnn  # noqa: F401, before asteroid, which it repairs

    plan = make_plan(root)
    files = generated(root, plan)
    theirs = LibriMix(
        str(root / "out" / "metadata" / "test"), task="sep_clean", sample_rate=8000, n_src=2, segment=None
    )
    assert len(theirs) == len(files.names) == 3
    for index in range(3):
        mixture, sources = theirs[index]
        ours = files.load(index, 0, -1)
        assert torch.equal(mixture, torch.from_numpy(ours[1])) and torch.equal(sources, torch.from_numpy(ours[0]))


def test_tree_and_streams(root):
    generate(make_plan(root), root / "out")
    folders = sorted(path.name for path in (root / "out" / "test").iterdir())
    assert folders == ["mix_clean", "s1", "s2"], "only what is asked for, and no noise"
    names = {path.name for path in (root / "out" / "test" / "s1").iterdir()}
    assert names == {f"{name}.wav" for name in make_plan(root).names}
    assert [path.name for path in (root / "out" / "metadata" / "test").glob("*.csv")] == ["mixture_test_mix_clean.csv"]


@pytest.mark.parametrize("stream, heard", [("mix_both", ("s1", "s2", "noise")), ("mix_single", ("s1", "noise"))])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_noisy_streams(tmp_path, stream, heard, mode):
    root = librispeech(tmp_path, subsets=("test-clean",), noise=True)
    plan = make_plan(root, stream=stream, noise_dir=root / "noise", mode=mode)
    for index in range(3):
        made = plan.signals(index)
        assert set(made) == {"s1", "s2", "noise", stream}
        np.testing.assert_allclose(made[stream], sum(made[name] for name in heard), atol=1e-6)
    with pytest.raises(UserError, match="needs the WHAM noise folder"):
        make_plan(root, stream=stream)


@pytest.mark.parametrize("length", [5, 30000, 30001, 52000, 100000])
def test_short_noise_is_extended_as_in_the_official_script(length):
    """Written down sample by sample: copy k begins 22,000 - 8001 samples after the one before and fades over 8001."""
    noise = np.random.default_rng(0).standard_normal(22000).astype(np.float32)
    total, step, window = np.zeros(150000), 22000 - 8001, np.hanning(16001)
    copies = 1 + max(0, -(-(length - 22000) // step))
    for copy in range(copies):
        part = noise.astype(float)
        if copy:
            part[:8001] *= window[:8001]
        if copy < copies - 1:
            part[-8001:] *= window[8000:]
        total[copy * step : copy * step + 22000] += part
    expected = total[:length] if length > 22000 else noise[:length]
    np.testing.assert_allclose(extend_noise(noise, length), expected, atol=1e-6)
    assert extend_noise(np.ones(9000, np.float32), length) == pytest.approx(np.ones(length))  # the fades sum to one
    assert len(extend_noise(noise[:100], length)) == length


def test_noise_shorter_than_its_mixture_fades(tmp_path):
    root = librispeech(tmp_path, subsets=("test-clean",), noise=True)
    write(root / "noise" / "tt" / "noise0.wav", np.stack([tone(90, 0.6)] * 2, 1))
    plan = make_plan(root, stream="mix_both", noise_dir=root / "noise", mode="max", sample_rate=16000)
    noise, _ = sf.read(root / "noise" / "tt" / "noise0.wav", dtype="float32")
    made, gain = plan.signals(0), np.float32(plan.mixtures[0].noise[1])
    assert made["noise"].shape[0] > len(noise)
    np.testing.assert_allclose(made["noise"], extend_noise(noise[:, 0], made["noise"].shape[0]) * gain, atol=1e-6)


def test_a_second_run_changes_nothing_and_an_interrupted_one_goes_on(root, monkeypatch):
    plan, written = make_plan(root), []
    monkeypatch.setattr(plan, "signals", lambda row: written.append(row) or LibriMixPlan.signals(plan, row))
    first = generate(plan, root / "out", n_jobs=1)
    assert written == [0, 1, 2] and first["mixtures"] == 3 and first["left_out"] == 0
    stamps = {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*.*")}
    shutil.rmtree(root / "LibriSpeech")
    assert generate(plan, root / "out") == first
    assert {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*.*")} == stamps


def test_an_interrupted_run_goes_on_where_it_stopped(root, monkeypatch):
    plan, written = make_plan(root), []

    def fail_at_the_last(row):
        if row == 2:
            raise KeyboardInterrupt
        return LibriMixPlan.signals(plan, row)

    monkeypatch.setattr(plan, "signals", fail_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        generate(plan, root / "out", n_jobs=1)
    assert not list((root / "out").rglob("*.partial*")) and not list((root / "out").rglob("*.csv"))
    cut = root / "out" / "test" / "s2" / f"{plan.names[0]}.wav"
    cut.write_bytes(cut.read_bytes()[:-10])
    monkeypatch.setattr(plan, "signals", lambda row: written.append(row) or LibriMixPlan.signals(plan, row))
    generate(plan, root / "out", n_jobs=1)
    assert written == [0, 2], "the cut one and the missing one"


def test_parallel_and_serial_give_the_same_bytes(root):
    for jobs in (1, 4):
        generate(make_plan(root), root / f"out{jobs}", n_jobs=jobs)
    one, four = (
        {path.name + path.parent.name: path.read_bytes() for path in (root / f"out{jobs}").rglob("*.wav")}
        for jobs in (1, 4)
    )
    assert one == four and len(one) == 9


def test_limit_can_be_raised_later(root):
    assert generate(make_plan(root), root / "out", limit=1)["mixtures"] == 1
    assert generate(make_plan(root), root / "out", limit=2)["mixtures"] == 2
    assert len(GeneratedFiles(root / "out" / "metadata" / "test", {}, 8000).names) == 2


def test_other_settings_in_the_same_folder_are_refused(root):
    generate(make_plan(root), root / "out")
    csv = root / "metadata" / "libri2mix_test-clean.csv"
    csv.write_text(csv.read_text().replace("0.81", "0.82"))
    with pytest.raises(UserError, match="was generated with metadata .* now it is"):
        generate(make_plan(root), root / "out")


def test_a_full_disk_is_named_before_anything_is_written(root, monkeypatch):
    usage = shutil.disk_usage(root)._replace(free=(64 << 20) + 1000)
    monkeypatch.setattr(generate_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"test needs 0.00 GB in .*where 0.07 GB are free.*on_the_fly"):
        generate(make_plan(root), root / "out")
    assert not list((root / "out").rglob("*.wav"))


def test_a_disk_that_fills_up_leaves_nothing_half_written(root, monkeypatch):
    def full(partial, *args, **kwargs):
        if not isinstance(partial, Path):
            return write_wav(partial, *args, **kwargs)
        partial.write_bytes(b"RIFF")
        raise OSError(28, "No space left on device")

    write_wav = sf.write
    monkeypatch.setattr(generate_module.sf, "write", full)
    with pytest.raises(UserError, match="cannot be written .*No space left on device.*goes on from here"):
        generate(make_plan(root), root / "out", n_jobs=1)
    assert not list((root / "out").rglob("*.wav"))


BROKEN = {
    "missing": (lambda path: path.unlink(), "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "is broken"),
    "text": (lambda path: path.write_text("hello"), "is broken"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-4000]), "is (truncated|broken)"),
    "other rate": (lambda path: sf.write(path, np.zeros(4000), 8000), "at 8000 Hz; mono at 16000 Hz was expected"),
    "stereo": (lambda path: sf.write(path, np.zeros((4000, 2)), 16000), r"of 2 channel\(s\)"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_used_stops_early_or_is_left_out(root, kind):
    spoil, said = BROKEN[kind]
    plan = make_plan(root)
    bad = plan.paths(0)[0]
    spoil(root.joinpath(bad))
    for start in (lambda: generate(plan, root / "out"), lambda: OnTheFly(plan)):
        with pytest.raises(UserError, match=f"{root.joinpath(bad).name}.*{said}.*--allow_missing") as caught:
            start()
        assert "\n" not in str(caught.value)
    assert not list((root / "out").rglob("*.wav"))
    record = generate(plan, root / "out", allow_missing=True)
    lost = [name for index, name in enumerate(plan.names) if bad in plan.paths(index)]
    assert record["left_out"] == len(lost) > 0 and record["mixtures"] == 3 - len(lost)
    listed = (root / "out" / "metadata" / "test" / "left_out.txt").read_text()
    assert all(name in listed for name in lost) and bad in listed
    assert OnTheFly(plan, allow_missing=True).left_out == lost
    with pytest.raises(UserError):
        generate(plan, root / "out")


def test_damage_inside_a_file_is_named_when_it_is_mixed(root):
    plan = make_plan(root)
    bad = Path(plan.paths(0)[0])
    write(bad, tone(0, 30.0))
    data = bytearray(bad.read_bytes())
    data[20000:24000] = bytes(4000)
    bad.write_bytes(bytes(data))
    assert all(plan.lengths()[0]), "a look at the file does not see it"
    with pytest.raises(AudioError, match=f"{bad.name}: is broken"):
        generate(plan, root / "out", n_jobs=1)
    record = generate(plan, root / "out", allow_missing=True)
    assert record["left_out"] > 0 and str(bad) in (root / "out" / "metadata" / "test" / "left_out.txt").read_text()


def test_nothing_left_is_an_error(root):
    shutil.rmtree(root / "LibriSpeech" / "test-clean")
    with pytest.raises(UserError, match="not one mixture has all its files"):
        generate(make_plan(root), root / "out", allow_missing=True)


def test_bad_metadata(root, tmp_path):
    folder = root / "metadata"
    good = (folder / "libri2mix_test-clean.csv").read_text()

    def refused(said, text=None, subset="test-clean"):
        (folder / "libri2mix_test-clean.csv").write_text(good if text is None else text)
        with pytest.raises(UserError, match=said):
            read_metadata(folder, subset)

    refused("unknown subset 'test-other'", subset="test-other")
    refused("metadata of another version: it has no column 'source_1_gain'", good.replace("source_1_gain", "gain_1"))
    refused("cannot be read", good.replace("0.81", "loud"))
    refused("an empty field", good.replace(good.splitlines()[1].split(",")[1], ""))
    refused("twice", good + good.splitlines()[1] + "\n")
    (folder / "libri2mix_test-clean.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UserError, match="is no readable CSV"):
        read_metadata(folder, "test-clean")
    (folder / "libri2mix_test-clean.csv").write_text(good)
    (folder / "copy").mkdir()
    shutil.copy(folder / "libri2mix_test-clean.csv", folder / "copy")
    refused("holds libri2mix_test-clean.csv twice")
    with pytest.raises(UserError, match="no libri2mix_test-clean.csv"):
        read_metadata(tmp_path / "nowhere", "test-clean")


def test_bad_settings(root):
    for changes, said in (({"mode": "mean"}, "unknown mode"), ({"sample_rate": 11025}, "unknown sample_rate 11025"),
                          ({"n_src": 4}, "unknown n_src 4"), ({"stream": "mix"}, "unknown stream 'mix'")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            make_plan(root, **changes)
    with pytest.raises(UserError, match="there is no LibriSpeech folder"):
        LibriMixPlan(root / "metadata", root / "none", "test-clean")


def test_generated_folders_that_cannot_be_read(root):
    files, folder = generated(root, make_plan(root)), root / "out" / "metadata" / "test"
    (root / "out" / "test" / "s1" / f"{files.names[0]}.wav").unlink()
    with pytest.raises(AudioError, match="generate the mixtures again"):
        files.load(0, 0, -1)
    shutil.copy(files.path, folder / "b.csv")
    with pytest.raises(UserError, match="holds 2 CSVs"):
        GeneratedFiles(folder, {}, 8000)
    (folder / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column 'mixture_ID'"):
        GeneratedFiles(folder / "b.csv", {}, 8000)
    with pytest.raises(UserError, match="holds no CSV"):
        GeneratedFiles(root / "out", {}, 8000)


def test_training_crops_depend_on_seed_epoch_and_index_alone(root):
    source = OnTheFly(make_plan(root))
    dataset = SpeechMixtures(source, segment=0.4, seed=3)
    mixture, sources = dataset[(2, 1)]
    assert mixture.shape == (3200,) and sources.shape == (2, 3200) and mixture.dtype == torch.float32
    torch.testing.assert_close(mixture, sources.sum(0))
    torch.manual_seed(5), np.random.seed(5)
    assert torch.equal(SpeechMixtures(source, segment=0.4, seed=3)[(2, 1)][0], mixture)
    others = [dataset[(1, 1)], dataset[(2, 0)], SpeechMixtures(source, segment=0.4, seed=4)[(2, 1)]]
    assert not any(torch.equal(other[0], mixture) for other in others)


def test_short_mixtures_do_not_train_and_none_is_an_error(root):
    source = OnTheFly(make_plan(root))
    between = (min(source.lengths) + max(source.lengths)) / 2 / 8000
    dataset = SpeechMixtures(source, segment=between)
    assert dataset.dropped > 0 and len(dataset) + dataset.dropped == 3
    whole = SpeechMixtures(source, limit=2)
    assert [len(whole[i][0]) for i in range(2)] == source.lengths[:2] and whole.names == source.names[:2]
    assert whole.get_infos()["licenses"] and whole.dataset_name == "Libri2Mix"
    with pytest.raises(UserError, match="none of 3 mixtures is 9 s long"):
        SpeechMixtures(source, segment=9.0)


@pytest.mark.parametrize("levels", ["librispeech", "wsj0"])
def test_dynamic_mixing(tmp_path, levels):
    paths = {f"s{speaker}": [tmp_path / f"{speaker}{k}.wav" for k in range(2)] for speaker in range(3)}
    for number, path in enumerate(path for group in paths.values() for path in group):
        write(path, tone(number, 0.3 if number == 0 else 0.8))
    mixing = DynamicMixing(paths, 0.5, levels=levels)
    assert paths["s0"][0] not in mixing.utterances["s0"], "too short"
    seen = []
    for draw in range(60):
        sources, mixture = mixing.draw(np.random.default_rng(draw))
        assert sources.shape == (2, 4000) and np.abs(mixture).max() <= 0.9 + 1e-6
        np.testing.assert_allclose(sources.sum(0), mixture, atol=1e-6)
        seen.append(10 * np.log10(np.mean(sources**2, axis=1)))
    seen = np.array(seen)
    if levels == "librispeech":
        assert seen.min() > -33.01 and seen.max() < -24.99 and abs(seen.mean() + 29) < 1
    else:
        assert abs((seen[:, 1] - seen[:, 0]).mean() + 2.51) < 1 and abs(seen[:, 0].mean() + 27.43) < 1
    again = mixing.draw(np.random.default_rng(5))[1]
    assert np.array_equal(again, DynamicMixing(paths, 0.5, levels=levels).draw(np.random.default_rng(5))[1])
    with pytest.raises(UserError, match="0 speakers have an utterance of 5 s"):
        DynamicMixing(paths, 5.0)
    with pytest.raises(UserError, match="unknown levels"):
        DynamicMixing(paths, 0.5, levels="loud")


def test_metadata_is_cloned_once(tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repo)]
    subprocess.run([*git, "init", "-q"], check=True)
    (repo / "list.csv").write_text("a\n")
    subprocess.run([*git, "add", "list.csv"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "list"], check=True)
    provide_metadata(tmp_path / "deep" / "clone", f"file://{repo}")
    assert (tmp_path / "deep" / "clone" / "list.csv").read_text() == "a\n"
    provide_metadata(tmp_path / "deep" / "clone", "file:///nowhere")
    with pytest.raises(UserError, match="cloning file:///nowhere failed"):
        provide_metadata(tmp_path / "other", "file:///nowhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "repo"]
    with pytest.raises(UserError, match="no metadata_url"):
        provide_metadata(tmp_path / "other")


@pytest.mark.skipif(SHARED is None, reason="needs the public metadata")
def test_real_metadata(tmp_path):
    """A subset of the real list over signals of our own: the real paths, gains and names."""
    mixtures = read_metadata(SHARED / "data" / "metadata", "test-clean")
    assert len(mixtures) == 3000 and len({mixture.name for mixture in mixtures}) == 3000
    assert {sex for mixture in mixtures for sex in mixture.sexes} == {"M", "F"}
    for number, path in enumerate({path for mixture in mixtures[:2] for path in mixture.paths}):
        write(tmp_path / path, tone(number, 0.5 + 0.1 * number))
    plan = LibriMixPlan(SHARED / "data" / "metadata", tmp_path, "test-clean")
    record = generate(plan, tmp_path / "out", limit=2, allow_missing=True)
    assert record["mixtures"] == 2
    names = sorted(path.name for path in (tmp_path / "out" / "test" / "mix_clean").iterdir())
    assert names == sorted(f"{mixture.name}.wav" for mixture in mixtures[:2])
