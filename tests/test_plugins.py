"""A user's network, corpus and loss of a few lines train, resume, separate, convert and are reported with no change here."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT

HERE = Path(__file__).parent / "plugins"
VARIANT = """# mine: a network, a corpus and a loss from a plug-in
plugins: [mine]
model: {model_name: TinyFilters, kernel: 5}
loss: {name: weighted_loss, weight: 2.0}
data: {corpus: tiny_songs, sad_window: 1.0, segment: 0.5}
"""


def environment(**more):
    path = os.pathsep.join([str(HERE), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "ASTEROID_BSRNN_PLUGINS": "mine", "OMP_NUM_THREADS": "1", **more}


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=600, **options
    )


def command(*words, check=True):
    run = subprocess.run(
        [sys.executable, "-m", "asteroid_bsrnn", *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert not check or run.returncode == 0, run.stderr
    return run


def test_a_plugin_is_short_and_registers_with_asteroid():
    assert len((HERE / "mine.py").read_text().splitlines()) <= 60
    code = (
        "import asteroid_bsrnn, asteroid.models, torch\n"
        "model = asteroid.models.get('TinyFilters')(sources=('a', 'b'))\n"
        "print(tuple(model(torch.randn(1, 2, 100)).shape), tuple(model(torch.randn(100)).shape))"
    )
    assert python(code).stdout.split("\n")[0] == "(1, 2, 2, 100) (2, 100)"


def test_a_plugin_that_is_not_there_is_named():
    run = subprocess.run([sys.executable, "-c", "import asteroid_bsrnn"], env=environment(ASTEROID_BSRNN_PLUGINS="nobody"),
                         capture_output=True, text=True)  # fmt: skip
    assert "ASTEROID_BSRNN_PLUGINS names the plug-in 'nobody', which is no module on Python's path" in run.stderr


def test_a_fault_inside_a_plugin_keeps_its_traceback(tmp_path):
    (tmp_path / "broken.py").write_text("import a_module_that_is_missing\n")
    env = environment(ASTEROID_BSRNN_PLUGINS="broken", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    run = subprocess.run([sys.executable, "-c", "import asteroid_bsrnn"], env=env, capture_output=True, text=True)
    assert "ModuleNotFoundError" in run.stderr and "broken.py" in run.stderr


def test_a_foreign_checkpoint_becomes_the_plugins_model(tmp_path):
    their = {"their.weight": torch.randn(2, 2, 7), "their.bias": torch.randn(2)}
    torch.save({"state_dict": their}, tmp_path / "theirs.ckpt")
    command("convert", tmp_path / "theirs.ckpt", tmp_path / "ours.safetensors")
    code = (
        "import sys, torch, asteroid_bsrnn\n"
        "from asteroid_bsrnn.convert import from_foreign\n"
        "from asteroid_bsrnn.weights import load_model\n"
        f"their = torch.load({str(tmp_path / 'theirs.ckpt')!r})['state_dict']\n"
        f"one, two, three = load_model({str(tmp_path / 'ours.safetensors')!r}), load_model({str(tmp_path / 'theirs.ckpt')!r}), "
        "from_foreign('tiny', their, {})\n"
        "wav = torch.randn(1, 2, 500)\n"
        "print(torch.equal(one(wav), two(wav)), torch.equal(one(wav), three(wav)), one.get_model_args()['kernel'])"
    )
    run = python(code)
    assert run.stdout.split() == ["True", "True", "7"], run.stderr


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe's folder, copied, with results of its own; the plug-in's corpus is made and listed (stages 0 and 1)."""
    folder = tmp_path_factory.mktemp("recipe") / "musdb18hq"
    shutil.copytree(ROOT / "recipes" / "musdb18hq", folder, ignore=shutil.ignore_patterns("exp", "data", "logs"))
    (folder.parent / "mine.yml").write_text(VARIANT)
    assert len(VARIANT.splitlines()) < 10
    run = run_recipe(folder, "--stage", "0", "--stop_stage", "1", *DEMO)
    assert run.returncode == 0, run.stderr[-2000:]
    return folder


def run_recipe(folder, *options, **env):
    command = [
        "bash",
        "run.sh",
        "--python_path",
        sys.executable,
        "--variant",
        str(folder.parent / "mine.yml"),
        *options,
    ]
    return subprocess.run(command, cwd=folder, env=environment(**env), capture_output=True, text=True, timeout=1200)


DEMO = ("--demo", "true", "--set", "data.n_items=8 data.root=data/tiny data.lists=data/lists training.epochs=1")


@pytest.mark.slow
@pytest.mark.parametrize("simo", [False, True], ids=["one model per source", "jointly"])
def test_the_whole_path(recipe, simo, tmp_path):
    tag = "joint" if simo else "single"
    options = [*DEMO[:-1], DEMO[-1] + f" task.simo={str(simo).lower()}", "--tag", tag]
    for _ in range(1 + simo):  # what is finished is left as it is
        run = run_recipe(recipe, "--stage", "2", *options)
        assert run.returncode == 0, run.stderr[-2000:]
    exp = recipe / "exp" / tag
    scores = json.loads((exp / "final_metrics.json").read_text())
    assert {f"usdr_{name}" for name in ("vocals", "bass", "drums", "other")} <= set(scores)
    with open(exp / "all_metrics.csv", newline="") as file:
        assert {row["source"] for row in csv.DictReader(file)} == {"vocals", "bass", "drums", "other"}
    report = "".join(path.read_text() for path in (exp / "report").glob("*.md"))
    assert "mine" in report
    song = next((recipe / "data" / "tiny" / "test").iterdir()) / "mixture.wav"
    command("separate", song, "-o", tmp_path / "out", "--model", exp / "best_model.pth", "--device", "cpu")
    assert sorted(path.stem for path in tmp_path.glob("out/*/*.wav")) == ["bass", "drums", "other", "vocals"]
    command("publish", exp, "-o", tmp_path / "card", check=True)
    assert (tmp_path / "card" / "model.safetensors").exists()


@pytest.mark.slow
def test_asteroids_own_network_is_a_music_model_too(recipe, tmp_path):
    (recipe.parent / "mine.yml").write_text(
        "model: {model_name: ConvTasNet, n_filters: 16, bn_chan: 8, hid_chan: 8, skip_chan: 8, n_blocks: 2, n_repeats: 1, "
        "sample_rate: 44100}\ndata: {corpus: tiny_songs, sad_window: 1.0, segment: 0.5}\n"
    )
    run = run_recipe(recipe, "--stage", "2", *DEMO, "--tag", "conv")
    (recipe.parent / "mine.yml").write_text(VARIANT)
    assert run.returncode == 0, run.stderr[-2000:]
    code = f"from asteroid_bsrnn.weights import load_model; m = load_model({str(recipe / 'exp' / 'conv' / 'best_model.pth')!r}); print(m.sources)"
    assert "'vocals', 'bass', 'drums', 'other'" in python(code).stdout
