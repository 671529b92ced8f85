"""Benchmarks: the baseline is the same function and no straw man, contests are fair, results are kept per machine."""

import json

import pytest
import torch

from asteroid_bsrnn.common.precision import supports
from benchmarks import record, scaling
from benchmarks.__main__ import NAMES, Settings, main
from benchmarks.baseline import from_fast
from benchmarks.contest import Outcome, Spread, contest, speed_up
from benchmarks.exactness import check_equality, count_operations, lstm_share
from benchmarks.saved import saved_bytes
from benchmarks.speech_blocks import BLOCKS
from benchmarks.training import SOURCES, _contenders, build, make_step, measure_peaks

SMALL = dict(feature_dim=8, n_repeats=2)
VARIANTS = {
    "base": {},
    "tac_attention": dict(stereo="tac", n_attn_heads=2, attn_dim=3),
    "tac_tanh": dict(stereo="tac", tac_act="tanh"),
    "several sources": dict(sources=SOURCES, n_attn_heads=1),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_baseline_is_the_same_function(name):
    assert check_equality({**SMALL, **VARIANTS[name]}, seconds=0.2) < 1e-5


def test_another_function_is_never_timed(monkeypatch):
    original = from_fast

    def broken(model):
        baseline = original(model)
        with torch.no_grad():
            baseline.separator[0]["time_net"].proj.weight.mul_(2)
        return baseline

    monkeypatch.setattr("benchmarks.training.from_fast", broken)
    with pytest.raises(RuntimeError, match="differs from the baseline"):
        check_equality(SMALL, seconds=0.2)


def test_baseline_is_no_straw_man():
    """As many operations as a textbook takes, and PyTorch's own LSTMs."""
    baseline = build({}, textbook=True)
    assert 1500 <= count_operations(baseline) <= 2000
    assert sum(isinstance(module, torch.nn.LSTM) for module in baseline.modules()) == 2 * len(build({}).blocks)
    assert 0 < lstm_share(build(SMALL, textbook=True), 0.1 * torch.randn(1, 2, 4410)) < 1


def test_training_steps_of_both_agree():
    """Loss, backward pass and clipping give one LSTM's weights the same gradient."""
    gradients = []
    for textbook in (False, True):
        step = make_step(SMALL, textbook, "fp32", 1, 0.2)
        step()
        model = next(cell.cell_contents for cell in step.__closure__ if hasattr(cell.cell_contents, "forward_stft"))
        lstm = next(module for module in model.modules() if isinstance(module, torch.nn.LSTM))
        gradients.append(lstm.weight_hh_l0.grad)
    assert gradients[1].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4 * float(gradients[1].abs().max()))


def make_ones(size):
    """A task that takes memory."""
    return lambda: torch.ones(size)


def make_nothing():
    """A task that cannot be made."""
    raise ValueError("no such size")


def test_contest_in_processes():
    entries = {"small": (make_ones, {"size": 10}, False), "large": (make_ones, {"size": 100_000_000}, True)}
    outcomes = contest(entries, repeats=2, threads=1)
    assert [len(outcome.seconds) for outcome in outcomes.values()] == [2, 2]
    assert outcomes["small"].peak_bytes < 3e8 < 3.9e8 < outcomes["large"].peak_bytes


def test_failures_in_a_process_are_told():
    with pytest.raises(RuntimeError, match="no such size"):
        contest({"broken": (make_nothing, {}, False)}, repeats=1, threads=1)


def test_speed_up_is_taken_round_by_round():
    assert speed_up(Outcome([4.0, 9.0, 2.0], 0), Outcome([2.0, 3.0, 2.0], 0)) == Spread(2.0, 1.0, 3.0)


@pytest.mark.parametrize("what", BLOCKS)
def test_naive_form_is_the_same_function(what):
    torch.manual_seed(0)
    ours, naive, inputs = BLOCKS[what][1](quick=True)
    assert (naive(*inputs) - ours(*inputs)).abs().max() < 1e-5


def test_saved_bytes():
    """A linear layer keeps its input, not its weight; the same storage counts once."""
    linear, x = torch.nn.Linear(4, 4), torch.randn(3, 4)
    assert saved_bytes(linear, x) == 3 * 4 * 4
    assert saved_bytes(torch.nn.Sequential(linear, torch.nn.ReLU()), x) == 2 * 3 * 4 * 4


def test_slope():
    assert scaling.slope((1, 2, 4), (3, 12, 48)) == pytest.approx(2)
    assert scaling.slope((1, 2, 4), (5, 5, 5)) == pytest.approx(0)


def test_bands_of_the_scaling_axis():
    for value in scaling.AXES["bands"][1]:
        arguments, _, _ = scaling._case("bands", value)
        assert len(build(arguments).widths) == value


def test_results_of_other_machines_are_kept(tmp_path):
    other = {"name": "other machine", "facts": {"cores": 96}, "blocks": {}}
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines" / "other.json").write_text(json.dumps(other))
    block = record.Block("Some figures")
    block.table(("a", "b"), [(1, 2)])
    block.target("speed", 2, 1.5, "the memory")
    record.save({"first": block}, tmp_path)
    record.save({"second": record.Block("More figures")}, tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    assert all(part in text for part in ("## other machine", "### Some figures", "### More figures", "| 1 | 2 |"))
    assert "| speed | >= 2x | 1.50x | no | the memory |" in text


def test_what_the_device_has_not_is_not_measured(monkeypatch):
    monkeypatch.setattr("benchmarks.training.supports", lambda precision, device: precision == "fp32")
    settings = Settings("cpu", True, 1, 1, None)
    _, entries = _contenders(settings, "base", 1, 0.1)
    assert "fp32" in entries and not any("bf16" in name for name in entries)
    assert set(measure_peaks(settings)) == {"fp32"}


@pytest.mark.processor
@pytest.mark.slow
def test_quick_run_writes_results(tmp_path):
    main(["--quick", "--only", "exactness", "--out", str(tmp_path), "--device", "cpu"])
    text = (tmp_path / "RESULTS.md").read_text()
    assert "simo_optimized" in text
    assert supports("bf16", "cpu") == ("| bf16 autocast |" in text) != ("bf16: cannot be had" in text)


def test_quick_run_needs_a_place(capsys):
    with pytest.raises(SystemExit):
        main(["--quick"])
    assert "--out" in capsys.readouterr().err


@pytest.mark.slow
def test_every_benchmark_runs(tmp_path):
    pytest.importorskip("museval")
    names = [name for name in NAMES if name not in ("exactness", "scale")]
    main(["--quick", "--only", *names, "--out", str(tmp_path)])
    blocks = json.loads(next((tmp_path / "machines").iterdir()).read_text())["blocks"]
    assert set(blocks) == set(names) and "items per second" in json.dumps(blocks["loading"])
