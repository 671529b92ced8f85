"""Evaluation of experiments and folders: right numbers, museval's format, resume, nothing left out silently."""
import csv
import json
import math
import re
import threading

import numpy as np
import pytest
import soundfile as sf
import torch

from asteroid_bsrnn.engine import evaluation
from asteroid_bsrnn.engine.evaluation import evaluate_folder, evaluate_music, pool
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.metrics import TrackScores, csdr, usdr
from asteroid_bsrnn.scripts.main import main

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
    options = {"sources": SOURCES, "sample_rate": RATE, "inference": {"scheme": "whole"}, "corpus": "noise", "model_id": "m1"}
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


@pytest.fixture
def disk(tmp_path):
    """(estimates, references) of three songs on disk."""
    songs = Songs()
    return write_stems(tmp_path / "est", songs, leaky(songs)), write_stems(tmp_path / "ref", songs)


@pytest.mark.parametrize("blocks", [[5 * RATE + 3], [RATE, 4 * RATE + 3], [2 * RATE, 2 * RATE, RATE + 3]])
def test_blocks_score_as_the_whole(blocks):
    targets, est = torch.randn(3, 2, sum(blocks)), torch.randn(3, 2, sum(blocks))
    targets[1, :, RATE : 3 * RATE] = 0
    track = TrackScores(RATE)
    for est_block, block in zip(est.split(blocks, -1), targets.split(blocks, -1)):
        track.update(est_block, block)
    torch.testing.assert_close(track.usdr(), usdr(est[None], targets[None])[0])
    torch.testing.assert_close(track.frames(), csdr(est[None], targets[None], RATE, frames=True)[0], equal_nan=True)
    for rule, scores in track.csdr().items():
        torch.testing.assert_close(scores, csdr(est[None], targets[None], RATE, median_rule=rule)[0])
    with pytest.raises(ValueError, match="only the last block may end within a second"):
        track.update(est, targets)


def test_experiment_has_all_files_with_the_right_numbers(tmp_path):
    songs = Songs()
    separate = leaky(songs)
    final = evaluate(songs, tmp_path, separate)
    rows = read_rows(tmp_path / "all_metrics.csv")
    assert list(rows[0]) == ["track", "source", "usdr", "csdr", "input_usdr", "input_csdr", "seconds", "rtf"]
    assert [(row["track"], row["source"]) for row in rows] == [(name, source) for name in songs.names for source in SOURCES]
    scores = {}
    for index in range(3):
        mixture, sources = (wav[None] for wav in songs[index])
        inputs = mixture[:, None].expand_as(sources)
        scores[index] = [usdr(separate(mixture[0])[None], sources), csdr(separate(mixture[0])[None], sources, RATE)]
        scores[index] += [usdr(inputs, sources), csdr(inputs, sources, RATE)]
    for number, row in enumerate(rows):
        expected = [values[0, number % 4].item() for values in scores[number // 4]]
        found = [float(row[name]) for name in ("usdr", "csdr", "input_usdr", "input_csdr")]
        assert found == pytest.approx(expected, abs=1e-9)
        assert float(row["seconds"]) > 0 and float(row["rtf"]) > 0
    assert final == json.loads((tmp_path / "final_metrics.json").read_text())
    for number, source in enumerate(SOURCES):
        assert final[f"usdr_{source}"] == pytest.approx(np.mean([scores[i][0][0, number] for i in range(3)]))
        assert final[f"csdr_{source}"] == pytest.approx(np.median([scores[i][1][0, number] for i in range(3)]))
        assert final[f"input_csdr_{source}"] == pytest.approx(np.median([scores[i][3][0, number] for i in range(3)]))
    assert final["usdr"] == pytest.approx(np.mean([final[f"usdr_{source}"] for source in SOURCES]))
    assert final["csdr"] == pytest.approx(np.mean([final[f"csdr_{source}"] for source in SOURCES]))
    info = json.loads((tmp_path / "evaluation.json").read_text())
    expected = {"corpus": "noise", "subset": "test", "n_tracks": 3, "sample_rate": RATE, "inference": {"scheme": "whole"}}
    expected |= {"median_rule": "numpy", "missing": [], "sources": SOURCES, "model": "m1", "undefined": [], "warnings": []}
    assert {key: info[key] for key in expected} == expected and "museval" in info["metric_definition"]["csdr"]


def test_median_rule_changes_csdr_without_a_second_separation(tmp_path):
    songs = Songs(1)
    separate = leaky(songs)
    by_numpy = evaluate(songs, tmp_path, separate, n_examples=0)
    songs.reads.clear()
    lower = evaluate(songs, tmp_path, separate, n_examples=0, median_rule="lower")
    assert songs.reads == []
    mixture, sources = (wav[None, ..., : 4 * RATE] for wav in songs[0])
    assert lower["csdr"] <= by_numpy["csdr"] and lower["usdr"] == by_numpy["usdr"]
    info = json.loads((tmp_path / "evaluation.json").read_text())
    assert info["median_rule"] == "lower"


def test_museval_reads_the_tracks_and_finds_our_scores(tmp_path):
    museval = pytest.importorskip("museval", exc_type=(ImportError, RuntimeError))
    final = evaluate(Songs(), tmp_path)
    store = museval.TrackStore("any")
    for path in (tmp_path / "tracks").glob("*.json"):
        store.scores = json.loads(path.read_text())
        store.validate()
        assert "vocals" in repr(store)
    methods = museval.MethodStore()
    methods.add_eval_dir(tmp_path / "museval")
    theirs = methods.agg_frames_tracks_scores()
    tracks = museval.EvalStore()
    tracks.add_eval_dir(tmp_path / "museval")
    assert set(tracks.df.track) == set(Songs().names)
    for source in SOURCES:
        assert theirs["museval"][source]["SDR"] == pytest.approx(final[f"csdr_{source}"], abs=1e-5)
    silent = tracks.df[(tracks.df.track == Songs().names[1]) & (tracks.df.metric == "SDR") & (tracks.df.time == 1)]
    assert silent.score.isna().all() and len(silent) == 4


def test_interrupted_evaluation_goes_on_where_it_stopped(tmp_path):
    songs = Songs()
    separate, calls = leaky(songs), []

    def breaks(mixture):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return separate(mixture)

    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(songs, tmp_path, breaks, n_examples=0)
    assert len(list((tmp_path / "tracks").glob("*.json"))) == 2 and not (tmp_path / "final_metrics.json").exists()
    songs.reads.clear()
    final = evaluate(songs, tmp_path, separate, n_examples=0)
    assert songs.reads == songs.names[2:]
    assert final == pytest.approx(evaluate(Songs(), tmp_path / "fresh", n_examples=0))


@pytest.mark.parametrize("change", [{"model_id": "m2"}, {"inference": {"scheme": "ola"}}, {"corpus": "other"}])
def test_results_of_other_settings_are_not_mixed_in(tmp_path, change):
    songs = Songs()
    evaluate(songs, tmp_path)
    separate = leaky(songs, leak=0.1)
    final = evaluate(songs, tmp_path, separate, **change)
    assert sorted(songs.reads) == songs.names
    assert final == pytest.approx(evaluate(Songs(), tmp_path / "fresh", separate, **change))
    notes = json.loads((tmp_path / "evaluation.json").read_text())["notes"]
    assert any("3 records" in note and next(iter(change)).split("_")[0] in note for note in notes)


def test_examples_follow_the_seed_and_come_back_when_deleted(tmp_path):
    songs = Songs()
    evaluate(songs, tmp_path, n_examples=1, example_seconds=2)
    (folder,) = (tmp_path / "examples").iterdir()
    expected = {"mixture.wav", *(f"{s}.wav" for s in SOURCES), *(f"{s}_estimate.wav" for s in SOURCES)}
    assert {path.name for path in folder.iterdir()} == expected
    mixture, rate = sf.read(folder / "mixture.wav", dtype="float32")
    whole = songs[songs.names.index(folder.name)][0]
    start = (whole.shape[-1] - 2 * RATE) // 2
    assert rate == RATE and np.array_equal(mixture.T, whole[:, start : start + 2 * RATE])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    separate = leaky(songs)
    evaluate(songs, tmp_path, separate, n_examples=1)
    assert songs.reads == [folder.name] and folder.is_dir()
    evaluate(songs, tmp_path / "all", n_examples=-1)
    assert len(list((tmp_path / "all" / "examples").iterdir())) == 3


def test_silent_source_and_copied_reference_are_reported(tmp_path):
    class Odd(Songs):
        def __getitem__(self, index):
            mixture, sources = super().__getitem__(index)
            sources[2] *= index != 1
            return mixture, sources

    songs = Odd()
    targets = [songs[i] for i in range(3)]

    def separate(mixture):
        sources = next(s for m, s in targets if m.shape == mixture.shape and torch.equal(m, mixture))
        return torch.cat([sources[:1], sources[1:] + 0.3 * mixture])

    final = evaluate(songs, tmp_path, separate)
    info = json.loads((tmp_path / "evaluation.json").read_text())
    assert info["undefined"] == songs.names and songs.names[1] in info["notes"][0]
    assert len(info["warnings"]) == 3 and "the estimate of vocals is the reference" in info["warnings"][0]
    assert math.isnan(final["csdr"]) and math.isnan(final["csdr_vocals"])  # exact frames only: museval has no score
    assert math.isfinite(final["csdr_bass"]) and final["usdr_drums"] < 0  # silence counts in uSDR
    rows = read_rows(tmp_path / "all_metrics.csv")
    undefined = [row["csdr"] == "nan" for row in rows]
    assert undefined == [True, False, False, False] + [True] * 4 + [True, False, False, False]


def test_evaluate_music_refuses(tmp_path):
    songs = Songs()
    with pytest.raises(ValueError, match="track 'Band A - Song & 0' cannot be scored: .*differ in n_src: 3 against 4"):
        evaluate(songs, tmp_path, lambda mix: mix.expand(3, -1, -1))
    with pytest.raises(ValueError, match="NaN"):
        evaluate(songs, tmp_path, lambda mix: mix.expand(4, -1, -1) * math.nan)
    with pytest.raises(UserError, match="median_rule must be one of numpy, lower"):
        evaluate(songs, tmp_path, median_rule="mean")
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate(Songs(0), tmp_path)
    songs.names[1] = songs.names[0]
    with pytest.raises(UserError, match="two recordings named 'Band A"):
        evaluate(songs, tmp_path)
    assert not (tmp_path / "tracks").exists() or not list((tmp_path / "tracks").iterdir())


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_pool_holds_no_more_than_jobs_and_stops_at_the_first_error(jobs):
    running, most, started, lock = [], [], [], threading.Lock()

    def work(item):
        with lock:
            started.append(item)
            running.append(item)
            most.append(len(running))
        if item == 7:
            raise RuntimeError("seven")
        with lock:
            running.remove(item)
        return item * item

    done = {}
    with pytest.raises(RuntimeError, match="seven"):
        for item, result in pool.each(work, range(100), jobs, progress=False):
            done[item] = result
            assert len(started) - len(done) < jobs or jobs == 1  # what is finished is taken before more is started
    assert all(result == item * item for item, result in done.items()) and len(done) >= 7 - jobs
    assert max(most) <= jobs and max(done) < 100 - 1
    assert dict(pool.each(str, range(5), jobs, progress=False)) == {i: str(i) for i in range(5)}
    with pytest.raises(UserError, match="jobs must be 1 or more"):
        list(pool.each(str, [1], 0, progress=False))


@pytest.mark.parametrize("layout", ["", "test"])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_folder_scores_are_those_of_the_experiment(tmp_path, layout, suffix):
    songs = Songs()
    separate = leaky(songs)
    final = evaluate(songs, tmp_path / "exp", separate)
    est = write_stems(tmp_path / "est", songs, separate, suffix=suffix, folder=layout)
    ref = write_stems(tmp_path / "ref", songs, folder=layout)
    result = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert result["final"] == pytest.approx(final, abs=1e-6 if suffix == "wav" else 1e-3)
    assert result["missing"] == result["extra"] == [] and result["n_tracks"] == 3
    rows = read_rows(tmp_path / "out" / "all_metrics.csv")
    assert rows[0]["seconds"] == "nan" and {row["source"] for row in rows} == set(SOURCES)
    assert len(list((tmp_path / "out" / "museval" / "test").glob("*.json"))) == 3


def test_long_tracks_are_read_in_blocks(tmp_path, monkeypatch):
    """12 s in blocks of 5 s, the last one broken; the largest piece in memory is one block."""
    wav = torch.randn(2, 12 * RATE + 19) * 0.1
    for folder, level in (("est", 0.9), ("ref", 1.0)):
        (tmp_path / folder / "long").mkdir(parents=True)
        sf.write(tmp_path / folder / "long" / "vocals.wav", (level * wav).numpy().T, RATE, subtype="FLOAT")
    lengths, original = [], TrackScores.update

    def update(self, est_targets, targets):
        lengths.append(targets.shape[-1])
        original(self, est_targets, targets)

    monkeypatch.setattr(TrackScores, "update", update)
    result = evaluate_folder(tmp_path / "est", tmp_path / "ref", tmp_path / "out", progress=False)
    assert lengths == [5 * RATE, 5 * RATE, 2 * RATE + 19]
    assert result["final"]["usdr"] == pytest.approx(20, abs=1e-3) and result["final"]["csdr"] == pytest.approx(20, abs=1e-3)
    assert math.isnan(result["final"]["input_usdr_vocals"])  # no mixture.wav


def test_folder_is_resumed_until_a_file_changes(disk, tmp_path):
    est, ref = disk
    before = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    records = sorted((tmp_path / "out" / "tracks").glob("*.json"))
    times = [path.stat().st_mtime_ns for path in records]
    assert evaluate_folder(est, ref, tmp_path / "out", progress=False)["final"] == before["final"]
    assert [path.stat().st_mtime_ns for path in records] == times
    silence = np.full((5 * RATE, 2), 0.01)
    sf.write(est / Songs().names[0] / "bass.wav", silence, RATE, subtype="FLOAT")
    after = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert after["final"]["usdr_bass"] != before["final"]["usdr_bass"]
    changed = [path.stat().st_mtime_ns != time for path, time in zip(records, times)]
    assert changed == [True, False, False] and "1 records" in after["notes"][0]


def test_missing_and_extra_tracks_are_listed_and_the_command_says_so(disk, tmp_path, capsys):
    est, ref = disk
    names = Songs().names
    (est / names[0]).rename(est / "Unknown - Song")
    (est / names[1] / "drums.wav").unlink()
    arguments = ["evaluate", str(est), "--references", str(ref), "-o", str(tmp_path / "out"), "-q"]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert f"missing: {names[0]}" in printed.err and "extra, not in the references: Unknown - Song" in printed.err
    assert f"not scored: {names[1]}: no drums among the estimates" in printed.err
    info = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert info["missing"] == [names[0]] and info["extra"] == ["Unknown - Song"] and list(info["problems"]) == [names[1]]
    assert info["n_tracks"] == 1
    (est / "Unknown - Song").rename(est / names[0])
    assert main([*arguments, "--sources", "vocals", "bass"]) == 0  # drums are not asked for
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split()[0] == "vocals" and "drums" not in printed.out
    assert not [line for line in printed.err.splitlines() if line.startswith(("missing", "not scored"))]


@pytest.mark.parametrize(
    "channels, rate, length, words",
    [
        (1, RATE, 5 * RATE, "has 1 channels where"),
        (2, 2 * RATE, 5 * RATE, f"has {2 * RATE} Hz where"),
        (2, RATE, 5 * RATE - 1, f"has {5 * RATE - 1} samples where .* has {5 * RATE}"),
        (2, RATE, 5 * RATE + 1, f"has {5 * RATE + 1} samples where"),
    ],
)
def test_estimates_that_do_not_fit_are_not_compared(disk, tmp_path, channels, rate, length, words):
    est, ref = disk
    name = Songs().names[0]
    sf.write(est / name / "other.wav", np.ones((length, channels)), rate, subtype="FLOAT")
    result = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert result["n_tracks"] == 2 and list(result["problems"]) == [name]
    assert re.search("other.wav.*" + words, result["problems"][name])


@pytest.mark.parametrize("content", [b"", b"this is text\n" * 50, None])
def test_broken_files_are_named(disk, tmp_path, content):
    est, ref = disk
    path = est / Songs().names[0] / "vocals.wav"
    if content is None:
        wav = np.zeros((5 * RATE, 2))
        wav[77] = math.nan
        sf.write(path, wav, RATE, subtype="FLOAT")
    else:
        path.write_bytes(content)
    result = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert str(path) in result["problems"][Songs().names[0]] and result["n_tracks"] == 2


def test_folder_refuses_what_is_no_comparison(disk, tmp_path):
    est, ref = disk
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    for arguments, words in [
        ((tmp_path / "nowhere", ref), "nowhere is not a folder"),
        ((est, tmp_path / "empty"), "holds no tracks"),
        ((tmp_path, ref), "no track of .* is in"),
    ]:
        with pytest.raises(UserError, match=words):
            evaluate_folder(*arguments, out, progress=False)
    for path in est.glob("*/bass.wav"):
        path.unlink()
    with pytest.raises(UserError, match="no estimate has 'bass'; score a subset with --sources"):
        evaluate_folder(est, ref, out, progress=False)
    with pytest.raises(UserError, match="no reference has 'guitar'; the references have bass, drums, other, vocals"):
        evaluate_folder(est, ref, out, sources=["guitar"], progress=False)
    assert not out.exists()
    (out / "tracks").mkdir(parents=True)
    (out / "tracks" / f"{Songs().names[0]}.json").write_text('{"targets": []}')
    result = evaluate_folder(est, ref, out, sources=["vocals"], progress=False)
    assert "is no record of an evaluation" in result["problems"][Songs().names[0]]


def test_command_refuses_options_of_the_other_kind(disk, capsys):
    est, ref = disk
    assert main(["evaluate", str(est), "--references", str(ref), "--mixtures", str(ref)]) == 2
    assert "--mixtures has no meaning without --speech" in capsys.readouterr().err
    assert main(["evaluate", str(est), "--references", str(ref), "--speech", "--sources", "bass"]) == 2
    assert main(["evaluate", str(est), "--references", "nowhere"]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_file_digest_sees_a_changed_byte(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    first = evaluation.file_digest(path)
    path.write_bytes(b"weightz")
    assert len(first) == 64 and evaluation.file_digest(path) != first
