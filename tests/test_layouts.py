"""Channels of surround recordings: in the order of their layout, with it in the stems, in pairs for a stereo model."""

import struct

import numpy as np
import pytest
import soundfile
import torch
from encoders import ffmpeg, needs, run
from helpers import SHARED
from separation_models import KnownGains, noise

from asteroid_bsrnn.audio.channel_order import DEFAULT, SPEAKERS, from_ffmpeg, groups, mask_of, speakers_of
from asteroid_bsrnn.audio.read import probe, read_audio
from asteroid_bsrnn.separation.recordings import separate, separate_file

RATE = 48000
TONES = (200, 300, 400, 60, 600, 700, 800, 900)  # Hz; the fourth channel of 5.1 and 7.1 hears bass only


def surround(path, channels, mask):
    """A WAV file whose channels have a tone each."""
    t = np.arange(RATE) / RATE
    wav = np.stack([0.3 * np.sin(2 * np.pi * TONES[index] * t) for index in range(channels)], axis=1)
    soundfile.write(path, wav, RATE, format="WAVEX", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", mask)
    path.write_bytes(data)
    return path


def tones_of(wav):
    """The strongest frequency of each channel, in Hz."""
    spectrum = np.abs(np.fft.rfft(np.asarray(wav)[:, 8000:32000]))
    return [int(round(index * RATE / 24000 / 10) * 10) for index in spectrum.argmax(axis=1)]


def stated_mask(path):
    data = path.read_bytes()[:4096]
    at = data.index(b"fmt ") + 8
    return struct.unpack("<I", data[at + 20 : at + 24])[0] if data[at : at + 2] == b"\xfe\xff" else 0


@needs("ffmpeg")
@pytest.mark.parametrize(
    "suffix, options",
    [("ogg", ["-c:a", "libvorbis", "-q:a", "8"]), ("flac", []), ("wav", []), ("mka", ["-c:a", "flac"])],
)
@pytest.mark.parametrize("channels", [6, *(pytest.param(number, marks=pytest.mark.slow) for number in (3, 5, 7, 8))])
def test_order_and_layout_of_stems(tmp_path, suffix, options, channels):
    source = surround(tmp_path / "s.wav", channels, DEFAULT[channels])
    path = ffmpeg(source, tmp_path / f"a.{suffix}", *options)
    wav, _ = read_audio(path)
    assert tones_of(wav) == list(TONES[:channels])
    done = separate_file(KnownGains(("all",), (1.0,), RATE), path, tmp_path / "out", segment=0.5)
    stem = tmp_path / "out" / "a" / "all.wav"
    assert done["channels"] == channels and tones_of(read_audio(stem)[0]) == list(TONES[:channels])
    assert probe(path).layout == probe(stem).layout == stated_mask(stem) == DEFAULT[channels]


@needs("opusenc")
@pytest.mark.parametrize("channels", [6, *(pytest.param(number, marks=pytest.mark.slow) for number in (3, 8))])
def test_opus_comes_in_the_order_of_its_layout(tmp_path, channels):
    source = surround(tmp_path / "s.wav", channels, DEFAULT[channels])
    run("opusenc", "--quiet", "--bitrate", "256", source, tmp_path / "a.opus")
    found = tones_of(read_audio(tmp_path / "a.opus")[0])
    assert [tone for tone in found if tone != 60] == [tone for tone in TONES[:channels] if tone != 60]


@pytest.mark.skipif(
    SHARED is None or not (SHARED / "cases" / "audio").is_dir(), reason="no folder of reference material"
)
@needs("ffmpeg")
def test_the_given_file_of_six_channels(tmp_path):
    path = SHARED / "cases" / "audio" / "six.ogg"
    raw = run("ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-")
    np.testing.assert_allclose(read_audio(path)[0].numpy().T, np.frombuffer(raw, "<f4").reshape(-1, 6), atol=4e-5)


@pytest.mark.parametrize("mask", [0x60F, *(pytest.param(mask, marks=pytest.mark.slow) for mask in (0x03F, 0x707))])
@pytest.mark.parametrize("fmt", ["wav", "flac"])
def test_side_and_back_are_told_apart(tmp_path, mask, fmt):
    """5.1 with channels at the side or behind is written as what it is, in wav and in flac."""
    path = surround(tmp_path / "a.wav", 6, mask)
    assert probe(path).layout == mask
    separate_file(KnownGains(("all",), (1.0,), RATE), path, tmp_path / "out", fmt=fmt, segment=0.5)
    stem = tmp_path / "out" / "a" / f"all.{fmt}"
    assert probe(stem).layout == mask and tones_of(read_audio(stem)[0]) == tones_of(read_audio(path)[0])


@needs("ffmpeg")
def test_caf_states_its_layout(tmp_path):
    path = ffmpeg(surround(tmp_path / "s.wav", 6, 0x3F), tmp_path / "a.caf", "-c:a", "pcm_s16le")
    assert len(speakers_of(probe(path).layout)) == 6 and tones_of(read_audio(path)[0]) == list(TONES[:6])


def test_a_file_that_names_no_loudspeakers_gives_stems_without_a_mask(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(5000, 6).T, RATE)
    separate_file(KnownGains(("all",), (1.0,), RATE), tmp_path / "a.wav", tmp_path / "out")
    assert soundfile.info(tmp_path / "out" / "a" / "all.wav").format == "WAV" and probe(tmp_path / "a.wav").layout == 0


class Swaps(KnownGains):
    """Gives left as right and right as left: shows what a stereo model hears together."""

    def forward(self, wav):
        return super().forward(wav.flip(1))


PARTNERS = {
    (6, 0x03F): [1, 0, 2, 3, 5, 4], (6, 0x60F): [1, 0, 2, 3, 5, 4], (5, 0x037): [1, 0, 2, 4, 3], (3, 0x007): [1, 0, 2],
    (8, 0x63F): [1, 0, 2, 3, 5, 4, 7, 6], (7, 0x70F): [1, 0, 2, 3, 4, 6, 5], (4, 0x033): [1, 0, 3, 2],
}  # fmt: skip


@pytest.mark.parametrize(
    "channels, mask, partners",
    [pytest.param(*kind, found, marks=[] if kind[0] == 6 else [pytest.mark.slow]) for kind, found in PARTNERS.items()],
)
def test_a_stereo_model_hears_pairs_and_single_channels(tmp_path, channels, mask, partners):
    path = surround(tmp_path / "a.wav", channels, mask)
    separate_file(Swaps(("all",), (1.0,), RATE), path, tmp_path / "out", segment=0.5)
    stem = read_audio(tmp_path / "out" / "a" / "all.wav")[0]
    torch.testing.assert_close(stem, read_audio(path)[0][partners], atol=1e-6, rtol=0)
    wav = noise(5000, channels)
    out = separate(Swaps(("all",), (1.0,), RATE), wav, RATE, layout=mask)
    np.testing.assert_allclose(out[0], wav[partners], atol=1e-6)


def test_groups_cover_every_channel_once():
    for mask in range(1 << 11):
        channels = bin(mask).count("1")
        found = sorted(index for group in groups(channels, mask) for index in group)
        assert found == list(range(channels)) and all(len(group) <= 2 for group in groups(channels, mask))
    assert groups(5) == [[0, 1], [2, 3], [4]]  # nothing is known: as they come


def test_names_of_layouts():
    assert speakers_of(0x63F) == "FL FR FC LFE BL BR SL SR".split() and mask_of(SPEAKERS[:6]) == 0x3F
    assert from_ffmpeg("5.1(side)", 6) == 0x60F and from_ffmpeg("FL+FR+LFE", 3) == 0xB
    assert from_ffmpeg("unknown", 6) == 0 == from_ffmpeg("", 3)


@needs("ffmpeg")
@pytest.mark.parametrize("suffix", ["mka", "mp4"])
def test_the_default_stream_is_taken(tmp_path, suffix):
    sources = []
    for tone in (440, 880):
        sources += ["-i", tmp_path / f"{tone}.wav"]
        soundfile.write(tmp_path / f"{tone}.wav", 0.3 * np.sin(2 * np.pi * tone * np.arange(RATE) / RATE), RATE)
    streams = ["-map", "0", "-map", "1", "-c:a", "aac", "-disposition:a:0", "0", "-disposition:a:1", "default"]
    run("ffmpeg", "-v", "error", *sources, *streams, tmp_path / f"a.{suffix}")
    assert tones_of(read_audio(tmp_path / f"a.{suffix}")[0]) == [880]
