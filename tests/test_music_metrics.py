"""L1-SNR and log-WMSE are their definitions; the registry is what evaluation and reports go by, whoever registered."""

import ast
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT
from scipy.signal import lfilter
from songs import SOURCES, Songs, leaky, read_rows, write_stems

from asteroid_bsrnn import metrics
from asteroid_bsrnn.dsp.k_weighting import _k_filters
from asteroid_bsrnn.metrics import Metric, TrackScores, l1_snr, log_wmse
from asteroid_bsrnn.metrics.stream import FrameEnergies

RATE = 44100


@pytest.fixture
def song():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(1, 2, 2, 3 * RATE + 500, generator=generator) * torch.tensor([0.1, 0.01]).view(1, 2, 1, 1)
    noise = torch.randn(targets.shape, generator=generator) * 0.02
    return targets + noise, targets, targets.sum(1)


def test_l1_snr_is_its_definition(song):
    est, targets, _ = (wav.double() for wav in song)
    expected = 10 * torch.log10((targets.abs().sum((-2, -1)) + 1e-3) / ((est - targets).abs().sum((-2, -1)) + 1e-3))
    torch.testing.assert_close(l1_snr(est.float(), targets.float()), expected, rtol=0, atol=1e-4)
    assert l1_snr(torch.zeros_like(targets), targets).abs().max() < 1e-9, "silence is 0 dB"
    nearer = l1_snr(targets + 0.1 * (est - targets), targets) - l1_snr(est, targets)
    torch.testing.assert_close(nearer, torch.full((1, 2), 10.0).double(), rtol=0, atol=1e-4)


def test_log_wmse_is_its_definition_in_the_time_domain(song):
    """The filters run over the whole song here, over frames of a second there."""
    est, targets, mix = (wav[0].double().numpy() for wav in song)
    error, level = est - targets, mix
    for numerator, denominator in _k_filters(RATE):
        error, level = lfilter(numerator, denominator, error), lfilter(numerator, denominator, level)
    mse = (error**2).mean(-1) / (level**2).mean(-1)
    expected = (-4 * np.log(mse + 1e-8)).mean(-1)
    assert log_wmse(*song)[0].numpy() == pytest.approx(expected, abs=0.01)


def test_log_wmse_of_what_everybody_knows(song):
    est, targets, mix = song
    assert log_wmse(targets, targets, mix).numpy() == pytest.approx(-4 * math.log(1e-8)), "perfect: 73.68"
    torch.testing.assert_close(log_wmse(0.5 * est, 0.5 * targets, 0.5 * mix), log_wmse(est, targets, mix))
    assert torch.isfinite(log_wmse(est, torch.zeros_like(targets), mix)).all(), "a silent reference has a score"
    time = torch.arange(targets.shape[-1]) / RATE
    low, high = (
        log_wmse(targets + 0.01 * torch.sin(2 * math.pi * hz * time), targets, mix).mean() for hz in (30, 3000)
    )
    assert low > high + 5, "errors below hearing count less"


def test_without_a_mixture_there_is_no_log_wmse(song):
    track = TrackScores(RATE)
    track.update(song[0][0], song[1][0])
    scores = track.scores()
    assert scores["log_wmse"].isnan().all() and not scores["l1_snr"].isnan().any()


def test_metrics_are_found_by_name_and_checked():
    assert metrics.get("usdr").label == "uSDR" and metrics.get("usdr").collect is FrameEnergies
    with pytest.raises(ValueError, match="unknown metric 'usdrr': did you mean 'usdr'"):
        metrics.get("usdrr")
    units = {"usdr_bass": "dB", "input_log_wmse_bass": "", "si_sdr_imp": "dB", "pesq_imp": "", "weather": ""}
    assert {name: metrics.unit_of(name) for name in units} == units
    parts = dict(name="x", label="X", unit="dB", task="music", per_track=abs, aggregate="mean", better="higher", definition="")  # fmt: skip
    for key, value in (("task", "noise"), ("aggregate", "sum"), ("better", "larger")):
        with pytest.raises(ValueError, match=f"{key} of a metric is one of"):
            Metric(**{**parts, key: value})
    with pytest.raises(ValueError, match="another metric is already registered as 'usdr'"):
        metrics.register_metric(Metric(**{**parts, "name": "usdr"}))


TABLES_OF_PAPERS = ("ablation", "systems_table", "speech_tables", "drawn")  # say what the printed columns are


@pytest.mark.parametrize("room", ["evaluation", "experiment", "publishing", "report"])
def test_no_score_is_named_outside_its_file(room):
    names = {name for task in ("music", "speech") for metric in metrics.all_of(task) for name in metric.columns}
    for path in sorted((ROOT / "asteroid_bsrnn" / room).rglob("*.py")):
        if path.stem in TABLES_OF_PAPERS:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} & names
        assert not found, f"{path.name} names {found}"


CODE = """
from asteroid_bsrnn.cli.main import main
assert main(["evaluate", "est", "--references", "ref", "-o", "exp/mine", "-q"]) == 0
assert main(["report", "exp/mine", "-o", "report"]) == 0
"""
REPORT = "from asteroid_bsrnn.cli.main import main; main(['report', 'exp/mine', '-o', 'elsewhere'])"


@pytest.mark.slow
def test_a_score_from_a_plugin_is_computed_and_reported(tmp_path):
    songs = Songs()
    separate = leaky(songs)
    write_stems(tmp_path / "est", songs, separate)
    write_stems(tmp_path / "ref", songs)
    path = os.pathsep.join([str(ROOT / "tests" / "plugins"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": path, "ASTEROID_BSRNN_PLUGINS": "worst", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "Worst sample (lower is better)" in run.stdout
    final = json.loads((tmp_path / "exp" / "mine" / "final_metrics.json").read_text())
    rows = read_rows(tmp_path / "exp" / "mine" / "all_metrics.csv")
    for number, source in enumerate(SOURCES):
        errors = []
        for i in range(3):
            mixture, targets = songs[i]
            error = (separate(mixture) - targets)[number].abs().max() / targets[number].abs().max()
            errors.append(20 * math.log10(error))
        assert final[f"worst_{source}"] == pytest.approx(np.median(errors), abs=1e-4), "its own aggregate"
        assert [float(row["worst"]) for row in rows if row["source"] == source] == pytest.approx(errors, abs=1e-4)
    told = json.loads((tmp_path / "exp" / "mine" / "evaluation.json").read_text())
    assert told["metric_definition"]["worst"] == "max |est - s| / max |s|"
    table = (tmp_path / "report" / "tables" / "scores_1.md").read_text()
    assert "Worst sample (lower is better)" in table and f"{final['worst_drums']:.2f}" in table
    del env["ASTEROID_BSRNN_PLUGINS"]
    run = subprocess.run([sys.executable, "-c", REPORT], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (tmp_path / "elsewhere" / "tables" / "scores_1.md").read_text() == table, run.stderr[-2000:]
