"""On a card: the acceptance of ``python -m benchmarks.gpu``, check by check; and in its dry form how that command works."""

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn.common.precision import use_tf32
from benchmarks import record
from benchmarks.gpu import acceptance, endurance, plan, report
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.sliced import SlicedLSTM

ROOT = Path(__file__).parents[1]
HERE = plan.Setting("cuda", False, float("inf"))
on_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device can be seen here")


@pytest.mark.gpu
@on_card
@pytest.mark.parametrize("name", acceptance.parts(HERE))
def test_acceptance(name):
    use_tf32(False)
    found = acceptance.parts(HERE)[name]()
    if "skipped" in found:
        pytest.skip(found["skipped"])
    assert found["ok"], found


@pytest.mark.gpu
@pytest.mark.slow
@on_card
def test_endurance():
    found = list(endurance.run(HERE))
    assert all(entry.get("ok", True) for entry in found), found


# -- without a card

GROUP = """
import json, sys, time
group = sys.argv[1]
print(json.dumps({"name": "first", "ok": True, "value": 1.0, "limit": None, "text": ""}), flush=True)
if group == "speed":
    sys.exit("no such kernel")
if group == "endurance":
    time.sleep(60)
print("noise")
print(json.dumps({"name": "second", "skipped": "as it is"}), flush=True)
"""


def test_a_group_that_hangs_or_dies_costs_only_its_own_results(monkeypatch):
    monkeypatch.setattr(plan, "GRACE", 0.5)
    monkeypatch.setattr(plan, "GROUPS", {"acceptance": 0.4, "speed": 0.4, "endurance": 0.02, "lstm": 0.18})
    kept, asked = [], []

    def command(group, deadline, *others):
        asked.append((group, deadline - time.time()))
        return [sys.executable, "-c", GROUP, group]

    found = plan.run_groups(0.5, "cpu", True, lambda results: kept.append(len(results)), command)
    assert kept == list(range(1, len(found) + 1)), "every result is kept as soon as it is there"
    said = {part: [entry for entry in found if entry["part"] == part] for part in plan.GROUPS}
    assert [entry["name"] for entry in said["acceptance"]] == ["first", "second"]
    assert said["speed"][1]["ok"] is False and "no such kernel" in said["speed"][1]["text"]
    assert said["endurance"][1]["skipped"] == "the rest: its time was over"
    assert [entry["name"] for entry in said["lstm"]] == ["first", "second"]
    assert [group for group, _ in asked] == list(plan.GROUPS) and asked[0][1] < 0.5 * 30


def test_failures_missing_packages_and_lack_of_time_are_results():
    def broken():
        raise ValueError("as it happens")

    def missing():
        import no_such_package_anywhere  # noqa: F401

    parts = {"good": lambda: plan.result("good", True), "broken": broken, "missing": missing}
    good, bad, left = plan.each(plan.Setting("cpu", True, time.time() + 60), parts)
    assert good["ok"] and bad["ok"] is False and "as it happens" in bad["text"]
    assert "no_such_package_anywhere" in left["skipped"]
    assert all("no time" in entry["skipped"] for entry in plan.each(plan.Setting("cpu", True, 0.0), parts))


def test_the_section_replaces_an_older_one_and_survives_the_other_benchmarks(tmp_path):
    entry = {"part": "speed", **plan.result("step", None, 2.5, None, "fast")}
    report.write([{**entry, "text": "slow"}], tmp_path, section=True)
    report.write([entry, {"part": "lstm", "name": "graph", "skipped": "none here"}], tmp_path, section=True)
    record.save({"first": record.Block("Some figures")}, tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.count(report.HEADING) == 1 and "| step |  | 2.5 | fast |" in text and "slow" not in text
    assert "| graph | skipped | | none here |" in text and "### Some figures" in text
    kept = json.loads(next((tmp_path / "gpu_results").iterdir()).read_text())
    assert [found["name"] for found in kept["results"]] == ["step", "graph"] and kept["facts"]["torch"]


def test_refused_where_it_cannot_measure(capsys):
    with pytest.raises(SystemExit):
        main(["--dry"])
    assert "--out" in capsys.readouterr().err
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            main([])
        assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.slow
def test_recurrent_layers_need_torch_alone(tmp_path):
    """Where nothing but torch is installed, the layers are measured and the rest says what is missing."""
    code = """
        import sys, time
        class Bare:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("asteroid", "lightning_fabric", "soundfile", "numpy"):
                    raise ModuleNotFoundError(f"No module named {name!r}")
        sys.meta_path.insert(0, Bare())
        from benchmarks.gpu.__main__ import main
        for group in ("lstm", "acceptance"):
            main(["--group", group, "--device", "cpu", "--dry", "--deadline", str(time.time() + 60)])
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert "No module named" in found[-1]["skipped"] and sum(entry.get("ok") is True for entry in found) >= 8


@pytest.mark.parametrize("n_rows", [1, 16, 19, 40])
def test_two_directions_in_slices_are_the_same_layer(n_rows):
    torch.manual_seed(0)
    whole, x = torch.nn.LSTM(6, 5, bidirectional=True), torch.randn(7, n_rows, 6, requires_grad=True)
    sliced = SlicedLSTM(whole, rows=16)
    output, expected = sliced(x), whole(x)[0]
    torch.testing.assert_close(output, expected)
    weights = torch.randn_like(expected)
    grads = [torch.autograd.grad((value * weights).sum(), x)[0] for value in (output, expected)]
    torch.testing.assert_close(*grads)


@pytest.mark.slow
def test_dry_form_runs_everything(tmp_path):
    assert main(["--dry", "--minutes", "60", "--out", str(tmp_path)]) == 0
    kept = json.loads(next((tmp_path / "gpu_results").iterdir()).read_text())["results"]
    assert {entry["part"] for entry in kept} == set(plan.GROUPS)
    assert not [entry for entry in kept if entry.get("ok") is False]
    ran = [entry["name"] for entry in kept if "skipped" not in entry]
    assert "kill and resume" in ran and "two cards" in ran and "step, base, fp32" in ran
    assert (tmp_path / "RESULTS.md").read_text().count("### ") == len(plan.GROUPS)
