"""``run.json``: what a training, or an experiment of several, says of itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .stored import Stored, read_object

RUN_FILE = "run.json"


@dataclass(kw_only=True)
class Run(Stored):
    """The record of a run; None is not known.

    Args:
        started, ended: UTC.
        resumed: when and where the run was continued, and with which changes.
        commit, commit_changed: of the package's repository, and whether files differed from it.
        versions: of Python, this package and the libraries that decide numbers.
        command: words of the command line.
        conf: the whole configuration.
        variant, protocol: names; a variant without name is the recipe's own configuration.
        changed: what the configuration changes of its variant: key -> [there, here].
        corpus: name of the data.
        source: of a model of one source among several.
        seed: of training.
        effective_batch, batch, accumulation, devices: recordings per step, per device and pass, passes, number.
        device, threads, precision, tf32: what it was computed on and in.
        activation_checkpointing: whether activations were recomputed, or which share of the stages.
        lr, lr_first: learning rate at the beginning, and before it was changed on resume.
        n_params: trainable parameters; of an experiment of several models, a number or a number of each.
        steps_per_epoch: optimiser steps.
        gmac_per_second: 10^9 multiply-accumulates per second of audio; a number, or one of each model and their total.
        init: which weights training started from.
        status: ``running``, ``finished``, ``interrupted`` or ``failed``.
        epochs, best_epoch: trained, and kept.
        best, monitor: score of the kept epoch, and which score that is.
        skipped_steps, unreadable: steps without a finite loss, recordings that could not be read.
        energy: what its ledger says.
        peak_memory_bytes: of the device.
        models: outcome of each model of an experiment of several.
    """

    started: str | None = None
    resumed: list[dict[str, Any]] = field(default_factory=list)
    commit: str | None = None
    commit_changed: bool | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    command: list[str] | str | None = None
    conf: dict[str, Any] = field(default_factory=dict)
    variant: str | None = None
    protocol: str | None = None
    changed: dict[str, list[Any]] | None = None
    corpus: str | None = None
    source: str | None = None
    seed: int | None = None
    effective_batch: int | None = None
    batch: int | None = None
    accumulation: int | None = None
    devices: int | None = None
    device: str | None = None
    threads: int | None = None
    precision: str | None = None
    tf32: bool | None = None
    activation_checkpointing: bool | float | None = None
    lr: float | None = None
    lr_first: float | None = None
    n_params: int | dict[str, int] | None = None
    steps_per_epoch: int | None = None
    gmac_per_second: float | dict[str, float] | None = None
    init: dict[str, Any] | None = None
    status: str | None = None
    ended: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    best: float | None = None
    monitor: str | None = None
    skipped_steps: int | None = None
    unreadable: int | None = None
    energy: dict[str, Any] | None = None
    peak_memory_bytes: int | None = None
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def section(self, name: str) -> dict[str, Any]:
        """A section of the configuration, empty without one."""
        found = self.conf.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def outcomes(self) -> list["Run"]:
        """The models of an experiment of several, else the run itself."""
        return [Run.of(model) for model in self.models.values()] or [self]


def read_run(folder: str | Path) -> Run | None:
    """The record of an experiment folder, None without one.

    Raises:
        UserError: if it is broken.
    """
    path = Path(folder) / RUN_FILE
    return Run.of(read_object(path)) if path.exists() else None
