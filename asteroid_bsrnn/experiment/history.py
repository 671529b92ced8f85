"""``history.csv``: one line per epoch; losses, validation scores, learning rate and times."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..common.files import write_text

HISTORY_FILE = "history.csv"
_SCORE = "val_"  # what the columns of validation begin with, the loss among them


@dataclass(kw_only=True)
class Epoch:
    """What is noted of one epoch.

    Args:
        epoch: its number, from 1 on.
        step: optimiser steps so far.
        train_loss: mean over the epoch.
        scores: validation: ``val_loss``, ``val_<score>``, ``val_<score>_<source>``.
        lr: learning rate of its last step.
        train_seconds, val_seconds: s.
        skipped_steps, unreadable: steps without a finite loss, recordings that could not be read.
    """

    epoch: int
    step: int
    train_loss: float
    scores: dict[str, float]
    lr: float
    train_seconds: float
    val_seconds: float
    skipped_steps: int
    unreadable: int

    def numbers(self) -> dict[str, float]:
        """Everything but the place, in the order of the columns."""
        last = ("lr", "train_seconds", "val_seconds", "skipped_steps", "unreadable")
        return {"train_loss": self.train_loss, **self.scores, **{name: getattr(self, name) for name in last}}

    def row(self) -> dict[str, Any]:
        """The line of the file."""
        return {"epoch": self.epoch, "step": self.step, **self.numbers()}


@dataclass(eq=False)
class History:
    """The epochs of a training, one number for each, NaN where it was not noted.

    Args:
        epoch: numbers.
        train_loss, lr: None where the file has no such column.
        scores: validation, ``"loss"`` among them: name without ``val_`` -> (epochs,).
    """

    epoch: np.ndarray
    train_loss: np.ndarray | None = None
    lr: np.ndarray | None = None
    scores: dict[str, np.ndarray] = field(default_factory=dict)

    def at(self, index: int) -> dict[str, float]:
        """Validation scores of one epoch."""
        return {name: float(values[index]) for name, values in self.scores.items()}


def read_history(path: str | Path) -> History:
    """Numbers only; a line cut short by a crash keeps what it has, a resumed epoch its last line.

    Raises:
        ValueError: if it is no history.
    """
    rows = pd.read_csv(path)
    if "epoch" not in rows:
        raise ValueError("it has no column 'epoch'")
    rows = rows.apply(pd.to_numeric, errors="coerce").dropna(subset=["epoch"])
    rows = rows.drop_duplicates("epoch", keep="last").sort_values("epoch")
    columns = {str(name): rows[name].to_numpy(dtype=float) for name in rows.columns}
    scores = {name[len(_SCORE) :]: values for name, values in columns.items()
              if name.startswith(_SCORE) and name != "val_seconds"}  # fmt: skip
    return History(columns["epoch"], columns.get("train_loss"), columns.get("lr"), scores)


def write_history(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """One line per epoch, whole or not at all."""
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def last_epoch(folder: str | Path) -> int:
    """Number of the last epoch of which there is a line, 0 if of none; a damaged file is read as far as it goes."""
    path = Path(folder) / HISTORY_FILE
    if not path.exists():
        return 0
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        rows = [row.get("epoch") or "" for row in csv.DictReader(line.replace("\0", "") for line in file)]
    return max((int(text) for text in rows if text.isdecimal()), default=0)
