"""Containers, configuration files and sentences of foreign weights, on a tiny family that a plug-in might bring."""

import json

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel
from asteroid.utils import hub_utils
from foreign_family import Gains, family
from loopback import serve
from safetensors.torch import save_file

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.convert import from_foreign
from asteroid_bsrnn.models import register_model
from asteroid_bsrnn.models.family import FAMILIES
from asteroid_bsrnn.weights import load_model
from asteroid_bsrnn.weights.settings_file import read_settings

VOLUME = torch.tensor([0.5, -0.25])
SETTINGS = {"net": {"exponent": 2, "sources": ["a", "b"]}}


@pytest.fixture(autouse=True)
def gains(monkeypatch):
    register_model(Gains)
    monkeypatch.setitem(FAMILIES.entries, "gains", family())


def assert_is(model, power=2, sources=("a", "b"), gain=VOLUME):
    assert type(model) is Gains and tuple(model.sources) == sources and not model.training
    assert model.config.power == power and torch.equal(model.gain, gain) and model.gain.dtype == torch.float32


class _Callback:
    """What a trainer leaves in its files."""


STATE = {"volume": VOLUME, "window": torch.ones(3)}
CONTAINERS = {
    "plain": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model_state_dict": {
        "model_state_dict": STATE,
        "optimizer_state_dict": {"state": {}},
        "all_metrics": {"sdr": np.float64(9)},
    },
    "state": {"state": STATE, "callbacks": [_Callback()]},
    "generator": {"generator": STATE, "discriminator": {"x": torch.ones(1)}},
    "model, nested": {"model": {"state_dict": STATE}, "args": _Callback()},
    "averages in a list": {"ema": [{"state": STATE}], "best": torch.tensor(1.0)},
    "data parallel": {"module." + name: value for name, value in STATE.items()},
    "wrapped twice": {"state_dict": {"module.model." + name: value for name, value in STATE.items()}},
    "half": {name: value.half() for name, value in STATE.items()},
    "arrays": {name: value.numpy() for name, value in STATE.items()},
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_weights_are_found_where_trainers_keep_them(tmp_path, kind):
    torch.save(CONTAINERS[kind], tmp_path / "x.ckpt")
    assert_is(load_model(tmp_path / "x.ckpt", SETTINGS))


def test_settings_stored_in_the_file_and_beside_it(tmp_path):
    content = {"state_dict": STATE, "hyper_parameters": {"exponent": 3, "lr": 1e-3, "sources": ("x", "y")}}
    torch.save(content, tmp_path / "x.ckpt")
    assert_is(load_model(tmp_path / "x.ckpt"), 3, ("x", "y"))
    assert_is(load_model(tmp_path / "x.ckpt", SETTINGS), 2)
    (tmp_path / "x.yaml").write_text(json.dumps(SETTINGS))
    assert_is(load_model(tmp_path / "x.ckpt", tmp_path / "x.yaml"))
    assert BaseModel.from_pretrained(str(tmp_path / "x.ckpt")).training
    assert load_model(tmp_path / "x.ckpt", SETTINGS, sample_rate=8000).sample_rate == 8000


def test_safetensors_and_formats_of_a_suffix(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert_is(load_model(tmp_path / "x.safetensors", SETTINGS))
    (tmp_path / "x.gains").write_text("0.5 -0.25")
    assert_is(load_model(tmp_path / "x.gains"), 1, ("s1", "s2"))


def test_a_format_of_a_suffix_by_address(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_utils, "CACHE_DIR", str(tmp_path / "cache"))
    with serve() as server:
        assert_is(load_model(server.add("/x.gains", b"0.5 -0.25") + "?download=1"), 1, ("s1", "s2"))


def test_our_own_file_takes_no_configuration(tmp_path):
    torch.save(Gains().serialize(), tmp_path / "ours.pth")
    with pytest.raises(UserError, match="ours.pth is a model with its own settings"):
        load_model(tmp_path / "ours.pth", SETTINGS)


@pytest.mark.parametrize(
    "state, settings, said",
    [
        (
            {"volumes": VOLUME},
            {},
            "no weights in a known format .*reference-bsrnn .BN.0.1.weight.*gains-of-others.*first keys are 'volumes'",
        ),
        ({"state": {"volume": _Callback()}, "x": torch.ones(1)}, {}, "would call .*_Callback"),
        ({"state": {"volume": _Callback()}}, {}, "no weights in a known format"),
        ({"state": {"x": _Callback(), "y": VOLUME}, "z": VOLUME}, {}, "no weights in a known format"),
        (
            {"state": {"volume": VOLUME, "more": _Callback()}},
            SETTINGS,
            "is refused: its weight 'more' is a .*_Callback",
        ),
        ({"state": {**STATE, "more": "text"}}, SETTINGS, "is refused: its weight 'more' is a str"),
        (STATE, None, "'exponent' is missing.*; give the configuration file that lay beside the weights .--config."),
        (STATE, {}, "'exponent' is missing.* tell it$"),
        ({**STATE, "left": torch.ones(1)}, SETTINGS, "Gains has no weight 'left'"),
        ({"volume": torch.tensor([1.0, float("nan")])}, SETTINGS, "volume holds values that are not finite"),
        (
            {"volume": torch.tensor(0.5)},
            {"exponent": 1},
            "not the weights of gains-of-others, or not with these settings",
        ),
        (STATE, {"exponent": 1, "sources": "a"}, "the weight 'gain' has the shape"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, state, settings, said):
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="x.ckpt.*" + said):
        load_model(tmp_path / "x.ckpt", settings)


def test_from_foreign():
    assert_is(from_foreign("gains", {"volume": VOLUME.numpy()}, {"exponent": 1}), 1, ("s1", "s2"))
    assert_is(from_foreign("gains", {"module.volume": VOLUME}, {"exponent": 2, "sources": ["a", "b"]}))
    with pytest.raises(UserError, match="unknown system 'gain': did you mean 'gains'.*known are bsrnn, afrcnn"):
        from_foreign("gain", {}, {})
    with pytest.raises(UserError, match="gains: state_dict holds no .*gains-of-others.; its first keys are 'x'"):
        from_foreign("gains", {"x": VOLUME}, {})
    with pytest.raises(UserError, match="'exponent' is missing") as refused:
        from_foreign("gains", {"volume": VOLUME})
    assert "--config" not in str(refused.value)
    with pytest.raises(UserError, match="its weight 'volume' is a str"):
        from_foreign("gains", {"volume": "loud"}, {})
    with pytest.raises(UserError, match="weights and settings are dictionaries, got list"):
        from_foreign("gains", [VOLUME], {})


# the command


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (0, 2, 3, 1)])
def test_convert_with_the_option_anywhere(tmp_path, capsys, suffix, order):
    torch.save(STATE, tmp_path / "x.ckpt")
    (tmp_path / "x.yaml").write_text(json.dumps(SETTINGS))
    words = [str(tmp_path / "x.ckpt"), str(tmp_path / f"out.{suffix}"), "--config", str(tmp_path / "x.yaml")]
    assert main(["convert", *(words[index] for index in order)]) == 0
    assert capsys.readouterr().out.strip().endswith("Gains for a, b, 2 parameters")
    assert_is(load_model(tmp_path / f"out.{suffix}"))


def test_convert_joins_models_of_different_sources(tmp_path, capsys):
    for name, sources in (("x", ["a", "b"]), ("y", ["c", "d"])):
        torch.save(
            {"state_dict": STATE, "hyper_parameters": {"exponent": 1, "sources": sources}}, tmp_path / f"{name}.ckpt"
        )
    files, out = [str(tmp_path / "x.ckpt"), str(tmp_path / "y.ckpt")], str(tmp_path / "all.safetensors")
    assert main(["convert", *files, out]) == 0 and load_model(out).sources == ("a", "b", "c", "d")
    assert main(["convert", *files[:1], out, "--sources", "left,right"]) == 0 and load_model(out).sources == (
        "left",
        "right",
    )
    assert main(["convert", *files[:1], *files[:1], str(tmp_path / "twice.pth")]) == 2
    assert "are both for 'a': tell them apart with --sources" in capsys.readouterr().err
    assert main(["convert", *files, "--config", "a.yaml", "--config", "b.yaml", "--config", "c.yaml", out]) == 2
    assert "2 checkpoints need one configuration for all or one for each, got 3" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["out.ckpt", "out.th", "out.yaml", "out.gains"])
def test_convert_writes_no_checkpoint(tmp_path, capsys, out):
    torch.save(STATE, tmp_path / "x.ckpt")
    assert main(["convert", str(tmp_path / "x.ckpt"), str(tmp_path / out)]) == 2
    assert "the last name is that of the file to write, such as model.pth" in capsys.readouterr().err


# configuration files


def test_tuples_and_numbers_of_yaml(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "a: !!python/tuple [1, !!python/tuple [2, 3]]\nb: 1e-5\nc: 5.0e-05\nd: '1e-5'\ne: &x [1]\nf: *x\n"
    )
    assert read_settings(tmp_path / "x.yaml") == {
        "a": [1, [2, 3]],
        "b": 1e-5,
        "c": 5e-5,
        "d": "1e-5",
        "e": [1],
        "f": [1],
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.mkdir [made]",
        "a: !!python/name:os.system",
        "!!python/tuple [1]",
        "- 1",
        "",
        "a: [",
        "a: &a [*a]",
        "x0: &x0 [1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    ],
)
def test_nothing_but_plain_values_is_read(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match="x.yaml holds no settings"):
        read_settings(tmp_path / "x.yaml")
    assert not (tmp_path / "made").exists()
    with pytest.raises(UserError, match="cannot read the settings"):
        read_settings(tmp_path / "absent.yaml")
