"""Chunks of WAV files are the samples that soundfile reads, and broken files are named."""

import os
import pickle
import struct

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.audio.wav import WavReader, wav_info, write_wav
from asteroid_bsrnn.common.errors import AudioError

NOISE = np.random.default_rng(0).uniform(-0.9, 0.9, (1000, 2))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8", "ALAW"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_chunks_equal_soundfile(tmp_path, subtype, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.resize(NOISE, (1000, channels)), 22050, subtype=subtype)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    reader = WavReader()
    assert reader.info(path)[:3] == (22050, channels, 1000)
    assert np.array_equal(reader.read(path), whole.T)
    assert np.array_equal(reader.read(path, 123, 456), whole[123:579].T)
    assert np.array_equal(reader.read(path, 999, 1), whole[999:].T)
    assert reader.read(path).dtype == np.float32


def test_extremes_of_16_bit(tmp_path):
    path, extremes = tmp_path / "a.wav", np.array([[-32768, 32767], [-1, 0], [1, -1]], np.int16)
    soundfile.write(path, extremes, 44100, subtype="PCM_16")
    assert np.array_equal(WavReader().read(path), extremes.T / np.float32(32768))


@pytest.mark.parametrize("fmt", ["WAVEX", "RF64"])
def test_other_kinds_of_wav(tmp_path, fmt):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 44100, subtype="PCM_16", format=fmt)
    whole, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(WavReader().read(path, 10, 20), whole[10:30].T)


def test_chunks_before_the_audio_and_unknown_size(tmp_path):
    """A list chunk of odd length stands first, and the writer could not fill the size in."""
    path, samples = tmp_path / "a.wav", np.arange(8, dtype="<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 2, 8000, 32000, 4, 16)
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    path.write_bytes(
        b"RIFF\xff\xff\xff\xffWAVE" + odd + b"fmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff" + samples
    )
    assert np.array_equal(WavReader().read(path) * 32768, [[0, 2, 4, 6], [1, 3, 5, 7]])


def test_few_descriptors_stay_open(tmp_path):
    reader = WavReader(max_open=2)
    for k in range(5):
        write_wav(tmp_path / f"{k}.wav", NOISE.T * k / 5, 44100)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for k in [0, 1, 2, 3, 4, 0, 2]:
        assert np.abs(reader.read(tmp_path / f"{k}.wav", 0, 10) - NOISE[:10].T * k / 5).max() < 1e-4
    assert list(reader._open) == [tmp_path / "0.wav", tmp_path / "2.wav"]  # those used last
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before + 2
        reader.close()
        assert len(os.listdir("/proc/self/fd")) == before


def test_pickled_reader_opens_its_own_files(tmp_path):
    write_wav(tmp_path / "a.wav", NOISE.T, 44100)
    reader = WavReader()
    expected = reader.read(tmp_path / "a.wav")
    copy = pickle.loads(pickle.dumps(reader))
    assert not copy._open
    reader.close()
    assert np.array_equal(copy.read(tmp_path / "a.wav"), expected)


def _truncated(path):
    soundfile.write(path, NOISE, 44100, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-100])


BROKEN = {
    "is missing": lambda path: None,
    "is empty": lambda path: path.write_bytes(b""),
    "is not a WAV file": lambda path: path.write_text("these are words, no samples"),
    "is truncated: its header promises 4000 bytes of audio, 3900 are there": _truncated,
    "ends before its audio begins": lambda path: path.write_bytes(b"RIFF\x10\0\0\0WAVEfmt \x10\0\0\0"),
    "holds no audio": lambda path: soundfile.write(path, NOISE[:0], 44100, subtype="PCM_16"),
    "cannot be read": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("words", BROKEN)
def test_broken_files_are_named(tmp_path, words):
    path = tmp_path / "stem.wav"
    BROKEN[words](path)
    with pytest.raises(AudioError, match=words) as caught:
        wav_info(path)
    assert caught.value.path == str(path)


def test_nan_in_a_chunk(tmp_path):
    audio = NOISE.copy()
    audio[500] = np.nan
    soundfile.write(tmp_path / "a.wav", audio, 44100, subtype="FLOAT")
    reader = WavReader()
    reader.read(tmp_path / "a.wav", 0, 500)
    with pytest.raises(AudioError, match="NaN"):
        reader.read(tmp_path / "a.wav", 400, 200)


def test_file_that_shrinks_while_open(tmp_path):
    path, reader = tmp_path / "a.wav", WavReader()
    write_wav(path, NOISE.T, 44100)
    reader.read(path, 0, 10)
    os.truncate(path, 2000)
    reader.read(path, 0, 10)
    with pytest.raises(AudioError, match="it was cut since its header was read"):
        reader.read(path, 0, 1000)


@pytest.mark.parametrize("start, frames", [(-1, 10), (995, 10), (1000, 1)])
def test_beyond_the_file(tmp_path, start, frames):
    write_wav(tmp_path / "a.wav", NOISE.T, 44100)
    with pytest.raises(AudioError, match="it has 1000"):
        WavReader().read(tmp_path / "a.wav", start, frames)


def test_mono_does_not_spread_over_two_channels(tmp_path):
    write_wav(tmp_path / "a.wav", NOISE.T[:1], 44100)
    with pytest.raises(AudioError, match="has 1 channel"):
        WavReader().read(tmp_path / "a.wav", 0, 10, out=np.empty((2, 10), np.float32))


def test_write_refuses_to_clip(tmp_path):
    with pytest.raises(ValueError, match="beyond full scale"):
        write_wav(tmp_path / "a.wav", NOISE.T * 2, 44100)
    assert not list(tmp_path.iterdir())
