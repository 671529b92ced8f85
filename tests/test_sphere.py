"""NIST SPHERE files, written here: plain and shorten-compressed, whole and damaged."""

import shutil

import numpy as np
import pytest
from shorten import DIFF0, DIFF1, shorten

from asteroid_bsrnn.audio.sphere import checksum, read_header, read_sphere, write_sphere
from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.data.speech.utterances import look_at, read_utterance

SHORTEN = "pcm,embedded-shorten-v2.00"
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg decodes shorten")


@pytest.fixture
def wav():
    generator = np.random.default_rng(0)
    tone = 9000 * np.sin(np.arange(3000) / 9) + 300 * generator.standard_normal(3000)
    edges = [0, 1, -1, 32767, -32768, 0]
    return np.concatenate([edges, tone]).astype(np.int16)


def write_shorten(path, wav, data=None, **fields):
    write_sphere(path, wav, coding=SHORTEN, data=shorten(wav) if data is None else data, **fields)
    return path


@pytest.mark.parametrize("order", ["01", "10"])
def test_pcm_in_both_byte_orders(tmp_path, wav, order):
    data = wav.astype("<i2" if order == "01" else ">i2").tobytes()
    write_sphere(tmp_path / "a.wv1", wav, data=data, sample_byte_format=order, database_id="wsj0 test")
    read, rate = read_sphere(tmp_path / "a.wv1")
    assert rate == 16000 and read.dtype == np.int16 and np.array_equal(read, wav)
    assert read_header(tmp_path / "a.wv1").fields["database_id"] == "wsj0 test"


@needs_ffmpeg
@pytest.mark.parametrize("command", [DIFF0, DIFF1])
@pytest.mark.parametrize("length", [1, 255, 256, 257, 3006])
def test_shorten_sample_by_sample(tmp_path, wav, command, length):
    wav = wav[-length:]
    path = write_shorten(tmp_path / "a.wv1", wav, shorten(wav, command=command))
    assert np.array_equal(read_sphere(path)[0], wav)
    assert look_at(path) == length
    assert np.array_equal(read_utterance(path, "float64"), wav / 32768)


def test_checksum_is_the_sum_modulo_two_to_the_sixteen():
    assert checksum(np.array([1, 2, -4], np.int16)) == 65535
    assert checksum(np.full(3, 32767, np.int16)) == 3 * 32767 % 65536


@needs_ffmpeg
def test_a_broken_shorten_stream_is_refused_though_ffmpeg_gives_a_part_of_it(tmp_path, wav):
    path = write_shorten(tmp_path / "cut.wv1", wav, shorten(wav)[:2500])
    with pytest.raises(AudioError, match=r"cut.wv1: is damaged: \d+ samples were decoded where its header says 3006"):
        read_sphere(path)


@needs_ffmpeg
def test_a_changed_sample_is_refused(tmp_path, wav):
    other = wav.copy()
    other[700] += 1
    path = write_shorten(tmp_path / "flip.wv1", wav, shorten(other))
    with pytest.raises(AudioError, match="samples sum to .* where its header says"):
        read_sphere(path)


@needs_ffmpeg
def test_no_stream_at_all_is_refused(tmp_path, wav):
    with pytest.raises(AudioError, match="is damaged"):
        read_sphere(write_shorten(tmp_path / "empty.wv1", wav, b"ajkg"))


@pytest.mark.parametrize("change, said", [
    ({"data": b"\0\0"}, "1 samples were decoded where its header says 3006"),
    ({"sample_checksum": 12}, "where its header says 12"),
    ({"channel_count": 2}, "channel_count 2; 1 was expected"),
    ({"sample_n_bytes": 1}, "sample_n_bytes 1; 2 was expected"),
    ({"sample_byte_format": "1"}, "byte order '1'"),
    ({"coding": "ulaw"}, "sample coding 'ulaw'"),
    ({"sample_count": 0}, "no sample_count"),
])  # fmt: skip
def test_headers_that_disagree(tmp_path, wav, change, said):
    write_sphere(tmp_path / "a.wv1", wav, **change)
    with pytest.raises(AudioError, match=said) as caught:
        read_sphere(tmp_path / "a.wv1")
    assert caught.value.path == str(tmp_path / "a.wv1") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content, said", [
    (b"RIFF....WAVE", "no NIST SPHERE"), (b"NIST_1A\n   1024\nsample_count -i 5\n", "truncated header"), (b"", "no NIST SPHERE"),
    (b"NIST_1A\n   1024\nsample_count -i five\nend_head\n", "sample_count is 'five'"), (b"NIST_1A\n   abcd\nend_head\n", "cannot be read"),
])  # fmt: skip
def test_what_is_no_sphere_file(tmp_path, content, said):
    (tmp_path / "a.wv1").write_bytes(content)
    with pytest.raises(AudioError, match=said):
        read_sphere(tmp_path / "a.wv1")


def test_missing_file_and_missing_ffmpeg(tmp_path, wav, monkeypatch):
    with pytest.raises(AudioError, match="none.wv1: cannot be read"):
        read_sphere(tmp_path / "none.wv1")
    path = write_shorten(tmp_path / "a.wv1", wav)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="ffmpeg must be on the PATH"):
        read_sphere(path)


def test_other_rates_are_refused_as_utterances(tmp_path, wav):
    write_sphere(tmp_path / "a.wv1", wav, sample_rate=8000)
    for read in (look_at, read_utterance):
        with pytest.raises(AudioError, match="at 8000 Hz; mono at 16000 Hz was expected"):
            read(tmp_path / "a.wv1")
