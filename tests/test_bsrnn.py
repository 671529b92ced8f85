"""BSRNN as its users meet it: shapes, lengths, channels, levels, gradients, files, and its cost in operations."""

import copy

import pytest
import torch
from asteroid.models import BaseModel
from torch.utils._python_dispatch import TorchDispatchMode

from asteroid_bsrnn.models import BSRNN

SIMO = ("vocals", "bass", "drums", "other")
TINY = dict(feature_dim=8, n_repeats=1, n_fft=512, n_hop=128)
VARIANTS = {
    "base": {},
    "naive": dict(stereo="naive"),
    "tac": dict(stereo="tac", n_attn_heads=2, attn_dim=2),
    "tac_tanh": dict(stereo="tac", tac_act="tanh", n_heads=2),
    "dilated": dict(time_layer="dilated", band_layer="dilated"),
    "gru_conv": dict(time_layer="gru", band_layer="conv", bidirectional=False, mask_context=1),
    "simo": dict(sources=SIMO, residual_source=True),
}


def tiny(seed=0, **arguments):
    torch.manual_seed(seed)
    return BSRNN(**{**TINY, **arguments}).eval()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_length_from_one_sample(name):
    model = tiny(**VARIANTS[name])
    for length in (1, 2, 100, 256, 257, 1000, 1537):
        with torch.no_grad():
            wav, spec = model.forward_stft(torch.randn(2, 2, length))
        assert wav.shape == (2, model.n_src, 2, length)
        assert spec.shape[:4] == (2, model.n_src, 2, 257) and spec.is_complex()
        assert torch.isfinite(wav).all()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("n_chan", [1, 2, 3, 5, 6])
def test_every_number_of_channels(name, n_chan):
    model = tiny(**VARIANTS[name])
    with torch.no_grad():
        wav = model(torch.randn(2, n_chan, 900))
    assert wav.shape == (2, model.n_src, n_chan, 900) and torch.isfinite(wav).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_axes_of_the_input(name):
    """Without a channel axis the input is mono; the batch items do not touch each other."""
    model, wav = tiny(**VARIANTS[name]), torch.randn(3, 900)
    with torch.no_grad():
        expected = model(wav[:, None])[:, :, 0]
        torch.testing.assert_close(model(wav), expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model(wav[1]), expected[1], atol=1e-6, rtol=1e-5)
        assert model.forward_stft(wav[1])[1].shape == (model.n_src, 257, 8)


@pytest.mark.parametrize("name", VARIANTS)
def test_silence_gives_exact_zeros(name):
    model = tiny(**VARIANTS[name])
    with torch.no_grad():
        assert torch.count_nonzero(model(torch.zeros(1, 2, 1000))) == 0
        half = torch.randn(1, 2, 1000) * torch.tensor([1.0, 0.0])[:, None]
        assert torch.isfinite(model(half)).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_level_in_is_level_out(name):
    model, wav = tiny(**VARIANTS[name]), torch.randn(1, 2, 2000)
    with torch.no_grad():
        loud, quiet = model(wav), model(0.01 * wav) / 0.01
    assert (loud - quiet).abs().max() < 1e-3 * loud.abs().max()


@pytest.mark.parametrize("name", ["base", "tac", "tac_tanh", "dilated"])
def test_channels_may_be_swapped(name):
    model, wav = tiny(**VARIANTS[name]), torch.randn(2, 3, 1000)
    order = [2, 0, 1]
    with torch.no_grad():
        torch.testing.assert_close(model(wav[:, order]), model(wav)[:, :, order], atol=1e-6, rtol=1e-5)


def test_channels_without_stereo_are_independent():
    model, wav = tiny(), torch.randn(1, 4, 1000)
    with torch.no_grad():
        one_by_one = torch.cat([model(wav[:, index : index + 1]) for index in range(4)], dim=2)
        torch.testing.assert_close(model(wav), one_by_one, atol=1e-6, rtol=1e-5)


def test_naive_takes_channels_in_groups():
    """Mono is duplicated and averaged back; five channels are two pairs and a duplicated one."""
    model, wav = tiny(stereo="naive"), torch.randn(1, 5, 1000)
    with torch.no_grad():
        pairs = [model(wav[:, :2]), model(wav[:, 2:4]), model(wav[:, [4, 4]]).mean(2, keepdim=True)]
        torch.testing.assert_close(model(wav), torch.cat(pairs, dim=2), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model(wav[:, 4:]), pairs[2], atol=1e-6, rtol=1e-5)


def test_residual_source_completes_the_mixture():
    model, wav = tiny(**VARIANTS["simo"]), torch.randn(1, 2, 3000)
    with torch.no_grad():
        torch.testing.assert_close(model(wav).sum(1), wav, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_parameter(name, checkpointing):
    model = tiny(**VARIANTS[name]).train()
    model.activation_checkpointing = checkpointing
    wav, spec = model.forward_stft(torch.randn(2, 2, 2000))
    (wav.abs().mean() + torch.view_as_real(spec).abs().mean()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0 or "bias_" in key, key


def test_checkpointing_changes_no_gradient():
    model, wav = tiny(stereo="tac", n_repeats=2).train(), torch.randn(1, 2, 2000)
    again = copy.deepcopy(model)
    again.activation_checkpointing = True
    model(wav).square().sum().backward()
    again(wav).square().sum().backward()
    for own, other in zip(model.parameters(), again.parameters()):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.processor
@pytest.mark.parametrize("name", VARIANTS)
def test_bfloat16_autocast(name):
    """Runs, and errs by no more than its precision."""
    model, wav = tiny(**VARIANTS[name]), torch.randn(1, 2, 3000)
    with torch.no_grad():
        exact = model(wav)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast = model(wav)
    assert fast.dtype == torch.float32
    assert (fast - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("name", VARIANTS)
def test_file_round_trip(name, tmp_path):
    model, wav = tiny(bands=[(4, 300), (3, 900.5)], **VARIANTS[name]), torch.randn(1, 2, 1000)
    torch.save(model.serialize(), tmp_path / "model.pth")
    again = BaseModel.from_pretrained(str(tmp_path / "model.pth")).eval()
    assert again.get_model_args() == model.get_model_args()
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))


def test_initial_values_are_those_of_pytorch_layers():
    """Range and spread of linear and convolution layers with the same number of inputs."""
    torch.manual_seed(0)
    model = BSRNN()
    for weight, fan_in in ((model.masks.weight2, 256), (model.masks.weight3[0], 256), (model.band_split.weight[3], 92)):
        bound = fan_in**-0.5
        assert 0.98 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


class OperationCount(TorchDispatchMode):
    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.total += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "limit, arguments", [(600, {}), (800, dict(sources=SIMO)), (600, dict(stereo="naive", sources=("drums",)))]
)
def test_number_of_operations(limit, arguments):
    """It does not depend on the length of the input."""
    model = BSRNN(**arguments).eval()
    with torch.no_grad(), OperationCount() as count:
        model(torch.randn(1, 2, 4410))
    assert count.total < limit


@pytest.mark.parametrize(
    "arguments, named",
    [
        (dict(feature_dim=10, n_heads=4), "n_heads 4"),
        (dict(feature_dim=10, n_attn_heads=4), "n_attn_heads 4"),
        (dict(feature_dim=8, group_num=3), "group_num 3"),
        (dict(bands=[(60, 500)]), "has only 1025"),
        (dict(bands=[(0, 500)]), "count >= 1"),
        (dict(bands=[(1, float("inf"))]), "Hz > 0"),
        (dict(bands=[(2, 100), (3, 20)]), "20 Hz is narrower than one bin of n_fft 2048"),
        (dict(bands="vocal"), "did you mean 'vocals'"),
        (dict(bands="bass"), "contradict the sources vocals"),
        (dict(bands="vocals", sources=SIMO), "contradict the sources"),
        (dict(sources=()), "one or more names"),
        (dict(sources=None), "one or more names"),
        (dict(sources=("bass", "bass")), "more than once"),
        (dict(time_layer="lstn"), "did you mean 'lstm'"),
        (dict(stereo="tax"), "did you mean 'tac'"),
        (dict(tac_act="relu"), "tanh, prelu"),
        (dict(n_fft=2047), "even"),
        (dict(n_hop=2000), "n_hop"),
        (dict(n_repeats=0), "n_repeats"),
        (dict(n_repeats=1.5), "n_repeats"),
        (dict(mask_context=-1), "mask_context"),
        (dict(n_dilated=[1, 2, 3]), "n_dilated"),
        (dict(bidirectional="yes"), "bidirectional"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named.replace("(", r"\(")):
        BSRNN(**arguments)


def test_no_layer_by_none():
    model = BSRNN(feature_dim=4, n_repeats=1, band_layer=None)
    assert model.band_layer == "none" and not list(model.blocks[0].band_net.parameters())


@pytest.mark.parametrize(
    "wav", [torch.zeros(2, 0), torch.zeros(1, 1, 2, 9), torch.zeros(2, 9, dtype=torch.int16), torch.tensor(1.0)]
)
def test_bad_waveforms_are_refused(wav):
    with pytest.raises(ValueError, match="waveform"):
        tiny()(wav)
