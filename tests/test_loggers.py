"""Loggers are Lightning's, named in a list: files appear, steps and epochs are points, others come by import path."""

import csv

import pytest
from engine_toys import conf, train
from pytorch_lightning.loggers.logger import Logger

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.training.loggers import make_loggers, register_logger

POINTS = []


class Remembering(Logger):
    """A user's tracker, outside the package."""

    def __init__(self, colour="blue"):
        super().__init__()
        self.colour = colour

    name, version = "remembering", 0

    def log_metrics(self, metrics, step=None):
        POINTS.append((step, dict(metrics)))

    def log_hyperparams(self, params, *args, **kwargs):
        """Not remembered."""


def test_curves_in_files_and_in_a_users_tracker(tmp_path):
    POINTS.clear()
    logging = ["csv", {f"{__name__}.Remembering": {"colour": "red"}}]
    train(tmp_path, {**conf(epochs=2), "logging": logging})
    with open(tmp_path / "csv" / "from_step_0" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows if row["step_loss"]]
    assert steps == list(range(1, len(steps) + 1)), "every step is a point"
    assert len([row for row in rows if row["val_usdr"]]) == 2, "so is every epoch"
    remembered = [step for step, values in POINTS if "step_loss" in values]
    assert remembered == steps
    assert not (tmp_path / "tensorboard").exists()


def test_a_registered_logger_is_found_by_its_name():
    register_logger(Remembering)
    made = make_loggers([{"remembering": {"colour": "green"}}], None)
    assert made[0].colour == "green"


@pytest.mark.parametrize("entries, sentence", [
    (["tensorbord"], "unknown logger 'tensorbord'"),
    (["no_such_module.Logger"], "No module named 'no_such_module'"),
    ([{"csv": {"colour": 1}}], "logging: csv: .*colour"),
    ([{"a": {}, "b": {}}], "an entry is a name or {name: arguments}"),
])  # fmt: skip
def test_what_is_no_logger(tmp_path, entries, sentence):
    with pytest.raises(UserError, match=sentence):
        make_loggers(entries, tmp_path)


def test_no_logger_at_all(tmp_path):
    train(tmp_path, {**conf(epochs=1), "logging": []})
    assert not (tmp_path / "tensorboard").exists() and not (tmp_path / "csv").exists()
