"""Demucs, Hybrid Demucs, HT Demucs: the package's networks under the contract, and the files of that project."""

import dataclasses
import inspect
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from helpers import ROOT
from safetensors import safe_open
from table1_checks import (
    CHECKPOINTS,
    assert_equals_golden,
    assert_keeps_contract,
    assert_published,
    assert_recomputes,
    assert_survives_a_file,
    count_on_meta,
    needs_shared,
    reference,
    relative,
)

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import Demucs, HDemucs, HTDemucs
from asteroid_bsrnn.models.demucs import FAMILY
from asteroid_bsrnn.models.demucs.network import RENAMED
from asteroid_bsrnn.recipe.cost import count_macs
from asteroid_bsrnn.weights import load_model

pytest.importorskip("demucs.hdemucs")
ADAPTERS = {adapter.name: adapter for adapter in FAMILY.adapters}
NAMES = ["a", "b", "c"]
SMALL = {
    Demucs: {"sources": NAMES, "channels": 8, "depth": 5},
    HDemucs: {"sources": NAMES, "channels": 8, "nfft": 1024, "depth": 5, "norm_groups": 2},
    HTDemucs: {"sources": NAMES, "channels": 8, "nfft": 1024, "depth": 3, "t_layers": 2, "t_heads": 2}
    | {"bottom_channels": 16},
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@needs_shared
@pytest.mark.parametrize("adapter, name", [("hdemucs", "hdemucs_cac_4"), ("htdemucs", "htdemucs_4")])
def test_output_and_gradients_equal_the_original(adapter, name):
    assert_equals_golden(ADAPTERS[adapter], name)


def test_sizes_are_the_published():
    assert count_on_meta(HDemucs) == 83_637_832
    assert count_on_meta(HTDemucs) == 41_984_456
    assert count_on_meta(Demucs) == 88_984_040
    assert count_on_meta(HDemucs, cac=False, norm_starts=999, hybrid_old=True) == 83_607_872
    assert count_on_meta(HDemucs, norm_starts=999, multi_freqs=[0.1, 0.3], multi_freqs_depth=2) == 83_884_248


@pytest.mark.parametrize("cls", SMALL)
def test_arguments_are_the_packages_in_its_order(cls):
    """Files may hold positional arguments."""
    module, name = cls.package
    words = list(inspect.signature(getattr(sys.modules[module], name).__init__).parameters)[1:]
    names = [field.name for field in dataclasses.fields(cls.Config) if field.name not in cls.ours]
    ours = [RENAMED.get(name, name) for name in names]
    assert [word for word in words if word in ours] == ours


OPTIONS = [
    (HDemucs, {"cac": False, "hybrid_old": True, "norm_starts": 999}),
    (HDemucs, {"cac": False, "wiener_iters": -1, "end_iters": -1}),
    (HDemucs, {"freq_emb": 0, "growth": 1, "context_enc": 1, "channels_time": 12, "dconv_attn": 9}),
    (HDemucs, {"hybrid": False, "nfft": 2048}),
    (HDemucs, {"multi_freqs": [0.1, 0.3], "multi_freqs_depth": 2, "norm_starts": 9, "rewrite": False, "dconv_mode": 3}),
    (HDemucs, {"in_channels": 1}),
    (HTDemucs, {"t_emb": "cape", "bottom_channels": 0, "dconv_mode": 1}),
    (HTDemucs, {"t_layers": 0, "freq_emb": 0, "in_channels": 1, "cac": False, "growth": 1}),
    (Demucs, {"rewrite": True, "lstm_layers": 2, "gelu": False, "glu": False, "resample": False, "normalize": False}),
    (Demucs, {"in_channels": 1, "dconv_mode": 3}),
]


@pytest.mark.parametrize("cls, options", OPTIONS)
def test_every_option_gives_what_the_package_gives(cls, options):
    model = cls(**{**SMALL[cls], **options}).eval()
    module, name = cls.package
    args = {RENAMED.get(key, key): value for key, value in model.get_model_args().items() if key not in cls.ours}
    net = getattr(sys.modules[module], name)(**args, **cls.extra).eval()
    torch.nn.Module.load_state_dict(net, model.net.state_dict())  # Demucs' own renames weights of an older generation
    wav = torch.randn(1, model.channels, 9001)
    with torch.no_grad():
        assert torch.equal(model(wav), net(wav))


@pytest.mark.parametrize("cls", SMALL)
@pytest.mark.parametrize("in_channels", [1, 2])
def test_contract(cls, in_channels):
    model = cls(**SMALL[cls], in_channels=in_channels)
    assert_keeps_contract(model)
    assert model.segment == round(model.config.segment * 44100) and not model.level_equivariant


def test_contract_of_a_network_of_spectrograms_alone():
    assert_keeps_contract(HDemucs(**{**SMALL[HDemucs], "hybrid": False}))


@pytest.mark.parametrize("cls", SMALL)
def test_activation_checkpointing_changes_nothing(cls):
    assert_recomputes(cls(**SMALL[cls]))


@pytest.mark.parametrize("cls", SMALL)
def test_saved_and_loaded_to_the_bit(cls, tmp_path):
    assert_survives_a_file(cls(**SMALL[cls]), tmp_path / "model.pth")


@pytest.mark.parametrize("cls, options", [(cls, {}) for cls in SMALL] + [OPTIONS[0], OPTIONS[4]])
def test_sources_in_another_order_are_the_same_sources(cls, options):
    model, wav = cls(**{**SMALL[cls], **options}).eval(), torch.randn(1, 2, 5000)
    other = model.with_sources(["c", "a", "b"])
    assert other.sources == ("c", "a", "b") and not other.training
    with torch.no_grad():
        assert torch.allclose(other(wav), model(wav)[:, [2, 0, 1]], atol=1e-6)
    with pytest.raises(ValueError, match="they cannot become a, b"):
        model.with_sources(["a", "b"])


def test_no_training_length_is_stored():
    model = HTDemucs(**SMALL[HTDemucs]).train()
    model(torch.randn(1, 2, 3000))
    assert model.eval()(torch.randn(1, 2, 9000)).shape[-1] == 9000


def test_a_wiener_filter_is_refused_in_training():
    model, wav = HDemucs(**{**SMALL[HDemucs], "cac": False}).train(), torch.randn(1, 2, 3000)
    with pytest.raises(ValueError, match="cannot be trained"):
        model(wav)
    with torch.no_grad():
        assert model(wav).shape == (1, 3, 2, 3000)


def test_attention_is_counted():
    with_attention, without = (HTDemucs(**{**SMALL[HTDemucs], "t_layers": layers}).eval() for layers in (2, 0))
    wavs = torch.randn(1, 2, 44100), torch.randn(1, 2, 88200)
    short, long = (count_macs(with_attention, wav) - count_macs(without, wav) for wav in wavs)
    assert long > 2.5 * short


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "demucs.hdemucs", None)
    with pytest.raises(UserError, match=r"HDemucs needs the package demucs .* pip install 'asteroid_bsrnn\[demucs\]'"):
        HDemucs(**SMALL[HDemucs])


@pytest.mark.parametrize(
    "cls, arguments, message",
    [
        (HDemucs, {"nfft": 512, "depth": 5}, "nfft 512 does not fit"),
        (HDemucs, {"hybrid_old": True, "hybrid": False}, "hybrid_old"),
        (HDemucs, {"wiener_iters": 1}, "must be equal"),
        (HDemucs, {"channels": 4, "norm_groups": 2, "dconv_attn": 0}, "attention needs channels"),
        (HTDemucs, {"t_emb": "none"}, "t_emb"),
        (HTDemucs, {"multi_freqs": 3}, "multi_freqs must be a list"),
        (Demucs, {"rewrite": 1}, "rewrite must be true or false"),
        (Demucs, {"channels": 0}, "channels must be a whole number"),
    ],
)
def test_wrong_arguments_are_named(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


# Demucs v2

V2 = {"rewrite": True, "gelu": False, "norm_starts": 9, "dconv_mode": 0, "normalize": False, "lstm_layers": 2,
      "context_padding": False}  # fmt: skip


def v2_instance():
    """Weights, input and output of the original class."""
    arrays = np.load(ROOT / "tests" / "golden" / "demucs_v2.npz")
    arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    return {key[3:]: value for key, value in arrays.items() if key.startswith("sd/")}, arrays["x"], arrays["y"]


def test_version_2_gives_what_the_original_gives():
    state, wav, expected = v2_instance()
    (adapter,) = [adapter for adapter in FAMILY.adapters if adapter.recognises(state)]
    model = adapter.build(state, {"sources": ["drums", "bass", "other", "vocals"]})
    with torch.no_grad():
        assert relative(model(wav), expected) < 1e-6
    padded = Demucs(**{**model.get_model_args(), "context_padding": True}).eval()
    padded.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert relative(padded(wav), expected) > 1e-3
    assert count_on_meta(Demucs, **V2) == 265_679_496


def test_version_2_keeps_the_contract(tmp_path):
    assert_keeps_contract(Demucs(**{**SMALL[Demucs], **V2, "depth": 3}), silent=False)
    assert_recomputes(Demucs(**{**SMALL[Demucs], **V2, "depth": 3}))
    assert_survives_a_file(Demucs(**{**SMALL[Demucs], **V2, "depth": 3}), tmp_path / "model.pth")
    for wrong in ({"rewrite": False}, {"normalize": True}):
        with pytest.raises(UserError, match="context_padding false"):
            Demucs(**{**SMALL[Demucs], **V2, **wrong})


def test_a_package_of_version_2():
    state, wav, expected = v2_instance()
    kwargs = {"channels": 4, "depth": 3, "samplerate": 44100, "segment_length": 1764000, "context": 3}
    content = {
        "klass": SimpleNamespace(name="demucs.model.Demucs"),
        "args": (["a", "b", "c", "d"], 2),
        "kwargs": kwargs,
    }
    adapter, weights, settings = unwrapped({**content, "state": {key: value.half() for key, value in state.items()}})
    model = adapter.build(weights, settings)
    assert model.sources == ("a", "b", "c", "d")
    with torch.no_grad():
        assert relative(model(wav), expected) < 1e-2
    with pytest.raises(UserError, match="demucs-v2: networks with normalize"):
        adapter.build(weights, settings | {"normalize": True})
    with pytest.raises(UserError, match="has no weight 'encoder.1.5.weight'"):
        adapter.build(weights | {"encoder.1.5.weight": torch.ones(1)}, settings)


# files


def unwrapped(content):
    """(adapter, state, settings) of the one format that takes this content."""
    found = [(adapter, adapter.unwrap(content)) for adapter in FAMILY.adapters]
    ((adapter, (state, settings)),) = [(adapter, result) for adapter, result in found if result]
    return adapter, state, settings


def hub_file(path):
    with safe_open(path, "pt") as file:
        return {**file.metadata(), **{key: file.get_tensor(key) for key in file.keys()}}


@needs_shared
@pytest.mark.parametrize("name, segment", [("aaaa1111", 44), ("dddd4444", 7.8)])
def test_hub_files_give_their_references(name, segment):
    adapter, state, settings = unwrapped(hub_file(CHECKPOINTS / "demucs_hub" / f"{name}.safetensors"))
    model = adapter.build(state, settings)
    wav, expected = reference(CHECKPOINTS / "demucs_hub" / f"{name}.ref.npz")
    assert relative(model(wav), expected) < 1e-5
    assert model.segment == round(segment * 44100) and model.sources == ("drums", "bass", "other", "vocals")


def package(cls, klass, **more):
    """An old package of a network: half precision, class as a reader that imports nothing gives it."""
    model = cls(**SMALL[cls]).eval()
    args = {RENAMED.get(key, key): value for key, value in model.get_model_args().items()}
    state = {key.removeprefix("net."): value.half() for key, value in model.state_dict().items()}
    return model, {"klass": klass, "args": (), "kwargs": args | more, "state": state, "training_args": {}}


@pytest.mark.parametrize(
    "cls, name", [(Demucs, "demucs.Demucs"), (HDemucs, "hdemucs.HDemucs"), (HTDemucs, "htdemucs.HTDemucs")]
)
def test_old_packages_of_each_class(cls, name):
    model, content = package(cls, SimpleNamespace(name=f"demucs.{name}"), segment=Fraction(39, 5))
    adapter, state, settings = unwrapped(content)
    again = adapter.build(state, settings)
    assert type(again) is cls and again.config.segment == 7.8
    assert again.get_model_args() == {**model.get_model_args(), "segment": 7.8}
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].half().float()), name


@needs_shared
def test_old_package_gives_its_reference():
    demucs = pytest.importorskip("demucs.hdemucs")
    with torch.serialization.safe_globals([demucs.HDemucs]):
        content = torch.load(CHECKPOINTS / "demucs_local" / "aaaa1111-07efc80e.th", weights_only=True)
    adapter, state, settings = unwrapped(content)
    wav, expected = reference(CHECKPOINTS / "demucs_local" / "aaaa1111.ref.npz")
    assert relative(adapter.build(state, settings)(wav), expected) < 1e-5


def write_bag(folder, seeds=(0, 1), weights=((1.0, 0.5, 0.0), (1.0, 1.5, 2.0))):
    """Two members as old packages, the second's name with a checksum, and the file of the bag."""
    for seed, name in zip(seeds, ("aaaa1111.th", "bbbb2222-0123abcd.th")):
        torch.manual_seed(seed)
        model = HDemucs(**SMALL[HDemucs]).eval()
        args = {RENAMED.get(key, key): value for key, value in model.get_model_args().items()}
        state = {key.removeprefix("net."): value for key, value in model.state_dict().items()}
        torch.save({"klass": "demucs.hdemucs.HDemucs", "args": (), "kwargs": args, "state": state}, folder / name)
    document = {"models": ["aaaa1111", "bbbb2222"], "weights": [list(row) for row in weights], "segment": 44}
    (folder / "mdx.yaml").write_text(yaml.safe_dump(document))
    return folder / "mdx.yaml"


@torch.no_grad()
def test_a_bag_beside_its_members(tmp_path, capsys):
    path, wav = write_bag(tmp_path), torch.randn(1, 2, 5000)
    first, second = (load_model(tmp_path / name)(wav) for name in ("aaaa1111.th", "bbbb2222-0123abcd.th"))
    expected = [(first + second)[:, 0] / 2, (0.5 * first + 1.5 * second)[:, 1] / 2, second[:, 2]]
    torch.testing.assert_close(load_model(path)(wav), torch.stack(expected, 1))
    assert main(["convert", str(path), str(tmp_path / "bag.safetensors"), "--sources", "x,y,z"]) == 0
    again = load_model(tmp_path / "bag.safetensors")
    assert again.sources == ("x", "y", "z")
    torch.testing.assert_close(again(wav), torch.stack(expected, 1))
    with pytest.raises(UserError, match="is a bag, whose members have their settings"):
        load_model(path, {"sources": ["a"]})
    write_bag(tmp_path, weights=[[1.0, 1.0]])
    with pytest.raises(UserError, match="mdx.yaml: weights must be 2 rows of 3 numbers"):
        load_model(path)
    for name, said in (
        ("cccc3333", "its member 'cccc3333' is not beside it"),
        ("../x", "a file beside it, not '../x'"),
    ):
        path.write_text(yaml.safe_dump({"models": [name]}))
        with pytest.raises(UserError, match=said):
            load_model(path)


@needs_shared
def test_the_bag_of_one_gives_its_reference():
    wav, expected = reference(CHECKPOINTS / "demucs_hub" / "dddd4444.ref.npz")
    with torch.no_grad():
        assert relative(load_model(CHECKPOINTS / "demucs_hub" / "htdemucs.yaml")(wav), expected) < 1e-5


def test_positional_arguments_and_arguments_that_are_gone():
    model, content = package(HDemucs, "demucs.hdemucs.HDemucs", was_there_once=3)
    kwargs = content["kwargs"]
    content["args"] = (kwargs.pop("sources"), kwargs.pop("audio_channels"))
    adapter, state, settings = unwrapped(content)
    with pytest.warns(UserWarning, match="was_there_once"):
        assert adapter.config(state, settings) == model.get_model_args()


def test_other_classes_and_quantised_weights_are_not_read():
    _, content = package(HDemucs, "os.system")
    assert not any(adapter.unwrap(content) for adapter in FAMILY.adapters)
    with pytest.raises(UserError, match="quantised"):
        unwrapped({**content, "klass": "demucs.hdemucs.HDemucs", "structure": "{}"})
    with pytest.raises(UserError, match="sparse"):
        ADAPTERS["htdemucs"].config({}, {"t_sparse_self_attn": True, "sources": NAMES})


def test_defaults_of_files_are_the_packages():
    """What a file does not say is the package's default, not that of the published network."""
    config = ADAPTERS["htdemucs"].config({}, {"sources": NAMES})
    assert HTDemucs.Config(**config).bottom_channels == 0 and HTDemucs.Config(**config).dconv_mode == 1


def test_torchaudio_names_without_settings():
    model = HDemucs(**{**SMALL[HDemucs], "channels": 8, "norm_groups": 4, "segment": 40}).eval()
    parts = {"encoder": "freq_encoder", "decoder": "freq_decoder"}
    parts |= {"tencoder": "time_encoder", "tdecoder": "time_decoder"}
    state = {}
    for key, value in model.state_dict().items():
        part, rest = key.removeprefix("net.").split(".", 1)
        state[f"{parts.get(part, part)}.{rest}"] = value
    state["time_encoder.3.norm1.weight"] = torch.ones(64)
    (adapter,) = [adapter for adapter in FAMILY.adapters if adapter.recognises(state)]
    assert adapter.name == "torchaudio-hdemucs"
    with pytest.warns(UserWarning, match="norm_groups: 4"):
        again = adapter.build(state, {})
    assert again.sources == ("s1", "s2", "s3")
    wav = torch.randn(1, 2, 5000)
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))
    with pytest.raises(UserError, match="has no weight 'freq_encoder.9.conv.weight'"):
        adapter.build(state | {"freq_encoder.9.conv.weight": torch.ones(1)}, SMALL[HDemucs])


@needs_shared
def test_plain_weights_are_recognised_and_read_by_their_shapes():
    content = hub_file(CHECKPOINTS / "demucs_hub" / "aaaa1111.safetensors")
    state = {key: value for key, value in content.items() if torch.is_tensor(value)}
    (adapter,) = [adapter for adapter in FAMILY.adapters if adapter.recognises(state)]
    wav, expected = reference(CHECKPOINTS / "demucs_hub" / "aaaa1111.ref.npz")
    with pytest.warns(UserWarning, match="norm_groups"):
        assert relative(adapter.build(state, {"sources": ["w", "x", "y", "z"]})(wav), expected) < 1e-5


def test_documents_of_bags_and_of_the_fork():
    adapter = ADAPTERS["htdemucs"]
    assert adapter.settings({"models": ["955717e8"], "weights": [[1.0]], "segment": 44}) == {}
    document = {
        "model": "htdemucs",
        "htdemucs": {"channels": 8, "depth": 3},
        "training": {"instruments": NAMES, "channels": 2, "samplerate": 44100, "segment": 11},
    }
    wanted = {"audio_channels": 2, "samplerate": 44100, "segment": 11, "sources": NAMES, "channels": 8, "depth": 3}
    assert adapter.settings(document) == wanted


def test_published_weights():
    entries = assert_published(FAMILY)
    assert entries["mdx"]["weights"][1] == [0, 1, 0, 0]
    arguments = ADAPTERS["torchaudio-hdemucs"].config({}, entries["hdemucs_high_musdb"]["settings"])
    assert count_on_meta(HDemucs, **arguments) == 83_637_832
