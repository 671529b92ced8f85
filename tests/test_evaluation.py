"""Evaluation of experiments: right numbers, museval's format, resume, nothing left out silently."""

import json
import math
import threading

import numpy as np
import pytest
import soundfile as sf
import torch
from songs import RATE, SOURCES, Songs, evaluate, leaky, read_rows

from asteroid_bsrnn import evaluation
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.evaluation import pool
from asteroid_bsrnn.metrics import MEDIAN_RULES, TrackScores, csdr, l1_snr, log_wmse, usdr

NAMES = ["usdr", "csdr", "l1_snr", "log_wmse"]


@pytest.mark.parametrize("blocks", [[5 * RATE + 3], [RATE, 4 * RATE + 3], [2 * RATE, 2 * RATE, RATE + 3]])
def test_blocks_score_as_the_whole(blocks):
    targets, est = torch.randn(3, 2, sum(blocks)), torch.randn(3, 2, sum(blocks))
    targets[1, :, RATE : 3 * RATE] = 0
    mixture = targets.sum(0)
    track = TrackScores(RATE)
    for parts in zip(*(wav.split(blocks, -1) for wav in (est, targets, mixture))):
        track.update(*parts)
    scores = track.scores()
    torch.testing.assert_close(scores["usdr"], usdr(est[None], targets[None])[0])
    expected = {
        "l1_snr": l1_snr(est[None], targets[None]),
        "log_wmse": log_wmse(est[None], targets[None], mixture[None], RATE),
    }
    for name, values in expected.items():  # sums of float32
        torch.testing.assert_close(scores[name], values[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(track.frames(), csdr(est[None], targets[None], RATE, frames=True)[0], equal_nan=True)
    for rule in MEDIAN_RULES:
        torch.testing.assert_close(scores[f"csdr_{rule}"], csdr(est[None], targets[None], RATE, median_rule=rule)[0])
    with pytest.raises(ValueError, match="only the last block may end within a second"):
        track.update(est, targets)


def test_experiment_has_all_files_with_the_right_numbers(tmp_path):
    songs = Songs()
    separate = leaky(songs)
    final = evaluate(songs, tmp_path, separate)
    rows = read_rows(tmp_path / "all_metrics.csv")
    assert list(rows[0]) == ["track", "source", *NAMES, *(f"input_{name}" for name in NAMES), "seconds", "rtf"]
    assert [(row["track"], row["source"]) for row in rows] == [
        (name, source) for name in songs.names for source in SOURCES
    ]
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
    expected = {
        "corpus": "noise",
        "subset": "test",
        "n_tracks": 3,
        "sample_rate": RATE,
        "inference": {"scheme": "whole"},
    }
    expected |= {
        "median_rule": "numpy",
        "missing": [],
        "sources": SOURCES,
        "model": "m1",
        "undefined": [],
        "warnings": [],
    }
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


def test_records_without_a_later_score_are_computed_again_and_the_rest_stays(tmp_path):
    """As after an update, or with a plug-in: what version 0.1.0 recorded has two scores."""
    songs = Songs()
    first = evaluate(songs, tmp_path, n_examples=0)
    path = tmp_path / "tracks" / f"{songs.names[0]}.json"
    record = json.loads(path.read_text())
    for scores in record["asteroid_bsrnn"]["scores"].values():
        for name in ("l1_snr", "log_wmse", "input_l1_snr", "input_log_wmse"):
            del scores[name]
    path.write_text(json.dumps(record))
    songs.reads.clear()
    separate = leaky(songs)
    assert evaluate(songs, tmp_path, separate, n_examples=0) == first and songs.reads == songs.names[:1]
    assert "lacked scores (l1_snr, log_wmse)" in json.loads((tmp_path / "evaluation.json").read_text())["notes"][0]


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
    assert info["undefined"] == [songs.names[1]] and songs.names[1] in info["notes"][0]
    assert len(info["warnings"]) == 3 and "the estimate of vocals is the reference" in info["warnings"][0]
    assert final["csdr_vocals"] == math.inf  # exact in every frame that has a score
    assert math.isfinite(final["csdr_bass"]) and final["usdr_drums"] < 0  # silence counts in uSDR
    rows = read_rows(tmp_path / "all_metrics.csv")
    assert [row["csdr"] == "nan" for row in rows] == [False] * 4 + [True] * 4 + [False] * 4
    assert [row["csdr"] == "inf" for row in rows] == [True] + [False] * 7 + [True] + [False] * 3


def test_evaluate_music_refuses(tmp_path):
    songs = Songs()
    with pytest.raises(ValueError, match="track 'Band A - Song & 0' cannot be scored: .*differ in n_src: 3 against 4"):
        evaluate(songs, tmp_path, lambda mix: mix.expand(3, -1, -1))
    with pytest.raises(ValueError, match="NaN"):
        evaluate(songs, tmp_path, lambda mix: mix.expand(4, -1, -1) * math.nan)
    with pytest.raises(UserError, match="unknown median_rule .*known are numpy, lower"):
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


def test_file_digest_sees_a_changed_byte(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    first = evaluation.file_digest(path)
    path.write_bytes(b"weightz")
    assert len(first) == 64 and evaluation.file_digest(path) != first
