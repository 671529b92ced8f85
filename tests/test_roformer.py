"""RoFormers as their users meet them: exact sizes, any length, silence, levels, precision, files, refusals."""

import io
import json

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel
from roformers import MODELS, noise, tiny, worst

from asteroid_bsrnn.models import BSRoFormer, MelBandRoFormer
from asteroid_bsrnn.models.roformer.bands import mel_bands

FORK = dict(dim_head=64, gate=True, final_norm="shared")
STEMS = ("drums", "bass", "other", "vocals")


@pytest.mark.parametrize(
    "expected, cls, arguments",
    [
        (72_159_756, BSRoFormer, {}),
        (82_792_716, BSRoFormer, dict(n_repeats=9)),
        (93_425_676, BSRoFormer, dict(n_repeats=12)),
        (131_704_100, BSRoFormer, dict(FORK, sources=STEMS, n_repeats=8, mask_ratio=2)),
        (159_758_028, BSRoFormer, dict(FORK, feature_dim=512, n_repeats=12)),
        (84_156_612, MelBandRoFormer, {}),
        (86_552_868, MelBandRoFormer, dict(dim_head=64, gate=True)),
        (228_202_788, MelBandRoFormer, dict(dim_head=64, gate=True, mask_depth=2)),
        (263_459_324, MelBandRoFormer, dict(dim_head=64, gate=True, mask_depth=2, n_repeats=8, n_fft=4096)),
    ],
)
def test_parameters(expected, cls, arguments):
    with torch.device("meta"):
        assert sum(weight.numel() for weight in cls(**arguments).parameters()) == expected


def test_mel_bands():
    bands = mel_bands(60, 2048, 44100)
    assert sum(map(len, bands)) == 1979 and len(bands[-1]) == 130
    assert all(band == list(range(band[0], band[-1] + 1)) for band in bands)
    heard = np.bincount(np.concatenate(bands))
    assert heard.min() == 1 and heard.max() == 2 and (heard == 1).sum() == 71
    assert sum(map(len, mel_bands(60, 4096, 44100))) == 3957


@pytest.mark.parametrize("name", MODELS)
def test_every_length_and_number_of_channels(name):
    model = tiny(name)
    for shape in ((2, 2, 1), (1, 2, 64), (1, 2, 65), (1, 2, 333), (1, 1, 300), (1, 3, 300)):
        with torch.no_grad():
            estimates = model(noise(*shape))
        assert estimates.shape == (shape[0], model.n_src, *shape[1:]) and estimates.isfinite().all()
    with torch.no_grad():
        assert model(noise(300)).shape == (model.n_src, 300)
        torch.testing.assert_close(model(noise(300)), model(noise(300)[None, None].repeat(1, 2, 1))[0].mean(1))


@pytest.mark.parametrize("name", MODELS)
def test_items_of_a_batch_do_not_touch_each_other(name):
    model, wav = tiny(name), noise(3, 2, 300)
    with torch.no_grad():
        alone = torch.cat([model(item[None]) for item in wav])
        torch.testing.assert_close(model(wav), alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_level_in_is_level_out(name):
    model, wav = tiny(name), noise(1, 2, 300)
    assert model.level_equivariant
    with torch.no_grad():
        assert worst(model(0.01 * wav) / 0.01, model(wav)) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_silence_stays_silent_and_trains(name):
    model, wav = tiny(name).train(), torch.zeros(1, 2, 300, requires_grad=True)
    estimates = model(wav)
    assert not estimates.any()
    (estimates - 1).square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in [wav, *model.parameters()])


@pytest.mark.parametrize("name", MODELS)
def test_checkpointing_changes_no_gradient_and_all_weights_have_one(name):
    grads = []
    for checkpointing in (False, True):
        model = tiny(name)
        model.activation_checkpointing = checkpointing
        model(noise(2, 2, 300)).square().mean().backward()
        grads.append({key: weight.grad for key, weight in model.named_parameters()})
    for key, grad in grads[0].items():
        assert grad.any(), key
        torch.testing.assert_close(grad, grads[1][key], msg=key)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(name, dtype):
    """Under autocast and with half-precision weights, the transforms stay in float32."""
    model, wav = tiny(name), noise(1, 2, 600)
    with torch.no_grad():
        expected = model(wav)
        with torch.autocast("cpu", dtype):
            mixed = model(wav)
        half = model.to(dtype)(wav)
    assert mixed.dtype == half.dtype == torch.float32
    assert worst(mixed, expected) < 0.2 and worst(half, expected) < 0.2
    assert (mixed - expected).square().mean() < 1e-2 * expected.square().mean()


@pytest.mark.parametrize("name", MODELS)
def test_files_give_the_same_network_back(name):
    model, wav, file = tiny(name), noise(1, 2, 300), io.BytesIO()
    conf = model.serialize()
    json.dumps(conf["model_args"])
    torch.save(conf, file)
    file.seek(0)
    again = BaseModel.from_pretrained(torch.load(file, weights_only=True)).eval()
    assert (
        type(again) is type(model)
        and again.sources == model.sources
        and again.get_model_args() == model.get_model_args()
    )
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))


def test_dropout_works_in_training_only():
    model, wav = tiny("fork").train(), noise(1, 2, 300)
    with torch.no_grad():
        assert not torch.equal(model(wav), model(wav))
        assert torch.equal(model.eval()(wav), model(wav))


def test_native_segment_and_hop():
    with torch.device("meta"):
        model = BSRoFormer()
    assert (model.segment, model.multiple, model.channels) == (8 * 44100, 441, 2)


@pytest.mark.parametrize(
    "cls, arguments, message",
    [
        (BSRoFormer, dict(bands=[2, 3]), "sum to n_fft / 2 [+] 1 = 1025 bins, got 5"),
        (BSRoFormer, dict(n_fft=1024), "513 bins, got 1025"),
        (BSRoFormer, dict(dim_head=5), "dim_head must be an even number"),
        (BSRoFormer, dict(final_norm="per-band"), "did you mean 'per_band'"),
        (BSRoFormer, dict(win_length=400), "n_hop must be a whole number of 1 to 200"),
        (BSRoFormer, dict(attn_dropout=1), r"attn_dropout must be in \[0, 1\)"),
        (BSRoFormer, dict(gate=1), "gate must be true or false"),
        (MelBandRoFormer, dict(n_bands=60, n_fft=256, n_hop=64), "a band without a bin"),
        (MelBandRoFormer, dict(n_bands=0), "n_bands must be a whole number"),
    ],
)
def test_contradictory_arguments_are_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)
