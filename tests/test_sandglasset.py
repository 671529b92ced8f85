"""Sandglasset and A-Sandglasset: published sizes, attention against the obvious one, granularity, mirrors, overfit."""

import pytest
import torch
from speech_helpers import assert_same_function, n_params, overfit_gain, small_model, voices

from asteroid_bsrnn.models import ASandglasset, Sandglasset
from asteroid_bsrnn.models.dual_path.self_attentive import SandglassetBlock, SelfAttentive, sinusoidal_positions
from benchmarks.naive_speech import NaiveForms, self_attentive

naive = NaiveForms()


@pytest.mark.parametrize(
    "cls, kwargs, count",
    [
        (Sandglasset, {}, 2_293_249),
        (Sandglasset, {"legacy_residual": True}, 2_293_249),
        # Depthwise kernels of 4, 16, 16 and 4 taps down and up, each with a bias.
        (Sandglasset, {"resampling": "dwconv"}, 2_293_249 + 2 * 128 * (4 + 16 + 16 + 4 + 4)),
        (ASandglasset, {}, 1_327_879),
        (ASandglasset, {"preset": "literal"}, 794_375),
    ],
)
def test_published_sizes(cls, kwargs, count):
    assert n_params(cls(**kwargs)) == count


@pytest.mark.parametrize("legacy_residual", [False, True])
@pytest.mark.parametrize("n_chunks", [1, 2, 9])
def test_attention_is_the_naive_one(legacy_residual, n_chunks):
    torch.manual_seed(0)
    layer = SelfAttentive(8, n_heads=2, dropout=0.0, legacy_residual=legacy_residual).double()
    for norm in (layer.norm_in, layer.norm_out):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x, positions = torch.randn(2, 8, 3, n_chunks).double(), sinusoidal_positions(n_chunks, 8).double()
    assert_same_function(layer, lambda x: self_attentive(layer, x, positions), x, tol=1e-8)


def test_positions_are_the_textbook_ones_at_any_length():
    table = sinusoidal_positions(3000, 6)
    assert table.shape == (3000, 6)
    for position, feature in ((0, 0), (5, 2), (700, 4), (2999, 0)):
        angle = torch.tensor(position / 10000 ** (feature / 6), dtype=torch.float64)
        expected = torch.stack([angle.sin(), angle.cos()]).float()
        torch.testing.assert_close(table[position, feature : feature + 2], expected, atol=1e-3, rtol=0)


def test_more_than_five_hundred_segments():
    model = small_model("sandglasset", chunk_size=16, hop_size=8).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 8 * 8 * 520)).isfinite().all()


def test_granularity_grows_to_the_middle_and_shrinks_again():
    model, seen = small_model("sandglasset", chunk_size=64, hop_size=32), []
    for block in model.network[2].blocks:
        block.attentive.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[2]))
    model(torch.randn(1, 2000))
    assert seen == [64, 16, 4, 4, 16, 64]


def test_second_half_adds_the_attention_of_its_mirror():
    stack, added = small_model("sandglasset").network[2], []
    outputs = []
    for block in stack.blocks:
        block.register_forward_pre_hook(lambda module, inputs: added.append(inputs[1]))
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output[1]))
    stack(torch.randn(1, 16, 32, 3))
    assert added[:3] == [None] * 3
    assert all(added[5 - b] is outputs[b] for b in range(3))


def test_mirror_is_added_before_attention():
    block = SandglassetBlock(8, 4, 4, "avg", 2, 0.0, False)
    x, mirror = torch.randn(1, 8, 16, 3), torch.randn(1, 8, 4, 3)
    local = block.local(x)
    coarse = torch.stack([part.mean(2) for part in local.split(4, dim=2)], dim=2)
    out, attended = block(x, mirror)
    torch.testing.assert_close(attended, block.attentive(coarse + mirror))
    # Linear interpolation with aligned corners: the ends are kept, the middle lies on straight lines.
    grown = torch.nn.functional.interpolate(attended[..., 0], size=16, mode="linear", align_corners=True)
    torch.testing.assert_close(block._upsample(attended, (16, 3))[..., 0], grown)
    torch.testing.assert_close(out, local + naive.norm(block.norm, block._upsample(attended, (16, 3))))


@pytest.mark.parametrize(
    "cls, kwargs, said",
    [
        (Sandglasset, {"chunk_size": 40, "hop_size": 20}, "granularity"),
        (Sandglasset, {"n_blocks": 5}, "n_blocks"),
        (Sandglasset, {"n_heads": 3}, "n_heads"),
        (Sandglasset, {"n_heads": 0}, "n_heads"),
        (Sandglasset, {"resampling": "nearest"}, "resampling"),
        (Sandglasset, {"dropout": 1.0}, "dropout"),
        (Sandglasset, {"hop_size": 48}, "hop_size"),
        (ASandglasset, {"preset": "small"}, "preset"),
        (ASandglasset, {"n_heads": 3}, "n_heads"),
        (ASandglasset, {"n_scales": 1}, "n_scales"),
    ],
)
def test_bad_arguments(cls, kwargs, said):
    with pytest.raises(ValueError, match=said):
        cls(**kwargs)


@pytest.mark.parametrize("kind", ["sandglasset", "sandglasset_dwconv", "a_sandglasset"])
def test_overfits_two_mixtures(kind):
    model = small_model(kind, n_filters=64, bn_chan=48, hid_size=48)
    assert overfit_gain(model, voices(length=1200), lr=2e-3) > 3
