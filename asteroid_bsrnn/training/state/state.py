"""All that a run must remember: weights, optimizer, averages, counters; how it is saved, restored and exported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asteroid.models import BaseModel
from lightning_fabric import Fabric

from ...common.errors import UserError
from ...common.files import read_json, write_json
from ...experiment.history import HISTORY_FILE, write_history
from ..autocast import Precision
from ..optimization import Optimizer, Scheduler, load_optimizer, scale_lr
from ..options import TrainingOptions
from .checkpoints import Checkpoints, damage, load, weights_files, write_torch
from .ema import WeightAverage
from .mending import replace_by_copy
from .progress import Progress


class RunState:
    """State of one run and the files made from it.

    Random generators are not part of it: they are seeded before every step (:class:`.loop.Loop`).

    Args:
        fabric: launched.
        model: trained.
        optimizer, scheduler: from :func:`.optimization.make_optim`.
        options: section ``training``.
        checkpoints: where to save; the exports go to the folder above.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: BaseModel,
        optimizer: Optimizer,
        scheduler: Scheduler | None,
        options: TrainingOptions,
        checkpoints: Checkpoints,
    ) -> None:
        self.fabric, self.model, self.options, self.checkpoints = fabric, model, options, checkpoints
        self.optimizer, self.scheduler = optimizer, scheduler
        self.exp_dir, self.first_lr = checkpoints.folder.parent, optimizer.param_groups[0]["lr"]
        self.ema = WeightAverage(model, options.ema) if options.ema is not None else None
        self.precision = Precision(options.precision, fabric.device.type)
        self.progress = Progress()

    def finished(self) -> bool:
        """True when epochs or patience are used up."""
        between_epochs = self.progress.step == 0
        return between_epochs and (
            self.progress.epoch >= self.options.epochs or self.progress.wait >= self.options.patience
        )

    def save(self) -> None:
        """Write a checkpoint (first rank); the others wait."""
        if self.fabric.is_global_zero:
            self.checkpoints.save(
                {
                    "model": self.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scheduler": self.scheduler.state_dict() if self.scheduler else {},
                    "first_lr": self.first_lr,
                    "scaler": self.precision.scaler.state_dict(),
                    "ema": self.ema.state_dict() if self.ema else {},
                    "progress": self.progress.state_dict(),
                }
            )
        self.fabric.barrier()

    def restore(self, path: Path) -> None:
        """Take up the state of a checkpoint."""
        state = load(path)
        self.load_weights(state)
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.first_lr != state["first_lr"]:  # optim.lr was changed on resume
            scale_lr(self.optimizer, self.scheduler, self.first_lr / state["first_lr"])
        self.progress = Progress(**state["progress"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Model, optimizer, averages and loss scale of a checkpoint."""
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        if state["scaler"]:
            self.precision.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])

    def export(self, report: Callable[[str], Any] = print) -> None:
        """Files made from the state: history, list of the best models, best model. Safe to repeat.

        Weights that fell out of the best stay for one more epoch, since an older checkpoint may still name them.
        """
        if self.fabric.is_global_zero:
            self._forget_lost(report)
            self._write_exports()
        self.progress.best = self.fabric.broadcast(self.progress.best)

    def _write_exports(self) -> None:
        if not self.progress.best:
            return
        write_history(self.exp_dir / HISTORY_FILE, self.progress.history)
        wanted = {name for _, _, name in self.progress.best}.union(self.progress.dropped)
        for path in weights_files(self.checkpoints.folder):
            if path.name not in wanted:
                path.unlink()
        best = {self._key(name): value for value, _, name in self.progress.best}
        write_json(self.exp_dir / "best_k_models.json", best)
        replace_by_copy(self.exp_dir / "best_model.pth", self.best_path())

    def _forget_lost(self, report: Callable[[str], Any]) -> None:
        """Leave out best models whose files are gone or broken; the first is sought in its copy, best_model.pth."""
        folder, copy = self.checkpoints.folder, self.exp_dir / "best_model.pth"
        while self.progress.best and (reason := damage(self.best_path(), weights=True)):
            if self._is_copied() and damage(copy, weights=True) is None:
                replace_by_copy(self.best_path(), copy)
                report(f"{self.best_path()} could not be read ({reason}): mended from {copy}")
            else:
                value, epoch, name = self.progress.best.pop(0)
                lost = f"epoch {epoch} ({value:.4g}) no longer counts as best"
                report(f"{folder / name} cannot be read ({reason}): {lost}")
        self.progress.best = [entry for entry in self.progress.best if (folder / entry[2]).exists()]

    def _is_copied(self) -> bool:
        """Whether ``best_model.pth`` is the copy of the best model, as far as the list of the best can tell."""
        try:
            listed = read_json(self.exp_dir / "best_k_models.json")
        except (OSError, UserError):
            return True
        return next(iter(listed), None) == self._key(self.progress.best[0][2])

    def _key(self, name: str) -> str:
        return f"{self.checkpoints.folder.name}/{name}"

    def save_weights(self, name: str) -> None:
        """Write the model as it is now (with the averages applied, if there are any) for ``from_pretrained``."""
        if self.fabric.is_global_zero and name in (entry[2] for entry in self.progress.best):
            write_torch(self.model.serialize(), self.checkpoints.folder / name)

    def best_path(self) -> Path:
        """File of the best weights; only where an epoch had a finite score."""
        return self.checkpoints.folder / self.progress.best[0][2]

    def load_best(self) -> None:
        """Give the model the best weights."""
        if self.progress.best:
            self.model.load_state_dict(load(self.best_path())["state_dict"])

    def summary(self, status: str) -> dict[str, Any]:
        """What :func:`.training.fit` returns."""
        best = self.progress.best[0] if self.progress.best else (None, None, None)
        return {
            "status": status,
            "epochs": self.progress.epoch,
            "best_epoch": best[1],
            "best": best[0],
            "monitor": f"val_{self.options.monitor}",
            "skipped_steps": self.progress.skipped_total,
            "unreadable": self.progress.unreadable_total,
            "best_model": str(self.exp_dir / "best_model.pth"),
            "exp_dir": str(self.exp_dir),
        }
