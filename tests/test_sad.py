"""Activity detection: the published rule in its literal form, the corrected one, lists that survive interruption."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from music_corpus import SOURCES, write_corpus, write_track

from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.data.music import activity as sad
from asteroid_bsrnn.data.music.layout import folder_track
from asteroid_bsrnn.data.music.musdb import MUSDB18HQ_CORPUS

CHUNK = 50
WINDOW = 10 * CHUNK


def bursts(n_chunks, seed, channels=2):
    """Noise whose level changes from chunk to chunk over the rule's threshold, with silent stretches."""
    generator = np.random.default_rng(seed)
    levels = 10 ** generator.uniform(-3.5, -2, (channels, n_chunks)) * (generator.random((1, n_chunks)) < 0.9)
    return (generator.standard_normal((channels, n_chunks * CHUNK)) * np.repeat(levels, CHUNK, 1)).astype(np.float32)


def literal_reference(audio):
    """The published rule step by step, with torch's unfold and quantile; returns one bool per window."""
    windows = torch.from_numpy(audio).double().unfold(1, WINDOW, WINDOW // 2)
    kept = []
    for window in windows.unbind(1):
        rms = window.reshape(len(audio), 10, CHUNK).square().mean(-1).sqrt()
        rms[rms == 0] = 1e-5
        threshold = torch.clamp(torch.quantile(rms, 0.15, dim=1, keepdim=True), min=1e-3)
        kept.append(bool(((rms > threshold).sum(1) > 5).all()))
    return kept


def rms_of(audio):
    return sad.chunk_rms(lambda start, count: audio[:, start : start + count], audio.shape[1], CHUNK)


@pytest.mark.parametrize("seed", range(5))
def test_reference_is_the_published_rule(seed):
    audio = bursts(404, seed)[:, : 400 * CHUNK + 7]
    found = sad.active_windows(rms_of(audio), "reference")
    assert found.tolist() == literal_reference(audio)
    assert 0 < found.sum() < len(found) == 79


def test_reference_is_six_of_ten_in_both_channels():
    rms = rms_of(bursts(400, 9))
    windows = np.stack([rms[:, k : k + 10] for k in range(0, 391, 5)], 1)
    assert np.array_equal(sad.active_windows(rms, "reference"), ((windows > 1e-3).sum(-1) >= 6).all(0))


def test_track_takes_its_quantile_over_the_track():
    """Six loud chunks, then a long passage that is quiet and yet above 1e-3: only `track` drops the quiet one."""
    loud, quiet = np.full((2, 20), 0.1), np.full((2, 5), 2e-3)
    rms = np.concatenate([quiet, loud, loud], 1) * np.linspace(1, 1.001, 45)
    assert sad.active_windows(rms, "reference").all()
    assert sad.active_windows(rms, "track").tolist() == [False] + [True] * 7
    rms[:, :10] = 2e-3 * np.linspace(1, 1.001, 10)
    assert not sad.active_windows(rms, "track")[0]


@pytest.mark.parametrize("silent", [0, 1])
def test_panned_source_is_active_for_track_only(silent):
    rms = 0.1 * np.linspace(1, 1.1, 40)[None].repeat(2, 0)
    rms[silent] = sad.EPS
    assert not sad.active_windows(rms, "reference").any()
    assert sad.active_windows(rms, "track").sum() >= 5


@pytest.mark.parametrize("mode", sad.MODES)
def test_short_tracks(mode):
    assert sad.active_windows(rms_of(bursts(9, 0)), mode).tolist() == []
    one = 0.1 * np.linspace(1, 1.1, 10)[None].repeat(2, 0)
    assert sad.active_windows(one, mode).tolist() == [True]


@pytest.mark.parametrize("mode", sad.MODES)
def test_silence_is_never_active(mode):
    assert not sad.active_windows(rms_of(np.zeros((2, 2000), np.float32)), mode).any()


def test_rms_of_blocks_is_exact():
    audio = bursts(2 * sad._BLOCK_CHUNKS + 3, 1)
    expected = np.sqrt(np.square(audio.astype(float)).reshape(2, -1, CHUNK).mean(-1))
    assert np.allclose(rms_of(audio), np.where(expected == 0, 1e-5, expected), rtol=1e-6)


def test_window_length_in_samples():
    assert sad.window_samples(6.0, 44100) == 264600


def _write(root, tmp_path, **options):
    tracks = [folder_track(path, MUSDB18HQ_CORPUS) for path in (root / "train").iterdir()]
    return sad.write_segments(root, tracks, SOURCES, tmp_path / "lists", window=0.2, **options)


def test_lists_have_the_published_form(tmp_path):
    root = write_corpus(tmp_path / "corpus", lengths=(30000, 8820, 5000))
    lists = _write(root, tmp_path, n_jobs=2)
    assert [path.name for path in lists] == [f"{source}_train.csv" for source in SOURCES]
    text = lists[0].read_text().splitlines()
    assert text[:3] == [",track,ind_beg,ind_end", "0,Song 0,0,8820", "1,Song 0,4410,13230"]
    table = pd.read_csv(lists[0], index_col=0)
    assert (table.ind_end - table.ind_beg == 8820).all() and (table.ind_beg % 4410 == 0).all()
    assert table.track.value_counts().to_dict() == {"Song 0": 5, "Song 1": 1, "Valid A": 3}


def test_finished_lists_stay_untouched(tmp_path):
    root = write_corpus(tmp_path / "corpus")
    before = {path: path.stat().st_mtime_ns for path in _write(root, tmp_path)}
    (root / "train" / "Song 0" / "bass.wav").unlink()  # would fail if it were read
    assert {path: path.stat().st_mtime_ns for path in _write(root, tmp_path)} == before
    assert sorted(path.name for path in (tmp_path / "lists").iterdir()) == sorted(
        [*(path.name for path in before), "train.json"]
    )


def test_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    root = write_corpus(tmp_path / "corpus")
    whole = [path.read_bytes() for path in _write(root, tmp_path / "whole")]
    (root / "train" / "Song 2" / "bass.wav").rename(tmp_path / "away.wav")
    with pytest.raises(AudioError, match="Song 2"):
        _write(root, tmp_path)
    assert not list((tmp_path / "lists").glob("*.csv"))
    (tmp_path / "away.wav").rename(root / "train" / "Song 2" / "bass.wav")
    detected, original = [], sad.detect_track
    monkeypatch.setattr(sad, "detect_track", lambda track, *rest: detected.append(track.name) or original(track, *rest))
    assert [path.read_bytes() for path in _write(root, tmp_path)] == whole
    assert "Song 2" in detected and "Song 0" not in detected


def test_lists_of_another_rule_are_not_taken_for_these(tmp_path):
    root = write_corpus(tmp_path / "corpus")
    _write(root, tmp_path, mode="reference")
    with pytest.raises(UserError, match="other settings"):
        _write(root, tmp_path, mode="track")
    with pytest.raises(ValueError, match="unknown activity rule"):
        _write(root, tmp_path, mode="loud")


def test_source_that_never_sounds(tmp_path):
    write_track(tmp_path / "corpus" / "train" / "Song", 20000, 0)
    soundfile.write(tmp_path / "corpus" / "train" / "Song" / "bass.wav", np.zeros((20000, 2)), 44100)
    with pytest.raises(UserError, match="bass is active in no window"):
        _write(tmp_path / "corpus", tmp_path)


def test_broken_lists(tmp_path):
    with pytest.raises(UserError, match="stage 1"):
        sad.read_segments(tmp_path / "vocals_train.csv")
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    with pytest.raises(UserError, match="is not a segment list"):
        sad.read_segments(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(",track,ind_beg,ind_end\n")
    with pytest.raises(UserError, match="lists no segment"):
        sad.read_segments(tmp_path / "b.csv")
