"""Models from every kind of file and address load whole; what is meant is found."""

import hashlib
import os
import socket

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel, ConvTasNet
from asteroid.utils import hub_utils
from helpers import SHARED
from loopback import serve
from separation_models import tiny_net

from asteroid_bsrnn import weights
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.weights import load_model, read_safetensors, save_safetensors

WAV = torch.linspace(-0.5, 0.5, 400).reshape(1, -1)


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    weights.install()
    monkeypatch.setattr(hub_utils, "CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def server():
    with serve() as loopback:
        yield loopback


@pytest.fixture(scope="module")
def net():
    return tiny_net()


def conf_of(net):
    """As the host's ``serialize`` writes it, TorchVersion included."""
    return net.serialize()


@pytest.fixture
def pth(net, tmp_path):
    torch.save(conf_of(net), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def assert_same(model, net):
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(WAV), net(WAV))


def test_installing_twice_changes_nothing():
    before = BaseModel.from_pretrained.__func__
    assert weights.install() is False
    assert BaseModel.from_pretrained.__func__ is before


def test_pth_with_torch_version(pth, net):
    assert isinstance(conf_of(net)["infos"]["software_versions"]["torch_version"], torch.torch_version.TorchVersion)
    assert_same(load_model(pth), net)
    assert_same(BaseModel.from_pretrained(str(pth)).eval(), net)
    assert_same(ConvTasNet.from_pretrained(str(pth)).eval(), net)


@pytest.mark.parametrize("legacy", [False, True])
def test_old_published_files_with_numpy_numbers(net, tmp_path, legacy):
    conf = conf_of(net)
    conf["infos"]["final_metrics"] = {
        "si_sdr": np.float64(14.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "half": np.float32(0.5),
    }
    torch.save(conf, tmp_path / "old.pth", _use_new_zipfile_serialization=not legacy)
    assert_same(load_model(tmp_path / "old.pth"), net)


def test_numpy_1_names_in_the_pickle(net, tmp_path):
    conf = conf_of(net)
    conf["infos"]["final_metrics"] = {"si_sdr": np.float64(14.5)}
    torch.save(conf, tmp_path / "new.pth", _use_new_zipfile_serialization=False, pickle_protocol=2)
    content = (tmp_path / "new.pth").read_bytes()
    assert b"cnumpy._core.multiarray\nscalar" in content
    (tmp_path / "old.pth").write_bytes(
        content.replace(b"cnumpy._core.multiarray\nscalar", b"cnumpy.core.multiarray\nscalar")
    )
    assert_same(load_model(tmp_path / "old.pth"), net)


def test_safetensors_carry_arguments_and_card(net, tmp_path):
    card = {
        "sources": ["a", "b"],
        "data": "Libri2Mix",
        "licence": "cc-by-4.0",
        "commit": "abc",
        "scores": {"si_sdr": 14.5},
    }
    save_safetensors(conf_of(net), tmp_path / "net.safetensors", card)
    assert_same(load_model(tmp_path / "net.safetensors"), net)
    assert_same(BaseModel.from_pretrained(str(tmp_path / "net.safetensors")).eval(), net)
    conf = read_safetensors(tmp_path / "net.safetensors")
    digest = conf["card"].pop("sha256")
    assert conf["card"] == card and digest == weights.weights_sha256(net.state_dict())
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_tied_weights_and_odd_types_survive_safetensors(tmp_path):
    shared = torch.arange(6.0)
    state = {"a": shared, "b": shared, "c": torch.tensor(3), "d": torch.ones(2, 3).bfloat16().T, "e": torch.zeros(0)}
    save_safetensors(
        {"model_name": "X", "model_args": {"t": (1, np.int64(2))}, "state_dict": state}, tmp_path / "x.safetensors"
    )
    conf = read_safetensors(tmp_path / "x.safetensors")
    assert conf["model_args"] == {"t": [1, 2]}
    assert all(
        torch.equal(conf["state_dict"][name], tensor) and conf["state_dict"][name].dtype == tensor.dtype
        for name, tensor in state.items()
    )


def test_what_json_cannot_hold_is_refused_on_writing(net, tmp_path):
    with pytest.raises(ValueError, match="model_args: a Tensor cannot be stored"):
        save_safetensors({**conf_of(net), "model_args": {"x": torch.zeros(1)}}, tmp_path / "x.safetensors")
    assert os.listdir(tmp_path) == []


def test_changed_weights_in_safetensors_are_refused(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_safetensors(conf_of(net), path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="SHA-256 differs"):
        load_model(path)


def test_the_host_behaviour_for_dictionaries_is_kept(net):
    conf = conf_of(net)
    assert_same(BaseModel.from_pretrained(conf).eval(), net)
    assert_same(load_model(conf), net)
    with pytest.raises(ValueError, match="model_name"):
        BaseModel.from_pretrained({"state_dict": {}})
    with pytest.raises(RuntimeError):
        BaseModel.from_pretrained(conf, n_src=3)


def test_keywords_replace_arguments_of_the_file(pth):
    assert load_model(pth, sample_rate=16000).sample_rate == 16000
    with pytest.raises(UserError, match="do not fit ConvTasNet: .*size mismatch"):
        load_model(pth, n_src=3)


def test_an_unregistered_class_loads_itself(tmp_path):
    class Unregistered(BaseModel):
        def __init__(self, size=3, sample_rate=8000):
            super().__init__(sample_rate=sample_rate)
            self.layer = torch.nn.Linear(size, size)

    torch.save(
        {"model_name": "Unregistered", "model_args": {"size": 4}, "state_dict": Unregistered(4).state_dict()},
        tmp_path / "x.pth",
    )
    assert Unregistered.from_pretrained(str(tmp_path / "x.pth"), sample_rate=1).layer.in_features == 4
    with pytest.raises(UserError, match="cannot be built from its arguments: .*sizes"):
        Unregistered.from_pretrained(str(tmp_path / "x.pth"), sizes=1)
    with pytest.raises(UserError, match="called 'Unregistered', which neither"):
        BaseModel.from_pretrained(str(tmp_path / "x.pth"))


def test_folders(net, tmp_path):
    torch.save(conf_of(net), tmp_path / "best_model.pth")
    assert_same(load_model(tmp_path), net)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="the folder .*empty holds no model"):
        load_model(tmp_path / "empty")


@pytest.mark.parametrize(
    "source",
    [
        "best_modle.pth",
        "exp/best_modle.pth",
        "exp/best_modle",
        "./exp/x",
        "/no/such",
        "a/b/c",
        "~/x",
        "..",
        "org/model.ckpt",
        "nosuchname",
        "a\\b",
    ],
)
def test_a_mistyped_path_never_asks_the_network(tmp_path, monkeypatch, net, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("asked the network"))
    (tmp_path / "exp").mkdir()
    torch.save(conf_of(net), tmp_path / "exp" / "best_model.pth")
    with pytest.raises(UserError, match="there is no file|holds no model"):
        load_model(source)


def test_the_nearest_file_is_suggested(tmp_path, monkeypatch, pth):
    monkeypatch.chdir(tmp_path)
    for wrong, right in ((tmp_path / "nett.pth", tmp_path / "net.pth"), ("nett.pth", "net.pth")):
        with pytest.raises(UserError, match=f"did you mean '{right}'"):
            load_model(wrong)


@pytest.mark.parametrize("source", ["org/na me", "a b/c", "org/name@", "/"])
def test_what_is_no_hub_id(source):
    with pytest.raises(UserError, match="neither a file here|there is no file|holds no model"):
        load_model(source)


# addresses


def test_an_address_loads_once_and_resumes(server, net, pth, monkeypatch):
    url = server.add("/net.pth", pth.read_bytes())
    server.breaks["/net.pth"] = [100]
    assert_same(load_model(url), net)
    assert_same(BaseModel.from_pretrained(url).eval(), net)
    assert server.gets("/net.pth") == 2  # the broken attempt and the good one; the second load is from the cache


def test_safetensors_by_address(server, net, tmp_path):
    save_safetensors(conf_of(net), tmp_path / "net.safetensors")
    assert_same(load_model(server.add("/net.safetensors", (tmp_path / "net.safetensors").read_bytes())), net)


def test_an_address_with_its_hash(server, net, pth):
    url = server.add("/net.pth", pth.read_bytes())
    assert_same(load_model(f"{url}#sha256={hashlib.sha256(pth.read_bytes()).hexdigest()}"), net)
    with pytest.raises(UserError, match="is refused: its checksum is sha256"):
        load_model(f"{url}?other#sha256={'0' * 64}")


def test_no_such_address(server):
    with pytest.raises(UserError, match="there is no such file .HTTP 404."):
        load_model(server.url + "/nothing.pth")


def test_the_table_of_the_host_still_works(server, net, pth, monkeypatch):
    monkeypatch.setitem(hub_utils.MODELS_URLS_HASHTABLE, "some/Net_WHAM!_x", server.add("/net.pth", pth.read_bytes()))
    assert_same(load_model("some/Net_WHAM!_x"), net)


def test_old_files_without_a_rate_get_the_one_of_the_table(server, net, tmp_path, monkeypatch):
    conf = conf_of(net)
    del conf["model_args"]["sample_rate"]
    torch.save(conf, tmp_path / "old.pth")
    url = server.add("/old.pth", (tmp_path / "old.pth").read_bytes())
    monkeypatch.setitem(hub_utils.MODELS_URLS_HASHTABLE, "some/DeMask_x", url)
    monkeypatch.setitem(hub_utils.SR_HASHTABLE, "some/DeMask_x", 16000.0)
    assert load_model("some/DeMask_x").sample_rate == 16000.0


# the reference's checkpoints


def test_a_reference_checkpoint_loads():
    convert = pytest.importorskip("asteroid_bsrnn.convert")
    if SHARED is None or not hasattr(convert, "load_reference_checkpoint"):
        pytest.skip("needs the reference checkpoint of the shared folder")
    model = load_model(SHARED / "golden" / "vocals.ckpt")
    assert type(model).__name__ == "BSRNN" and tuple(model.sources) == ("vocals",)
    assert model(torch.zeros(1, 2, 3000)).shape == (1, 1, 2, 3000)


def test_our_models_come_back_bit_for_bit(tmp_path):
    from asteroid_bsrnn.models import BSRNN, StemSeparator

    size = {"feature_dim": 4, "n_repeats": 1, "mask_ratio": 1, "stereo": "tac", "n_attn_heads": 1, "attn_dim": 2}
    own_bands = BSRNN(sources=("other",), bands=[(4, 200.0), (1, 21250.0)], **size)
    model = StemSeparator([BSRNN(sources=("bass",), **size), own_bands]).eval()
    torch.save(model.serialize(), tmp_path / "stems.pth")
    save_safetensors(model.serialize(), tmp_path / "stems.safetensors")
    wav = torch.randn(1, 2, 3000)
    for name in ("stems.pth", "stems.safetensors"):
        loaded = load_model(tmp_path / name)
        assert loaded.sources == ("bass", "other")
        with torch.no_grad():
            assert torch.equal(loaded(wav), model(wav))


@pytest.mark.parametrize("kind", ["host.pth", "host.safetensors", "afrcnn.pth"])
def test_asteroid_infer_of_the_host_works_in_process(net, tmp_path, kind):
    import soundfile
    from asteroid.scripts.asteroid_cli import infer

    from asteroid_bsrnn.models import AFRCNN

    small = {"n_filters": 8, "bn_chan": 8, "hid_chan": 8, "n_scales": 2, "num_iters": 1}
    conf = (AFRCNN(n_src=2, **small) if kind.startswith("afrcnn") else net).serialize()
    save_safetensors(conf, tmp_path / kind) if kind.endswith("safetensors") else torch.save(conf, tmp_path / kind)
    soundfile.write(tmp_path / "mix.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    infer([str(tmp_path / kind), "--files", str(tmp_path / "mix.wav")])
    estimates = [soundfile.read(tmp_path / f"mix_est{index}.wav")[0] for index in (1, 2)]
    assert all(estimate.shape == (8000,) and np.isfinite(estimate).all() for estimate in estimates)


def test_the_documentation_shows_of_asteroids_command_what_it_can_do(net, tmp_path, monkeypatch):
    """The block of docs/weights.md as it stands there; and what the text says of other files is so."""
    import re

    import soundfile
    from helpers import ROOT

    text = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "asteroid_cli" in code]
    monkeypatch.chdir(tmp_path)
    torch.save(net.serialize(), "best_model.pth")
    soundfile.write("mix.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    exec(block, {})
    level = np.abs(soundfile.read("mix.wav")[0]).sum()
    estimates = [soundfile.read(name)[0] for name in ("mix_est1.wav", "mix_est2.wav")]
    assert np.abs(estimates).sum() == pytest.approx(level, rel=1e-2)
    assert "gives NaN on silence" in text and "mono" in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for wide in (
        "every combination",
        "every parameter count",
        "every repair",
        "all counts are those of the paper, exactly",
    ):
        assert wide not in readme
