"""The demonstration corpora: the excerpt cut in time, the rendered songs, both in the layout of MUSDB18-HQ."""

import hashlib
import shutil

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.corpus import get_corpus
from asteroid_bsrnn.data.demo import excerpt
from asteroid_bsrnn.data.demo import instruments as synth_voices
from asteroid_bsrnn.data.demo import songs as synth
from asteroid_bsrnn.data.music.activity import detect_track
from asteroid_bsrnn.data.music.layout import check_corpus, corpus_infos, folder_track
from asteroid_bsrnn.data.music.musdb import SOURCES
from asteroid_bsrnn.data.music.segments_dataset import MUSDB18HQTracks

HAS_FFMPEG = bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))
RATE = 44100


def read(path):
    return soundfile.read(path)[0].T


@pytest.fixture(scope="module")
def excerpt_root(tmp_path_factory):
    pytest.importorskip("musdb") if HAS_FFMPEG else pytest.skip("ffmpeg is not installed")
    root = tmp_path_factory.mktemp("excerpt") / "corpus"
    excerpt.make_excerpt(root)
    return root


def test_excerpt_is_real_music_in_the_layout(excerpt_root):
    assert check_corpus(excerpt_root) == {"train": 3, "valid": 1, "test": 1}
    for folder in sorted(excerpt_root.glob("*/*/")):
        stems = {name: read(folder / f"{name}.wav") for name in (*SOURCES, "mixture")}
        assert np.abs(stems["mixture"] - sum(stems[source] for source in SOURCES)).max() < 4 / 32768
        for name, audio in stems.items():
            assert 0.004 < np.sqrt(np.mean(audio**2)) < 0.3 and np.abs(audio).max() < 1, name
            assert not np.array_equal(audio[0], audio[1])
    assert "Easton Ellises" in corpus_infos(excerpt_root)["licenses"][0]["author"]


def test_excerpt_has_no_second_in_two_splits(excerpt_root):
    """By the table of cuts, and by the samples themselves: no run of a held-out stem occurs in a training stem."""
    spans = {
        split: [span for (name, _), span in excerpt.CUTS.items() if name == split]
        for split in ("train", "valid", "test")
    }
    assert max(end for _, end in spans["train"]) <= min(begin for begin, _ in spans["valid"])
    assert max(end for _, end in spans["valid"]) <= min(begin for begin, _ in spans["test"])
    for split in ("valid", "test"):
        (held_out,) = (excerpt_root / split).iterdir()
        piece = read(held_out / "bass.wav")[0, 1000:1100].tobytes()
        assert piece in read(held_out / "bass.wav")[0].tobytes()
        assert not any(piece in read(folder / "bass.wav")[0].tobytes() for folder in (excerpt_root / "train").iterdir())


def test_excerpt_pieces_join_to_the_whole(excerpt_root):
    """Training, validation and test seconds in a row are the decoded excerpt."""
    parts = [
        read(path)
        for path in ("train/Falcon 69 - 1", "train/Falcon 69 - 3", "valid/Falcon 69 - 4", "test/Falcon 69 - 5")
        for path in [excerpt_root / path / "drums.wav"]
    ]
    overlap = int(1.2 * RATE)
    whole = np.concatenate([parts[0], parts[1][:, overlap:], *parts[2:]], 1)
    assert np.abs(whole - excerpt.decode_excerpt()["drums"]).max() < 1.01 / 32768 and whole.shape == (2, 6 * RATE)


def test_excerpt_without_ffmpeg_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "stempeg", None)
    with pytest.raises(UserError, match="stempeg and the program ffmpeg"):
        excerpt.decode_excerpt()


@pytest.fixture(scope="module")
def synth_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "corpus"
    synth.make_synth(root, {"train": 2, "valid": 1, "test": 1}, duration=12.0, seed=3)
    return root


def test_synth_songs_are_in_the_layout(synth_root):
    assert check_corpus(synth_root) == {"train": 2, "valid": 1, "test": 1}
    for folder in sorted(synth_root.glob("*/*/")):
        stems = {name: read(folder / f"{name}.wav") for name in (*SOURCES, "mixture")}
        assert stems["mixture"].shape == (2, 12 * RATE)
        assert np.abs(stems["mixture"] - sum(stems[source] for source in SOURCES)).max() < 4 / 32768
        assert all(0.01 < np.sqrt(np.mean(audio**2)) < 0.3 for audio in stems.values())
    assert corpus_infos(synth_root)["licenses"][0]["non_commercial"] is False


def test_synth_stems_rest_so_that_activity_detection_matters(synth_root):
    for folder in sorted((synth_root / "train").iterdir()):
        found = detect_track(folder_track(folder, get_corpus("synth")), SOURCES, "track", 1.2)
        n_windows = (12 * RATE - 52920) // 26460 + 1
        for source in ("vocals", "bass", "drums"):
            assert 0 < len(found[source]) < n_windows, source
        for source in SOURCES:
            audio = read(folder / f"{source}.wav")
            loud = np.mean([np.mean(audio[:, k : k + 52920] ** 2) for k in found[source]])
            rest = [k for k in range(0, 26460 * n_windows, 26460) if k not in found[source]]
            assert not rest or np.mean([np.mean(audio[:, k : k + 52920] ** 2) for k in rest]) < 0.3 * loud


def _digest(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.wav"))
    }


def test_synth_depends_on_its_seed_alone(synth_root, tmp_path):
    synth.make_synth(tmp_path / "again", {"train": 1, "valid": 1, "test": 0}, duration=12.0, seed=3, n_jobs=1)
    first, again = _digest(synth_root), _digest(tmp_path / "again")
    assert len(again) == 10 and all(first[name] == digest for name, digest in again.items())
    assert len(set(first.values())) == len(first) == 20
    synth.make_synth(tmp_path / "other", {"train": 1, "valid": 0, "test": 0}, duration=12.0, seed=4)
    assert not set(_digest(tmp_path / "other").values()) & set(first.values())


def test_songs_share_key_and_beat_over_their_stems():
    song = synth.compose(30.0, np.random.default_rng(0))
    assert len(song.playing) == int(np.ceil(30 / (4 * song.beat)))
    assert song.frequency(7) == pytest.approx(2 * song.frequency(0)) and song.frequency(0, 1) == pytest.approx(
        2 * song.frequency(0)
    )
    starts = {source: {start for start, _ in song.bars(source)} for source in SOURCES}
    assert all(any(start in others for others in starts.values()) for start in starts["vocals"])
    assert {chord for source in SOURCES for _, chord in song.bars(source)} <= set(song.chords)


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_short_songs_render(seconds):
    song = synth.compose(seconds, np.random.default_rng(1))
    stems = synth.render(song, np.random.default_rng(2))
    assert all(audio.shape == (2, int(seconds * RATE)) and np.isfinite(audio).all() for audio in stems.values())


def _pitch(audio):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 18))
    return np.argmax(spectrum) * RATE / (1 << 18)


def test_voices_play_the_pitch_they_are_given():
    generator = np.random.default_rng(0)
    assert _pitch(synth_voices.bass(82.4, 1.0)) == pytest.approx(82.4, rel=0.01)
    assert _pitch(synth_voices.pad([440.0], 1.0, generator)[0]) == pytest.approx(440, rel=0.01)
    assert (
        _pitch(synth_voices.pluck(220.0, 1.0, generator)) % 220 == pytest.approx(0, abs=4)
        or _pitch(synth_voices.pluck(220.0, 1.0, generator)) % 220 > 216
    )


def test_voice_sings_harmonics_of_its_note():
    audio = synth_voices.sing([(0.0, 1.0, 220.0)], np.random.default_rng(0))
    assert len(audio) == RATE
    spectrum = np.abs(np.fft.rfft(audio[8000:14000] * np.hanning(6000), 1 << 16)) ** 2
    hz = np.fft.rfftfreq(1 << 16, 1 / RATE)
    near = np.abs(hz - 220 * np.round(hz / 220)) < 25
    assert spectrum[near & (hz > 150)].sum() > 10 * spectrum[~near & (hz > 150)].sum()


def test_whole_tracks_of_a_demo_corpus_need_no_names(synth_root):
    dataset = MUSDB18HQTracks(synth_root, split="valid", targets=("bass",))
    assert dataset.names == ["Synthetic valid 000"]
    assert dataset.get_infos()["dataset"] == "synthetic songs"
