"""Conversion of published checkpoints: every key accounted for, nothing executed, nothing random."""

import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel
from helpers import SHARED

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.convert import from_reference, load_reference_checkpoint, to_reference
from asteroid_bsrnn.models import BSRNN, StemSeparator

SIMO = ("vocals", "bass", "drums", "other")
CONF = dict(
    n_hop=512,
    feature_dim=4,
    num_repeat=1,
    fac_sep=2,
    time_layer="lstm",
    band_layer="lstm",
    fac_mask=2,
    n_heads=1,
    stereo=None,
)


def model_of(source="vocals", **arguments):
    torch.manual_seed(len(source))
    sources = source if isinstance(source, tuple) else (source,)
    return BSRNN(sources=sources, **{**dict(feature_dim=4, n_repeats=1, mask_ratio=2), **arguments}).eval()


def checkpoint(path, model, **configuration):
    content = {"state_dict": to_reference(model), "epoch": 3, "callbacks": {"monitor": "val_sdr"}}
    torch.save({**content, "hyper_parameters": {**CONF, **configuration}}, path)
    return str(path)


@pytest.fixture
def weights():
    return to_reference(model_of())


@pytest.mark.parametrize("change", ["delete", "longer", "shorter", "scalar", "not a number", "integer"])
@pytest.mark.parametrize(
    "key",
    [
        "BN.7.0.bias",
        "BN.0.1.weight",
        "separator.0.time_net.proj.weight",
        "separator.0.band_net.main_layer.weight_hh_l0",
        "separator.0.time_net.main_layer.bias_ih_l0_reverse",
        "maskers.0.mask.0.1.weight",
        "maskers.0.mask.40.5.bias",
    ],
)
@pytest.mark.parametrize("configuration", [None, CONF])
def test_a_broken_key_is_named(weights, key, change, configuration):
    value = weights.pop(key)
    broken = {
        "longer": torch.cat([value, value[:1]]),
        "shorter": value[:-1],
        "scalar": torch.zeros(()),
        "not a number": value * float("nan"),
        "integer": value.long(),
    }
    if change != "delete":
        weights[key] = broken[change]
    with pytest.raises(ValueError, match=key):
        from_reference(weights, configuration)


@pytest.mark.parametrize(
    "key", ["extra", "BN.41.0.weight", "separator.1.time_net.norm.weight", "separator.0.tac_module.average.1.weight"]
)
def test_a_key_left_over_is_an_error(weights, key):
    weights[key] = torch.zeros(4)
    with pytest.raises(ValueError, match=key.rsplit(".", 3)[0]):
        from_reference(weights, CONF)


@pytest.mark.parametrize(
    "name, value",
    [
        ("n_fft", 4096),
        ("feature_dim", 8),
        ("num_repeat", 2),
        ("fac_sep", 4),
        ("time_layer", "gru"),
        ("band_layer", None),
        ("bidirectional", False),
        ("fac_mask", 4),
        ("n_heads", 2),
        ("n_att_head", 1),
        ("stereo", "tac"),
        ("stereo", "naive"),
        ("targets", ["bass"]),
        ("target", "drums"),
        ("targets", ["vocals", "bass"]),
    ],
)
def test_configuration_that_contradicts_the_weights(weights, name, value):
    with pytest.raises(ValueError):
        from_reference(weights, {**CONF, name: value})


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"joint_bandsplit": True}, "joint_bandsplit"),
        ({"time_layer": {"ks": 3}}, "time_layer .* lacks n_dil_conv, hs_fac"),
        ([1], "hyper_parameters"),
        ({"targets": 3}, "sources"),
        ({"n_hop": "512"}, "n_hop"),
    ],
)
def test_unusable_configuration_is_named(weights, settings, named):
    with pytest.raises(ValueError, match=named):
        from_reference(weights, settings)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"BN.0.0.bias": "text"}, "BN.0.0.bias holds str"),
        ({"state_dict": {}}, "state_dict holds dict"),
        ({3: torch.zeros(1)}, "names of weights"),
    ],
)
def test_what_is_no_weight_is_named(weights, change, named):
    with pytest.raises(ValueError, match=named):
        from_reference({**weights, **change}, CONF)
    with pytest.raises(ValueError, match="NoneType|names of weights"):
        from_reference(None)


def test_numpy_everywhere(weights):
    arrays = {key: value.numpy() for key, value in weights.items()}
    settings = {
        "n_hop": np.int64(256),
        "bidirectional": np.bool_(True),
        "eps": np.float64(1e-7),
        "targets": np.array(["other"]),
    }
    model = from_reference(arrays, settings)
    assert model.get_model_args()["n_hop"] == 256 and type(model.n_hop) is int and model.sources == ("other",)
    assert all(torch.equal(value, weights[key]) for key, value in to_reference(model).items())


def test_only_a_bsrnn_goes_back():
    with pytest.raises(ValueError, match="got Linear"):
        to_reference(torch.nn.Linear(2, 2))


def test_keys_of_april_2025(weights):
    old = {key.replace("maskers.0.mask.", "mask."): value for key, value in weights.items()}
    model = from_reference(old, {**CONF, "target": "other"})
    assert model.sources == ("other",)
    assert all(torch.equal(value, weights[key]) for key, value in to_reference(model).items())
    del old["mask.3.5.bias"]
    with pytest.raises(ValueError, match=r"missing.* mask\.3\.5\.bias"):
        from_reference(old, CONF)


def test_windows_must_be_hann(weights):
    with pytest.raises(ValueError, match="stft.transf.window.*Hann"):
        from_reference({**weights, "stft.transf.window": torch.ones(2048)}, CONF)


def test_slopes_of_one_block_must_be_equal():
    weights = to_reference(model_of(stereo="tac"))
    weights["separator.0.tac_module.concat.1.weight"] = torch.tensor([0.3])
    with pytest.raises(ValueError, match="concat.1.weight differs"):
        from_reference(weights, {**CONF, "stereo": "tac"})


@pytest.mark.parametrize(
    "source, name",
    [("vocals", "vocals"), ("other", "vocals"), ("bass", "bass"), ("drums", "drums"), ("piano", "target")],
)
def test_name_of_the_source_from_the_bands(source, name):
    assert from_reference(to_reference(model_of(source)), {"n_hop": 512}).sources == (name,)


@pytest.mark.parametrize("residual", [False, True])
def test_several_sources_without_configuration(residual):
    weights = to_reference(model_of(SIMO, residual_source=residual))
    with pytest.warns(UserWarning, match="assuming vocals, bass, drums, other"):
        model = from_reference(weights)
    assert model.sources == SIMO and model.residual_source is residual
    with pytest.raises(ValueError, match="contradict the sources"):
        from_reference(weights, sources=("a", "b"))


def test_command_joins_single_source_files(tmp_path, capsys):
    files = [checkpoint(tmp_path / f"{name}.ckpt", model_of(name), targets=[name]) for name in SIMO]
    out = str(tmp_path / "all.pth")
    assert main(["convert", *files, out]) == 0
    assert "StemSeparator for vocals, bass, drums, other" in capsys.readouterr().out
    model, wav = BaseModel.from_pretrained(out), torch.randn(1, 2, 4000)
    assert isinstance(model, StemSeparator)
    with torch.no_grad():
        for index, name in enumerate(SIMO):
            torch.testing.assert_close(model(wav)[:, index], model_of(name)(wav)[:, 0], atol=1e-6, rtol=1e-5)


def test_command_writes_safetensors(tmp_path):
    file, out = (
        checkpoint(tmp_path / "bass.ckpt", model_of("bass"), targets=["bass"]),
        str(tmp_path / "bass.safetensors"),
    )
    assert main(["convert", file, out]) == 0
    model, wav = BaseModel.from_pretrained(out), torch.randn(1, 2, 4000)
    with torch.no_grad():
        assert model.sources == ("bass",) and torch.equal(model(wav), model_of("bass")(wav))


def test_command_never_overwrites_a_checkpoint(tmp_path, capsys):
    """Without a name to write, the last checkpoint would be it."""
    files = [checkpoint(tmp_path / f"{name}.ckpt", model_of(name), targets=[name]) for name in ("bass", "drums")]
    before = (tmp_path / "drums.ckpt").read_bytes()
    assert main(["convert", *files]) == 2 and "model.pth" in capsys.readouterr().err
    assert (tmp_path / "drums.ckpt").read_bytes() == before
    assert main(["convert", str(tmp_path / "absent.ckpt"), str(tmp_path / "out.pth")]) == 2
    assert capsys.readouterr().err == f"error: there is no checkpoint {tmp_path / 'absent.ckpt'}\n"


def test_command_wants_different_names(tmp_path, capsys):
    files = [str(tmp_path / f"{index}.ckpt") for index in range(2)]
    for file, source in zip(files, ("vocals", "other")):
        torch.save({"state_dict": to_reference(model_of(source))}, file)
    out = tmp_path / "out.pth"
    assert main(["convert", *files, str(out)]) == 2
    assert "--sources" in capsys.readouterr().err and not out.exists()
    assert main(["convert", *files, str(out), "--sources", "vocals,other"]) == 0
    assert "note: " in capsys.readouterr().out and BaseModel.from_pretrained(str(out)).sources == ("vocals", "other")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_is_executed(tmp_path):
    path, trap = tmp_path / "evil.ckpt", tmp_path / "trap"
    weights = to_reference(model_of())
    torch.save({"state_dict": weights, "callbacks": Malicious(str(trap))}, path)
    read, _ = load_reference_checkpoint(path)
    assert all(torch.equal(read[key], value) for key, value in weights.items()) and not trap.exists()
    torch.save({"state_dict": {**weights, "BN.0.0.bias": Malicious(str(trap))}}, path)
    with pytest.raises(UserError, match=r"would call (posix|nt).mkdir for state_dict\['BN.0.0.bias'\]"):
        load_reference_checkpoint(path)
    assert not trap.exists()


def test_code_archives_are_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "code.ckpt"))
    with pytest.raises(UserError, match="TorchScript"):
        load_reference_checkpoint(tmp_path / "code.ckpt")


@pytest.mark.parametrize(
    "kind, message",
    [
        ("cut", "truncated"),
        ("text", "is no weights file"),
        ("empty", "is empty, not a model"),
        ("hole", "truncated"),
        ("foreign", "BN.0.1.weight"),
    ],
)
def test_unusable_files(tmp_path, kind, message, capsys):
    path = tmp_path / "file.ckpt"
    checkpoint(path, model_of())
    data = path.read_bytes()
    if kind == "foreign":
        torch.save({"state_dict": {"encoder.weight": torch.zeros(2)}}, path)
    elif kind == "hole":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": {}})[:-3])
            archive.writestr("archive/version", "3")
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "text": b"hello there", "empty": b""}[kind])
    out = tmp_path / "out.pth"
    assert main(["convert", str(path), str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error and "file.ckpt" in error and error.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file.ckpt"]


@pytest.mark.skipif(not SHARED, reason="no shared data")
def test_checkpoint_of_the_authors_trainer(tmp_path):
    weights, configuration = load_reference_checkpoint(SHARED / "golden" / "vocals.ckpt")
    assert configuration["n_att_head"] == 2 and configuration["cfg_optim"]["algo"] == "adam"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = from_reference(weights, configuration)
    assert (model.stereo, model.n_attn_heads, model.attn_dim, model.sources) == ("tac", 2, 4, ("vocals",))
    back = to_reference(model)
    assert back.keys() == weights.keys() and all(torch.equal(back[key], weights[key]) for key in back)
