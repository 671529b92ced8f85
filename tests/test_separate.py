"""Separation by command: rate, length, channels, level, sums, options."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
import torch
from helpers import SHARED
from separation_models import KnownGains, KnownSpeech, files_in, noise, read, save, snr, tiny_bsrnn, tones, write

from asteroid_bsrnn.audio.read import probe, read_audio
from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.models import StemSeparator
from asteroid_bsrnn.separation.recordings import Separator, separate, separate_file


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """File of a model that gives 0.25 and 0.75 times its input as vocals and drums."""
    return save(KnownGains(), tmp_path_factory.mktemp("model") / "gains.pth")


def test_stems_have_level_rate_length_and_channels_of_the_song(model, tmp_path):
    """An input at 0.22 peak comes back at its level."""
    wav = noise(peak=0.22)
    song = write(tmp_path / "My song.v2.wav", wav, subtype="FLOAT")
    assert main(["separate", song, "-o", str(tmp_path / "out"), "--model", model]) == 0
    assert files_in(tmp_path / "out") == ["My song.v2/drums.wav", "My song.v2/vocals.wav"]
    for name, gain in (("vocals", 0.25), ("drums", 0.75)):
        path = tmp_path / "out" / "My song.v2" / f"{name}.wav"
        assert (soundfile.info(path).subtype, soundfile.info(path).samplerate) == ("FLOAT", 44100)
        np.testing.assert_allclose(read(path), gain * wav, atol=1e-6)


@pytest.mark.parametrize("rate", [7000, 8000, 11025, 22050, 44100, 48000, 96000, 384000])
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_any_rate_and_channels(model, tmp_path, rate, channels):
    wav = tones(0.3, rate, channels)
    song = write(tmp_path / "song.flac", wav, rate, subtype="PCM_24")
    done = separate_file(KnownGains(), song, tmp_path / "out", segment=0.1)
    assert (done["sample_rate"], done["channels"], done["frames"], done["gain"]) == (rate, channels, wav.shape[1], 1.0)
    for name, gain in (("vocals", 0.25), ("drums", 0.75)):
        found = soundfile.info(done["stems"][name])
        assert (found.samplerate, found.channels, found.frames) == (rate, channels, wav.shape[1])
        np.testing.assert_allclose(read(done["stems"][name]), gain * wav, atol=3e-4)


@pytest.mark.parametrize("frames", [1, 2, 5, 100, 4411, 50000])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_any_length(tmp_path, frames, rate):
    song = write(tmp_path / "song.wav", noise(frames), rate)
    done = separate_file(tiny_bsrnn(), song, tmp_path, segment=0.3)
    assert [soundfile.info(path).frames for path in done["stems"].values()] == [frames, frames]


def test_silence_gives_exact_zeros(tmp_path):
    class Hums(KnownGains):
        """A model with a bias, as trained ones have."""

        def forward(self, wav):
            return super().forward(wav) + 0.01

    song = write(tmp_path / "s.wav", np.zeros((2, 9999)), 48000)
    for name, model in (("music", tiny_bsrnn()), ("speech", KnownSpeech()), ("hums", Hums())):
        done = separate_file(model, song, tmp_path / name)
        assert not any(read(path).any() for path in done["stems"].values())
    half = np.concatenate([np.zeros((2, 44100)), noise(44100)], axis=1)
    stems = separate(Hums(), half, 44100, segment=0.5, overlap=0.0)
    assert not stems[..., :44100].any() and stems[..., 44100:].any()


@pytest.mark.parametrize("fmt, bits", [("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)])
@pytest.mark.parametrize("gains", [(0.3, 0.9), (-1.4, 3.0)])
def test_consistent_stems_sum_to_the_mixture_to_the_last_bit(tmp_path, fmt, bits, gains):
    song = write(tmp_path / "song.wav", noise(peak=0.9), subtype="PCM_16")
    model = save(KnownGains(gains=gains), tmp_path / "m.pth")
    options = ["--consistent", "--complement", "--format", fmt, "--bits", str(bits)]
    assert main(["separate", song, "-o", str(tmp_path / "out"), "--model", model, *options]) == 0
    names, dtype = ("vocals", "drums", "no_vocals", "no_drums"), {16: "int16", 24: "int32", 32: "float64"}[bits]
    stems = {name: read(tmp_path / "out" / "song" / f"{name}.{fmt}", dtype) for name in names}
    total = stems["vocals"].astype("f8") + stems["drums"]
    for name in ("vocals", "drums"):
        np.testing.assert_array_equal(stems[name].astype("f8") + stems[f"no_{name}"], total)
    full = {"int16": 2**15, "int32": 2**31, "float64": 1}[dtype]
    if gains == (0.3, 0.9) or bits == 32:
        np.testing.assert_array_equal(total, read(song) * full)
    else:
        assert abs(snr(read(song), total / full * (read(song).std() / (total / full).std()))) > 60  # one gain for all


@pytest.mark.parametrize("fmt, bits", [("wav", "16"), ("flac", "24"), ("mp3", None)])
def test_one_gain_for_all_when_one_would_clip(tmp_path, capsys, fmt, bits):
    wav = tones(1.0, peak=0.99)
    song = write(tmp_path / "song.wav", wav)
    model = save(KnownGains(gains=(2.0, 0.5)), tmp_path / "m.pth")
    options = ["--format", fmt, *(["--bits", bits] if bits else [])]
    assert main(["separate", song, "-o", str(tmp_path / "out"), "--model", model, *options]) == 0
    vocals, drums = (read(tmp_path / "out" / "song" / f"{name}.{fmt}") for name in ("vocals", "drums"))
    limit = 0.02 if fmt == "mp3" else 1e-3
    assert vocals.shape == wav.shape and 1 - limit < vocals.max() <= 1 + (limit if fmt == "mp3" else 0)
    np.testing.assert_allclose(vocals, wav / 0.99, atol=limit)
    np.testing.assert_allclose(drums, vocals / 4, atol=limit)
    assert "all stems have a gain of -5.9" in capsys.readouterr().out


def test_full_scale_is_not_scaled(tmp_path):
    wav = np.clip(noise(peak=3.0), -1, 1)
    song = write(tmp_path / "clipped.wav", wav, subtype="PCM_16")
    done = separate_file(KnownGains(("a",), (1.0,)), song, tmp_path / "out", bits=16)
    assert done["gain"] == 1.0
    np.testing.assert_array_equal(read(done["stems"]["a"], "int16"), read(song, "int16"))


def test_sources_complement_offset_and_duration(model, tmp_path):
    wav = noise(44100)
    song = write(tmp_path / "song.wav", wav, subtype="FLOAT")
    options = ["--sources", "drums", "--complement", "--offset", "0.25", "--duration", "0.5"]
    assert main(["separate", song, "-o", str(tmp_path / "out"), "--model", model, *options]) == 0
    assert files_in(tmp_path / "out") == ["song/drums.wav", "song/no_drums.wav"]
    part = wav[:, 11025:33075]
    np.testing.assert_allclose(read(tmp_path / "out/song/drums.wav"), 0.75 * part, atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "out/song/no_drums.wav"), 0.25 * part, atol=1e-6)


def test_existing_stems_are_kept_replaced_or_refused(model, tmp_path, capsys):
    song = write(tmp_path / "song.wav", noise())
    command = ["separate", song, "-o", str(tmp_path / "out"), "--model", model]
    vocals = tmp_path / "out/song/vocals.wav"
    vocals.parent.mkdir(parents=True)
    vocals.write_bytes(b"old")
    assert main(command) == 2
    assert "exists: choose --overwrite or --skip-existing" in capsys.readouterr().err
    assert files_in(tmp_path / "out") == ["song/vocals.wav"]
    assert main([*command, "--skip-existing"]) == 0  # drums are missing: not skipped
    assert len(files_in(tmp_path / "out")) == 2 and vocals.read_bytes() != b"old"
    vocals.write_bytes(b"old")
    assert main([*command, "--skip-existing"]) == 0 and vocals.read_bytes() == b"old"
    assert "skipped, its stems exist" in capsys.readouterr().out
    assert main([*command, "--overwrite"]) == 0 and vocals.read_bytes() != b"old"


def test_folders_and_failures(model, tmp_path, capsys):
    """A failing file is reported, the others go on, and the exit code is 1."""
    for name in ("a.wav", "sub/b.flac", "sub/deep/c.AIFF", "d.mp3"):
        write(tmp_path / "in" / name, noise())
    (tmp_path / "in/notes.txt").write_text("no audio")
    (tmp_path / "in/aa_broken.wav").write_bytes(b"RIFF")
    code = main(["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model, "--json"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)["files"]
    assert code == 1 and [entry["status"] for entry in found] == ["done", "failed", "done", "done", "done"]
    assert found[1]["error"] in printed.err and found[1]["file"].endswith("aa_broken.wav")
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b", "c", "d"]


@pytest.mark.skipif(SHARED is None, reason="no folder of reference material")
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_real_song_and_a_converted_checkpoint(tmp_path):
    """The mixture of the excerpt that stempeg brings, as m4a, with a checkpoint as the reference's trainer writes it."""
    stempeg = pytest.importorskip("stempeg")
    song = tmp_path / "Falcon 69.m4a"
    excerpt = ["-i", stempeg.example_stem_path(), "-map", "0:a:0", "-t", "3", "-c", "copy", str(song)]
    subprocess.run(["ffmpeg", "-v", "error", *excerpt], check=True)
    model = str(SHARED / "golden" / "vocals.ckpt")
    options = ["--complement", "--segment", "2", "--model", model]
    assert main(["separate", str(song), "-o", str(tmp_path / "out"), *options]) == 0
    assert files_in(tmp_path / "out") == ["Falcon 69/no_vocals.wav", "Falcon 69/vocals.wav"]
    mixture, rate = read_audio(song)
    vocals, rest = (read(tmp_path / "out/Falcon 69" / f"{name}.wav") for name in ("vocals", "no_vocals"))
    assert rate == 44100 and mixture.shape[1] > 3 * 44000 and vocals.any()
    np.testing.assert_allclose(vocals + rest, mixture, atol=1e-6)


def test_names_that_collide_are_told_apart_by_their_folders(model, tmp_path, capsys):
    first, second = write(tmp_path / "a/x.wav", noise()), write(tmp_path / "b/x.flac", noise())
    assert main(["separate", first, second, "-o", str(tmp_path / "out"), "--model", model, "--sources", "drums"]) == 0
    assert files_in(tmp_path / "out") == ["a/x/drums.wav", "b/x/drums.wav"]
    assert capsys.readouterr().err.count("were made longer: a/x, b/x") == 1
    assert main(["separate", first, first, "-o", str(tmp_path / "two"), "--model", model, "--sources", "drums"]) == 0
    assert files_in(tmp_path / "two") == ["x/drums.wav"]


def test_tags_are_carried_over(model, tmp_path):
    song = tmp_path / "song.flac"
    with soundfile.SoundFile(song, "w", 44100, 2) as file:
        file.title, file.artist, file.album = "Ça va 音", "Someone", "First"
        file.write(noise().T)
    for fmt in ("wav", "flac", "mp3"):
        done = separate_file(KnownGains(), song, tmp_path / fmt, fmt=fmt)
        assert probe(done["stems"]["vocals"]).tags == {"title": "Ça va 音", "artist": "Someone", "album": "First"}


def test_interruption_leaves_nothing(model, tmp_path, monkeypatch):
    calls = []

    def interrupted(self, wav):
        calls.append(wav)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return KnownGains.forward(self, wav)

    song = write(tmp_path / "song.wav", noise(90000))
    monkeypatch.setattr("separation_models.KnownGains.__call__", interrupted)
    for fmt in ("wav", "flac"):
        calls.clear()
        out = tmp_path / "out" / fmt
        assert main(["separate", song, "-o", str(out), "--model", model, "--segment", "0.5", "--format", fmt]) == 130
        assert len(calls) == 4 and not (tmp_path / "out").exists()


def test_several_models_are_averaged_with_weights(tmp_path):
    first = save(KnownGains(gains=(0.2, 0.4)), tmp_path / "1.pth")
    second = save(KnownGains(("drums", "vocals"), (0.8, 0.6)), tmp_path / "2.pth")
    song = write(tmp_path / "song.wav", noise(), subtype="FLOAT")
    command = ["separate", song, "-o", str(tmp_path / "out"), "--model", first, "--model", second, "--weights", "3,1"]
    assert main(command) == 0
    np.testing.assert_allclose(read(tmp_path / "out/song/vocals.wav"), 0.3 * noise(), atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "out/song/drums.wav"), 0.5 * noise(), atol=1e-6)


def test_only_what_is_wanted_is_computed():
    """A member of a joined model that estimates nothing wanted is not run; the wanted stems are the same."""
    torch.manual_seed(0)
    members = [tiny_bsrnn(sources=(name,)) for name in ("vocals", "bass", "drums")]
    model, wav, runs = StemSeparator(members), noise(5000), []
    for name, network in zip(model.sources, model.networks):
        network.band_split.register_forward_hook(lambda *_, name=name: runs.append(name))
    expected = separate(model, wav, 44100)
    separator = Separator(model, sources=["drums", "vocals"])
    runs.clear()
    found = separate(separator, wav, 44100)
    assert separator.sources == ("vocals", "drums") and set(runs) == {"vocals", "drums"}
    np.testing.assert_allclose(found, expected[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(separate(KnownGains(), wav, 44100, sources=["drums"])[0], 0.75 * wav, atol=1e-6)
    total = separate(model, wav, 44100, consistent=True)
    np.testing.assert_allclose(separate(model, wav, 44100, ["bass"], consistent=True), total[1:2], atol=1e-6)


def test_shifts_average_delayed_passes():
    class DependsOnPosition(KnownGains):
        def forward(self, wav):
            ramp = torch.arange(wav.shape[-1]) / 44100
            return (wav * ramp)[:, None].expand(-1, 2, -1, -1)

    out = separate(DependsOnPosition(), torch.ones(2, 4410), 44100, shifts=2)
    torch.testing.assert_close(out[0, 0], torch.arange(4410) / 44100 + 0.125)
    same = separate(KnownGains(), torch.from_numpy(noise()), 44100, shifts=3)
    torch.testing.assert_close(same[0], 0.25 * torch.from_numpy(noise()))
