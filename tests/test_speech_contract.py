"""What holds for every speech model: shapes, lengths, batches, files, gradients, precision, bad input."""

import dataclasses
import inspect
import json

import pytest
import torch
from asteroid.models import BaseModel
from speech_helpers import SMALL, SPECTRAL, mean_si_sdr, small_model, voices

from asteroid_bsrnn import models
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.precision import supports
from asteroid_bsrnn.training.autocast import Precision

LENGTHS = (16, 17, 20, 100, 160, 333, 801, 8000, 8001)
every = pytest.mark.parametrize("kind", SMALL)


@every
def test_every_length_comes_back(kind):
    model = small_model(kind).eval()
    with torch.no_grad():
        for length in LENGTHS:
            out = model(torch.randn(2, length))
            assert out.shape == (2, 2, length) and out.isfinite().all()


@every
def test_three_ranks_give_the_same_estimates(kind):
    model, wav = small_model(kind).eval(), torch.randn(1, 500)
    with torch.no_grad():
        expected = model(wav)
        assert torch.equal(model(wav[0]), expected[0])
        assert torch.equal(model(wav.unsqueeze(1)), expected)


@every
def test_an_example_does_not_depend_on_its_batch(kind):
    model, wav = small_model(kind).eval(), voices(batch=3, length=1500).sum(1)
    with torch.no_grad():
        together = model(wav)
        alone = torch.cat([model(one.unsqueeze(0)) for one in wav])
    torch.testing.assert_close(alone, together, atol=2e-5, rtol=1e-4)


@every
def test_file_gives_the_same_model_to_the_bit(kind, tmp_path):
    model, wav = small_model(kind, n_src=3, sample_rate=16000).eval(), torch.randn(1, 700)
    if kind in SPECTRAL:
        model.fit_normalisation([wav])
    torch.save(model.serialize(), tmp_path / "model.pth")
    loaded = BaseModel.from_pretrained(str(tmp_path / "model.pth")).eval()
    assert type(loaded) is type(model) and loaded.get_model_args() == model.get_model_args()
    assert loaded.sample_rate == 16000
    with torch.no_grad():
        assert torch.equal(loaded(wav), model(wav))


@every
@pytest.mark.parametrize("n_src", [2, 3])
def test_gradients_reach_every_parameter(kind, n_src):
    model, sources = small_model(kind, n_src=n_src), voices(n_src=n_src, length=1200)
    if kind in SPECTRAL:
        loss = model.training_loss(sources.sum(1), sources)
    else:
        loss = (model(sources.sum(1)) - sources).square().sum()
    loss.backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.processor
@every
def test_bfloat16_autocast(kind):
    if not supports("bf16", "cpu"):
        with pytest.raises(UserError, match="training.precision bf16 cannot be had on device 'cpu' here: use fp32$"):
            Precision("bf16", "cpu")
        return
    model, sources = small_model(kind), voices(length=1200)
    with torch.autocast("cpu", torch.bfloat16):
        if kind in SPECTRAL:
            loss = model.training_loss(sources.sum(1), sources)
        else:
            loss = model(sources.sum(1)).float().square().mean()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = model.eval()(sources.sum(1)).float()
    with torch.no_grad():
        exact = model(sources.sum(1))
    assert rough.shape == exact.shape and rough.isfinite().all()
    if "clustering" not in kind and kind != "dpcl":
        assert mean_si_sdr(rough, exact) > 20


@every
def test_silence_in_no_nan_out(kind):
    model = small_model(kind).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 900)).isfinite().all()


@every
def test_host_separates_with_it(kind):
    model = small_model(kind).eval()
    with torch.no_grad():
        assert model.separate(torch.randn(1, 1, 900)).shape == (1, 2, 900)


@every
def test_arguments_and_registry(kind):
    name, kwargs = SMALL[kind]
    model = small_model(kind)
    args = model.get_model_args()
    assert {key: args[key] for key in kwargs} == kwargs
    assert json.loads(json.dumps(args)) == args
    assert type(model) is models.get(name.lower()) is getattr(models, name)


@every
def test_the_configuration_is_the_constructor(kind):
    """It has the arguments in their order, what the model stores, and cannot be changed afterwards."""
    name, kwargs = SMALL[kind]
    config, cls = models.get(name).Config(**kwargs), models.get(name)
    assert dataclasses.asdict(config) == small_model(kind).get_model_args()
    assert list(inspect.signature(cls).parameters) == [field.name for field in dataclasses.fields(config)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n_src = 3


@every
@pytest.mark.parametrize(
    "wav, error, said",
    [
        (torch.zeros(1, 2, 3, 4), ValueError, "got shape"),
        (torch.zeros(2, 2, 400), ValueError, "one channel"),
        (torch.zeros(2, 0), ValueError, "empty"),
        (torch.zeros(0, 400), ValueError, "empty"),
        (torch.tensor(1.0), ValueError, "got shape"),
        (torch.zeros(400, dtype=torch.int16), TypeError, "int16"),
        ([0.0] * 400, TypeError, "list"),
    ],
)
def test_bad_waveforms(kind, wav, error, said):
    with pytest.raises(error, match=said):
        small_model(kind)(wav)


@every
@pytest.mark.parametrize("n_src", [0, -1, 2.0, "2", True])
def test_bad_number_of_sources(kind, n_src):
    with pytest.raises(ValueError, match=f"n_src must be a whole number of at least 1, got {n_src!r}"):
        small_model(kind, n_src=n_src)
