"""What people really give to a separator: honest files succeed, the rest is refused by a sentence of its own.

One table; every case asserts the exit code and the sentence (or the stems), and that nothing partial is left behind.
"""

import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from separation_models import KnownGains, files_in, noise, read, save, tones, write

from asteroid_bsrnn.cli.main import main

HAS_FFMPEG = shutil.which("ffmpeg") is not None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(KnownGains(), tmp_path_factory.mktemp("model") / "gains.pth")


def run(model, tmp_path, songs, options=()):
    """Exit code of the command; stems go to ``tmp_path / "out"``."""
    songs = [songs] if isinstance(songs, (str, Path)) else songs
    models = [] if "--model" in options else ["--model", model]
    return main(["separate", *map(str, songs), "-o", str(tmp_path / "out"), *models, *map(str, options)])


# ------------------------------------------------------------------------------------------------ honest files

HONEST = {
    "1 sample": lambda d: write(d / "a.wav", noise(1)),
    "2 samples, mono": lambda d: write(d / "a.wav", noise(2, 1)),
    "all silent": lambda d: write(d / "a.wav", np.zeros((2, 9000), "f4")),
    "constant": lambda d: write(d / "a.wav", np.full((2, 9000), 0.5, "f4")),
    "square wave at full scale": lambda d: write(d / "a.wav", np.sign(noise(9000)), subtype="PCM_16"),
    "above full scale": lambda d: write(d / "a.wav", noise(9000, peak=4.0), subtype="FLOAT"),
    "very quiet": lambda d: write(d / "a.wav", noise(9000, peak=1e-6), subtype="FLOAT"),
    "3 channels": lambda d: write(d / "a.wav", noise(3000, 3)),
    "4 channels": lambda d: write(d / "a.flac", noise(3000, 4)),
    "5 channels": lambda d: write(d / "a.wav", noise(3000, 5)),
    "6 channels": lambda d: write(d / "a.flac", noise(3000, 6)),
    "7 channels": lambda d: write(d / "a.wav", noise(3000, 7)),
    "8 channels": lambda d: write(d / "a.flac", noise(3000, 8)),
    "7 kHz": lambda d: write(d / "a.wav", tones(0.3, 7000), 7000),
    "96 kHz": lambda d: write(d / "a.wav", tones(0.3, 96000), 96000),
    "192 kHz": lambda d: write(d / "a.flac", tones(0.3, 192000), 192000),
    "384 kHz": lambda d: write(d / "a.wav", tones(0.3, 384000), 384000),
    "8-bit": lambda d: write(d / "a.wav", noise(3000), subtype="PCM_U8"),
    "64-bit floats": lambda d: write(d / "a.wav", noise(3000), subtype="DOUBLE"),
    "mu-law": lambda d: write(d / "a.au", noise(3000), subtype="ULAW"),
    "mp3": lambda d: write(d / "a.mp3", noise(9000)),
    "ogg": lambda d: write(d / "a.ogg", noise(9000)),
    "name with quotes and spaces": lambda d: write(d / 'it\'s "my" song .wav', noise(3000)),
    "name in other scripts": lambda d: write(d / "Пе́сня 音楽 ñ.wav", noise(3000)),
    "name that looks like an option": lambda d: write(d / "--sources.wav", noise(3000)),
    "name without a suffix": lambda d: write(d / "song", noise(3000), format="WAV"),
    "name with a wrong suffix": lambda d: write(d / "a.mp3", noise(3000), format="FLAC"),
    "hidden file": lambda d: write(d / ".wav", noise(3000), format="WAV"),
    "length unknown to the header": lambda d: streamed(write(d / "a.wav", noise(3000))),
    "folder of songs": lambda d: str(Path(write(d / "songs" / "a.wav", noise(3000))).parent),
}


def streamed(path):
    """A wav that was written to a pipe: its sizes are all ones."""
    content = bytearray(Path(path).read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    Path(path).write_bytes(content)
    return path


@pytest.mark.parametrize("case", HONEST)
def test_honest_files_succeed(model, tmp_path, case):
    song = HONEST[case](tmp_path / "in") if (tmp_path / "in").mkdir() is None else None
    assert run(model, tmp_path, song) == 0
    song = next(Path(song).iterdir()) if os.path.isdir(song) else Path(song)
    assert files_in(tmp_path / "out") == [f"{song.stem}/{name}.wav" for name in ("drums", "vocals")]
    mixture = read(song)
    for name, gain in (("vocals", 0.25), ("drums", 0.75)):
        stem = read(tmp_path / "out" / song.stem / f"{name}.wav")
        assert stem.shape == mixture.shape and np.isfinite(stem).all()
        np.testing.assert_allclose(stem, gain * mixture, atol=1e-3 * max(np.abs(mixture).max(), 1e-9))
    if case == "all silent":
        assert not stem.any()


# ----------------------------------------------------------------------------------------------- unusable files


def not_finite(value):
    wav = noise(3000)
    wav[0, 1234] = value
    return wav


def half(path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])
    return path


def content(path, data):
    path.write_bytes(data)
    return str(path)


BAD_FILES = {
    "missing": (lambda d: str(d / "no.wav"), "no.wav: does not exist"),
    "empty": (lambda d: content(d / "a.wav", b""), "a.wav: is empty (0 bytes)"),
    "zero-length": (lambda d: write(d / "a.wav", noise(0)), "a.wav: holds no samples"),
    "zero-length flac": (lambda d: write(d / "a.flac", noise(0)), "a.flac: "),
    "truncated wav": (lambda d: half(write(d / "a.wav", noise())), "a.wav: is truncated: its header promises"),
    "truncated aiff": (lambda d: half(write(d / "a.aiff", noise())), "a.aiff: is truncated"),
    "truncated flac": (lambda d: half(write(d / "a.flac", noise())), "a.flac: is damaged or truncated"),
    "truncated mp3": (lambda d: half(write(d / "a.mp3", noise(90000))), "a.mp3: is truncated"),
    "NaN": (lambda d: write(d / "a.wav", not_finite(np.nan), subtype="FLOAT"), "NaN or infinite, at 0.0279819 s"),
    "infinite": (lambda d: write(d / "a.wav", not_finite(np.inf), subtype="FLOAT"), "NaN or infinite, at 0.0279819 s"),
    "noise posing as flac": (lambda d: content(d / "a.flac", b"fLaC" + bytes(range(256)) * 9), "a.flac: "),
    "header alone": (lambda d: content(d / "a.wav", b"RIFF"), "a.wav: "),
    "text named .mp3": (lambda d: content(d / "a.mp3", b"only words here\n" * 99), "a.mp3: "),
    "playlist named .m4a": (lambda d: content(d / "a.m4a", b"#EXTM3U\n#EXTINF:1\nfile:///etc/hostname\n"), "a.m4a: "),
    "zeros": (lambda d: content(d / "a.wav", bytes(5000)), "a.wav: "),
}


@pytest.mark.parametrize("fmt", ["wav", "flac"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_unusable_files_are_reported_and_the_others_go_on(model, tmp_path, capsys, case, fmt):
    make, sentence = BAD_FILES[case]
    (tmp_path / "in").mkdir()
    good = write(tmp_path / "good.wav", noise(3000))
    assert run(model, tmp_path, [make(tmp_path / "in"), good], ["--format", fmt, "--segment", "0.1"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and sentence in errors[0]
    assert files_in(tmp_path / "out") == [f"good/drums.{fmt}", f"good/vocals.{fmt}"]
    assert os.listdir(tmp_path / "out") == ["good"]


# --------------------------------------------------------------------------------------- impossible requests


def taken(d):
    """A folder for the stems whose parent is a file."""
    (d / "file").write_text("")
    return d / "file" / "stems"


class Hostile:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def pickled(path, writer=torch.save):
    with open(path, "wb") as file:
        writer({"model_name": "KnownGains", "model_args": {}, "state_dict": Hostile()}, file)
    return path


def classifier(path):
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    return path


def other_task(path):
    """A file of the right form whose model is none of ours."""
    torch.save({"model_name": "Classifier", "model_args": {}, "state_dict": {}}, path)
    return path


def wrong_shape(path):
    conf = KnownGains().serialize()
    conf["model_args"]["sources"] = ("vocals", "drums", "bass")
    torch.save(conf, path)
    return path


def escaping(path):
    return save(KnownGains(("../../vocals", "drums")), path)


def missing_weight(path):
    conf = KnownGains().serialize()
    conf["state_dict"].pop("factor")
    torch.save(conf, path)
    return path


BAD_REQUESTS = {
    "unknown source": (lambda d: ["--sources", "vocals,guitar"], "unknown source 'guitar': the model has vocals"),
    "consistent mp3": (lambda d: ["--consistent", "--format", "mp3"], "mp3 stems cannot sum to the mixture exactly"),
    "float flac": (lambda d: ["--format", "flac", "--bits", 32], "flac cannot have 32 bits per sample: allowed"),
    "mp3 with bits": (lambda d: ["--format", "mp3", "--bits", 16], "it has no choice"),
    "no segment": (lambda d: ["--segment", 0], "segment must be more than 0 seconds"),
    "overlap of everything": (lambda d: ["--overlap", 1], "overlap is a fraction of the segment"),
    "hop without ola": (lambda d: ["--hop", 1], "hop and window belong to scheme 'ola'"),
    "hop beyond the segment": (lambda d: ["--scheme", "ola", "--hop", 11], "hop must be more than 0 and at most"),
    "unknown window": (lambda d: ["--scheme", "ola", "--window", "hanning"], "unknown window 'hanning'"),
    "batch of nothing": (lambda d: ["--batch", 0], "--batch must be at least 1"),
    "no shifts": (lambda d: ["--shifts", 0], "shifts is a whole number of passes from 1 to"),
    "no threads": (lambda d: ["--threads", 0], "--threads must be at least 1"),
    "no such device": (lambda d: ["--device", "quantum"], "device 'quantum' cannot be used here"),
    "weights of no model": (lambda d: ["--weights", "1,2"], "1 model(s) need as many weights, not 2"),
    "out is below a file": (lambda d: ["-o", taken(d)], "is a file"),
    "model: no such file": (lambda d: ["--model", d / "no.pth"], "there is no file"),
    "model: empty": (lambda d: ["--model", content(d / "m.pth", b"")], "is empty, not a model"),
    "model: text": (lambda d: ["--model", content(d / "m.pth", b"hello")], "is no weights file"),
    "model: truncated": (lambda d: ["--model", half(save(KnownGains(), d / "m.pth"))], "m.pth"),
    "model: hostile pickle": (lambda d: ["--model", pickled(d / "m.pth")], "a pickle that would call posix.system"),
    "model: hostile plain pickle": (lambda d: ["--model", pickled(d / "m.pth", pickle.dump)], "m.pth is refused"),
    "model: weights without a model": (lambda d: ["--model", classifier(d / "m.pth")], "holds no model of Asteroid"),
    "model: for another task": (lambda d: ["--model", other_task(d / "m.pth")], "Classifier"),
    "model: missing weight": (lambda d: ["--model", missing_weight(d / "m.pth")], "factor"),
    "model: other number of sources": (lambda d: ["--model", wrong_shape(d / "m.pth")], "has the sources"),
    "model: source that is a path": (lambda d: ["--model", escaping(d / "m.pth")], "which cannot be a file name"),
    "model: folder without one": (lambda d: ["--model", d], "holds no model: expected is one of"),
    "model: hub id without network": (lambda d: ["--model", "someone/something"], "no connection to"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_impossible_requests_are_refused_before_anything_is_written(model, tmp_path, capsys, monkeypatch, case):
    make, sentence = BAD_REQUESTS[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    song = write(tmp_path / "song.wav", noise(3000))
    options = make(tmp_path)
    before = files_in(tmp_path)
    assert run(model, tmp_path, song, options) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and sentence in errors[0]
    assert files_in(tmp_path) == before and not (tmp_path / "out").exists()


def test_folder_without_audio(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("nothing to hear")
    assert run(model, tmp_path, tmp_path / "in") == 2
    assert "is a folder without audio files" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_stems_never_replace_the_song(model, tmp_path, capsys):
    song = write(tmp_path / "out" / "vocals" / "vocals.wav", noise(3000))
    before = Path(song).read_bytes()
    assert run(model, tmp_path, song, ["--overwrite"]) == 1
    assert "is the recording itself" in capsys.readouterr().err
    assert files_in(tmp_path) == ["out/vocals/vocals.wav"] and Path(song).read_bytes() == before


FILE_REQUESTS = {
    "offset behind the end": (noise(3000), 44100, ["--offset", "7"], "before the start that was asked for, 7 s"),
    "negative offset": (noise(3000), 44100, ["--offset", "-1"], "offset must be at least 0 s"),
    "no duration": (noise(3000), 44100, ["--duration", "0"], "duration more than 0 s"),
    "mp3 of 96 kHz": (noise(3000), 96000, ["--format", "mp3"], "mp3 cannot have a sample rate of 96000 Hz"),
    "mp3 of 3 channels": (noise(3000, 3), 44100, ["--format", "mp3"], "mp3 holds 1 or 2 channels, not 3"),
}


@pytest.mark.parametrize("case", FILE_REQUESTS)
def test_what_one_file_cannot_have(model, tmp_path, capsys, case):
    wav, rate, options, sentence = FILE_REQUESTS[case]
    assert run(model, tmp_path, write(tmp_path / "a.wav", wav, rate), options) == 1
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_one_source_cannot_be_consistent_alone(tmp_path, capsys):
    model = save(KnownGains(("vocals",), (0.5,)), tmp_path / "m.pth")
    song = write(tmp_path / "song.wav", noise(3000))
    assert run(model, tmp_path, song, ["--consistent"]) == 2
    assert "the model has vocals only: add complement" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert run(model, tmp_path, song, ["--consistent", "--complement"]) == 0


FULL_DISK = """if True:
    import resource, sys
    import separation_models
    from asteroid_bsrnn.cli.main import main
    folder, model = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
    for fmt in ("wav", "flac", "mp3"):
        songs = [f"{folder}/long.wav", f"{folder}/short.wav"]
        options = ["--format", fmt, "--model", model, "--segment", "0.5"]
        print("code", main(["separate", *songs, "-o", f"{folder}/{fmt}", *options]))
"""


def test_full_disk(model, tmp_path):
    """The limit on file sizes stands for a disk that fills up half way; a short song still fits."""
    write(tmp_path / "long.wav", noise(400000))
    write(tmp_path / "short.wav", noise(1000))
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), model]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == ["code 1"] * 3, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3 and all("could not be written" in line for line in errors)
    for fmt in ("wav", "flac", "mp3"):
        assert files_in(tmp_path / fmt) == [f"short/drums.{fmt}", f"short/vocals.{fmt}"]
        assert os.listdir(tmp_path / fmt) == ["short"]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(model, tmp_path, capsys):
    (tmp_path / "out").mkdir(mode=0o500)
    assert run(model, tmp_path, write(tmp_path / "song.wav", noise(3000))) == 2
    assert "no permission to write" in capsys.readouterr().err and not os.listdir(tmp_path / "out")


def test_refused_permission_is_told(model, tmp_path, capsys, monkeypatch):
    """As above, for test runs as root: the system's answer is replaced."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert run(model, tmp_path, write(tmp_path / "song.wav", noise(3000))) == 2
    assert "no permission to write" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(not HAS_FFMPEG, reason="ffmpeg is not installed")
@pytest.mark.parametrize("suffix", ["m4a", "aac", "mp4", "opus"])
def test_formats_through_ffmpeg(model, tmp_path, suffix):
    source = write(tmp_path / "source.wav", tones(0.5, 48000), 48000)
    song = tmp_path / f"song.{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, str(song)], check=True)
    assert run(model, tmp_path, song, ["--consistent"]) == 0
    found = soundfile.info(tmp_path / "out/song/vocals.wav")
    assert (found.samplerate, found.channels) == (48000, 2) and 23000 < found.frames < 27000
    vocals = read(tmp_path / "out/song/vocals.wav")
    assert abs(np.abs(vocals).max() - 0.125) < 0.02


def test_the_table_is_long_enough():
    assert len(HONEST) + len(BAD_FILES) + len(BAD_REQUESTS) + len(FILE_REQUESTS) >= 40
