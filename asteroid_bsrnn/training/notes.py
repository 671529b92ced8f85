"""What a run says of itself: ``run.json``, and the lines at its beginning and end."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from ..experiment.energy import Ledger
from ..experiment.run import RunRecord, now
from ..models.base import as_model, count_params
from .devices import peak_memory
from .loop import Loop
from .options import TrainingOptions


class RunNotes:
    """Writes how a run begins and ends.

    Args:
        fabric: only its first rank writes.
        record: of the experiment folder.
        options: section ``training``.
        info: further entries of ``run.json``.
        ledger: energy ledger.
    """

    def __init__(
        self, fabric: Fabric, record: RunRecord, options: TrainingOptions, info: dict[str, Any], ledger: Path
    ) -> None:
        self.fabric, self.record, self.options, self.info, self.ledger = fabric, record, options, info, ledger

    def begin(self, loop: Loop, goes_on: bool, changes: dict[str, Any]) -> None:
        """Print and store what the run really uses.

        Args:
            loop: about to run.
            goes_on: a checkpoint was taken up.
            changes: what differs from how the folder was begun, ``key -> (then, now)``.
        """
        if not self.fabric.is_global_zero:
            return
        values = self._used(loop)
        loop.log.line(
            f"effective batch {values['effective_batch']} = {values['batch']} per device x {values['devices']} device(s) "
            f"({values['device']}) x {values['accumulation']} accumulated; learning rate {values['lr']:g}; "
            f"{values['precision']}; {values['n_params']:,} parameters; {values['steps_per_epoch']} steps per epoch"
        )
        if goes_on:
            values.update(self._continued(loop, changes))
        self.record.begin(**values)

    def _used(self, loop: Loop) -> dict[str, Any]:
        split = loop.split
        return {
            "seed": self.options.seed,
            "effective_batch": split.effective_batch,
            "batch": split.batch,
            "accumulation": split.accumulation,
            "devices": split.world_size,
            "device": str(self.fabric.device.type),
            "threads": torch.get_num_threads(),
            "precision": self.options.precision,
            "tf32": self.options.tf32,
            "activation_checkpointing": as_model(loop.system.model).activation_checkpointing or False,
            "lr": loop.optimizer.param_groups[0]["lr"],
            "n_params": count_params(loop.system.model),
            "steps_per_epoch": loop.sampler.steps_per_epoch,
            **self.info,
        }

    def _continued(self, loop: Loop, changes: dict[str, Any]) -> dict[str, Any]:
        progress, before = loop.progress, self.record.run
        loop.log.line(f"continuing from epoch {progress.epoch + 1}, step {progress.step}")
        for key, (old, new) in changes.items():
            loop.log.line(f"changed since the run began: {key} from {old} to {new}")
        place = {"at": now(), "epoch": progress.epoch, "step": progress.step, "changes": changes}
        first = before.lr if before.lr_first is None else before.lr_first
        return {"resumed": [*before.resumed, place], "lr_first": first}

    def end(self, loop: Loop, status: str) -> None:
        """Store how the run ended: ``"finished"``, ``"interrupted"`` or ``"failed"``."""
        if not self.fabric.is_global_zero:
            return
        summary = {
            key: value for key, value in loop.state.summary(status).items() if key not in ("exp_dir", "best_model")
        }
        memory, ledger = peak_memory(self.fabric.device), Ledger(self.ledger) if loop.meter else None
        energy = ledger and ledger.account(self.record.folder, self.options.epochs, self.info.get("source"))
        self.record.end(**summary, ended=now(), energy=energy, peak_memory_bytes=memory)
        if status == "interrupted":
            loop.log.line("interrupted: run the same command again to continue")
