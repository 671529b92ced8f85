"""Names, folders, streams and interruptions around ``separate``: what stands on a disk and in a terminal."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encoders import ffmpeg, needs
from separation_models import KnownGains, files_in, noise, read, save, write

from asteroid_bsrnn.audio.read import SUFFIXES, probe
from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common import files
from asteroid_bsrnn.common.errors import AudioError
from asteroid_bsrnn.separation.recordings import separate_file, song_name

HERE = Path(__file__).parent
COMMAND = "import sys, separation_models; from asteroid_bsrnn.cli.main import main; sys.exit(main())"
SLOW_COMMAND = """if True:
    import sys, time, separation_models
    from asteroid_bsrnn.cli.main import main
    quick = separation_models.KnownGains.forward
    separation_models.KnownGains.forward = lambda self, wav: time.sleep(0.1) or quick(self, wav)
    sys.exit(main())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(KnownGains(), tmp_path_factory.mktemp("model") / "gains.pth")


def command(model, *arguments, code=COMMAND):
    return [sys.executable, "-c", code, "separate", *map(str, arguments), "--model", model, "--segment", "1"]


def started(model, *arguments, code=COMMAND, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]), **options.pop("env", {})}
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.Popen(command(model, *arguments, code=code), env=environment, **options)


def foreign_names(folder):
    """Songs whose names are Latin-1, CP437 and UTF-8."""
    folder.mkdir()
    names = [b"caf\xe9.wav", b"caf\x82.flac", "é音 ♫.wav".encode()]
    try:
        for name in names:
            soundfile.write(os.path.join(os.fsencode(folder), name), noise(3000).T, 44100)
    except (OSError, soundfile.LibsndfileError):
        pytest.skip("this file system takes UTF-8 only")
    return names


def test_names_that_are_no_utf8_work_in_and_out(model, tmp_path, capsys):
    names = foreign_names(tmp_path / "in")
    assert main(["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["files"]
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == sorted(os.path.splitext(name)[0] for name in names)
    assert sorted(os.path.basename(os.fsencode(each["file"])) for each in found) == sorted(names)
    for each in found:
        assert soundfile.info(os.fsencode(each["stems"]["vocals"])).frames == 3000


@needs("ffmpeg")
def test_names_that_are_no_utf8_work_through_ffmpeg(tmp_path):
    ffmpeg(write(tmp_path / "s.wav", noise(3000)), tmp_path / "s.m4a", "-c:a", "alac")
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xfc -x.m4a"))
    os.rename(tmp_path / "s.m4a", path)
    for fmt in ("wav", "flac", "mp3"):
        done = separate_file(KnownGains(), path, tmp_path / "out", fmt=fmt)
        assert done["frames"] == 3000 and all(Path(stem).is_file() for stem in done["stems"].values())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_the_letters_stops_nothing(model, tmp_path, monkeypatch, encoding):
    write(tmp_path / "in" / "é音.wav", noise(3000))
    for options in ([], ["--json", "--overwrite"]):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr("sys.stdout", out), monkeypatch.setattr("sys.stderr", err)
        assert main(["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model, *options]) == 0
        out.flush()
        text = out.buffer.getvalue().decode(encoding)
        assert ("\\u97f3" in text) and (not options or json.loads(text)["files"][0]["file"].endswith("é音.wav"))


@pytest.mark.slow
@pytest.mark.parametrize("surroundings", ["stderr closed", "all closed", "C locale", "no HOME", "reader gone"])
def test_odd_surroundings(model, tmp_path, surroundings):
    foreign_names(tmp_path / "in")
    arguments = [tmp_path / "in", "-o", tmp_path / "out", "--json"]
    pipes, environment = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, {}
    if "closed" in surroundings:
        shell = " ".join(["exec", '"$@"', "2>&-", *([">&-", "<&-"] if surroundings == "all closed" else [])])
        line = ["sh", "-c", shell, "sh", *command(model, *arguments)]
        path = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
        process = subprocess.Popen(line, env={**os.environ, **path}, **pipes)
    else:
        if surroundings == "C locale":
            environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        if surroundings == "no HOME":
            environment = {"HOME": None}
        process = started(model, *arguments, env=environment, **pipes)
    if surroundings == "reader gone":
        process.stderr.close()
    out, _ = (
        process.communicate(timeout=120) if surroundings != "reader gone" else (process.stdout.read(), process.wait())
    )
    assert process.returncode == 0 and len(os.listdir(tmp_path / "out")) == 3
    if surroundings != "all closed":
        assert [each["status"] for each in json.loads(out)["files"]] == ["done"] * 3
    for stem in (tmp_path / "out").rglob("*.wav"):
        assert soundfile.info(os.fsencode(stem)).frames == 3000  # nothing was written into it


@pytest.mark.parametrize(
    "name, folder", [("...mp3", "mp3"), ("..wav", "wav"), (".wav", ".wav"), ("a.b.wav", "a.b"), ("....", "....")]
)
def test_stems_stay_in_their_folder(name, folder):
    assert song_name(f"x/{name}") == folder


def test_dots_alone_do_not_lead_out_of_the_folder(tmp_path):
    for name, fmt in (("...mp3", "MP3"), ("..wav", "WAV")):
        path = tmp_path / "in" / name
        write(path, noise(3000), format=fmt)
        separate_file(KnownGains(), path, tmp_path / "out")
    assert files_in(tmp_path / "out") == ["mp3/drums.wav", "mp3/vocals.wav", "wav/drums.wav", "wav/vocals.wav"]


def test_folders_are_searched_for_songs_only(model, tmp_path, monkeypatch):
    for name in ("a.wav", "sub/b.mp2.wav", "._a.wav", ".c.wav", "__MACOSX/d.wav", "@eaDir/a.wav/e.wav", ".Trash/f.wav"):
        write(tmp_path / name, noise(3000))
    (tmp_path / "folder.wav").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["separate", ".", "--model", model]) == 0
    assert sorted(os.listdir("separated")) == ["a", "b.mp2"]
    assert main(["separate", ".c.wav", "-o", "named", "--model", model]) == 0  # a file that is named is taken
    assert os.listdir("named") == [".c"]


@pytest.mark.parametrize("out", ["separated", ".", "x/y"])
def test_a_second_run_does_nothing(model, tmp_path, monkeypatch, capsys, out):
    write(tmp_path / "a.wav", noise(3000)), write(tmp_path / "b.wav", noise(3000))
    monkeypatch.chdir(tmp_path)
    line = ["separate", ".", "-o", out, "--model", model, "--skip-existing", "--json"]
    assert main(line) == 0
    before = {name: os.stat(name).st_mtime_ns for name in files_in(tmp_path)}
    assert len(before) == 6 and capsys.readouterr()
    assert main(line) == 0
    assert [each["status"] for each in json.loads(capsys.readouterr().out)["files"]] == ["skipped"] * 2
    assert {name: os.stat(name).st_mtime_ns for name in files_in(tmp_path)} == before


def test_pipes_are_refused_truly(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.wav")
    assert main(["separate", "-", "pipe.wav", "--model", model]) == 1
    errors = capsys.readouterr().err
    assert "-: the standard input cannot be separated: save the recording to a file first" in errors
    assert "pipe.wav: is a pipe or a device; a recording is read more than once" in errors


# ------------------------------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("fmt", ["wav", "flac", "mp3"])
def test_a_folder_in_the_way_of_one_stem_keeps_all_away(tmp_path, fmt):
    song, out = write(tmp_path / "a.wav", noise(3000)), tmp_path / "out" / "a"
    (out / f"drums.{fmt}").mkdir(parents=True)
    (out / f"vocals.{fmt}").write_bytes(b"old")
    with pytest.raises(AudioError, match="is a folder where a stem should go"):
        separate_file(KnownGains(), song, tmp_path / "out", fmt=fmt)
    assert files_in(tmp_path / "out") == [f"a/vocals.{fmt}"] and (out / f"vocals.{fmt}").read_bytes() == b"old"
    (tmp_path / "taken").write_text("")
    with pytest.raises(AudioError, match="is a file where a folder for the stems should be"):
        separate_file(KnownGains(), song, tmp_path / "taken")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
@pytest.mark.parametrize("fmt", ["wav", "flac"])
def test_when_the_last_stem_cannot_appear_none_does(tmp_path, monkeypatch, fmt, error):
    song, out = write(tmp_path / "a.wav", noise(3000)), tmp_path / "out" / "a"
    out.mkdir(parents=True)
    (out / f"vocals.{fmt}").write_bytes(b"old")
    replace = os.replace

    def refusing(source, target):
        if str(target).endswith(f"drums.{fmt}"):
            raise error
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", refusing)
    with pytest.raises((AudioError, KeyboardInterrupt)):
        separate_file(KnownGains(), song, tmp_path / "out", fmt=fmt)
    assert files_in(tmp_path / "out") == [f"a/vocals.{fmt}"] and (out / f"vocals.{fmt}").read_bytes() == b"old"


def test_partial_files_do_not_look_like_audio(tmp_path, monkeypatch):
    seen, song, write_ = [], write(tmp_path / "a.wav", noise(3000)), soundfile.SoundFile.write
    monkeypatch.setattr(
        soundfile.SoundFile,
        "write",
        lambda self, data: seen.extend(os.listdir(tmp_path / "out" / "a")) or write_(self, data),
    )
    separate_file(KnownGains(), song, tmp_path / "out")
    assert seen and not any(Path(name).suffix.lower() in SUFFIXES for name in seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("fmt", ["wav", "flac"])
def test_a_signal_leaves_nothing(model, tmp_path, name, fmt):
    write(tmp_path / "long.wav", noise(44100 * 60))
    process = started(
        model, tmp_path / "long.wav", "-o", tmp_path / "out", "--format", fmt, code=SLOW_COMMAND, stderr=subprocess.PIPE
    )
    while process.poll() is None and not (tmp_path / "out" / "long").is_dir():
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    process.communicate()
    assert process.returncode == {"SIGTERM": 143, "SIGHUP": 129, "SIGINT": 130}[name]
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------------- tags and limits


TAGS = {
    "title": "Für Élise 音",
    "artist": "Ærøskøbing",
    "album": "Ñandú",
    "date": "1810",
    "genre": "Ländler",
    "tracknumber": "7",
    "comment": "ça va?",
}


@pytest.mark.parametrize("fmt", ["wav", "flac", "mp3"])
def test_tags_survive_for_every_reader(tmp_path, fmt):
    """Read back by libsndfile, mutagen and, where it is there, ffmpeg."""
    import mutagen

    with soundfile.SoundFile(tmp_path / "a.flac", "w", 44100, 2) as file:
        for name, value in TAGS.items():
            setattr(file, name, value)
        file.write(noise(3000).T)
    done = separate_file(KnownGains(), tmp_path / "a.flac", tmp_path / "out", fmt=fmt)
    stem = done["stems"]["vocals"]
    assert probe(stem).tags == TAGS and probe(stem).frames == 3000
    if fmt == "mp3":
        assert str(mutagen.File(stem).tags["TIT2"]) == TAGS["title"]
    if fmt == "flac":
        assert mutagen.File(stem)["title"] == [TAGS["title"]]


@needs("ffmpeg")
@pytest.mark.parametrize("fmt", ["wav", "flac", "mp3"])
def test_tags_for_ffmpeg(tmp_path, fmt):
    from asteroid_bsrnn.audio.ffmpeg import probe as by_ffprobe

    source = ffmpeg(
        write(tmp_path / "s.wav", noise(3000)),
        tmp_path / "a.m4a",
        "-metadata",
        f"title={TAGS['title']}",
        "-metadata",
        f"artist={TAGS['artist']}",
    )
    stem = separate_file(KnownGains(), source, tmp_path / "out", fmt=fmt)["stems"]["drums"]
    found = by_ffprobe(stem)["tags"]
    assert (found["title"], found["artist"]) == (TAGS["title"], TAGS["artist"])


def test_tags_of_old_windows_programs_are_read(tmp_path):
    write(tmp_path / "a.wav", noise(3000))
    text = "Français".encode("cp1252") + b"\0\0"
    info = b"INFOINAM" + len(text).to_bytes(4, "little") + text
    (tmp_path / "a.wav").write_bytes(
        (tmp_path / "a.wav").read_bytes() + b"LIST" + len(info).to_bytes(4, "little") + info
    )
    assert probe(tmp_path / "a.wav").tags["title"] == "Français"


@pytest.mark.parametrize("fmt", ["wav", "flac", "mp3"])
def test_a_long_comment_does_not_cost_the_song(tmp_path, fmt):
    comment = "é" * 35000
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 44100, 2) as file:
        file.title, file.comment = "t", comment
        file.write(noise(3000).T)
    stem = separate_file(KnownGains(), tmp_path / "a.flac", tmp_path / "out", fmt=fmt)["stems"]["vocals"]
    found = probe(stem)
    assert found.frames == 3000 and found.tags["title"] == "t"
    assert found.tags["comment"] == (comment[:1000] if fmt == "wav" else comment)
    if fmt != "mp3":
        np.testing.assert_allclose(read(stem), 0.25 * read(tmp_path / "a.flac"), atol=1e-6)


def test_a_rate_that_a_format_cannot_hold_is_said(tmp_path):
    for rate, fmt in ((700000, "flac"), (96000, "mp3"), (100, "mp3")):
        song = write(tmp_path / "a.wav", noise(3000), rate)
        with pytest.raises(ValueError, match=f"{fmt} cannot have a sample rate of {rate} Hz"):
            separate_file(KnownGains(), song, tmp_path / "out", fmt=fmt)
    assert not (tmp_path / "out").exists()
