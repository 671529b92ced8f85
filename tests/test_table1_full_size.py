"""The systems of Table I as users run them: two steps of each at full size, and each demonstration from data to scores."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

from asteroid_bsrnn.recipe.configuration import experiments, load_conf

pytestmark = pytest.mark.slow
RECIPE = ROOT / "recipes" / "musdb18hq"
SYSTEMS = "presunet convtdfnet hdemucs htdemucs tfc_tdf_v3 bs_roformer dttnet scnet scnet_large mel_roformer".split()
DIFFERENT = {"presunet": 2, "dttnet": 2, "convtdfnet": 2}  # networks that differ: the first so many are tried
LIMIT = 6 * 2**30  # bytes
TWO_STEPS = """
import json, resource, sys, torch
from asteroid_bsrnn.recipe.command_line import make_loss
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import conf_of, experiments, load_conf
from asteroid_bsrnn.training.optimization import make_optim
torch.set_num_threads(1)
recipe, variant, index = sys.argv[1], sys.argv[2], int(sys.argv[3])
conf = load_conf(recipe, variant)
name, sources = experiments(conf)[index]
own = conf_of(conf, name)
torch.manual_seed(0)
model, loss_func = build_model(conf, name), make_loss(own, len(sources))
model.activation_checkpointing = own["training"]["activation_checkpointing"]
optimizer, _ = make_optim(model.parameters(), own["training"]["effective_batch"], **own["optim"])
losses = []
for step in range(2):
    sources_BSCL = 0.1 * torch.randn(1, len(sources), 2, 44100)
    loss = loss_func(model.estimates(sources_BSCL.sum(1)), sources_BSCL)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    losses.append(float(loss))
finite = all(bool(parameter.isfinite().all()) for parameter in model.parameters())
print(json.dumps({"losses": losses, "finite": finite, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


@pytest.mark.parametrize(
    "variant, index", [(variant, index) for variant in SYSTEMS for index in range(DIFFERENT.get(variant, 1))]
)
def test_two_steps_of_one_second_at_full_size(variant, index):
    """In a process of its own, so that memory is given back; within 6 GiB."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TWO_STEPS, str(RECIPE), variant, str(index)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    print(variant, index, found)
    assert found["finite"] and all(0 < loss < float("inf") for loss in found["losses"]) and found["peak"] < LIMIT


@pytest.mark.parametrize("variant", SYSTEMS)
def test_each_demonstration_trains_and_is_scored(variant, tmp_path):
    recipe = tmp_path / "musdb18hq"
    shutil.copytree(RECIPE, recipe, ignore=shutil.ignore_patterns("data", "exp", "logs", "__pycache__"))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = ["./run.sh", "--python_path", sys.executable, "--variant", variant, "--demo", "true", "--stop_stage", "3"]
    command += ["--set", "data.n_items=40"]  # a quarter of the demonstration's steps
    done = subprocess.run(command, cwd=recipe, env=env, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    exp = recipe / "exp" / f"{variant}_demo_true"
    scores = json.loads((exp / "final_metrics.json").read_text())
    assert all(f"usdr_{source}" in scores for source in ("vocals", "bass", "drums", "other"))
    conf = load_conf(RECIPE, variant)
    for name, _ in experiments(conf):
        assert json.loads((exp / (name or "") / "run.json").read_text())["status"] == "finished"
