"""Formats, odd rates and mp3 outputs: samples, length, alignment and level against an independent decoder (slow: all)."""

import numpy as np
import pytest
import soundfile
from encoders import by_ffmpeg, by_sox, ffmpeg, lag, needs, run, sound, wav
from separation_models import KnownGains

from asteroid_bsrnn.audio.read import read_audio
from asteroid_bsrnn.separation.recordings import separate_file

# ffmpeg: suffix and encoder, each in four kinds (channels, rate)
BY_FFMPEG = """m4a aac, mp4 aac, mov aac, aac aac, m4a alac, caf alac, mov pcm_s16le, mov pcm_s24be, mka flac, mka libvorbis,
mka libopus, mka pcm_f32le, webm libopus, webm libvorbis, ogg libvorbis, oga flac, opus libopus, mp3 libmp3lame, ac3 ac3,
eac3 eac3, wma wmav2, wv wavpack, tta tta, flac flac, wav adpcm_ms, wav adpcm_ima_wav, wav pcm_alaw, wav pcm_mulaw,
wav pcm_u8, wav pcm_s24le, wav pcm_s32le, wav pcm_f64le, avi pcm_s16le, mkv aac, ts aac, au pcm_s16be, aiff pcm_s24be,
w64 pcm_f32le, caf pcm_f32be, nut pcm_s16le"""
BY_FFMPEG = [tuple(entry.split()) for entry in BY_FFMPEG.split(",")]
KINDS = [(2, 44100), (1, 48000), (2, 32000), (1, 16000)]
#: those of the fast suite: one of each way through the readers
FAST = {
    ("m4a", "aac", 2, 44100),
    ("flac", "flac", 2, 44100),
    ("ogg", "libvorbis", 1, 48000),
    ("mp3", "libmp3lame", 2, 44100),
}
FIXED_POINT = {
    "libopus": 2e-3,
    "aac": 1e-4,
    "ac3": 1e-4,
    "eac3": 1e-4,
    "wmav2": 1e-4,
    "adpcm_ms": 3e-3,
    "adpcm_ima_wav": 3e-3,
}


def table():
    for suffix, codec in BY_FFMPEG:
        for channels, rate in KINDS:
            marks = () if (suffix, codec, channels, rate) in FAST else (pytest.mark.slow,)
            yield pytest.param(suffix, codec, channels, rate, marks=marks, id=f"{suffix}-{codec}-{channels}-{rate}")


def test_the_table_is_long_enough():
    assert len(list(table())) >= 127


@needs("ffmpeg")
@pytest.mark.parametrize("suffix, codec, channels, rate", table())
def test_a_format_gives_what_another_decoder_gives(tmp_path, suffix, codec, channels, rate):
    if suffix == "webm" and rate == 32000 and codec == "libopus":
        pytest.skip("no such rate in Opus")
    source = wav(tmp_path / "s.wav", channels, rate, 3 * rate // 2)
    path = ffmpeg(source, tmp_path / f"a.{suffix}", "-c:a", codec, "-strict", "-2")
    found, found_rate = read_audio(path)
    expected = by_ffmpeg(path, channels)
    if codec == "libopus" and found_rate != 48000:  # at the rate that was encoded; ffmpeg always gives 48 kHz
        assert found.shape == (channels, len(expected) * found_rate // 48000)
        return
    assert found.shape == expected.T.shape and (found_rate == rate or codec in ("libopus", "ac3", "eac3"))
    np.testing.assert_allclose(found.numpy().T, expected, atol=FIXED_POINT.get(codec, 4e-5))


SOX = [
    "aiff",
    "aifc",
    "au",
    "caf",
    "w64",
    "wav",
    "flac",
    "ogg",
    "gsm",
    "ircam",
    "sph",
    "8svx",
    "avr",
    "pvf",
    "wv",
    "wve",
]


@needs("sox")
@pytest.mark.slow
@pytest.mark.parametrize("suffix", SOX)
def test_formats_of_sox(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    run("sox", "-D", wav(tmp_path / "s.wav", 1, 8000, 12000), path)
    if not path.exists() or not path.stat().st_size:
        pytest.skip(f"this sox does not write {suffix}")
    found, expected = read_audio(path)[0].numpy().T, by_sox(path)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fmt", ["WAV", "AIFF", "AU", "W64", "RF64", "CAF", "FLAC", "OGG", "MP3", "NIST", "PAF", "IRCAM", "MAT5", "VOC"]
)
def test_all_subtypes_of_libsndfile(tmp_path, fmt):
    """Also those that cannot seek."""
    n_made = 0
    for subtype in set(soundfile.available_subtypes(fmt)) - {"ALAC_20"}:  # which libsndfile itself spoils in writing
        channels = (
            1 if subtype in ("GSM610", "G721_32", "G723_24", "G723_40") or subtype.startswith(("NMS", "DWVW")) else 2
        )
        path = tmp_path / f"{subtype}.{fmt.lower()}"
        try:
            soundfile.write(path, sound(channels, 8000, 12000), 8000, subtype=subtype, format=fmt)
        except soundfile.LibsndfileError:
            continue
        n_made += 1
        found = read_audio(path)[0].numpy()
        assert found.shape[0] == channels and 12000 <= found.shape[1] <= 12600
        middle = slice(2000, 10000)
        assert abs(found[0, middle].std() / sound(channels, 8000, 12000)[middle, 0].std() - 1) < 0.1
        assert abs(lag(sound(channels, 8000, 12000)[:, 0], found[0])) <= 12  # G.72x are late by some samples
    assert n_made


ODD_RATES = [1000, 4000, 5512, 7350, 11127, 12345, 22255, 37800, 44056, 47952, 88200, 352800]


@pytest.mark.parametrize(
    "rate", [pytest.param(rate, marks=[] if rate in (11127, 44056) else [pytest.mark.slow]) for rate in ODD_RATES]
)
def test_odd_rates(tmp_path, rate):
    frames = 3 * rate // 2 + 1
    t = np.arange(frames) / rate
    tone = (0.5 * np.sin(2 * np.pi * rate / 25 * t) * np.hanning(frames)).astype("f4")
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    done = separate_file(KnownGains(("all",), (1.0,)), tmp_path / "a.wav", tmp_path / "out", segment=0.5)
    stem, found = soundfile.read(done["stems"]["all"], dtype="float32")
    assert found == rate and stem.shape == (frames,) and lag(tone, stem) == 0
    np.testing.assert_allclose(stem, tone, atol=2e-3)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "rate",
    [
        pytest.param(rate, marks=[] if rate == 44100 else [pytest.mark.slow])
        for rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
    ],
)
def test_mp3_outputs_are_as_long_as_the_song_and_not_late(tmp_path, rate, channels):
    wav(tmp_path / "a.wav", channels, rate, 3 * rate // 2 + 7, "FLOAT")
    done = separate_file(
        KnownGains(("all",), (1.0,), rate), tmp_path / "a.wav", tmp_path / "out", fmt="mp3", segment=0.5
    )
    stem = read_audio(done["stems"]["all"])[0].numpy()
    source = sound(channels, rate, 3 * rate // 2 + 7).T
    assert stem.shape == source.shape and lag(source[0], stem[0]) == 0 and done["gain"] == 1.0
    assert abs(stem.std() / source.std() - 1) < 0.05
