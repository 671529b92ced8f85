"""A disk that is full at any moment of a run: one sentence, nothing lost, and a record that says "failed"."""

import errno
import os
import re
import resource
import signal
import sys

import pytest
from engine_toys import train
from test_resume import FORK, assert_undisturbed, configuration, reference  # noqa: F401  a fixture

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.files import read_json
from asteroid_bsrnn.energy import Ledger
from asteroid_bsrnn.experiment import run as record
from asteroid_bsrnn.experiment.energy_entry import EnergyEntry
from asteroid_bsrnn.experiment.run import RunRecord
from asteroid_bsrnn.recipe.command_line import ExperimentRecord
from asteroid_bsrnn.training import fit as training
from asteroid_bsrnn.training import loop
from asteroid_bsrnn.training.state import state
from asteroid_bsrnn.training.state.checkpoints import Checkpoints, damage

MOMENTS = {  # when the disk is full: before which call of what; the file that is named
    "first checkpoint": (state.RunState, "save", 1, "checkpoints/resume_00000000.ckpt"),
    "start of the record": (RunRecord, "begin", 1, "conf.yml"),
    "checkpoint of a step": (state.RunState, "save", 3, "checkpoints/resume_00000002.ckpt"),
    "energy of an epoch": (loop.Loop, "measure", 3, "energy.json"),
    "weights of an epoch": (state.RunState, "save_weights", 2, "checkpoints/epoch=2-step=12.pth"),
    "checkpoint of an epoch": (loop.Loop, "enter_epoch", 2, "checkpoints/resume_00000008.ckpt"),
    "history": (state.RunState, "export", 2, "history.csv|best_model.pth"),
    "best model": (state, "replace_by_copy", 2, "best_model.pth"),
    "end of the record": (training, "_close", 1, "run.json"),
}


class Clock:
    """A meter that writes to the ledger as the real one does, without measuring."""

    def __init__(self, path):
        self.ledger, self.count = Ledger(path), 0

    def start(self, phase):
        self.count += 1
        hardware = "a machine with a long name" * 100  # larger than what the disk still takes
        self.ledger.add(
            EnergyEntry(phase=phase, run_id=f"{os.getpid()} {self.count}", kwh=0.1, hours=1.0, method=hardware)
        )

    def tick(self, epochs=None):
        pass

    def stop(self, interrupted=False):
        self.start("training")


def fill_before(folder, owner, name, count, file):
    """Before the ``count``-th call, forbid this process to write files as long as the record or longer."""
    original, calls = getattr(owner, name), iter(range(1, 10**9))

    def wrapped(*args, **keywords):
        if next(calls) == count:
            run_json = folder / "run.json"
            size = os.path.getsize(run_json) - 1 if run_json.exists() else 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return original(*args, **keywords)

    setattr(owner, name, wrapped)


def child(folder, moment=None):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.argv = ["train.py"]  # stands in the record, whose length is the limit
    training.make_meter = lambda path, *args, track=True: Clock(path)
    if moment:
        fill_before(folder, *MOMENTS[moment])
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
    message, run_json = (tmp_path / "error.txt").read_text(), tmp_path / "run.json"
    assert re.match(f"{tmp_path}/({MOMENTS[moment][-1]}) could not be written", message)
    assert "MB are free on its disk" in message and "make room and run the same command again" in message
    assert not run_json.exists() or read_json(run_json)["status"] == "failed"
    assert all(damage(path) is None for path in Checkpoints(tmp_path / "checkpoints").files())
    assert run(tmp_path) == 0
    assert read_json(run_json)["status"] == "finished"
    assert_undisturbed(tmp_path, reference)


SEVERAL = {"task": {"sources": ["vocals", "bass"], "simo": False}, "training": {"seed": 1}}


@pytest.mark.parametrize(
    "error, said",
    [
        (UserError("the first error"), "the first error"),
        (OSError(errno.ENOSPC, "No space left"), "make room and run"),
        (None, "make room"),
    ],
)
def test_record_of_several_models(tmp_path, monkeypatch, error, said):
    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left")

    with pytest.raises(UserError, match=said):
        with ExperimentRecord(tmp_path, SEVERAL, {}, ["vocals", "bass"]):
            assert read_json(tmp_path / "run.json")["status"] == "running"
            monkeypatch.setattr(record, "write_json", full)
            if error:
                raise error
    assert read_json(tmp_path / "run.json")["status"] == "failed"
