"""The fast BSRNN equals a textbook one, in outputs and gradients, for every kind of argument."""

import copy

import pytest
import torch
from oracle_bsrnn import OracleBSRNN

from asteroid_bsrnn.convert import from_reference, to_reference
from asteroid_bsrnn.models import BSRNN
from asteroid_bsrnn.models.bsrnn.reference_names import reference_views

SIMO = ("vocals", "bass", "drums", "other")
SMALL = dict(feature_dim=8, n_repeats=2, n_fft=512, n_hop=128, bands=[[4, 300], [3, 900], [2, 2500]])
CASES = {
    "base": {},
    "vocals_2048": dict(bands=None, n_fft=2048, n_hop=512, n_repeats=1),
    "bass_4096": dict(bands=None, sources=("bass",), n_fft=4096, n_hop=1024, n_repeats=1, feature_dim=4),
    "gru": dict(time_layer="gru", band_layer="gru"),
    "conv_gru": dict(time_layer="conv", band_layer="gru", group_num=2),
    "unidirectional": dict(bidirectional=False, hid_ratio=3),
    "unidirectional_conv": dict(bidirectional=False, band_layer="conv"),
    "time_only": dict(band_layer="none"),
    "band_only": dict(time_layer="none", n_heads=2),
    "dilated": dict(time_layer="dilated", band_layer="dilated"),
    "dilated_pairs": dict(
        time_layer="dilated", band_layer="dilated", n_dilated=[4, 1], dilated_kernel=[5, 3], dilated_ratio=[2, 1]
    ),
    "dilated_none": dict(time_layer="dilated", band_layer="none", n_dilated=0, n_attn_heads=2, attn_dim=3),
    "dilated_lstm": dict(time_layer="dilated", n_dilated=2, dilated_kernel=4),
    "dilated_sources": dict(time_layer="dilated", band_layer="dilated", sources=SIMO[:2], n_dilated=2),
    "naive": dict(stereo="naive", mask_ratio=2),
    "naive_sources": dict(stereo="naive", sources=SIMO, residual_source=True, n_attn_heads=1, attn_dim=2),
    "naive_three_channels": dict(stereo="naive", in_channels=3, mask_context=1),
    "tac_tanh": dict(stereo="tac", tac_act="tanh", tac_ratio=2),
    "tac_prelu": dict(stereo="tac", n_heads=4, mask_ratio=1),
    "heads_groups": dict(n_heads=2, group_num=2),
    "groups_none": dict(feature_dim=32, group_num=None, n_repeats=1),
    "attention": dict(n_attn_heads=2, attn_dim=3),
    "context": dict(mask_context=2, sources=SIMO[:2]),
    "sources": dict(sources=SIMO),
    "residual": dict(sources=SIMO, residual_source=True, stereo="tac", n_attn_heads=4, attn_dim=1),
}


def build(arguments, seed=0):
    """A model with every parameter moved off its initial value, and the oracle with the same weights."""
    torch.manual_seed(seed)
    model = BSRNN(**{**SMALL, **arguments})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    args = {name: value for name, value in model.get_model_args().items() if name not in ("bands", "sample_rate")}
    oracle = OracleBSRNN(model.widths, **args)
    weights = {key: value for key, value in to_reference(model).items() if "window" not in key}
    oracle.load_state_dict(weights)
    return model, oracle


def mixture(model, n_chan=None):
    return torch.randn(2, n_chan or model.in_channels, 3000 if model.n_fft == 512 else 6000)


@pytest.mark.parametrize("name", CASES)
def test_outputs_agree(name):
    model, oracle = build(CASES[name])
    wav = mixture(model)
    with torch.no_grad():
        ours, expected = model(wav), oracle(wav)
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree(name):
    """In double precision, where 1e-9 of the peak separates a wrong formula from rounding."""
    model, oracle = build(CASES[name])
    model, oracle = model.double(), oracle.double()
    wav = mixture(model).double()
    weight = torch.randn(2, model.n_src, *wav.shape[1:], dtype=torch.double)
    (model(wav) * weight).sum().backward()
    (oracle(wav) * weight).sum().backward()
    grads = copy.deepcopy(model)
    for own, parameter in zip(model.parameters(), grads.parameters()):
        assert own.grad is not None and torch.isfinite(own.grad).all()
        parameter.data = own.grad
    views = reference_views(grads)
    expected = dict(oracle.named_parameters())
    scale = max(parameter.grad.abs().max() for parameter in expected.values())
    assert set(expected) <= set(views)
    for key, parameter in expected.items():
        view, shape = views[key]
        error = (view.reshape(shape) - parameter.grad).abs().max()
        assert error <= 1e-9 * scale, f"{key}: {error / scale}"


@pytest.mark.parametrize("name", CASES)
def test_conversion_infers_the_architecture(name):
    """Weights alone give the same function back, for whatever can be read off their keys and shapes."""
    model, _ = build(CASES[name])
    hidden = dict(n_hop=model.n_hop, mask_ctxt=model.mask_context, group_num=model.group_num)
    hidden.update(bidirectional=model.bidirectional, stereo=model.stereo, nb_channels=model.in_channels)
    again = from_reference(to_reference(model), hidden, sources=model.sources)
    wav = mixture(model)
    with torch.no_grad():
        assert torch.equal(again(wav), model.eval()(wav))
