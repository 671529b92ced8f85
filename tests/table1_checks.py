"""What must hold for every network of Table I: equality with golden instances, the contract of a music model."""

import copy
import json
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from asteroid.models import BaseModel
from helpers import SHARED

GOLDEN = SHARED / "golden" / "table1" if SHARED else None
CHECKPOINTS = SHARED / "golden" / "table1_checkpoints" if SHARED else None
needs_shared = pytest.mark.skipif(not SHARED, reason="no shared data")


def relative(found, expected):
    """Largest difference over the peak."""
    return float((found.detach() - expected).abs().max() / expected.abs().max())


def reference(path):
    """Input and expected output of a checkpoint, the latter with a source axis."""
    arrays = np.load(path)
    wav, out = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    return wav, out.reshape(len(wav), -1, *wav.shape[1:])


def assert_equals_golden(adapter, name, settings=()):
    """Output to 1e-5 of the peak; gradients, of the input and of the weights that the golden file names, to 1e-4."""
    entry = json.loads((GOLDEN / "index.json").read_text())[name]
    state, wav, expected = _instance(GOLDEN / entry["file"])
    settings = {**entry["args"], **{key: entry[key] for key in ("widths",) if key in entry}, **dict(settings)}
    assert adapter.recognises(state)
    model = adapter.build(state, settings)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry["params_trainable"]
    wav.requires_grad_()
    out = model(wav)
    assert relative(out, expected) < 1e-5
    grads = np.load(GOLDEN / entry["grad"]["file"])
    (out * torch.from_numpy(grads["w"]).reshape(out.shape)).sum().backward()
    assert relative(wav.grad, torch.from_numpy(grads["gx"])) < 1e-4
    ours = {id(value): key for key, value in adapter.convert(state, settings).items()}
    parameters = dict(model.named_parameters())
    for key in entry["grad"]["of"][1:]:
        assert relative(parameters[ours[id(state[key])]].grad, torch.from_numpy(grads[f"g/{key}"])) < 1e-4, key


def _instance(path):
    arrays = np.load(path)
    state = {key[3:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("sd/")}
    wav, out = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    return state, wav, out.reshape(len(wav), -1, *wav.shape[1:])


def assert_keeps_contract(model, lengths=(1, 2, 129, 5001), silent=True):
    """Any length and number of channels, items by themselves, silence, bf16, finite gradients everywhere."""
    model.eval()
    n_src, n_chan = model.n_src, model.channels
    with torch.no_grad():
        for length in lengths:
            wav = torch.randn(2, n_chan, length)
            out = model(wav)
            assert out.shape == (2, n_src, n_chan, length) and out.isfinite().all(), length
            assert torch.allclose(model(wav[:1]), out[:1], atol=1e-5 * float(out.abs().max()))
        assert model(torch.randn(4000)).shape == (n_src, 4000)
        assert model(torch.randn(2, 4000)).shape == (2, n_src, 4000)
        assert model(torch.randn(1, 3, 4000)).shape == (1, n_src, 3, 4000)
        quiet = model(torch.zeros(1, n_chan, 4000))
        assert quiet.isfinite().all() and (not silent or not quiet.any())
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(wav)
        assert rounded.dtype == torch.float32 and relative(rounded, out) < 0.1
    model(torch.zeros(1, n_chan, 4000)).sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())
    model.zero_grad()


def assert_recomputes(model, length=6000):
    """With activation checkpointing: less is kept, the gradients and running statistics are the same."""
    model.train()
    other = copy.deepcopy(model)
    other.activation_checkpointing = True
    wav, kept = torch.randn(2, model.channels, length), []
    for each in (model, other):
        torch.manual_seed(1)
        kept.append({})
        with torch.autograd.graph.saved_tensors_hooks(partial(_note, kept[-1]), lambda tensor: tensor):
            out = each(wav)
        out.square().sum().backward()
    assert sum(kept[1].values()) < 0.75 * sum(kept[0].values())
    for (name, mine), theirs in zip(model.named_parameters(), other.parameters()):
        assert mine.grad is not None and mine.grad.isfinite().all(), name
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6 * float(mine.grad.abs().max())), name
    for (name, mine), theirs in zip(model.named_buffers(), other.buffers()):
        assert torch.equal(mine, theirs), name


def _note(sizes, tensor):
    sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return tensor


def assert_survives_a_file(model, path):
    """Save, ``from_pretrained``: the same class, arguments and output, to the bit."""
    model.eval()
    json.dumps(model.get_model_args())
    torch.save(model.serialize(), path)
    again = BaseModel.from_pretrained(str(path)).eval()
    assert type(again) is type(model) and again.get_model_args() == model.get_model_args()
    wav = torch.randn(1, model.channels, 3000)
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))


def count_on_meta(cls, **arguments):
    """Trainable parameters, without memory for them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in cls(**arguments).parameters())


KEYS = {"system", "sources", "data", "licence", "scores", "inference", "note"}
OWN = {"model", "address", "size", "sha256", "config_address", "settings"}


def assert_published(family):
    """Entries are complete; bags name entries and give each of them a share of each source. Returns the entries."""
    entries = yaml.safe_load(family.published.read_text())
    for name, entry in entries.items():
        assert entry.pop("preset", "best") in ("best", "fast", "vocals"), name
        system = {"members", "weights", "less", "mixer", "residual", "parameters", "plans"}  # of several networks
        fits = KEYS | {"members"} <= set(entry) <= KEYS | system if "members" in entry else set(entry) == KEYS | OWN
        assert fits, name
        assert entry["system"] in {adapter.system for adapter in family.adapters}, name
        assert all(set(score["values"]) <= set(entry["sources"]) for score in entry["scores"]), name
        if "weights" in entry:
            assert all(entries[member]["sources"] == entry["sources"] for member in entry["members"]), name
            shares = np.array(entry["weights"])
            assert shares.shape == (len(entry["members"]), len(entry["sources"])) and shares.sum(0).all(), name
        if "members" not in entry:
            assert entry["model"] in {model.__name__ for model in family.models}, name
            assert entry["sha256"] is None or len(entry["sha256"]) == 64, name
    return entries
