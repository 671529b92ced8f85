"""A run that is killed at any moment ends with bitwise the weights of one that was never disturbed."""

import csv
import json
import multiprocessing
import os
import random
import resource
import signal
import time

import pytest
import torch
from engine_toys import conf, train
from helpers import ROOT

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.files import atomic_path
from asteroid_bsrnn.experiment.run import compare
from asteroid_bsrnn.training import fit as training
from asteroid_bsrnn.training.loop import Loop
from asteroid_bsrnn.training.state import state as engine_state
from asteroid_bsrnn.training.state.checkpoints import Checkpoints, damage, load

FORK = multiprocessing.get_context("fork")
HARD = dict(ema=0.9, patience=4, epochs=6)  # every kind of state: averages, plateau, accumulation, workers


def configuration(**training_keys):
    made = conf(**{**HARD, **training_keys})
    made["optim"].update(scheduler="plateau", plateau_patience=1)
    return made


def die(folder, kind):
    """Leave a note that the moment was reached, then die as a killed process does."""
    with open(folder / "kills.log", "a") as log:
        log.write(kind + "\n")
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(folder, kind, count):
    """Arrange that this process dies at the ``count``-th time that it comes to the moment ``kind``."""
    seen = iter(range(1, 10**9))

    def due():
        return next(seen) == count

    def before(owner, name):
        original = getattr(owner, name)

        def wrapped(*args, **keywords):
            if due():
                die(folder, kind)
            return original(*args, **keywords)

        setattr(owner, name, wrapped)

    if kind == "inside an epoch":  # gradients are there, the step is not taken
        before(torch.nn.utils, "clip_grad_norm_")
    elif kind == "between a step and its checkpoint":
        before(engine_state.RunState, "save")
    elif kind == "inside the write of a checkpoint":
        original = torch.save

        def half(value, file, **keywords):
            original(value, file, **keywords)
            if "resume_" in str(file.name) and due():
                file.truncate(file.tell() // 2)
                die(folder, kind)

        torch.save = half
    elif kind == "between a checkpoint and the exports":
        before(engine_state.RunState, "export")
    elif kind == "inside validation":
        before(training.MusicSystem, "score")


def child(folder, made, kind=None, count=0, disk=None):
    if kind:
        kill_at(folder, kind, count)
    if disk:  # files cannot grow beyond this any more
        original = Loop.after_step

        def after_step(self, *args):
            if self.progress.global_step == disk:
                resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
            original(self, *args)

        Loop.after_step = after_step
    try:
        train(folder, made)
    except UserError as error:
        (folder / "error.txt").write_text(str(error))
        os._exit(2)
    os._exit(0)


def run(folder, made, kill_after=None, **keywords):
    """Train in a process of its own; returns its exit code (-9: killed)."""
    process = FORK.Process(target=child, args=(folder, made), kwargs=keywords)
    process.start()
    if kill_after is not None:
        process.join(kill_after)
        if process.is_alive():
            process.kill()
    process.join()
    return process.exitcode


def outcome(folder):
    """All that must not depend on kills: final state, exports, history without clocks."""
    newest = Checkpoints(folder / "checkpoints").newest()
    state = load(newest)
    with open(folder / "history.csv") as file:
        rows = [{key: value for key, value in row.items() if "seconds" not in key} for row in csv.DictReader(file)]
    progress = {key: value for key, value in state["progress"].items() if key != "history"}
    exported = torch.load(folder / "best_model.pth", weights_only=True)["state_dict"]
    best = json.loads((folder / "best_k_models.json").read_text())
    kept = sorted(path.name for path in (folder / "checkpoints").glob("*.pth"))
    return {**{key: state[key] for key in ("model", "ema", "optimizer", "scheduler")}, "exported": exported}, {
        "history": rows,
        "best": best,
        "kept": kept,
        "progress": progress,
    }


def assert_same(first, second):
    """Equal bit by bit, however deeply nested."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for left, right in zip(first, second):
            assert_same(left, right)
    else:
        assert first == second


def assert_undisturbed(folder, reference):
    tensors, plain = outcome(folder)
    expected_tensors, expected_plain = outcome(reference)
    plain["progress"].pop("train_seconds"), expected_plain["progress"].pop("train_seconds")
    assert plain == expected_plain
    assert_same(tensors, expected_tensors)
    assert not list(folder.rglob(".*partial*"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(folder, configuration()) == 0
    return folder


def test_killed_at_every_kind_of_moment(tmp_path, reference):
    kills = [
        ("between a step and its checkpoint", 1),  # before there is any checkpoint
        ("inside an epoch", 5),
        ("inside the write of a checkpoint", 2),
        ("between a step and its checkpoint", 3),
        ("inside validation", 2),
        ("between a checkpoint and the exports", 3),
        ("inside the write of a checkpoint", 7),
    ]
    for kind, count in kills:
        assert run(tmp_path, configuration(), kind=kind, count=count) == -signal.SIGKILL
        assert all(damage(path) is None for path in Checkpoints(tmp_path / "checkpoints").files())
    assert (tmp_path / "kills.log").read_text().splitlines() == [kind for kind, _ in kills]
    assert run(tmp_path, configuration()) == 0
    assert_undisturbed(tmp_path, reference)
    resumed = json.loads((tmp_path / "run.json").read_text())["resumed"]
    assert len(resumed) == len(kills) - 1  # the first left no checkpoint, so the second began anew


def test_worker_processes_change_nothing(tmp_path, reference):
    made = configuration()
    made["loader"]["num_workers"] = 2
    assert run(tmp_path, made, kind="inside an epoch", count=9) == -signal.SIGKILL
    assert run(tmp_path, made) == 0
    assert_undisturbed(tmp_path, reference)


@pytest.mark.slow
def test_killed_twenty_times_at_random(tmp_path):
    made = configuration(epochs=80, patience=100)  # 480 steps: no run ends before its kill, however fast
    reference, folder, draw = tmp_path / "reference", tmp_path / "killed", random.Random(4)
    reference.mkdir(), folder.mkdir()
    start = time.monotonic()
    assert run(reference, made) == 0
    whole = time.monotonic() - start
    kinds = ["inside an epoch", "between a step and its checkpoint", "inside the write of a checkpoint"]
    done = {}
    for number in range(20):
        if number % 2:  # anywhere, by the clock, but after 20 steps at most
            code = run(folder, made, kill_after=draw.uniform(0.02, 0.05 * whole), kind=kinds[0], count=20)
            kind = "anywhere"
        else:
            kind = kinds[number // 2 % 3]
            code = run(folder, made, kind=kind, count=draw.randint(2, 9))
        assert code == -signal.SIGKILL, f"run {number} ended by itself with {code}"
        done[kind] = done.get(kind, 0) + 1
        files = Checkpoints(folder / "checkpoints").files()
        place = load(files[0])["progress"] if files else {"epoch": 0, "step": 0}
        print(f"kill {number + 1:2d} {kind}: newest checkpoint at epoch {place['epoch'] + 1}, step {place['step']}")
        assert all(damage(path) is None for path in files)
    assert sum(done.values()) == 20 and set(done) == {*kinds, "anywhere"}
    assert run(folder, made) == 0
    assert_undisturbed(folder, reference)
    print(f"{done}: final state equal bit by bit to the undisturbed run")


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path):
    left = [
        ".conf.0a1b2c3d.partial.yml",
        "checkpoints/.resume_1.0a1b2c3d.partial.ckpt",
        "../.energy.0a1b2c3d.partial.json",
    ]
    folder = tmp_path / "vocals"
    (folder / "checkpoints").mkdir(parents=True)
    for name in [*left, ".notes.partial.txt"]:
        (folder / name).touch()
    with atomic_path(tmp_path / "run.json") as living:  # another model of the experiment is writing
        living.touch()
        train(folder, conf(epochs=1), ledger=tmp_path / "energy.json")
        found = sorted(path.name for path in tmp_path.rglob(".*partial*"))
        assert found == sorted([living.name, ".notes.partial.txt"])  # that one, and somebody else's
    assert (tmp_path / "run.json").exists()


def test_full_disk(tmp_path, reference):
    assert run(tmp_path, configuration(), disk=8) == 2
    message = (tmp_path / "error.txt").read_text()
    assert "could not be written" in message and "make room and run the same command again" in message
    assert all(damage(path) is None for path in Checkpoints(tmp_path / "checkpoints").files())
    assert run(tmp_path, configuration()) == 0
    assert_undisturbed(tmp_path, reference)


def corrupt(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "changed":
        data[len(data) // 2] ^= 1
    else:
        data = bytearray()
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "changed", "empty"])
def test_broken_checkpoint_falls_back_to_the_one_before(tmp_path, reference, how):
    assert run(tmp_path, configuration(), kind="inside an epoch", count=12) == -signal.SIGKILL
    newest, before = Checkpoints(tmp_path / "checkpoints").files()
    corrupt(newest, how)
    assert damage(newest) is not None and damage(before) is None
    said = []
    assert Checkpoints(tmp_path / "checkpoints").newest(said.append) == before
    assert str(newest) in said[0] and "continuing from the one before" in said[0]
    assert run(tmp_path, configuration()) == 0
    assert_undisturbed(tmp_path, reference)


def test_nothing_readable_is_refused_not_restarted(tmp_path):
    assert run(tmp_path, configuration(), kind="inside an epoch", count=12) == -signal.SIGKILL
    for path in Checkpoints(tmp_path / "checkpoints").files():
        corrupt(path, "truncated")
    with pytest.raises(UserError, match="none of the checkpoints in .* can be read"):
        train(tmp_path, configuration())


def test_stop_signal_to_all_processes_saves_and_continues(tmp_path, reference):
    def stopped(folder, made):
        os.setsid()
        original = Loop.after_step

        def after_step(self, *args):
            if self.progress.global_step == 9:
                os.killpg(0, signal.SIGTERM)
            original(self, *args)

        Loop.after_step = after_step
        try:
            train(folder, made)
        except SystemExit as error:
            os._exit(error.code)

    made = configuration(checkpoint_every=100)
    made["loader"]["num_workers"] = 2
    process = FORK.Process(target=stopped, args=(tmp_path, made))
    process.start(), process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"
    saved = load(Checkpoints(tmp_path / "checkpoints").newest())["progress"]
    assert saved["global_step"] == 10  # the step after the signal, though no checkpoint was due
    assert run(tmp_path, configuration()) == 0
    assert_undisturbed(tmp_path, reference)


# -- what may change


def test_patience_epochs_and_rate_change_only_by_option(tmp_path):
    train(tmp_path, conf(epochs=2))
    longer = conf(epochs=4, patience=20)
    longer["optim"]["lr"] = 5.0e-3
    with pytest.raises(UserError, match=r"other values of optim.lr \(0.01 there, 0.005 now\), training.epochs \(2"):
        train(tmp_path, longer)
    summary, _ = train(tmp_path, longer, allow_changes=True)
    assert summary["epochs"] == 4
    (entry,) = json.loads((tmp_path / "run.json").read_text())["resumed"]
    assert entry["epoch"] == 2 and entry["changes"] == {
        "optim.lr": [0.01, 0.005],
        "training.epochs": [2, 4],
        "training.patience": [10, 20],
    }
    with open(tmp_path / "history.csv") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([0.01, 0.01, 0.0098 / 2, 0.0098 / 2])
    assert train(tmp_path, longer)[0]["epochs"] == 4  # the new values are now those of the folder


def test_changed_rate_holds_when_killed_before_the_next_checkpoint(tmp_path):
    train(tmp_path / "a", conf(epochs=1))
    changed = conf(epochs=2)
    changed["optim"]["lr"] = 5.0e-3

    def killed(folder):
        kill_at(folder, "between a step and its checkpoint", 1)
        train(folder, changed, allow_changes=True)

    process = FORK.Process(target=killed, args=(tmp_path / "a",))
    process.start(), process.join()
    assert process.exitcode == -signal.SIGKILL
    train(tmp_path / "a", changed)
    train(tmp_path / "b", conf(epochs=1))
    train(tmp_path / "b", changed, allow_changes=True)
    assert_undisturbed(tmp_path / "a", tmp_path / "b")


def test_any_other_difference_is_refused_by_name(tmp_path):
    train(tmp_path, conf(epochs=1))
    before = (tmp_path / "conf.yml").read_text()
    other = conf(epochs=1, clip=1.0)
    other["inference"]["segment"] = 0.2
    with pytest.raises(UserError, match="another configuration: inference.segment .*training.clip .*another tag"):
        train(tmp_path, other, allow_changes=True)
    assert (tmp_path / "conf.yml").read_text() == before


def test_what_may_change_is_named_with_its_option(tmp_path):
    train(tmp_path, conf(epochs=1))
    with pytest.raises(UserError, match=r'give --resume_with "training.epochs=2"'):
        train(tmp_path, conf(epochs=2))
    with pytest.raises(
        UserError, match="only training.patience, training.epochs, optim.lr may change, by --resume_with"
    ):
        train(tmp_path, conf(epochs=1, clip=1.0))
    assert json.loads((tmp_path / "run.json").read_text())["commit"] or not (ROOT / ".git").exists()


def test_keys_added_since_a_run_began_do_not_stop_it(tmp_path):
    first = {**conf(epochs=2), "loss": {"name": "TimeTFLoss"}}
    train(tmp_path, first)
    later = conf(epochs=2, max_bad_steps=10, ema=None)
    later["optim"].update(momentum=0.0, betas=[0.9, 0.999])
    later["inference"].update(hop=None, window="rect")
    later["loss"] = {"name": "TimeTFLoss", "domain": "t+tf"}
    assert train(tmp_path, later)[0]["epochs"] == 2
    for section, key, value in (("training", "ema", 0.9), ("inference", "window", "hann")):
        other = {**later, section: {**later[section], key: value}}
        with pytest.raises(UserError, match=f"another configuration: {section}.{key}"):
            train(tmp_path, other)


def test_where_and_how_fast_may_differ():
    first, second = conf(batch=2), conf(batch=1, devices=1, checkpoint_every=7)
    second["loader"]["num_workers"] = 3
    first["data"], second["data"] = {"root": "/here"}, {"root": "/there"}
    assert set(compare(first, second)) >= {"training.batch", "loader.num_workers", "data.root"}
    assert compare({"a": {"b": (1, 2)}}, {"a": {"b": [1, 2]}}) == {}
