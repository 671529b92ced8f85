"""A disk that is full at any moment of a run: one sentence, nothing lost, and a record that says "failed"."""
import json
import os
import resource
import signal

import pytest
from asteroid_bsrnn.energy import Ledger
from asteroid_bsrnn.engine import loop, state, training
from asteroid_bsrnn.engine.record import RunRecord
from asteroid_bsrnn.engine.resume import Checkpoints, damage
from asteroid_bsrnn.errors import UserError
from engine_toys import train
from test_resume import FORK, assert_undisturbed, configuration, reference  # noqa: F401  a fixture

MOMENTS = {  # when the disk is full: before which call of what
    "first checkpoint": (state.RunState, "save", 1),
    "start of the record": (RunRecord, "begin", 1),
    "checkpoint of a step": (state.RunState, "save", 3),
    "energy of an epoch": (loop.Loop, "measure", 3),
    "weights of an epoch": (state.RunState, "save_weights", 2),
    "checkpoint of an epoch": (loop.Loop, "enter_epoch", 2),
    "history": (state.RunState, "export", 2),
    "best model": (state, "replace_by_copy", 2),
    "end of the record": (training._Run, "_close", 1),
}


class Clock:
    """A meter that writes to the ledger as the real one does, without measuring."""

    def __init__(self, path):
        self.ledger, self.count = Ledger(path), 0

    def start(self, phase):
        self.count += 1
        hardware = "a machine with a long name" * 100  # larger than what the disk still takes
        self.ledger.add({"phase": phase, "run_id": f"{os.getpid()} {self.count}", "kwh": 0.1, "hours": 1.0, "epochs": 1,
                         "hardware": hardware})  # fmt: skip

    def tick(self, epochs=None):
        pass

    def stop(self, interrupted=False):
        self.start("training")


def fill_before(owner, name, count, folder):
    """Before the ``count``-th call, forbid this process to write files as long as the record or longer."""
    original, calls = getattr(owner, name), iter(range(1, 10**9))

    def wrapped(*args, **keywords):
        if next(calls) == count:
            record = folder / "run.json"
            size = os.path.getsize(record) - 1 if record.exists() else 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return original(*args, **keywords)

    setattr(owner, name, wrapped)


def child(folder, moment=None):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    training.make_meter = lambda path, *args, track=True: Clock(path)
    if moment:
        fill_before(*MOMENTS[moment], folder)
    try:
        train(folder, configuration())
    except UserError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        (folder / "error.txt").write_text(str(error))
        os._exit(2)
    os._exit(0)


def run(*arguments):
    process = FORK.Process(target=child, args=arguments)
    process.start(), process.join()
    return process.exitcode


@pytest.mark.parametrize("moment", MOMENTS)
def test_full_at_any_moment(tmp_path, reference, moment):  # noqa: F811
    assert run(tmp_path, moment) == 2
    message, record = (tmp_path / "error.txt").read_text(), tmp_path / "run.json"
    assert str(tmp_path) in message and "could not be written" in message
    assert "make room and run the same command again" in message
    assert not record.exists() or json.loads(record.read_text())["status"] == "failed"
    assert all(damage(path) is None for path in Checkpoints(tmp_path / "checkpoints").files())
    assert run(tmp_path) == 0
    assert json.loads(record.read_text())["status"] == "finished"
    assert_undisturbed(tmp_path, reference)
