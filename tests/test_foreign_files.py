"""Checkpoints of other people's tools are read as data: nothing runs, nothing is imported, the weights come out."""

import collections
import os
import pickle
import struct
import sys
import warnings

import numpy as np
import pytest
import torch
from foreign_files import AGES, DictConfig, modules_for, rewritten, save_lightning, stand_in, with_pickle
from helpers import GOLDEN, SHARED
from test_golden import load

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.convert import from_reference, load_reference_checkpoint, to_reference
from asteroid_bsrnn.models import BSRNN
from asteroid_bsrnn.weights import load_model
from asteroid_bsrnn.weights.inert import Inert
from asteroid_bsrnn.weights.pickles import read_pickled

WEIGHTS, WAV, EXPECTED, CONF = load(GOLDEN, "tac_prelu")
STATE = {"model." + key: torch.from_numpy(value) for key, value in WEIGHTS.items()}
SETTINGS = {**CONF, "eps": 1e-7}


def output_of(model):
    with torch.no_grad():
        return model(WAV)


@pytest.mark.parametrize("age", AGES)
def test_lightning_files_of_every_age(tmp_path, age):
    path = save_lightning(tmp_path / "x.ckpt", age, STATE, SETTINGS)
    weights, settings = load_reference_checkpoint(path)
    assert weights.keys() == STATE.keys() and all(torch.equal(weights[key], STATE[key]) for key in STATE)
    assert {key: settings[key] for key in SETTINGS} == SETTINGS  # as plain values, types included
    assert not {"lost", "missing", "when", "o"} & set(settings)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*assuming")
        model = load_model(path)
    assert (output_of(model) - EXPECTED).abs().max() < 1e-5 * EXPECTED.abs().max()
    assert not {"omegaconf", "old_lightning", "nowhere"} & set(sys.modules)


def test_odd_values_of_settings(tmp_path):
    path = save_lightning(tmp_path / "x.ckpt", "2.4, odd things", STATE, SETTINGS)
    settings = load_reference_checkpoint(path)[1]
    found = {key: settings[key] for key in ("root", "kept", "frozen", "grid", "names", "queue")}
    assert found == {
        "root": "/data/x",
        "kept": [1, 2],
        "frozen": [3],
        "grid": [[0.0, 1.0], [2.0, 3.0]],
        "names": ["a", "b"],
        "queue": [1, 2],
    }
    old = rewritten(path, tmp_path / "numpy1.ckpt", lambda content: content.replace(b"numpy._core", b"numpy.core"))
    assert load_reference_checkpoint(old)[1] == settings


def test_a_file_like_those_of_train_py_converts_separates_and_returns(tmp_path):
    """Protocol 2 with Hydra's root as parent, which names ``__builtin__.long`` and ``unicode``."""
    path, out = save_lightning(tmp_path / "x.ckpt", "1.5, Hydra", STATE, SETTINGS), tmp_path / "out.pth"
    content = path.read_bytes()
    assert b"c__builtin__\nlong\n" in content and b"c__builtin__\nunicode\n" in content
    assert main(["convert", str(path), str(out)]) == 0
    model = load_model(out)
    assert (output_of(model) - EXPECTED).abs().max() < 1e-5 * EXPECTED.abs().max()
    back = to_reference(model)
    assert all(torch.equal(back[key], torch.from_numpy(value)) for key, value in WEIGHTS.items())


@pytest.mark.skipif(not SHARED, reason="no shared data")
def test_the_file_of_train_py(tmp_path):
    path, out = SHARED / "golden" / "train_py_vocals.ckpt", tmp_path / "out.pth"
    assert main(["convert", str(path), str(out)]) == 0
    weights, settings = load_reference_checkpoint(path)
    assert settings["targets"] == ["vocals"] and settings["cfg_eval"]["segment_len"] == 10.0
    model, direct = load_model(out), load_model(path)
    back = to_reference(model)
    assert back.keys() == weights.keys() and all(torch.equal(back[key], weights[key]) for key in weights)
    assert torch.equal(output_of(model), output_of(direct)) and output_of(model).abs().max() > 0


# what is inside the weights


def sparse():
    return torch.eye(2).to_sparse()


def quantized():
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make, name",
    [
        (sparse, "torch._utils._rebuild_sparse_tensor"),
        (quantized, "torch._utils._rebuild_qtensor"),
        (lambda: torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (DictConfig, "omegaconf.dictconfig.DictConfig"),
        (lambda: stand_in, "foreign_files.stand_in"),
        (lambda: np.datetime64("2024"), "numpy._core.multiarray.scalar"),
        (lambda: torch.zeros(2).untyped_storage(), "torch.storage"),
        (lambda: {"deep": [DictConfig()]}, "DictConfig"),
    ],
)
def test_what_is_no_tensor_is_refused_by_name_inside_the_weights_only(tmp_path, make, name):
    path = tmp_path / "x.ckpt"
    with modules_for(DictConfig):
        torch.save({"state_dict": {"w": make()}}, path)
        torch.save({"state_dict": {"w": torch.ones(1)}, "more": [make()]}, tmp_path / "outside.ckpt")
        torch.save({"w": make(), "v": torch.ones(1)}, tmp_path / "bare.ckpt")
    for file in (path, tmp_path / "bare.ckpt"):
        with pytest.raises(UserError, match=r"x.ckpt|bare.ckpt") as refusal:
            load_model(file)
        assert f"{name} for " in str(refusal.value) and "['w']" in str(refusal.value)
    assert torch.equal(read_pickled(tmp_path / "outside.ckpt")["state_dict"]["w"], torch.ones(1))


@pytest.mark.parametrize(
    "options", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 5}, {"pickle_protocol": 1}]
)
def test_tensors_of_every_type_and_form(tmp_path, options):
    base = torch.arange(12.0)
    kinds = (
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int64,
        torch.uint8,
        torch.int8,
        torch.bool,
        torch.complex64,
    )
    state = {str(kind): torch.ones(2, 3).to(kind) for kind in (*kinds, torch.int16, torch.int32)}
    state |= {
        "tied": base,
        "also": base,
        "part": base[3:9].view(2, 3).T,
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.0),
    }
    state |= {"parameter": torch.nn.Parameter(torch.ones(2)), "same everywhere": torch.ones(1).expand(4)}
    if options.get("_use_new_zipfile_serialization", True):
        state["newer"] = torch.ones(2).to(torch.uint16)
    torch.save({"state_dict": collections.OrderedDict(state)}, tmp_path / "x.pth", **options)
    read = read_pickled(tmp_path / "x.pth")["state_dict"]
    assert list(read) == list(state)
    assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in state.items())
    assert read["tied"].data_ptr() == read["also"].data_ptr() == read["part"].data_ptr() - 12
    assert not any(value.requires_grad for value in read.values())


def test_files_without_checksums(tmp_path):
    """torch can be told to leave them out."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"state_dict": {"w": torch.arange(3.0)}}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(read_pickled(tmp_path / "x.pth")["state_dict"]["w"], torch.arange(3.0))


# hostile files

MARK = "ran_something"
RUN = f"open({MARK!r}, 'w').close()".encode()


def text(content):
    return b"X" + struct.pack("<I", len(content)) + content


HOSTILE = {
    "REDUCE": (b"c__builtin__\neval\n(" + text(RUN) + b"tR", "builtins.eval"),
    "REDUCE of another system": (b"cposix\nsystem\n(" + text(b"touch " + MARK.encode()) + b"tR", "posix.system"),
    "STACK_GLOBAL": (b"\x8c\x08builtins\x8c\x04exec\x93(" + text(RUN) + b"tR", "builtins.exec"),
    "dotted name": (b"\x8c\x02os\x8c\x0bpath.os.sys\x93(tR", "os.path.os.sys"),
    "INST": (b"(" + text(RUN) + b"ibuiltins\neval\n", "builtins.eval"),
    "OBJ": (b"(cbuiltins\neval\n" + text(RUN) + b"o", "builtins.eval"),
    "NEWOBJ": (b"cbuiltins\neval\n(" + text(RUN) + b"t\x81", "builtins.eval"),
    "NEWOBJ_EX": (b"cbuiltins\neval\n(" + text(RUN) + b"t}\x92", "builtins.eval"),
    "BUILD": (
        b"cbuiltins\neval\n}(" + text(b"__setstate__") + b"cbuiltins\neval\nub" + text(RUN) + b"b",
        "builtins.eval",
    ),
    "found by getattr": (
        b"cbuiltins\ngetattr\n(cos\nsystem\n" + text(b"__call__") + b"tR(" + text(b"true") + b"tR",
        "getattr",
    ),
    "nested": (b"ccollections\nOrderedDict\n((cbuiltins\neval\n(" + text(RUN) + b"tRltR", "OrderedDict"),
    "as the type of an array": (
        b"cnumpy.core.multiarray\nscalar\n(cos\nsystem\n(" + text(b"true") + b"tR" + text(b"x") + b"tR",
        "scalar",
    ),
    "within a tensor": (
        b"ctorch._utils\n_rebuild_parameter\n(cbuiltins\neval\n(" + text(RUN) + b"tR\x89NtR",
        "_rebuild_parameter",
    ),
    "torch.load": (b"ctorch\nload\n(" + text(b"x.pth") + b"tR", "torch.load"),
    "extension": (b"\x82\x01(tR", "copyreg.extension_1"),
    "persistent": (text(b"key") + b"Q", "persistent object"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_instruction_runs_anything(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    body, name = HOSTILE[case]
    outside = b"\x80\x04}(" + text(b"state_dict") + b"}" + text(b"callbacks") + body + b"u."
    content = read_pickled(with_pickle(tmp_path / "x.pth", outside))
    assert isinstance(content["callbacks"], Inert)
    inside = b"\x80\x04}(" + text(b"state_dict") + b"}(" + text(b"w") + body + b"uu."
    with pytest.raises(UserError) as refusal:
        read_pickled(with_pickle(tmp_path / "x.pth", inside))
    assert name in str(refusal.value) and "state_dict['w']" in str(refusal.value)
    assert sorted(os.listdir(tmp_path)) == ["x.pth"]


def doubled(kind, depth=60):
    """Holds 2 ** depth values in ``depth`` instructions."""
    layers = {"list": b"(h\x00h\x00lq\x00", "tuple": b"h\x00h\x00\x86q\x00"}
    return b"]q\x00" + layers[kind] * depth if kind == "list" else b"K\x01q\x00" + layers[kind] * depth


def storage(count, size, stride):
    """A tensor of ``size`` over a storage that claims ``count`` numbers."""
    where = (
        text(b"storage")
        + b"ctorch\nFloatStorage\n"
        + text(b"0")
        + text(b"cpu")
        + b"\x8a\x08"
        + struct.pack("<q", count)
    )
    shape, steps = (b"(\x8a\x08" + struct.pack("<q", value) + b"t" for value in (size, stride))
    return b"ctorch._utils\n_rebuild_tensor_v2\n((" + where + b"tQK\x00" + shape + steps + b"\x89NtR"


DTYPE = b"cnumpy\ndtype\n(" + text(b"f8") + b"tR"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
BOMBS = {
    "endless list in the weights": (b"state_dict", doubled("list")),
    "endless list in the settings": (b"hyper_parameters", doubled("list")),
    "endless list in the arguments": (b"model_args", doubled("list")),
    "list that holds itself": (b"hyper_parameters", b"]q\x00h\x00a"),
    "text that is not there": (b"x", b"\x8d" + struct.pack("<Q", 2**62)),
    "bytes that are not there": (b"x", b"\x8e" + struct.pack("<Q", 2**62)),
    "bytearray that is not there": (b"x", b"\x96" + struct.pack("<Q", 2**62)),
    "number that is not there": (b"x", b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "storage that is not there": (b"x", storage(2**50, 1, 1)),
    "storage that is too short": (b"x", storage(100, 1, 1)),
    "tensor beyond its storage": (b"x", storage(2, 2**40, 1)),
    "tensor a little beyond its storage": (b"x", storage(2, 3, 1)),
    "tensor that repeats itself": (b"x", storage(2, 2**50, 0)),
    "array beyond its content": (
        b"x",
        ARRAY + b"(K\x01(\x8a\x08" + struct.pack("<q", 2**50) + b"t" + DTYPE + b"\x89C\x08abcdefghtb",
    ),
    "no end": (b"x", b"(((((("),
    "nothing to take": (b"x", b"R"),
    "nothing remembered": (b"x", b"h\x05"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_are_refused_in_one_sentence(tmp_path, case):
    import zipfile

    key, body = BOMBS[case]
    path = with_pickle(tmp_path / "x.pth", b"\x80\x04}(" + text(b"state_dict") + b"}" + text(key) + body + b"u.")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/data/0", b"12345678")
    with pytest.raises(UserError, match="x.pth is (refused|damaged or truncated)") as refusal:
        read_pickled(path)
    assert "\n" not in str(refusal.value)
    assert not case.startswith("tensor") or "a tensor reaches beyond its storage" in str(refusal.value)


@pytest.mark.parametrize(
    "body", [doubled("tuple") + b"0}h\x00Ns", b"r\xff\xff\xff\xff", b"cbuiltins\nbytearray\n(\x8a\x06\0\0\0\0\0\x10tR"]
)
def test_bombs_that_do_not_go_off_outside_of_the_weights(tmp_path, body):
    """A key whose hash takes for ever, a memory of 2 ** 32 places, an empty array of 2 ** 44 bytes."""
    body = b"K\x01" + body if body.startswith(b"r") else body
    read_pickled(
        with_pickle(tmp_path / "x.pth", b"\x80\x04}(" + text(b"state_dict") + b"}" + text(b"x") + body + b"u.")
    )


def test_compressed_archives_are_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(10**6))
    with pytest.raises(UserError, match="its parts are compressed or overlap"):
        load_model(tmp_path / "x.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_cut_and_changed_files_are_read_or_refused(tmp_path, zipped):
    path = tmp_path / "x.pth"
    torch.save(
        {"state_dict": {"w": torch.ones(9)}, "infos": np.float64(1)}, path, _use_new_zipfile_serialization=zipped
    )
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for length in range(4, len(whole) - 1, 23):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_pickled(path)
    for _ in range(300):
        changed = bytearray(whole)
        changed[random.integers(len(whole))] = random.integers(256)
        path.write_bytes(changed)
        try:
            read_pickled(path)
        except UserError as refusal:
            assert "\n" not in str(refusal)


# what the weights do not tell


def test_without_settings_all_assumptions_are_said():
    with pytest.warns(UserWarning) as said:
        model = from_reference(WEIGHTS)
    text = " ".join(str(warning.message) for warning in said)
    for part in (
        "n_fft / 4 = 512",
        "masks without context",
        "norms of 1 group",
        "eps 1e-07",
        "44100 Hz",
        "assuming vocals (other",
    ):
        assert part in text
    assert (model.mask_context, model.group_num, model.eps, model.sample_rate) == (0, 1, 1e-7, 44100)


@pytest.mark.parametrize(
    "missing, said",
    [("eps", "eps 1e-07"), ("mask_ctxt", "without context"), ("group_num", "1 group"), ("targets", "vocals")],
)
def test_only_what_the_settings_leave_open_is_said(missing, said):
    settings = {key: value for key, value in SETTINGS.items() if key != missing}
    with pytest.warns(UserWarning, match=said) as warned:
        from_reference(WEIGHTS, settings)
    assert len(warned) == 1 and "hop" not in str(warned[0].message)


def test_eps_does_not_reach_the_attention():
    """As in the reference: its attention adds 1e-7, whatever the setting is."""
    sizes = dict(sources=("bass",), feature_dim=4, n_repeats=1, n_attn_heads=2, attn_dim=2)
    usual, large = BSRNN(**sizes), BSRNN(**sizes, eps=0.1)
    large.load_state_dict(usual.state_dict())
    frames = 0.1 * torch.randn(30, 1, 5, 4)
    outputs = [model.blocks[0].attention(frames) for model in (usual, large)]
    assert torch.equal(*outputs)
    with torch.no_grad():
        assert not torch.allclose(usual(WAV), large(WAV))  # the other norms have it
