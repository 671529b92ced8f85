"""Two processes take the same optimizer steps as one process with the same effective batch."""

import csv
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ddp_run import MADE, main
from engine_toys import Draws, Toy, toy, train, train_talkers

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.training import fit as training  # noqa: F401  loaded here, so that forked children need not
from asteroid_bsrnn.training.state.checkpoints import Checkpoints, load

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def as_launched(number, port):
    """The environment that a launcher such as torchrun gives to one of two processes."""
    both = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
    own = {"RANK": number, "LOCAL_RANK": number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in {**both, **own}.items()})


def rank(folder, number, port):
    """One of two processes that a launcher such as torchrun started."""
    as_launched(number, port)
    main(folder, "auto", energy=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training in one process and in two."""
    folder, port, context = tmp_path_factory.mktemp("ddp"), free_port(), multiprocessing.get_context("fork")
    processes = [context.Process(target=main, args=(folder / "1", 1))]
    processes += [context.Process(target=rank, args=(folder / "2", number, port)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(900)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    return folder


def newest(folder):
    return load(Checkpoints(folder / "checkpoints").newest())


@pytest.mark.parametrize("part", ["first", "second"])
def test_two_processes_equal_one(runs, part):
    records = [json.loads((runs / name / part / "run.json").read_text()) for name in "12"]
    assert [(r["devices"], r["batch"], r["accumulation"]) for r in records] == [(1, 2, 4), (2, 2, 2)]
    states = [newest(runs / name / part) for name in "12"]
    assert [state["progress"]["global_step"] for state in states] == [3, 3]
    made = {"training": {"seed": MADE["training"]["seed"] + (part == "second")}}
    first = toy(made, dropout=0.0).double().state_dict()
    for name, value in states[0]["model"].items():
        assert value.dtype == torch.float64 and (value - first[name]).abs().max() > 1e-3, name
        assert torch.allclose(states[1]["model"][name], value, rtol=0, atol=1e-6), name


def test_losses_and_whole_song_scores_are_those_of_one_process(runs):
    rows = []
    for name in "12":
        with open(runs / name / "first" / "history.csv") as file:
            rows += list(csv.DictReader(file))
    assert len(rows) == 2
    for key in ("train_loss", "val_loss", "val_usdr"):  # 5 songs on 2 ranks: each counted once
        assert float(rows[0][key]) == pytest.approx(float(rows[1][key]), abs=1e-6)


def test_energy_is_counted_once_per_machine(runs):
    entries = json.loads((runs / "2" / "first" / "energy.json").read_text())["entries"]
    assert sorted(entry["phase"] for entry in entries) == ["training", "validation"]


def talkers(folder, number, port, bad):
    as_launched(number, port)
    torch.save(train_talkers(folder, bad, batch=2), folder / f"{number}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("bad", [{0, 1, 6}, set()], ids=["three", "none"])
def test_examples_that_count_are_those_of_all_processes(tmp_path, bad):
    expected, port, context = train_talkers(tmp_path / "one", bad), free_port(), multiprocessing.get_context("fork")
    processes = [context.Process(target=talkers, args=(tmp_path, number, port, bad)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(900)
    for number in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{number}.pt"), expected, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")])
def test_started_by_fit_itself_and_by_torchrun(runs, tmp_path, launcher):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "MASTER_"))}
    environment.update(OMP_NUM_THREADS="1", PYTHONPATH=str(HERE), CUDA_VISIBLE_DEVICES="", MASTER_PORT=free_port())
    command = [sys.executable, *launcher, str(HERE / "ddp_run.py"), str(tmp_path), "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("epoch 1: train_loss") == 2  # once per model, not once per rank
    for part in ("first", "second"):
        expected = newest(runs / "2" / part)["model"]
        assert all(torch.equal(newest(tmp_path / part)["model"][name], value) for name, value in expected.items())


class Unused(Toy):
    """One parameter never gets a gradient."""

    def __init__(self, dropout=0.2):
        super().__init__(dropout=dropout)
        self.idle = torch.nn.Parameter(torch.zeros(3))


class Lost(Draws):
    """The other process ends while this one waits for it."""

    def __getitem__(self, key):
        if os.environ["RANK"] == "1" and key[1] == 5:
            os._exit(1)
        return super().__getitem__(key)


class Asked(Draws):
    """Whole songs; the second process is asked to stop while it reads its last."""

    def __getitem__(self, key):
        if os.environ["RANK"] == "1" and key == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(key)


def train_one(folder, number, port, model_cls=Toy, train_cls=Draws, val_cls=Draws):
    """One of two processes; what became of it in a file."""
    as_launched(number, port)
    made = {**MADE, "training": {**MADE["training"], "devices": "auto"}, "energy": {"track": False}}
    model = toy(made) if model_cls is Toy else model_cls()
    try:
        train(folder / "run", made, train_cls(24), val_cls(5, time=500), model)
        outcome = "done"
    except (UserError, SystemExit) as error:
        outcome = f"{type(error).__name__} {error}"
    (folder / f"{number}.txt").write_text(outcome)
    os._exit(0)  # the other one may be gone


def both(folder, **classes):
    """What became of two processes; None of one that was lost."""
    port, context = free_port(), multiprocessing.get_context("fork")
    arguments = [(folder, number, port, *classes.values()) for number in range(2)]
    processes = [context.Process(target=train_one, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    files = [folder / f"{number}.txt" for number in range(2)]
    return [file.read_text() if file.exists() else None for file in files]


def test_parameters_without_a_gradient_are_noticed(tmp_path):
    assert both(tmp_path, model=Unused, data=Draws, songs=Draws) == ["done", "done"]


def test_a_lost_process_ends_the_run_with_one_sentence(tmp_path):
    first, second = both(tmp_path, model=Toy, data=Lost, songs=Draws)
    assert second is None and "process 0 of 2 lost another one of this run" in first
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_sigterm_in_validation_stops_all_processes_and_the_run_goes_on(tmp_path):
    assert both(tmp_path, model=Toy, data=Draws, songs=Asked) == ["Interrupted 143"] * 2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert both(tmp_path, model=Toy, data=Draws, songs=Draws) == ["done", "done"]
