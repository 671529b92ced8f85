"""TF-Locoformer: equal to its authors' code, follows the level exactly, takes silence and every length."""

import pytest
import torch
import yaml
from golden_speech import FOLDER, assert_golden, assert_loss, golden, part
from helpers import adapter_for
from speech_helpers import voices
from torch import nn

from asteroid_bsrnn import losses
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.losses import ClampedSISNR
from asteroid_bsrnn.models import TFLocoformer
from asteroid_bsrnn.models.locoformer.adapter import _RENAMES, TFLocoformerAdapter
from asteroid_bsrnn.models.locoformer.config import SIZES, Config
from asteroid_bsrnn.models.locoformer.layers import Block, ConvSwiGLU, Path, RMSGroupNorm, RotaryAttention, rotated
from asteroid_bsrnn.models.renaming import renamed

needs_golden = pytest.mark.skipif(FOLDER is None, reason="the golden instances are not beside the checkout")
SMALL = {
    "n_fft": 32,
    "hop": 16,
    "n_blocks": 2,
    "emb_dim": 8,
    "n_groups": 2,
    "n_heads": 2,
    "attention_dim": 12,
    "ffn_hidden": [6, 10],
}


def small(seed=0, **changes):
    torch.manual_seed(seed)
    return TFLocoformer(**{**SMALL, **changes})


@needs_golden
def test_output_and_gradients_of_the_authors_network():
    arrays, settings = golden("tflocoformer_a")
    state = part(arrays, "sd")
    assert adapter_for(state).name == "tf-locoformer-espnet"
    model = TFLocoformerAdapter().build(state, settings)
    assert_golden(model, arrays, lambda key: renamed(key.removeprefix("separator."), _RENAMES))
    assert sum(p.numel() for p in model.parameters()) == 26016 - 2 * 6  # the frozen rotary numbers of two axes


@needs_golden
def test_checkpoint_with_the_configuration_beside_it():
    arrays, _ = golden("tflocoformer_a")
    state = torch.load(FOLDER / "valid.loss.ave_5best.pth", weights_only=True)
    document = yaml.safe_load((FOLDER / "config.yaml").read_text())
    adapter = TFLocoformerAdapter()
    with torch.no_grad():
        out = adapter.build(state, adapter.settings(document))(arrays["x"])
    assert (out - arrays["y"]).abs().max() <= 1e-5 * arrays["y"].abs().max()
    with pytest.raises(UserError, match="n_fft of the STFT: give the config.yaml"):
        adapter.build(state, {})
    with pytest.raises(UserError, match="normalize_variance"):
        adapter.settings({**document, "model_conf": {"normalize_variance": False}})
    with pytest.raises(UserError, match="tfgridnet"):
        adapter.settings({**document, "separator": "tfgridnet"})
    with pytest.raises(UserError, match="win_length 16"):
        adapter.build(state, {**adapter.settings(document), "stft": {"n_fft": 32, "hop_length": 16, "win_length": 16}})


@needs_golden
def test_a_wrong_weight_or_setting_is_named():
    arrays, settings = golden("tflocoformer_a")
    state, adapter = part(arrays, "sd"), TFLocoformerAdapter()
    frequencies = "separator.blocks.1.frame_path.attn.rope.freqs"
    with pytest.raises(UserError, match=r"blocks.1.frame_path.attn.rope.freqs holds other"):
        adapter.build({**state, frequencies: state[frequencies] * 1.01}, settings)
    with pytest.raises(UserError, match="'separator.blocks.0.extra'"):
        adapter.build({**state, "separator.blocks.0.extra": torch.zeros(1)}, settings)
    with pytest.raises(UserError, match="emb_dim 32, the weights 16"):
        adapter.build(state, {**settings, "emb_dim": 32})
    with pytest.raises(UserError, match="conv1d"):
        adapter.build(state, {**settings, "ffn_type": ["conv1d", "conv1d"]})


@needs_golden
def test_a_single_feed_forward_network_stands_behind_the_attention():
    arrays, settings = golden("tflocoformer_a")
    state = {
        key: value for key, value in part(arrays, "sd").items() if ".ffn.1." not in key and ".ffn_norm.1." not in key
    }
    model = TFLocoformerAdapter().build(state, {**settings, "ffn_hidden_dim": [14], "ffn_type": ["swiglu_conv1d"]})
    whole = TFLocoformerAdapter().build(part(arrays, "sd"), settings)
    for block in whole.blocks:
        for path in (block.over_bins, block.over_frames):
            nn.init.zeros_(path.before[0].inner.deconv.weight), nn.init.zeros_(path.before[0].inner.deconv.bias)
    with torch.no_grad():
        torch.testing.assert_close(model(arrays["x"]), whole(arrays["x"]))


@needs_golden
def test_loss_of_the_authors():
    assert_loss(losses.get("clampedsisnr")(), "espnet", 2e-3, 2e-3)


@pytest.mark.parametrize(
    "changes, count",
    [
        (SIZES["S"], 5031012),
        ({**SIZES["S"], "attention_dim": 128}, 5129316),
        ({**SIZES["S"], "attention_dim": 128, "ffn_hidden": [128, 128], "conv_kernel": 8, "n_fft": 256}, 5125220),
        (SIZES["M"], 14975620),
        ({"ffn_hidden": [192, 192], "conv_kernel": 8, "n_fft": 256}, 14966404),
        ({"n_src": 3}, 14977926),
        (SIZES["L"], 22459780),
    ],
)
def test_published_sizes(changes, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in TFLocoformer(**changes).parameters()) == count


def feed_forward_in_words(layer, x, kernel, shift):
    """Position by position: every window of ``kernel`` inputs, every output the sum of the windows over it."""
    margin, n = kernel - shift, x.shape[1]
    total = max(0, -(-(n + 2 * margin - kernel) // shift)) * shift + kernel
    padded = torch.zeros(len(x), total, x.shape[2])
    padded[:, margin : margin + n] = x
    out = torch.zeros_like(padded) + layer.deconv.bias
    for start in range(0, total - kernel + 1, shift):
        hidden = torch.einsum("bkc,hck->bh", padded[:, start : start + kernel], layer.conv.weight) + layer.conv.bias
        value, gate = hidden.chunk(2, -1)
        out[:, start : start + kernel] += torch.einsum(
            "bh,hck->bkc", value * gate * gate.sigmoid(), layer.deconv.weight
        )
    return out[:, margin : margin + n]


@pytest.mark.parametrize("kernel, shift", [(4, 1), (8, 1), (1, 1), (4, 2), (5, 3), (4, 4)])
@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_feed_forward_network(kernel, shift, n):
    torch.manual_seed(n)
    layer = ConvSwiGLU(Config(emb_dim=4, conv_kernel=kernel, conv_shift=shift), 6)
    nn.init.normal_(layer.deconv.bias)
    x = torch.randn(2, n, 4)
    torch.testing.assert_close(layer(x), feed_forward_in_words(layer, x, kernel, shift), rtol=1e-5, atol=1e-5)


def test_norm_adds_eps_to_the_root():
    norm, x = RMSGroupNorm(6, 2, 0.01), torch.tensor([[[3.0, 4.0, 0.0, 0.0, 0.0, 0.0]]], requires_grad=True)
    root = 5 / 3**0.5 + 0.01
    out = norm(x)
    torch.testing.assert_close(out, torch.tensor([[[3 / root, 4 / root, 0.0, 0.0, 0.0, 0.0]]]))
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_rotation_keeps_lengths_and_sees_distances_alone():
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 8).expand(1, 1, 20, 8), torch.randn(1, 1, 1, 8).expand(1, 1, 20, 8)
    scores = (rotated(q) @ rotated(k).mT)[0, 0]
    torch.testing.assert_close(rotated(q).norm(dim=-1), q.norm(dim=-1))
    for distance in range(-19, 20):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    one = rotated(torch.tensor([[[[0.0, 0.0], [1.0, 0.0]]]]))[0, 0, 1]  # the first pair turns by one radian a position
    torch.testing.assert_close(one, torch.tensor([1.0, 1.0]) * torch.tensor([0.54030231, 0.84147098]))


def test_attention_of_two_heads():
    torch.manual_seed(0)
    layer, x = RotaryAttention(Config(**SMALL)), torch.randn(3, 5, 8)
    q, k, v = (
        layer.qkv(x)[..., 12 * index : 12 * (index + 1)].unflatten(-1, (2, 6)).transpose(1, 2) for index in range(3)
    )
    weights = (rotated(q) @ rotated(k).mT / 6**0.5).softmax(-1)
    torch.testing.assert_close(layer(x), layer.out((weights @ v).transpose(1, 2).flatten(2)))


def test_order_of_the_paths():
    torch.manual_seed(0)
    first, x = Block(Config(**SMALL)), torch.randn(2, 3, 5, 8)
    second = Block(Config(**{**SMALL, "order": "tf"}))
    second.over_bins, second.over_frames = first.over_frames, first.over_bins  # the other way round, on the other axes
    torch.testing.assert_close(first(x), second(x.transpose(1, 2)).transpose(1, 2))
    second.over_bins, second.over_frames = first.over_bins, first.over_frames
    assert not torch.allclose(first(x), second(x))


def test_layer_norm_in_every_place():
    path = Path(Config(**{**SMALL, "norm": "layernorm", "eps": 0.01, "n_groups": 3}))
    norms = [module for module in path.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 3 and all(norm.eps == 0.01 for norm in norms)


@pytest.mark.parametrize("gain", [1e-3, 100.0])
def test_output_follows_the_level(gain):
    model, wav = small().eval(), torch.randn(2, 400)
    with torch.no_grad():
        out = model(wav)
        assert (model(gain * wav) / gain - out).abs().max() <= 1e-5 * out.abs().max()
    assert model.level_equivariant


def test_silent_and_constant_items_give_zeros_and_harm_no_gradient():
    model, wav = small(), torch.randn(3, 400)
    wav[0], wav[1] = 0, 0.25
    out = model(wav.requires_grad_())
    assert not out[:2].any() and out[2].any()
    out.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters()) and wav.grad.isfinite().all()
    with torch.no_grad():
        torch.testing.assert_close(model(wav[2:]), out[2:])


@pytest.mark.parametrize("hop", [16, 8, 13])
def test_every_length_from_one_sample(hop):
    model = small(hop=hop).eval()
    with torch.no_grad():
        for length in (1, 2, 16, 17, 31, 100, 603):
            wav = torch.randn(2, length)
            out = model(wav)
            assert out.shape == (2, 2, length) and out.isfinite().all()
            padded = nn.functional.pad(wav, (0, max(0, 17 - length)))  # as much as a reflection needs
            torch.testing.assert_close(out, model(padded)[..., :length])


@pytest.mark.parametrize("n_src", [1, 3])
def test_other_numbers_of_sources(n_src):
    model = small(n_src=n_src)
    assert model(torch.randn(2, 300)).shape == (2, n_src, 300)


def test_recomputation_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        model = small(dropout=0.2)
        model.activation_checkpointing = recompute
        torch.manual_seed(1)
        model(torch.linspace(-1, 1, 400).sin().reshape(1, 400)).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(plain, recomputed)


def test_training_begins_as_published():
    model = small(norm="layernorm")
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (0 if name.endswith("bias") else 1)).all(), name
    weight = model.blocks[0].over_bins.attention.inner.qkv.weight
    bound = (6 / sum(weight.shape)) ** 0.5
    assert 0.9 * bound < weight.abs().max() <= bound


def test_loss_between_two_limits():
    loss, sources = ClampedSISNR(clamp_db=20.0), voices(length=1000)
    good = (sources * (1 + 1e-3 * torch.randn_like(sources))).requires_grad_()
    value = loss(good.flip(1), sources)
    value.backward()
    assert value.item() == pytest.approx(-20.0) and not good.grad.any()
    silent = loss(sources, torch.zeros_like(sources))
    assert silent.item() == pytest.approx(20.0)
    with pytest.raises(ValueError, match="clamp_db"):
        ClampedSISNR(clamp_db=0)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"attention_dim": 6}, "attention_dim 6 is not divisible by twice n_heads 4"),
        ({"n_groups": 3}, "emb_dim 8 is not divisible by n_groups 3"),
        ({"order": "ff"}, "unknown order 'ff'"),
        ({"norm": "rmsgrouporm"}, "did you mean 'rmsgroupnorm'"),
        ({"ffn_hidden": 12}, "ffn_hidden must be a list"),
        ({"ffn_hidden": [4, 4, 4]}, "one or two sizes"),
        ({"conv_shift": 5}, "at most conv_kernel 4"),
        ({"hop": 32}, "hop must be smaller"),
    ],
)
def test_arguments_that_cannot_be_meant(change, said):
    with pytest.raises(ValueError, match=said):
        small(**change)
