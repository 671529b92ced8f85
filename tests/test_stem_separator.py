"""Several models behind one: the same stems as each member alone, by name, from one file."""

import pytest
import torch
from asteroid.models import BaseModel

from asteroid_bsrnn import models
from asteroid_bsrnn.models import BSRNN, StemSeparator

TINY = dict(feature_dim=8, n_repeats=1, n_fft=1024, n_hop=256)


def member(*sources, **arguments):
    torch.manual_seed(len(sources[0]))
    return BSRNN(sources=sources, **{**TINY, **arguments})


def separator(**arguments):
    return StemSeparator(
        [member("vocals"), member("bass", stereo="tac"), member("drums", "other", residual_source=True)], **arguments
    ).eval()


def test_stems_are_those_of_the_members():
    model, wav = separator(), torch.randn(2, 2, 3000)
    assert model.sources == ("vocals", "bass", "drums", "other") and model.n_src == 4
    with torch.no_grad():
        expected = torch.cat([network(wav) for network in model.networks], dim=1)
        torch.testing.assert_close(model(wav), expected, atol=1e-6, rtol=1e-5)


def test_subset_in_the_wanted_order_runs_no_other_member():
    model, wav = separator(), torch.randn(1, 2, 3000)
    with torch.no_grad():
        everything = model(wav)
        model.networks[1].forward = model.networks[1].separate_spectrum = None  # bass
        torch.testing.assert_close(model(wav, ["other", "vocals"]), everything[:, [3, 0]])
        chosen = StemSeparator(model.members, sources=("drums",))
        chosen.load_state_dict(model.state_dict())
        torch.testing.assert_close(chosen.eval()(wav), everything[:, 2:3])


def test_one_stft_for_equal_settings():
    model = StemSeparator([member("vocals"), member("bass"), member("drums", n_fft=512, n_hop=128)]).eval()
    calls = []
    for network in model.networks:
        network.stft.register_forward_hook(lambda module, *_: calls.append(module.n_fft), always_call=False)
    calls.clear()
    with torch.no_grad():
        model(torch.randn(1, 2, 2000))
    assert sorted(calls) == [512, 1024]


@pytest.mark.parametrize("shape", [(900,), (3, 900), (2, 1, 900), (1, 6, 900)])
def test_axes_of_the_input(shape):
    wav = torch.randn(shape)
    out = separator()(wav)
    assert out.shape == (*shape[:-2], 4, *shape[-2:]) if wav.ndim == 3 else (*shape[:-1], 4, shape[-1])
    assert torch.isfinite(out).all()


def test_one_file_on_disk(tmp_path):
    model, wav = separator(sources=["bass", "other"]), torch.randn(1, 2, 2000)
    torch.save(model.serialize(), tmp_path / "stems.pth")
    again = BaseModel.from_pretrained(str(tmp_path / "stems.pth")).eval()
    assert again.sources == ("bass", "other") and models.get("stemseparator") is StemSeparator
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))


def test_members_are_float32():
    model = StemSeparator([member("vocals").double(), member("bass").half()])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "members, sources, named",
    [
        ([], None, "at least one"),
        ([dict(TINY), dict(TINY)], None, "vocals"),
        ([dict(TINY, sample_rate=48000), dict(TINY, sources=("bass",))], None, "48000"),
        ([dict(TINY)], ["bass"], "'bass'.* has vocals"),
        ([dict(TINY)], [], "different names"),
        (["model.pth"], None, "str"),
    ],
)
def test_bad_members_are_named(members, sources, named):
    with pytest.raises(ValueError, match=named):
        StemSeparator(members, sources)
