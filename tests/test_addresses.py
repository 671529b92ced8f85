"""Recordings and stems at addresses: memory, local files, a web server; each output appears whole or not at all."""

import builtins
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from loopback import serve
from separation_models import KnownGains, files_in, noise, read, save, write

from asteroid_bsrnn.audio.read import SUFFIXES
from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.separation import Separator, separate_file
from asteroid_bsrnn.separation.addresses import (
    files_below,
    is_address,
    join,
    local_or_address,
    name_of,
    open_system,
    put_all,
    read_text,
)

WAV = noise(9000)


@pytest.fixture(scope="module")
def separator():
    return Separator(KnownGains(), device="cpu")


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def song(tmp_path):
    return Path(write(tmp_path / "songs" / "a song.wav", WAV, subtype="FLOAT"))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go; nothing may be left there."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    yield tmp_path / "scratch"
    assert not list((tmp_path / "scratch").glob("asteroid_bsrnn_*"))


def test_what_is_an_address():
    for text in ("s3://b/a.wav", "gs://b", "https://h/a.wav", "memory://a", "file:///a", "simplecache::s3://b/a.wav"):
        assert is_address(text)
    for text in ("a.wav", "/a/b.wav", "C://a.wav", r"C:\a.wav", Path("s3://a"), "a:b.wav"):
        assert not is_address(text)
    assert name_of("https://h/x/a%20b.wav?sig=1/2#t") == "a b.wav" and name_of("s3://b/c?d.wav") == "c?d.wav"
    assert join("memory://out/", "a", "b.wav") == "memory://out/a/b.wav"


def test_from_memory_to_memory_as_from_file_to_file(separator, memory, song, scratch, tmp_path):
    memory.pipe_file("/in/a song.wav", song.read_bytes())
    local = separate_file(separator, song, tmp_path / "out")
    done = separate_file(separator, "memory://in/a song.wav", "memory://out")
    assert done["file"] == "memory://in/a song.wav"
    assert done["stems"] == {name: f"memory://out/a song/{name}.wav" for name in ("vocals", "drums")}
    for name, address in done["stems"].items():
        assert memory.cat_file(open_system(address)[1]) == Path(local["stems"][name]).read_bytes()
    assert sorted(memory.find("/out")) == ["/out/a song/drums.wav", "/out/a song/vocals.wav"]


def test_a_file_address_is_a_path(separator, song, scratch, tmp_path):
    assert local_or_address(song.as_uri()) == song and local_or_address("memory://a") == "memory://a"
    done = separate_file(separator, song.as_uri(), (tmp_path / "out").as_uri())
    assert files_in(tmp_path / "out") == ["a song/drums.wav", "a song/vocals.wav"]
    np.testing.assert_allclose(read(done["stems"]["drums"]), 0.75 * WAV, atol=1e-6)


def test_from_a_web_server(separator, song, scratch, tmp_path):
    with serve() as server:
        address = server.add("/a%20song.wav", song.read_bytes()) + "?key=1"
        separate_file(separator, address, tmp_path / "out")
        assert files_in(tmp_path / "out") == ["a song/drums.wav", "a song/vocals.wav"]
        with pytest.raises(AudioError, match=r"/none.wav: does not exist$"):
            separate_file(separator, server.url + "/none.wav", tmp_path / "none")
        noise_address = server.add("/b.wav", b"no audio")
        with pytest.raises(AudioError, match=f"^{noise_address}: "):  # and not the temporary copy
            separate_file(separator, noise_address, tmp_path / "none")
        assert not (tmp_path / "none").exists()
        with pytest.raises(UserError, match="can be read, not written"):
            separate_file(separator, song, server.url + "/out")


def test_a_missing_package_is_one_sentence(separator, tmp_path, monkeypatch):
    real = builtins.__import__

    def without_s3fs(name, *args, **options):
        if name.partition(".")[0] == "s3fs":
            raise ImportError("No module named 's3fs'")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_s3fs)
    with pytest.raises(UserError, match=r"^s3://b/a.wav: s3:// needs another package: Install s3fs to access S3"):
        separate_file(separator, "s3://b/a.wav", tmp_path)
    with pytest.raises(UserError, match="Protocol not known: nowhere"):
        separate_file(separator, "nowhere://b/a.wav", tmp_path)


class Failing(LocalFileSystem):
    """A file system that renames, and breaks at the second file or at the second renaming."""

    protocol = "failing"
    cachable = False
    broken: str = ""
    seen: list = []

    def _count(self, what):
        Failing.seen.append(what)
        if what == Failing.broken and Failing.seen.count(what) == 2:
            raise OSError("the connection is gone")

    def put_file(self, path, target, **options):
        self._count("put_file")
        super().put_file(path, target, **options)

    def mv(self, path, target, **options):
        self._count("mv")
        super().mv(path, target, **options)


@pytest.mark.parametrize("broken", ["put_file", "mv", ""])
def test_all_outputs_appear_or_none(tmp_path, broken):
    fsspec.register_implementation("failing", Failing, clobber=True)
    Failing.broken, Failing.seen = broken, []
    out, files = tmp_path / "out", {}
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(name.encode())
        files[tmp_path / name] = f"failing://{out}/{name}"
    if broken:
        with pytest.raises(AudioError, match="cannot be written: the connection is gone"):
            put_all(files)
        assert files_in(out) == []
    else:
        put_all(files)
        assert files_in(out) == ["a.wav", "b.wav"] and (out / "b.wav").read_bytes() == b"b.wav"


def test_folders_and_lists(memory):
    for path in ("/x/b.wav", "/x/y/a.FLAC", "/x/.c.wav", "/x/y/.z/d.wav", "/x/notes.txt"):
        memory.pipe_file(path, "späte Lieder".encode())
    assert files_below("memory://x", SUFFIXES) == ["memory:///x/b.wav", "memory:///x/y/a.FLAC"]
    assert files_below("memory://x/b.wav", SUFFIXES) == ["memory://x/b.wav"]
    assert files_below("https://h/a.wav", SUFFIXES) == ["https://h/a.wav"]
    assert read_text("memory://x/notes.txt") == "späte Lieder"
    with pytest.raises(AudioError, match="does not exist"):
        read_text("memory://x/none.txt")


def test_the_command_takes_addresses_everywhere(memory, song, scratch, tmp_path, monkeypatch, capsys):
    """Folders, lists and outputs; the stems are those of files; a second call finds all done, by its local records."""
    monkeypatch.chdir(tmp_path)
    model, alone = save(KnownGains(), tmp_path / "gains.pth"), tmp_path / "alone"
    for name in ("cd1/a.wav", "cd2/a.wav", "b.wav"):
        memory.pipe_file(f"/in/{name}", song.read_bytes())
    assert main(["separate", str(song), "-o", str(alone), "--model", model]) == 0
    command = ["separate", "-o", "memory://out", "--model", model, "--keep-tree"]
    assert main([*command, "memory://in"]) == 0
    made = sorted(path for path in memory.find("/out"))
    assert made == [f"/out/{song}/{name}.wav" for song in ("b", "cd1/a", "cd2/a") for name in ("drums", "vocals")]
    for path in made:
        assert memory.cat_file(path) == (alone / "a song" / Path(path).name).read_bytes()
    assert main([*command, "memory://in"]) == 2  # they exist
    assert main([*command, "memory://in", "--skip-existing"]) == 0

    memory.pipe_file("/list.txt", b"memory://in/b.wav\nmemory://in/none.wav\nmemory://list.txt\n")
    capsys.readouterr()
    listed = ["separate", "--list", "memory://list.txt", "-o", "memory://again", "--model", model]
    assert main(listed) == 1 and (tmp_path / "again.work").is_dir()
    errors = capsys.readouterr().err
    assert "error: memory://in/none.wav: does not exist" in errors and "error: memory://list.txt: " in errors
    assert str(scratch) not in errors
    assert main(listed) == 1 and "1 skipped" in capsys.readouterr().out
