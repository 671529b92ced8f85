"""Sweeps: which commands are run, what the table says; the sbatch script; repeating a run from its record."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from engine_toys import conf, train

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.cluster import stop_group
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.recipe.command_line import chosen_experiments, recipe_conf, recipe_parser
from asteroid_bsrnn.recipe.configuration import load_conf
from asteroid_bsrnn.recipe.launch import RecipeJob, make_jobs, results, state_of, submit, table
from asteroid_bsrnn.recipe.repeat import repeat
from asteroid_bsrnn.training.state.checkpoints import exclusive

ROOT = Path(__file__).resolve().parents[1]
RUN_SH = """#!/usr/bin/env bash
set -e
words="$*"
while [ $# -gt 0 ]; do name=${1#--}; eval "$name=\\$2"; shift 2; done
folder=exp/$tag/$source
mkdir -p $folder
echo "$words" > $folder/words
[ "$variant" != broken ] || { echo '{"status": "failed"}' > $folder/run.json; exit 1; }
echo '{"status": "finished", "epochs": 7, "best": 3.25}' > $folder/run.json
echo '{"usdr": 5.5}' > $folder/final_metrics.json
echo '{"entries": [{"phase": "training", "source": null, "kwh": 0.5, "hours": 1}]}' > $folder/energy.json
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "local" / "variants").mkdir(parents=True)
    for name in ("base", "large", "broken"):
        (tmp_path / "local" / "variants" / f"{name}.yml").write_text("{}\n")
    (tmp_path / "run.sh").write_text(RUN_SH)
    return tmp_path


def test_one_job_per_variant_seed_and_source(recipe):
    jobs = make_jobs(recipe, ["base", "large"], ["vocals", "bass"], [1, 2], (2, 3), ["--demo", "true"])
    assert len(jobs) == 8 and len({job.exp_dir for job in jobs}) == 8
    assert jobs[0].tag == "base_seed1" and jobs[0].exp_dir == recipe / "exp" / "base_seed1" / "vocals"
    words = "bash run.sh --stage 2 --stop_stage 3 --variant base --tag base_seed1 --source vocals --seed 1 --demo true"
    assert [word for word in jobs[0].command() if word not in ("--python_path", sys.executable)] == words.split()
    (plain,) = make_jobs(recipe, ["base"])
    assert plain.tag == "base" and not {"--source", "--seed"} & set(plain.command())
    with pytest.raises(UserError, match="unknown variant 'bass' of the recipe .*known are base, broken, large"):
        make_jobs(recipe, ["bass"])
    with pytest.raises(UserError, match="is no recipe: it has no run.sh"):
        make_jobs(recipe / "local", ["base"])


@pytest.mark.slow
def test_sweep_on_this_machine(recipe, capsys):
    arguments = ["sweep", str(recipe), "--variants", "base,broken", "--seeds", "1", "--jobs", "2"]
    assert main(arguments) == 1  # one failed
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0].split() == ["variant", "source", "seed", "state", "epochs", "best", "kwh", "usdr"]
    assert lines[1].split() == ["base", "all", "1", "finished", "7", "3.25", "0.5", "5.5"]
    assert lines[2].split() == ["broken", "all", "1", "failed", "-", "-", "-", "-"]

    (good,) = make_jobs(recipe, ["base"], seeds=[1])
    words = good.exp_dir / "words"
    assert "--variant base --tag base_seed1 --seed 1" in words.read_text()
    words.write_text("untouched")
    submit([good], recipe / "logs", report=lambda text: None)  # finished: not run again
    assert words.read_text() == "untouched"


def test_status_starts_nothing(recipe, capsys):
    assert main(["sweep", str(recipe), "--variants", "base,broken", "--seeds", "1", "--status"]) == 0
    assert capsys.readouterr().out.count("waiting") == 2 and not (recipe / "exp").exists()


def test_bad_arguments_exit_with_2(recipe, capsys):
    for extra, sentence in (
        (["--seeds", "one"], "--seeds must be whole numbers"),
        (["--jobs", "0"], "--jobs must be 1 or more"),
        (["--slurm", "--slurm_set", "gpu"], "--slurm_set takes KEY=VALUE"),
    ):
        assert main(["sweep", str(recipe), "--variants", "base", *extra]) == 2
        assert sentence in capsys.readouterr().err


def test_states(tmp_path):
    assert state_of(tmp_path) == "waiting"
    (tmp_path / "run.json").write_text('{"status": "running"}')
    assert state_of(tmp_path) == "interrupted"  # nobody holds it
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()

    def hold():
        with exclusive(tmp_path / "checkpoints"):
            held.set(), done.wait(600)

    process = context.Process(target=hold)
    process.start()
    assert held.wait(600)
    assert state_of(tmp_path) == "running"
    process.kill(), process.join()
    assert state_of(tmp_path) == "interrupted"
    with exclusive(tmp_path / "checkpoints"):
        (tmp_path / "run.json").write_text('{"status": "failed"}')
        assert state_of(tmp_path) == "failed"


def test_table_of_several_models(recipe):
    job = RecipeJob(str(recipe), "base")
    job.exp_dir.mkdir(parents=True)
    models = {"vocals": {"best": 8.0, "epochs": 20}, "bass": {"best": 6.0, "epochs": 10}}
    (job.exp_dir / "run.json").write_text(json.dumps({"status": "finished", "models": models}))
    (row,) = results([job])
    assert row["best"] == 7.0 and row["epochs"] == 30 and row["kwh"] is None
    assert table([row]).splitlines()[1].split() == ["base", "all", "-", "finished", "30", "7", "-"]


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, f"{path} did not appear"
        time.sleep(0.05)


SLOW_RUN_SH = """#!/usr/bin/env bash
echo "$*" > words
python3 -c "
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(0.5); pathlib.Path('saved').touch(); sys.exit(143)
signal.signal(signal.SIGTERM, stop)
pathlib.Path('started').touch()
while True: signal.pause()"
"""


def test_time_limit_lets_the_training_save(tmp_path):
    (tmp_path / "run.sh").write_text(SLOW_RUN_SH)
    process = subprocess.Popen(["bash", "run.sh"], cwd=tmp_path, start_new_session=True)
    wait_for(tmp_path / "started", process)
    stop_group(process, grace=3600.0)
    assert process.returncode is not None and (tmp_path / "saved").exists()


def test_sbatch_script_saves_and_queues_itself_again(tmp_path):
    (tmp_path / "run.sh").write_text(SLOW_RUN_SH)
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/usr/bin/env bash\n[ -e "{tmp_path}/saved" ] && echo "$*" > "{tmp_path}/queued"\n')
    scontrol.chmod(0o755)
    environment = {**os.environ, "PATH": f"{scontrol.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    command = ["bash", str(ROOT / "docs" / "train.sbatch"), str(tmp_path), "--variant", "base"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_for(tmp_path / "started", process)
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 0
    assert (tmp_path / "queued").read_text() == "requeue 77\n"
    assert (tmp_path / "words").read_text() == "--stage 2 --stop_stage 2 --variant base\n"


# -- repeating a run


def test_repeat_gives_the_same_weights(tmp_path):
    made = conf(effective_batch=8, ema=0.9)
    _, first = train(tmp_path / "first", made, run_info={"variant": "base", "source": "vocals"})
    made, info, notes = repeat(tmp_path / "first")
    assert info == {"variant": "base", "source": "vocals", "protocol": None, "corpus": None}
    assert made["training"]["batch"] == 2 and made["training"]["devices"] == 1
    assert not [note for note in notes if not note.startswith("files of the package")]
    _, second = train(tmp_path / "second", made)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_repeat_says_what_differs(tmp_path):
    train(tmp_path, conf(epochs=1))
    record = json.loads((tmp_path / "run.json").read_text())
    record["versions"]["torch"], record["threads"] = "1.0", 99
    record["resumed"] = [{"changes": {"optim.lr": [1, 2]}}]
    (tmp_path / "run.json").write_text(json.dumps(record))
    notes = repeat(tmp_path / "run.json")[2]
    assert f"torch was 1.0 then, is {torch.__version__} here" in notes
    assert "PyTorch had 99 threads then, has 1 here (OMP_NUM_THREADS)" in notes
    assert any("settings were changed" in note for note in notes)
    with pytest.raises(UserError, match="expected the run.json of an earlier run"):
        repeat(tmp_path / "nothing.json")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UserError, match="is not the record of a run"):
        repeat(tmp_path)


@pytest.mark.parametrize(
    "recipe, variant", [("musdb18hq", "simo"), ("musdb18hq", "large"), ("libri2mix", "dprnn"), ("wsj0-2mix", "dpcl")]
)
def test_every_record_of_a_recipe_can_be_repeated(recipe, variant, tmp_path):
    """What ``fit`` writes of one model, whatever the recipe: batch, devices and precision as they were used."""
    made = load_conf(ROOT / "recipes" / recipe, variant)
    source = "bass" if variant == "large" else None
    used = {
        "batch": 1,
        "devices": 2,
        "precision": "bf16",
        "seed": 42,
        "variant": variant,
        "protocol": "published",
        "source": source,
    }
    del made["training"]["ema"]  # a key that came later
    (tmp_path / "run.json").write_text(json.dumps({**used, "conf": made}))
    options = [
        "--exp_dir",
        str(tmp_path / "again"),
        "--repeat",
        str(tmp_path / "run.json"),
        "--set",
        "loader.num_workers=1",
    ]
    conf, info = recipe_conf(recipe_parser("").parse_args(options), ROOT / "recipes" / recipe)
    assert {key: conf["training"][key] for key in ("batch", "devices", "precision")} == {
        "batch": 1,
        "devices": 2,
        "precision": "bf16",
    }
    assert conf["training"]["ema"] is None and conf["loader"]["num_workers"] == 1
    assert info["variant"] == variant and info["source"] == source
    if source:
        assert chosen_experiments(conf, info["source"]) == [("bass", ("bass",))]
