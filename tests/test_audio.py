"""Audio files in and out: what is read is what is there, and what is broken is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asteroid_bsrnn.audio.read import AudioReader, probe, read_audio
from asteroid_bsrnn.audio.write import AudioWriter
from asteroid_bsrnn.common.errors import AudioError, UserError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def noise(channels=2, frames=5000, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, frames)).astype("f4")


def write(path, wav=None, rate=44100, **options):
    soundfile.write(path, (noise() if wav is None else wav).T, rate, **options)
    return path


def encode(source, target, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(source), *options, str(target)], check=True)
    return target


@pytest.mark.parametrize(
    "suffix, subtype", [("wav", "FLOAT"), ("wav", "PCM_24"), ("flac", "PCM_16"), ("aiff", "PCM_16")]
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_reads_what_is_there(tmp_path, suffix, subtype, channels):
    path = write(tmp_path / f"a b'\"é音.{suffix}", noise(channels), 48000, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    wav, rate = read_audio(path)
    assert rate == 48000 and wav.dtype == torch.float32
    np.testing.assert_array_equal(wav.numpy(), expected.T)
    assert (probe(path).channels, probe(path).frames) == (channels, 5000)
    np.testing.assert_array_equal(read_audio(path, start=100, frames=50)[0].numpy(), expected.T[:, 100:150])
    np.testing.assert_array_equal(torch.cat(list(AudioReader(path, start=7, block_len=333)), -1), expected.T[:, 7:])
    assert read_audio(path, start=4990, frames=50)[0].shape == (channels, 10)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "aac", "mp4", "opus", "mp3"])
def test_reads_lossy_formats(tmp_path, suffix):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype("f4")
    source = write(tmp_path / "tone.wav", np.stack([tone, tone]), 48000)
    path = encode(source, tmp_path / f"tone.{suffix}", "-metadata", "title=Chanson é")
    wav, rate = read_audio(path)
    assert rate == 48000 and wav.shape[0] == 2 and 47000 < wav.shape[1] < 51000
    middle = wav[0, 10000:40000]
    assert abs(middle.std().item() - 0.5 / 2**0.5) < 0.02
    assert abs(probe(path).frames - wav.shape[1]) < 3000
    torch.testing.assert_close(read_audio(path, 12345, 1000)[0], wav[:, 12345:13345])
    if suffix != "aac":  # raw frames without a container
        assert probe(path).tags["title"] == "Chanson é"


def not_finite(value):
    wav = noise()
    wav[1, 3210] = value
    return wav


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


BROKEN = {
    "missing": (lambda d: d / "no.wav", "does not exist"),
    "folder": (lambda d: d, "is a folder"),
    "empty": (lambda d: (d / "e.wav").touch() or d / "e.wav", r"is empty \(0 bytes\)"),
    "no samples": (lambda d: write(d / "z.wav", noise(frames=0)), "holds no samples"),
    "nan": (lambda d: write(d / "n.wav", not_finite(np.nan), subtype="FLOAT"), "NaN or infinite, at 0.07"),
    "infinite": (lambda d: write(d / "n.wav", not_finite(-np.inf), subtype="FLOAT"), "NaN or infinite, at 0.07"),
    "half a wav": (lambda d: half(write(d / "t.wav")), "is truncated: its header promises"),
    "half an aiff": (lambda d: half(write(d / "t.aiff")), "is truncated: its header promises"),
    "half a w64": (lambda d: half(write(d / "t.w64")), "is truncated: its header promises"),
    "half an RF64": (lambda d: half(write(d / "t.wav", format="RF64")), "is truncated: its header promises"),
    "half a flac": (lambda d: half(write(d / "t.flac")), "is damaged or truncated"),
    "half an mp3": (lambda d: half(write(d / "t.mp3", noise(frames=50000))), "is truncated: its header promises"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path, case):
    make, sentence = BROKEN[case]
    path = make(tmp_path)
    with pytest.raises(AudioError, match=sentence) as caught:
        read_audio(path)
    assert caught.value.path == str(path) and str(caught.value).startswith(str(path))


@needs_ffmpeg
def test_text_and_pictures_are_no_audio(tmp_path):
    text = tmp_path / "text.mp3"
    text.write_text("these are words, not sounds\n" * 500)
    picture = ["-f", "lavfi", "-i", "color=s=16x16:d=0.2", str(tmp_path / "p.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", *picture], check=True)
    for path in (text, tmp_path / "p.mp4"):
        with pytest.raises(AudioError, match="holds no audio that"):
            probe(path)


@needs_ffmpeg
def test_truncated_m4a(tmp_path):
    source = write(tmp_path / "long.wav", noise(frames=441000))
    with pytest.raises(AudioError, match="holds no audio that"):  # the index at its end is lost
        read_audio(half(encode(source, tmp_path / "end.m4a")))
    with pytest.raises(AudioError, match="truncated"):
        read_audio(half(encode(source, tmp_path / "start.m4a", "-movflags", "+faststart")))
    read_audio(encode(source, tmp_path / "whole.m4a"))


def test_without_ffmpeg_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.m4a").write_bytes(b"\0" * 100)
    with pytest.raises(AudioError, match="with ffmpeg installed, more formats"):
        probe(tmp_path / "a.m4a")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_is_removed_before_it_is_read_is_named(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}")
    reader = AudioReader(path)
    path.unlink()
    with pytest.raises(AudioError, match="cannot be opened again"):
        list(reader)


def test_start_behind_the_end(tmp_path):
    with pytest.raises(AudioError, match="ends at 0.1.* s, before the start that was asked for, 1 s"):
        read_audio(write(tmp_path / "a.wav"), start=44100)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("bits", [16, 24, None])
@pytest.mark.parametrize("channels, rate", [(1, 7000), (2, 44100), (8, 384000)])
def test_written_samples_come_back(tmp_path, name, bits, channels, rate):
    wav = torch.from_numpy(noise(channels))
    with AudioWriter(tmp_path / name, rate, channels, bits) as writer:
        for block in wav.split(777, dim=-1):
            writer.write(block)
    back, found_rate = read_audio(tmp_path / name)
    step = {16: 2**-16, 24: 2**-24}.get(bits, 0 if name == "a.wav" else 2**-24)
    assert found_rate == rate and os.listdir(tmp_path) == [name]
    torch.testing.assert_close(back, wav, atol=step * 1.01, rtol=0)


@pytest.mark.parametrize("name, bits", [("a.wav", 16), ("a.flac", 24)])
def test_integers_are_written_unchanged(tmp_path, name, bits):
    top = 2 ** (bits - 1)
    values = np.array([[-top, top - 1, 0, 1, -1, 77]], dtype="i4")
    with AudioWriter(tmp_path / name, 44100, 1, bits) as writer:
        writer.write(values)
    found = soundfile.read(tmp_path / name, dtype="int32")[0] >> (32 - bits)
    np.testing.assert_array_equal(found, values[0])


def test_tags_are_written(tmp_path):
    tags = {"title": "Für Élise 音", "artist": "A", "album": "B", "date": "1810", "comment": "c"}
    for name in ("a.wav", "a.flac", "a.mp3"):
        with AudioWriter(tmp_path / name, 44100, 2, tags=tags) as writer:
            writer.write(noise())
        found = probe(tmp_path / name)
        assert found.tags == tags and found.frames == 5000


def test_a_failed_file_leaves_nothing(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half way"), AudioWriter(tmp_path / "a.wav", 44100, 2) as writer:
        writer.write(noise())
        raise RuntimeError("half way")
    assert os.listdir(tmp_path) == ["a.wav"] and (tmp_path / "a.wav").read_bytes() == b"old"


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    script = """if True:
        import resource, sys, numpy as np
        from asteroid_bsrnn.audio.write import AudioWriter
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        for name in ("a.wav", "a.flac", "a.mp3"):
            try:
                with AudioWriter(sys.argv[1] + "/" + name, 44100, 2) as writer:
                    for seed in range(20):
                        writer.write(np.random.default_rng(seed).uniform(-.5, .5, (2, 20000)).astype("f4"))
            except ValueError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert [line.split(": ")[1][:24] for line in done.stdout.splitlines()] == ["could not be written"] * 3
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("a.ogg", {}, "unknown output format 'ogg'"),
        ("a.wav", {"bits": 20}, "wav cannot have 20 bits per sample: allowed are 16, 24, 32"),
        ("a.flac", {"bits": 32}, "allowed are 16, 24"),
        ("a.mp3", {"bits": 16}, "cannot have 16 bits per sample: it has no choice"),
        ("a.mp3", {"channels": 3}, "mp3 holds 1 or 2 channels, not 3"),
        ("a.mp3", {"sample_rate": 96000}, "mp3 cannot have a sample rate of 96000 Hz"),
        ("a.flac", {"channels": 9}, "up to 8 channels"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path, name, options, sentence):
    with pytest.raises(UserError, match=sentence):
        AudioWriter(tmp_path / name, **{"sample_rate": 44100, "channels": 2, **options})


def test_wav_beyond_4_gigabytes_has_a_header_that_can_say_so(tmp_path):
    for frames, fmt in ((400_000_000, "WAV"), (600_000_000, "RF64")):
        with AudioWriter(tmp_path / "a.wav", 44100, 2, frames=frames) as writer:
            writer.write(noise())
        assert soundfile.info(tmp_path / "a.wav").format == fmt and read_audio(tmp_path / "a.wav")[0].shape[-1] == 5000


def test_a_file_that_lost_samples_on_the_way_is_refused(tmp_path, monkeypatch):
    """Encoders buffer: what the disk refuses when they are closed shows only in the file itself."""
    close, short = soundfile.SoundFile.close, Path(write(tmp_path / "short.flac", noise(frames=10))).read_bytes()

    def closing_loses_a_block(file):
        partial, mode = file.name, file.mode
        close(file)
        if mode == "w":
            Path(partial).write_bytes(short)

    monkeypatch.setattr(soundfile.SoundFile, "close", closing_loses_a_block)
    with pytest.raises(AudioError, match="could not be written"), AudioWriter(tmp_path / "a.flac", 44100, 2) as writer:
        writer.write(noise())
    assert os.listdir(tmp_path) == ["short.flac"]
