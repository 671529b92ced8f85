"""The music recipe as a user runs it: stages, resuming, what it refuses, what it leaves."""

import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import ROOT
from music_corpus import write_corpus

from asteroid_bsrnn.recipe.configuration import load_conf

RECIPE = ROOT / "recipes" / "musdb18hq"
TINY = "model.feature_dim=8 model.n_repeats=1 data.segment=1.0 data.sad_window=1.5 data.n_items=4 loader.num_workers=0 " \
    "training.effective_batch=2 training.batch=2 training.epochs=1 energy.track=false"  # fmt: skip


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe, so that the checkout stays as it is."""
    import shutil

    copy = tmp_path / "musdb18hq"
    shutil.copytree(RECIPE, copy, ignore=shutil.ignore_patterns("data", "exp", "logs", "__pycache__"))
    return copy


def run(recipe, *args, code=0):
    """``./run.sh`` with ``args``; its output."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = ["./run.sh", "--python_path", sys.executable, *map(str, args)]
    done = subprocess.run(command, cwd=recipe, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_all_stages_twice(recipe, tmp_path):
    corpus = write_corpus(tmp_path / "corpus", lengths=(80000, 90000, 100000), valid=("ValidA",), level=0.5)
    args = ["--musdb_root", corpus, "--set", TINY + " data.valid_tracks=[ValidA]", "--tag", "t"]
    run(recipe, "--stage", 0, *args)
    exp = recipe / "exp" / "t"
    expected = (
        "conf.yml best_k_models.json best_model.pth final_metrics.json examples all_metrics.csv run.json report".split()
    )
    assert all((exp / name).exists() for name in expected), sorted(path.name for path in exp.iterdir())
    before = {path: path.read_bytes() for path in exp.rglob("*.pth")}
    scores = (exp / "all_metrics.csv").read_bytes()
    run(recipe, "--stage", 0, *args)
    assert {path: path.read_bytes() for path in exp.rglob("*.pth")} == before
    assert (exp / "all_metrics.csv").read_bytes() == scores
    assert "another configuration" in run(recipe, "--stage", 2, *args, "--variant", "tac_prelu", code=2)
    again = run(recipe, "--stage", 2, "--stop_stage", 2, "--tag", "again", "--repeat", exp / "run.json")
    assert "Training vocals" in again
    for source in ("vocals", "other"):
        first, second = (torch.load(recipe / "exp" / tag / source / "best_model.pth") for tag in ("t", "again"))
        for key, value in first["state_dict"].items():
            assert torch.equal(value, second["state_dict"][key]), key
    assert json.loads((recipe / "exp" / "again" / "run.json").read_text())["variant"] == "base"


@pytest.mark.slow
def test_two_processes_on_a_machine_without_gpu(recipe, tmp_path):
    """As docs/cluster.md says; every model of an experiment, its records written once, and the record can be repeated."""
    corpus = write_corpus(tmp_path / "corpus", lengths=(80000, 90000, 100000), valid=("ValidA",), level=0.5)
    values = TINY + " data.valid_tracks=[ValidA] data.sad=null training.accelerator=cpu training.devices=2"
    args = ["--stage", 2, "--stop_stage", 2, "--musdb_root", corpus]
    text = run(recipe, *args, "--tag", "two", "--source", "vocals,bass", "--set", values)
    assert text.count("Training vocals") == text.count("Training bass") == 1 and "x 2 device(s)" in text
    record = json.loads((recipe / "exp" / "two" / "run.json").read_text())
    assert record["status"] == "finished" and set(record["models"]) == {"vocals", "bass"}
    text = run(recipe, *args, "--tag", "again", "--repeat", recipe / "exp" / "two" / "bass" / "run.json")
    assert "Training bass" in text and "Training vocals" not in text and "x 2 device(s)" in text
    first, second = (
        torch.load(recipe / "exp" / tag / "bass" / "best_model.pth")["state_dict"] for tag in ("two", "again")
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    "args, message",
    [
        (
            ["--demo", "synth", "--variant", "basee"],
            "unknown variant 'basee' of the recipe musdb18hq: did you mean 'base'?",
        ),
        (["--stage", "5"], "stages are 0 to 4"),
        (["--stop_stag", "2"], "unknown option --stop_stag"),
        (["--demo", "yes"], "option --demo is true"),
        (["--tag"], "needs a value"),
        (["--stage=1"], "write '--stage 1'"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_what_cannot_be_meant(recipe, args, message):
    assert message in run(recipe, *args, code=2)
    assert not (recipe / "exp").exists() and not (recipe / "data").exists()


@pytest.mark.slow
def test_missing_corpus_missing_training_unknown_source(recipe):
    text = run(recipe, "--stage", 0, code=2)
    assert "22.7 GB" in text and "--download true" in text
    assert "run stage 2 first" in run(recipe, "--stage", 3, code=2)
    assert "'vocal'" in run(recipe, "--stage", 2, "--source", "vocal", code=2)
    assert not (recipe / "exp" / "base" / "conf.yml").exists()


def test_help_names_every_option(recipe):
    text = run(recipe, "--help")
    for option in "stage stop_stage variant source tag demo musdb_root download protocol seed id python_path".split():
        assert f"--{option} " in text


def test_scripts_are_wiring_only():
    for name in ("train.py", "eval.py"):
        assert len((RECIPE / name).read_text().splitlines()) < 100
    assert load_conf(RECIPE)["task"]["sources"] == ["vocals", "bass", "drums", "other"]
