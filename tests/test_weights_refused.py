"""Files that are no whole model, or would run something, are refused in one sentence that names the culprit."""

import os
import pickle
import struct
import sys
import types

import pytest
import torch
from asteroid.models import BaseModel
from separation_models import tiny_net

from asteroid_bsrnn import weights
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.weights import load_model, save_safetensors
from asteroid_bsrnn.weights.any_file import read_file


@pytest.fixture(autouse=True)
def installed():
    weights.install()


@pytest.fixture(scope="module")
def net():
    return tiny_net()


class Evil:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "function, args, name", [(os.system, ("touch {}",), "system"), (eval, ("open({!r}, 'w')",), "eval")]
)
@pytest.mark.parametrize("place", ["infos", "model_name", "model_args", "state_dict"])
def test_a_pickle_that_calls_something_is_not_run(net, tmp_path, legacy, function, args, name, place):
    """Beside the model it is stepped over; what makes the model is refused by name."""
    mark, conf = tmp_path / "mark", net.serialize()
    evil = Evil(function, *(arg.format(str(mark)) for arg in args))
    conf[place] = {"x": evil} if place == "model_args" else evil
    torch.save(conf, tmp_path / "evil.pth", _use_new_zipfile_serialization=not legacy)
    if place == "infos":
        loaded = load_model(tmp_path / "evil.pth").state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())
    else:
        with pytest.raises(UserError, match=rf"is refused: it is a pickle that would call \w+\.{name} for {place}"):
            load_model(tmp_path / "evil.pth")
    assert not mark.exists()


def test_an_evil_object_beside_those_of_the_reference_is_not_run(tmp_path, monkeypatch):
    module = types.ModuleType("omegaconf.dictconfig")
    module.DictConfig = type("DictConfig", (), {"__module__": module.__name__})
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    evil = Evil(os.system, f"touch {tmp_path / 'mark'}")
    for place in ("extra", "hyper_parameters"):
        content = {"hyper_parameters": module.DictConfig(), "state_dict": {"w": torch.ones(1)}, place: evil}
        torch.save(content, tmp_path / "evil.ckpt")
        assert torch.equal(read_file(tmp_path / "evil.ckpt")["state_dict"]["w"], torch.ones(1))
    torch.save({"hyper_parameters": module.DictConfig(), "state_dict": {"w": evil}}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match=r"would call .*system"):
        load_model(tmp_path / "evil.ckpt")
    assert not (tmp_path / "mark").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(pickle.dumps(Evil(os.system, "true")))
    with pytest.raises(UserError, match="is refused|damaged"):
        load_model(tmp_path / "x.pth")


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_truncated_files(net, tmp_path, kind, keep):
    path = tmp_path / f"net.{kind}"
    torch.save(net.serialize(), path) if kind == "pth" else save_safetensors(net.serialize(), path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(UserError, match="damaged or truncated"):
        load_model(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty, not a model"),
        (b"<!DOCTYPE html><html>", "is no weights file: it starts with b'<!DOCTYPE ht"),
        (b"PK\x03\x04 and nothing", "damaged or truncated"),
        (struct.pack("<Q", 50) + b"{" + b" " * 60, "damaged or truncated"),
        (b"\x80\x02.", "damaged|refused"),
    ],
)
def test_what_is_no_weights_file(tmp_path, content, message):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "content, message",
    [
        ([1, 2], "holds a list, not a model"),
        ({}, "first keys are none"),
        ({"epoch": 1, "model": {}}, "its first keys are 'epoch', 'model'"),
        (
            {"model_name": "ConvTasNet", "model_args": {}, "state_dict": {"a": "text"}},
            "'state_dict' is a dict of another kind",
        ),
        ({"model_name": 3, "model_args": {}, "state_dict": {}}, "'model_name' is a int"),
        ({"model_name": "ConvTasNet", "model_args": [], "state_dict": {}}, "'model_args' is a list"),
        (
            {"model_name": "register_model", "model_args": {}, "state_dict": {}},
            "called 'register_model', which neither",
        ),
        ({"model_name": "base_models", "model_args": {}, "state_dict": {}}, "called 'base_models', which neither"),
        ({"model_name": "NoSuchNet", "model_args": {}, "state_dict": {}}, "called 'NoSuchNet', which neither"),
        (
            {"model_name": "ConvTasNet", "model_args": {"n_src": 2}, "state_dict": {}},
            "do not fit ConvTasNet: .*Missing key",
        ),
    ],
)
def test_what_is_no_whole_model(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "x.pth")


def test_extra_and_missing_weights_are_errors(net, tmp_path):
    for change in (
        lambda state: state.pop("encoder.filterbank._filters"),
        lambda state: state.update(more=torch.zeros(1)),
    ):
        conf = net.serialize()
        conf["state_dict"] = dict(conf["state_dict"])
        change(conf["state_dict"])
        torch.save(conf, tmp_path / "x.pth")
        with pytest.raises(UserError, match="do not fit ConvTasNet: .*(_filters|more)"):
            load_model(tmp_path / "x.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(net, tmp_path, value):
    conf = net.serialize()
    name = next(name for name, tensor in conf["state_dict"].items() if tensor.is_floating_point())
    conf["state_dict"][name] = torch.full_like(conf["state_dict"][name], value)
    torch.save(conf, tmp_path / "diverged.pth")
    with pytest.raises(UserError, match=rf"diverged.pth is refused: {name} holds values that are not finite"):
        BaseModel.from_pretrained(str(tmp_path / "diverged.pth"))


def test_safetensors_of_somebody_else(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="holds no model of Asteroid"):
        load_model(tmp_path / "x.safetensors")
    save_file(
        {"weight": torch.zeros(2)},
        tmp_path / "x.safetensors",
        metadata={"model_name": "ConvTasNet", "model_args": "{{"},
    )
    with pytest.raises(UserError, match="'model_args' is not a JSON object"):
        load_model(tmp_path / "x.safetensors")
