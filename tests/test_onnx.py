"""ONNX files: they give what PyTorch gives, at every length that they promise; what has no such form says why."""

import sys

import pytest
import torch
from helpers import ROOT

from asteroid_bsrnn.cli import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import BSRNN, DPCL, UPITBLSTM
from asteroid_bsrnn.models.base import as_model, run_batch
from asteroid_bsrnn.publishing.real_arithmetic import Pair, RealArithmetic
from asteroid_bsrnn.separation import Separator, separate

sys.path.append(str(ROOT / "tools"))
import onnx_table

onnx_export = pytest.importorskip("asteroid_bsrnn.publishing.onnx_export")
ROWS = onnx_table.PAGE.read_text(encoding="utf-8").partition(onnx_table.BEGIN)[2].partition(onnx_table.END)[0]
TABLE = {line.split(" | ")[0].strip("| "): line for line in ROWS.splitlines() if line[:2] == "| "}
SEPARATORS = [name for name in onnx_table.OURS if name != "Mixer"]


@pytest.fixture(scope="module", autouse=True)
def _packages():
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", SEPARATORS)
def test_without_complex_numbers_a_model_gives_what_it_gives(name):
    model = onnx_table.small(name)
    wav = noise(1, as_model(model).channels or 2 - (model.sources is None), 6000)
    with torch.no_grad():
        expected = run_batch(model, wav)
        with as_model(model).recorded(), RealArithmetic():
            found = run_batch(model, wav)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_pairs_compute_as_complex_numbers_do():
    a, b = torch.randn(2, 3, 4, dtype=torch.complex64), torch.randn(2, 3, 4, dtype=torch.complex64)
    x, y, real = Pair(a.real, a.imag), Pair(b.real, b.imag), torch.randn(4)

    def same(pair, expected):
        torch.testing.assert_close(torch.complex(pair.real.contiguous(), pair.imag.contiguous()), expected)

    same(x + y, a + b)
    same(x - y, a - b)
    same(x * y, a * b)
    same(real * x, real * a)
    same(x * real, a * real)
    same(x / real, a / real)
    same(x.transpose(0, 2)[1:], a.transpose(0, 2)[1:])
    same(x.mT, a.mT)
    same(torch.cat([x, y], dim=1), torch.cat([a, b], dim=1))
    same(x.split([1, 2], dim=1)[1], a.split([1, 2], dim=1)[1])
    torch.testing.assert_close(x.abs(), a.abs())
    with pytest.raises(TypeError, match="fft_fft has no form without complex numbers"):
        torch.fft.fft(x)


@pytest.mark.parametrize("sizes", [(64, 16), (60, 16), (64, 64)])
def test_the_inverse_transform_is_pytorchs(sizes):
    n_fft, hop = sizes
    window = torch.hann_window(n_fft) if hop < n_fft else torch.ones(n_fft)
    spec = torch.stft(noise(2, 700), n_fft, hop, window=window, return_complex=True)
    for length in (None, 500, 640):
        with RealArithmetic():
            found = torch.istft(Pair(spec.real, spec.imag), n_fft, hop, window=window, length=length)
        torch.testing.assert_close(
            found, torch.istft(spec, n_fft, hop, window=window, length=length), atol=1e-6, rtol=1e-5
        )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A BSRNN of two sources and its file, by the console command."""
    folder = tmp_path_factory.mktemp("onnx")
    torch.manual_seed(0)
    model = BSRNN(sources=("low", "high"), **onnx_table._BANDS).eval()
    torch.save(model.serialize(), folder / "model.pth")
    assert main.main(["export", str(folder / "model.pth"), str(folder / "model.onnx")]) == 0
    return model, folder / "model.onnx"


def test_the_runner_separates_songs_as_the_model_does(file):
    from asteroid_bsrnn.publishing.onnx_runner import OnnxModel

    model, path = file
    runner = OnnxModel(path, threads=1)
    assert runner.sources == model.sources and runner.inference == {} and runner.about["opset"] == onnx_export.OPSET
    for n_chan, length in ((2, 30000), (1, 9001), (3, 700)):
        song = noise(n_chan, length, seed=n_chan)
        found, expected = (separate(each, song, 44100, segment=0.3, device="cpu") for each in (runner, model))
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_file_of_one_length_takes_it_and_what_is_shorter(file, tmp_path):
    from asteroid_bsrnn.publishing.onnx_runner import OnnxModel

    model, _ = file
    made = onnx_export.export_onnx(model, tmp_path / "short.onnx", seconds=0.2)
    assert made.length == 8820 and made.layout == "spectrum"
    runner = OnnxModel(tmp_path / "short.onnx", threads=1)
    assert runner.inference == {"segment": 0.2}
    song = noise(2, 20000)
    found, expected = (separate(each, song, 44100, device="cpu", **runner.inference) for each in (runner, model))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert runner(noise(1, 2, 5000)).shape == (1, 2, 2, 5000)
    torch.testing.assert_close(runner(song[None])[0], found)


def test_recurrent_layers_stay_one_operation(file):
    import onnx

    kinds = [node.op_type for node in onnx.load(file[1]).graph.node]
    assert kinds.count("LSTM") == 2 and not {"Loop", "Scan", "If"} & set(kinds)


class Scattered(torch.nn.Module):
    """Adds what it hears to places that are shared."""

    sources, sample_rate = ("a", "b", "c"), 8000

    def forward(self, wav):
        parts = torch.stack([wav[:, 0] * gain for gain in (1.0, 2.0, 3.0, 4.0)], 1)
        places = torch.tensor([0, 1, 1, 2])[None, :, None].expand_as(parts)
        return torch.zeros_like(parts[:, :3]).scatter_add(1, places, parts)[:, :, None]


def test_sums_that_threads_lose_are_not_exported(tmp_path):
    """onnxruntime's ScatterND with a sum is a race: one run in three of a Mel-RoFormer's graph gave something else."""
    with pytest.raises(UserError, match="adds several values to one place"):
        onnx_export.export_onnx(Scattered(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_speech_without_order_goes_through_the_separator(tmp_path):
    from asteroid_bsrnn.publishing.onnx_runner import OnnxModel

    torch.manual_seed(0)
    model = UPITBLSTM(hid_size=4, n_layers=1).eval()
    onnx_export.export_onnx(model, tmp_path / "voices.onnx")
    talk = noise(1, 12000)
    ours, theirs = (
        separate(Separator(each, device="cpu"), talk, 8000) for each in (OnnxModel(tmp_path / "voices.onnx"), model)
    )
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_what_cannot_be_exported_is_one_sentence(tmp_path, capsys):
    model = DPCL(hid_size=4, n_layers=1, embedding_dim=2)
    with pytest.raises(UserError, match="DPCL cannot be exported to ONNX: what it computes depends on the values"):
        onnx_export.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir()), "nothing is left"
    with pytest.raises(UserError, match=r"model.pb: the name of an ONNX file ends in .onnx"):
        onnx_export.export_onnx(model, "model.pb")
    assert main.main(["export", "x.pth", "x.onnx", "--seconds", "0"]) == 2
    assert "--seconds is more than 0" in capsys.readouterr().err


def test_a_graph_that_gives_something_else_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "difference", lambda *_: 2e-4)
    with pytest.raises(UserError, match="the graph gives another output"):
        onnx_export.export_onnx(onnx_table.small("BSRNN"), tmp_path / "model.onnx", seconds=0.1)
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"export needs another package .*asteroid_bsrnn\[onnx\]"):
        onnx_export.export_onnx(onnx_table.small("BSRNN"), tmp_path / "model.onnx")


def test_a_strange_file_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    from asteroid_bsrnn.publishing.onnx_runner import OnnxModel

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "strange", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "x.onnx")
    with pytest.raises(UserError, match="is no file of 'asteroid-bsrnn export'"):
        OnnxModel(tmp_path / "x.onnx")


def test_the_table_has_every_model():
    assert [name for name in TABLE if name != "model"] == onnx_table.OURS


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in onnx_table.OURS if name != "SepReformer"])  # its two takes minutes
def test_a_row_of_the_table_is_true(name):
    assert onnx_table.row(name) == TABLE[name]
