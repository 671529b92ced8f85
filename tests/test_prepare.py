"""Stages 0 and 1 of the music recipe: they provide, check and index a corpus once, and explain what they cannot do."""

import hashlib
import io
import os
import zipfile

import numpy as np
import pytest
import soundfile
from loopback import serve
from music_corpus import SOURCES, write_corpus

from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.data import music_data
from asteroid_bsrnn.data.music import musdb_archive as download_musdb
from asteroid_bsrnn.data.music import music_section as music
from asteroid_bsrnn.data.music.musdb_archive import provide_musdb18hq

SYNTH = {"corpus": "synth", "root": "data/synth", "n_train_tracks": 2, "n_valid_tracks": 1, "n_test_tracks": 1}
SYNTH |= {"synth_duration": 4.0, "segment": 0.3, "sad_window": 0.5, "n_items": 6}
OWN = {"root": "data/own", "valid_tracks": ["Valid A"], "segment": 0.1, "sad_window": 0.2, "n_items": 6}


def state(folder):
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_synth_from_nothing_to_items(tmp_path):
    conf = {"data": SYNTH, "task": {"sources": ["bass"]}}
    assert music_data(conf, tmp_path).prepare() == {"train": 2, "valid": 1, "test": 1}
    lists = music_data(conf, tmp_path).index(n_jobs=2)
    assert [path.relative_to(tmp_path).as_posix() for path in lists] == [
        f"data/segments/synth/reference/{s}_train.csv" for s in SOURCES
    ]
    before = state(tmp_path)
    music_data(conf, tmp_path).prepare()
    music_data(conf, tmp_path).index()
    assert state(tmp_path) == before
    data = music_data(conf, tmp_path)
    train_set = data.train_set(("bass",), seed=1)
    assert len(train_set) == 6 and train_set[0][1].shape == (1, 2, 13230) and train_set.seed == 1
    assert data.valid_set().names == ["Synthetic valid 000"] and data.test_set(("bass", "drums"))[0][1].shape == (
        2,
        2,
        4 * 44100,
    )


def test_defaults_are_the_published_protocol(tmp_path):
    data = music_data({"data": {}}, tmp_path)
    assert (data.segment, data.n_items, data.sad, data.sad_window, data.pairing) == (
        3.0,
        20000,
        "reference",
        6.0,
        "fixed",
    )
    assert data.random_chunk and data.peak_normalise and data.augmentations == ("rescale_db", "silent_source")
    assert data.root == str(tmp_path / "data/musdb18hq")


def test_own_corpus_without_a_rule_needs_no_lists(tmp_path):
    write_corpus(tmp_path / "data" / "own")
    conf = {"data": {**OWN, "sad": None, "pairing": "fresh", "augmentations": ["rescale", "channel_swap"]}}
    assert music_data(conf, tmp_path).prepare() == {"train": 3, "valid": 1, "test": 1}
    assert music_data(conf, tmp_path).index() == [] and not (tmp_path / "data" / "segments").exists()
    train_set = music_data(conf, tmp_path).train_set()
    assert train_set[3][0].shape == (2, 4410)
    assert {name for names, *_ in train_set.rows for name in names} == {"Song 0", "Song 1", "Song 2"}
    assert music_data(conf, tmp_path).valid_set().names == ["Valid A"]


def test_corpus_elsewhere_is_not_written_to(tmp_path):
    root = write_corpus(tmp_path / "elsewhere")
    before, conf = state(root), {"data": {**OWN, "root": str(root)}}
    music_data(conf, tmp_path / "recipe").prepare()
    music_data(conf, tmp_path / "recipe").index()
    assert state(root) == before
    assert (tmp_path / "recipe/data/segments/musdb18hq/reference/bass_train.csv").exists()


def test_fewer_tracks(tmp_path):
    write_corpus(tmp_path / "data" / "own")
    conf = {"data": {**OWN, "n_train_tracks": 1}}
    music_data(conf, tmp_path).index()
    assert {name for names, *_ in music_data(conf, tmp_path).train_set().rows for name in names} == {"Song 0"}


def test_training_before_stage_1_says_so(tmp_path):
    write_corpus(tmp_path / "data" / "own")
    with pytest.raises(UserError, match="vocals_train.csv is missing: stage 1"):
        music_data({"data": OWN}, tmp_path).train_set()


def test_stage_0_finds_a_spoiled_file(tmp_path):
    root = write_corpus(tmp_path / "data" / "own")
    soundfile.write(root / "test" / "Test A" / "bass.wav", np.zeros((5, 2)), 44100)
    with pytest.raises(AudioError, match="Test A/bass.wav: has 5 samples"):
        music_data({"data": OWN}, tmp_path).prepare()


@pytest.mark.parametrize(
    "section, words",
    [
        ({"corpus": "musdb"}, "data.corpus: unknown corpus 'musdb'; known are musdb18hq, musdb7, excerpt, synth"),
        ({"sad": "loud"}, "data.sad: unknown rule 'loud'; known are reference, track and null"),
        ({"segments": 3}, "data.segments: unknown key"),
        ({"segment": 7.0}, r"data.segment \(7 s\) must not exceed data.sad_window \(6 s\)"),
        ({"n_items": 0}, "must be positive"),
    ],
)
def test_bad_sections(section, words, tmp_path):
    with pytest.raises(UserError, match=words):
        music_data({"data": section}, tmp_path)


def test_interrupted_rendering_leaves_nothing_half_made(tmp_path, monkeypatch):
    written, original = [], music.make_synth.__globals__["write_wav"]

    def stop_at_the_seventh(*args):
        written.append(args)
        if len(written) == 7:
            raise KeyboardInterrupt
        original(*args)

    monkeypatch.setitem(music.make_synth.__globals__, "write_wav", stop_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        music_data({"data": SYNTH}, tmp_path).prepare()
    assert not (tmp_path / "data" / "synth").exists()
    monkeypatch.undo()
    assert music_data({"data": SYNTH}, tmp_path).prepare() == {"train": 2, "valid": 1, "test": 1}
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["synth"]


def test_another_corpus_in_the_way(tmp_path):
    music_data({"data": SYNTH}, tmp_path).prepare()
    with pytest.raises(UserError, match="synth holds synth .*'seed': 0.* not synth .*'seed': 5"):
        music_data({"data": {**SYNTH, "synth_seed": 5}}, tmp_path).prepare()
    write_corpus(tmp_path / "own")
    before = state(tmp_path / "own")
    with pytest.raises(UserError, match="own holds something else"):
        music_data({"data": {**SYNTH, "root": "own"}}, tmp_path).prepare()
    assert state(tmp_path / "own") == before


def test_without_data_it_says_where_they_come_from(tmp_path):
    with pytest.raises(UserError) as caught:
        music_data({"data": {}}, tmp_path).prepare()
    for fact in (
        "22.7 GB",
        "zenodo.3338373",
        "musdb18hq.zip",
        "--musdb_root",
        "--download true",
        str(tmp_path / "data/musdb18hq"),
    ):
        assert fact in str(caught.value)
    assert not list(tmp_path.iterdir())


def archive(tmp_path, top=""):
    """A zip of a small corpus, its tracks under ``top``."""
    root, content = write_corpus(tmp_path / "packed"), io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for path in sorted(root.rglob("*.wav")):
            packed.write(path, top + path.relative_to(root).as_posix())
    return content.getvalue()


def offer(server, content, checksum=None):
    """Put ``content`` up as the Zenodo record does."""
    url = server.add("/files/musdb18hq.zip", content)
    checksum = checksum or "md5:" + hashlib.md5(content).hexdigest()
    entry = {"key": "musdb18hq.zip", "size": len(content), "checksum": checksum, "links": {"self": url}}
    server.add("/api/records/3338373", {"title": "MUSDB18-HQ", "metadata": {}, "files": [entry]})
    return server.url + "/api"


@pytest.mark.parametrize("top", ["", "musdb18hq/"])
def test_download_that_breaks_off_midway(tmp_path, top, monkeypatch):
    with serve() as server:
        content = archive(tmp_path, top)
        monkeypatch.setenv("ASTEROID_BSRNN_ZENODO_API", offer(server, content))
        server.breaks["/files/musdb18hq.zip"] = [len(content) // 2]
        conf = {"data": {**OWN, "root": "data/musdb18hq"}}
        assert music_data(conf, tmp_path).prepare(download=True) == {"train": 3, "valid": 1, "test": 1}
        (resumed,) = server.ranges_asked()
        assert 0 < int(resumed.removeprefix("bytes=").removesuffix("-")) <= len(content) // 2
        asked = len(server.requests)
        music_data(conf, tmp_path).prepare(download=True)
        assert len(server.requests) == asked
    packed, unpacked = tmp_path / "packed", tmp_path / "data" / "musdb18hq"
    for path in packed.rglob("*.wav"):
        assert (unpacked / path.relative_to(packed)).read_bytes() == path.read_bytes()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["musdb18hq"]


def test_download_with_a_wrong_checksum(tmp_path):
    with serve() as server:
        api = offer(server, archive(tmp_path), checksum="md5:" + "0" * 32)
        with pytest.raises(UserError, match="checksum"):
            provide_musdb18hq(tmp_path / "data" / "musdb18hq", download=True, api=api)
    assert not (tmp_path / "data" / "musdb18hq").exists()


def test_download_of_something_else(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("readme.txt", "no music")
    with serve() as server:
        api = offer(server, content.getvalue())
        with pytest.raises(UserError, match="does not hold train/ and test/"):
            provide_musdb18hq(tmp_path / "musdb18hq", download=True, api=api)
    assert not (tmp_path / "musdb18hq").exists()


def test_download_needs_room_and_an_empty_folder(tmp_path, monkeypatch):
    with serve() as server:
        api = offer(server, archive(tmp_path))
        monkeypatch.setattr(download_musdb, "ROOM", 1e12)
        with pytest.raises(UserError, match="GB of disk are needed"):
            provide_musdb18hq(tmp_path / "data" / "musdb18hq", download=True, api=api)
        assert server.gets("/files/musdb18hq.zip") == 0
        os.makedirs(tmp_path / "full" / "photos")
        with pytest.raises(UserError, match="is not empty and holds no train and test"):
            provide_musdb18hq(tmp_path / "full", download=True, api=api)
