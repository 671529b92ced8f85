"""Separation from Python, of speech too: what goes in as an array comes out as one, like by command."""

import numpy as np
import pytest
import torch
from separation_models import KnownGains, KnownSpeech, files_in, noise, read, save, snr, tiny_bsrnn, write

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.precision import supports
from asteroid_bsrnn.models import AFRCNN
from asteroid_bsrnn.separation.recordings import Separator, separate, separate_file


def test_arrays_come_back_as_they_went_in():
    wav = noise()
    for given in (wav, wav.astype("f8"), torch.from_numpy(wav), torch.from_numpy(wav).double()):
        out = separate(KnownGains(), given, 44100)
        assert type(out) is type(given) and out.dtype == given.dtype and out.shape == (2, *wav.shape)
        np.testing.assert_allclose(out[1], 0.75 * wav, atol=1e-6)
    assert separate(KnownGains(), wav[0], 44100).shape == (2, wav.shape[1])
    assert separate(KnownGains(), wav, 22050).shape == (2, *wav.shape)


def test_arrays_and_files_go_the_same_way(tmp_path):
    wav, model = noise(60000), tiny_bsrnn()
    done = separate_file(model, write(tmp_path / "s.wav", wav, 32000, subtype="FLOAT"), tmp_path, segment=0.5)
    expected = separate(model, wav, 32000, segment=0.5)
    np.testing.assert_allclose(np.stack([read(path) for path in done["stems"].values()]), expected, atol=1e-6)


def test_consistent_arrays_sum_to_the_recording():
    wav = noise()
    stems = separate(KnownGains(gains=(0.1, 0.2)), wav, 44100, consistent=True)
    np.testing.assert_allclose(stems.sum(0), wav, atol=1e-6)
    with pytest.raises(UserError, match="the model has vocals only"):
        separate(KnownGains(("vocals",), (0.5,)), wav, 44100, consistent=True)


@pytest.mark.parametrize("scheme", ["fader", "fader_reference", "ola"])
def test_batch_size_changes_nothing(scheme):
    wav, model = noise(70000), tiny_bsrnn(stereo="tac")
    options = {"segment": 0.3, "scheme": scheme, "window": "hann" if scheme == "ola" else "rect", "overlap": 0.2}
    expected = separate(model, wav, 44100, **options)
    for batch in (3, 8):
        assert snr(expected, separate(model, wav, 44100, batch=batch, **options)) > 90


def test_progress_is_told():
    seen = []
    separate(KnownGains(), noise(90000), 48000, segment=0.5, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 2 and seen[-1] == (90000, 90000)


def test_channels_of_a_stereo_model():
    """Mono is heard as two equal channels; more channels go in pairs; a channel-wise model needs neither."""
    model, wav = tiny_bsrnn(stereo="tac"), noise(9000, 5)
    pair = separate(model, wav[:2], 44100)
    out = separate(model, wav, 44100)
    np.testing.assert_allclose(out[:, :2], pair, atol=1e-5)
    mono = separate(model, wav[4:], 44100)
    np.testing.assert_allclose(out[:, 4:], mono, atol=1e-5)
    np.testing.assert_allclose(mono, separate(model, wav[[4, 4]], 44100)[:, :1], atol=1e-5)
    single = tiny_bsrnn()
    np.testing.assert_allclose(separate(single, wav, 44100)[:, 3:4], separate(single, wav[3:4], 44100), atol=1e-5)


def test_models_are_put_in_evaluation_mode():
    model = tiny_bsrnn().train()
    separate(model, noise(1000), 44100)
    assert not model.training


@pytest.mark.processor
@pytest.mark.parametrize(
    "options", [{"feature_dim": 16, "n_repeats": 2}, {"n_repeats": 12, "stereo": "tac", "n_attn_heads": 2}]
)
def test_half_precision_stays_near(options):
    """The difference to fp32 stays under -40 dB, for deep networks too, and the model itself is left as it was.

    Where the processor has no bf16, it is refused.
    """
    wav, model = noise(20000), tiny_bsrnn(**options)
    expected = separate(model, wav, 44100, device="cpu")
    if supports("bf16", "cpu"):
        found = separate(model, wav, 44100, device="cpu", precision="bf16")
        assert 40 < snr(expected, found) < 90
    else:
        with pytest.raises(UserError, match="precision bf16 cannot be had on device 'cpu' here: use fp32$"):
            separate(model, wav, 44100, device="cpu", precision="bf16")
    np.testing.assert_array_equal(separate(model, wav, 44100, device="cpu"), expected)


@pytest.mark.processor
def test_precision_is_decided_before_the_model_is_read(monkeypatch):
    assert Separator(tiny_bsrnn(), device="cpu", precision="auto").precision in ("fp32", "bf16")
    monkeypatch.setattr("asteroid_bsrnn.common.precision.supports", lambda precision, device: precision == "fp32")
    assert Separator(tiny_bsrnn(), device="cpu", precision="auto").dtype is None
    for precision in ("bf16", "fp16"):
        with pytest.raises(UserError, match=f"precision {precision} cannot be had on device 'cpu' here: use fp32$"):
            Separator("no such file", device="cpu", precision=precision)


# ------------------------------------------------------------------------------------------------------ speech


def speech(seconds=3.0, channels=1):
    """A low and a high tone, (sources, channels, time), 8 kHz."""
    t = np.arange(round(8000 * seconds)) / 8000
    shape = np.stack([0.3 * np.sin(2 * np.pi * 440 * t), 0.1 * np.sin(2 * np.pi * 3000 * t)])
    return (shape[:, None] * (1 - 0.2 * np.arange(channels))[:, None]).astype("f4")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_speech_keeps_order_level_and_sign(tmp_path, channels, rate):
    """The model changes its order in every segment and gives 0.1 and -7 times the sources; the result has neither."""
    truth = speech(channels=channels)
    wav = truth.sum(0) if rate == 8000 else np.repeat(truth.sum(0), 6, axis=-1)
    model = save(KnownSpeech(), tmp_path / "m.pth")
    song = write(tmp_path / "talk.wav", wav, rate, subtype="FLOAT")
    assert main(["separate", song, "-o", str(tmp_path), "--model", model, "--segment", "0.5", "--overlap", "0.2"]) == 0
    assert {"talk/s1.wav", "talk/s2.wav"} < set(files_in(tmp_path))
    if rate == 8000:
        stems = np.stack([read(tmp_path / "talk" / f"s{index}.wav") for index in (1, 2)])
        order = [0, 1] if snr(truth[0], stems[0]) > 10 else [1, 0]
        assert snr(truth[0], stems[order[0]]) > 60 and snr(truth[1], stems[order[1]]) > 60


def test_one_voice_of_speech_keeps_its_order_too():
    wav = speech().sum(0)
    both = separate(KnownSpeech(), wav, 8000, segment=0.5, overlap=0.2)
    second = separate(KnownSpeech(), wav, 8000, ["s2"], segment=0.5, overlap=0.2)
    np.testing.assert_allclose(second, both[1:], atol=1e-6)


def test_a_real_speech_model(tmp_path):
    torch.manual_seed(0)
    model = AFRCNN(n_filters=8, bn_chan=8, hid_chan=8, n_scales=2, num_iters=2)
    wav = speech(0.5).sum(0)
    out = separate(model, wav, 8000, segment=0.2)
    assert out.shape == (2, *wav.shape) and np.isfinite(out).all()
    assert Separator(model).sources == ("s1", "s2") and not Separator(model).ordered


# ------------------------------------------------------------------------------------------------ wrong arguments


@pytest.mark.parametrize(
    "wav, sentence",
    [
        (np.zeros((2, 0), "f4"), "floats of shape"),
        (np.zeros((1, 2, 3), "f4"), "floats of shape"),
        (np.zeros((2, 30), "i2"), "floats of shape"),
        (np.full((2, 30), np.nan, "f4"), "NaN or infinite"),
    ],
)
def test_unusable_arrays_are_refused(wav, sentence):
    with pytest.raises(UserError, match=sentence):
        separate(KnownGains(), wav, 44100)


@pytest.mark.parametrize(
    "models, options, sentence",
    [
        ([], {}, "no model given"),
        ([torch.nn.Linear(3, 3)], {}, "Linear does not separate waveforms: it has no sample rate"),
        ([KnownGains()], {"precision": "fp8"}, "precision 'fp8' is unknown; allowed are fp32, bf16, fp16, auto"),
        ([KnownGains()], {"sources": ["drum"]}, "unknown source 'drum': the model has vocals, drums"),
        ([KnownGains()], {"shifts": 0}, "shifts is a whole number of passes from 1 to"),
        ([KnownGains()], {"device": "tpu:0"}, "device 'tpu:0' cannot be used"),
        ([KnownGains()], {"weights": [1, 2]}, "as many weights"),
        ([KnownGains()], {"weights": [0]}, "not all 0"),
        ([KnownGains(), KnownGains(("vocals", "bass"))], {}, "need the same sources"),
        ([KnownGains(), KnownGains(sample_rate=48000)], {}, "need the same rate"),
        ([KnownGains(("a", "b", "c"))], {}, "sources .*'c'.* and returns 2"),
        ([KnownGains(("a", "a"))], {}, "and returns 2"),
    ],
)
def test_models_that_do_not_fit_are_refused(models, options, sentence):
    with pytest.raises(UserError, match=sentence):
        Separator(models, **options)


def test_values_that_are_not_finite_are_refused():
    model = KnownGains()
    separator = Separator(model)
    model.factor.data[0] = float("nan")
    with pytest.raises(UserError, match="values that are not finite"):
        separate(separator, noise(), 44100)


class Small(torch.nn.Module):
    """A card that holds two segments at a time."""

    sample_rate, sources = 44100, ("vocals", "drums")

    def __init__(self):
        super().__init__()
        self.inner, self.sizes = KnownGains(), []

    def forward(self, wav):
        self.sizes.append(len(wav))
        if len(wav) > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self.inner(wav)


def test_segments_that_do_not_fit_together_are_taken_in_halves():
    wav, model = noise(60000), Small()
    out = separate(model, wav, 44100, segment=0.2, batch=5)
    np.testing.assert_allclose(out[1], 0.75 * wav, atol=1e-6)
    assert 2 in model.sizes and max(model.sizes) == 5  # half of what was tried


@pytest.mark.parametrize("device, wanted", [("cpu", "fp32"), ("cuda", "auto")])
def test_a_card_computes_in_16_bits_unless_it_is_told_otherwise(monkeypatch, device, wanted):
    asked = []

    def chosen(precision, where):
        asked.append((precision, str(where)))
        raise UserError("seen")

    monkeypatch.setattr("asteroid_bsrnn.separation.ensemble.choose_device", torch.device)
    monkeypatch.setattr("asteroid_bsrnn.separation.ensemble.choose_precision", chosen)
    for given in (None, "fp16"):
        with pytest.raises(UserError, match="seen"):
            Separator(KnownGains(), device=device, precision=given)
    assert asked == [(wanted, device), ("fp16", device)]
