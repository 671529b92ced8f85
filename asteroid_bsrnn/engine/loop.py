"""The training loop: steps, validation, checkpoints. All that it does is a function of (seed, position, weights)."""
import random
import time
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from ..errors import UserError
from ..files import atomic_path, write_json
from .ema import WeightAverage
from .faults import FaultPolicy, Rollback
from .optimization import scale_lr
from .precision import Precision
from .progress import Progress
from .record import write_history
from .resume import load


class Interrupted(SystemExit):
    """The run was asked to stop; everything is saved. Exits with 128 + the number of the signal."""


def seed_everything(*numbers):
    """Seed Python, numpy and PyTorch with one number derived from ``numbers``."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class _Step(nn.Module):
    """A training step as a module, so that DDP sees its forward pass."""

    def __init__(self, system):
        super().__init__()
        self.system = system

    def forward(self, batch, number):
        return self.system.common_step(batch, number, train=True)


class Loop:
    """Trains ``system`` on ``fabric``.

    Before every step the generators are seeded from (seed, step, rank), so no random state needs to be stored.

    Args:
        fabric (lightning_fabric.Fabric): launched.
        system (RecordingSystem): training step and scores.
        optimizer, scheduler: from :func:`.optimization.make_optim`.
        loader (DataLoader): from :func:`.sampling.make_loader`; its batch sampler holds the position.
        val_set: whole recordings.
        options (TrainingOptions): section ``training``.
        checkpoints (Checkpoints): where to save.
    """

    def __init__(self, fabric, system, optimizer, scheduler, loader, val_set, options, checkpoints):
        self.fabric, self.system, self.options, self.checkpoints = fabric, system, options, checkpoints
        self.optimizer, self.scheduler, self.loader, self.val_set = optimizer, scheduler, loader, val_set
        self.sampler, self.split = loader.batch_sampler, loader.batch_sampler.split
        self.exp_dir, self.first_lr = checkpoints.folder.parent, optimizer.param_groups[0]["lr"]
        self.step_module = fabric.setup_module(_Step(system), move_to_device=True)
        self.parameters = [p for p in system.model.parameters() if p.requires_grad]
        self.ema = WeightAverage(system.model, options.ema) if options.ema is not None else None
        self.precision = Precision(options.precision, fabric.device.type)
        self.progress, self.log, self.meter, self.stop_signal, self.epochs_here = Progress(), None, None, 0, 0.0
        self.faults = FaultPolicy(
            options.max_bad_steps, options.max_unreadable, len(loader.dataset), lambda text: self.log.line(text)
        )

    # -- the whole run ------------------------------------------------------------------------------------------

    def finished(self):
        """True when epochs or patience are used up."""
        between_epochs = self.progress.step == 0
        return between_epochs and (
            self.progress.epoch >= self.options.epochs or self.progress.wait >= self.options.patience
        )

    def run(self, new=True):
        """Train until the epochs or the patience are used up; then the model holds the best weights.

        Args:
            new (bool): nothing was restored, so that the first checkpoint is still to be written.
        """
        if new:
            self.save()
        else:
            self.export()  # a kill may have come between a checkpoint and the files made from it
        while not self.finished():
            if self.meter:
                self.meter.start("training")
            self.train_epoch()
            if self.meter:
                self.meter.start("validation")
            self.validate_epoch()
        self.load_best()

    def train_epoch(self):
        """The rest of one epoch."""
        progress = self.progress
        self.sampler.set_position(progress.epoch, progress.step)
        self.log.start_bar(f"epoch {progress.epoch + 1}", self.sampler.steps_per_epoch, progress.step)
        self.system.train()
        start, parts = time.perf_counter(), []
        for part in self.loader if progress.step < self.sampler.steps_per_epoch else ():
            parts.append(part)
            if len(parts) < self.split.accumulation:
                continue
            loss, stop = self.train_step(parts)
            progress.train_seconds += time.perf_counter() - start
            start, parts = time.perf_counter(), []
            self.after_step(loss, stop)
        self.log.stop_bar()

    def after_step(self, loss, stop):
        """Bookkeeping between two steps: bar, energy, checkpoints, and the request to stop."""
        progress, steps = self.progress, self.sampler.steps_per_epoch
        self.log.advance(loss)
        self.epochs_here += 1 / steps
        if self.meter:
            self.meter.tick(self.epochs_here)
        due = progress.step == steps or progress.step % self.options.checkpoint_every == 0
        if stop or (due and not progress.bad_in_a_row):
            self.save()
        if stop:
            raise Interrupted(128 + stop)

    # -- one step -----------------------------------------------------------------------------------------------

    def train_step(self, parts):
        """One optimizer step over the accumulated micro-batches of this rank.

        Returns:
            tuple: mean loss of the step, number of the signal that asks to stop (0: none).
        """
        progress, messages = self.progress, [text for _, failures in parts for text in failures]
        seed_everything(self.options.seed, progress.global_step, self.fabric.global_rank)
        losses = [self.backward(batch, number, len(parts)) for number, (batch, _) in enumerate(parts)]
        self.precision.unscale(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip or float("inf"))
        numbers = torch.stack([torch.stack(losses).mean(), norm.double()])
        loss, norm, n_failures, stop = self.over_ranks(numbers, len(messages), self.stop_signal)
        finite = bool(np.isfinite(loss) and np.isfinite(norm))
        overflow = self.precision.step(self.optimizer, finite) and bool(np.isfinite(loss))
        self.optimizer.zero_grad(set_to_none=True)
        if finite:
            progress.loss_sum, progress.loss_steps = progress.loss_sum + loss, progress.loss_steps + 1
            if self.ema:
                self.ema.update()
        try:
            self.faults.step(progress, finite, overflow)
        except Rollback:
            self.roll_back()
        if n_failures:
            self.faults.unreadable(progress, [text for part in self.gather(messages) for text in part])
        progress.step, progress.global_step = progress.step + 1, progress.global_step + 1
        return loss, stop

    def backward(self, batch, number, count):
        """Forward and backward pass of one micro-batch; gradients are exchanged with the last of a step."""
        waiting = self.fabric.world_size > 1 and number < count - 1
        with self.fabric.no_backward_sync(self.step_module) if waiting else nullcontext():
            with self.precision.autocast():
                loss = self.step_module(self.fabric.to_device(batch), number)
            self.fabric.backward(self.precision.scale(loss / count))
        return loss.detach().double()

    def over_ranks(self, numbers, n_failures, stop):
        """Mean loss and gradient norm, sum of failures, largest stop signal: the same on every rank."""
        if self.fabric.world_size == 1:
            return (*numbers.tolist(), n_failures, stop)
        own = torch.cat([numbers, numbers.new_tensor([n_failures, stop])])
        every = self.fabric.all_gather(own).reshape(self.fabric.world_size, 4).cpu()
        loss, norm, failures, _ = every.mean(0).tolist()
        return loss, norm, round(failures * len(every)), int(every[:, 3].max())

    def roll_back(self):
        """Weights, optimizer and averages of the last good checkpoint; the data go on from here."""
        path = self.fabric.broadcast(self.checkpoints.newest(self.log.line) if self.fabric.is_global_zero else None)
        state, rates = load(path), [group["lr"] for group in self.optimizer.param_groups]
        self.load_weights(state)
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        before = state["progress"]
        self.log.line(
            f"{self.progress.bad_in_a_row} steps in a row were not finite: back to the weights of epoch "
            f"{before['epoch'] + 1}, step {before['step']}; training goes on with the data that follow"
        )
        self.progress.bad_in_a_row, self.progress.rollbacks = 0, self.progress.rollbacks + 1

    # -- validation ---------------------------------------------------------------------------------------------

    def validate_epoch(self):
        """Score every recording once, whatever the number of ranks; enter the epoch; save and export."""
        progress, start = self.progress, time.perf_counter()
        with self.ema.applied() if self.ema else nullcontext():
            scores = self.scores()
            name = f"epoch={progress.epoch + 1}-step={progress.global_step}.pth"
            value = scores.get(f"val_{self.options.monitor}")
            if value is None:
                raise UserError(f"training.monitor {self.options.monitor}: validation gives only {', '.join(scores)}")
            improved, dropped = progress.note_score(value, self.options.mode, name, self.options.keep_best)
            if self.fabric.is_global_zero and name in (entry[2] for entry in progress.best):
                with atomic_path(self.checkpoints.folder / name) as partial:
                    torch.save(self.system.model.serialize(), partial)
        self.enter_epoch(scores, time.perf_counter() - start, improved)
        if self.scheduler is not None:
            plateau = isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            self.scheduler.step(*([value] if plateau else []))
        progress.next_epoch()
        self.save()
        if self.fabric.is_global_zero:
            self.export()
            for old in dropped:
                (self.checkpoints.folder / old).unlink(missing_ok=True)

    @torch.no_grad()
    def scores(self):
        """Mean over all recordings of each score; rank r takes every world-size-th recording from r on."""
        fabric, own = self.fabric, {}
        self.system.eval()
        self.log.start_bar("validation", len(self.val_set))
        for index in range(fabric.global_rank, len(self.val_set), fabric.world_size):
            mixture, sources = fabric.to_device(list(self.val_set[index]))
            with self.precision.autocast():
                own[index] = self.system.score(mixture, sources)
            self.log.advance()
            if self.meter:
                self.meter.tick()
            if self.stop_signal and fabric.world_size == 1:
                raise Interrupted(128 + self.stop_signal)  # the end of the epoch's training is saved
        self.log.stop_bar()
        rows = dict(sorted(pair for part in self.gather(own) for pair in part.items()))
        return {name: sum(row[name] for row in rows.values()) / len(rows) for name in rows[0]}

    def gather(self, value):
        """List of every rank's ``value`` (any plain object)."""
        if self.fabric.world_size == 1:
            return [value]
        found = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(found, value)
        return found

    def enter_epoch(self, scores, val_seconds, improved):
        """Add the epoch to the history; one line for the user."""
        progress = self.progress
        row = {"epoch": progress.epoch + 1, "step": progress.global_step, "train_loss": progress.train_loss(), **scores}
        row.update(
            lr=self.optimizer.param_groups[0]["lr"],
            train_seconds=round(progress.train_seconds, 3),
            val_seconds=round(val_seconds, 3),
            skipped_steps=progress.skipped,
            unreadable=progress.unreadable,
        )
        progress.history.append(row)
        self.log.scalars({key: value for key, value in row.items() if key not in ("epoch", "step")}, row["step"])
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        share = val_seconds / max(val_seconds + progress.train_seconds, 1e-9)
        self.log.line(
            f"epoch {progress.epoch + 1}: train_loss {row['train_loss']:.4g}, {shown}{' (best)' if improved else ''}; "
            f"{progress.train_seconds:.1f} s training + {val_seconds:.1f} s validation ({share:.0%} of the epoch)"
        )

    # -- state --------------------------------------------------------------------------------------------------

    def save(self):
        """Write a checkpoint (first rank); the others wait."""
        if self.fabric.is_global_zero:
            self.checkpoints.save(
                {
                    "model": self.system.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scheduler": self.scheduler.state_dict() if self.scheduler else {},
                    "first_lr": self.first_lr,
                    "scaler": self.precision.state_dict(),
                    "ema": self.ema.state_dict() if self.ema else {},
                    "progress": self.progress.state_dict(),
                }
            )
        self.fabric.barrier()

    def restore(self, path):
        """Take up the state of a checkpoint."""
        state = load(path)
        self.load_weights(state)
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.first_lr != state["first_lr"]:  # optim.lr was changed on resume
            scale_lr(self.optimizer, self.scheduler, self.first_lr / state["first_lr"])
        self.progress = Progress(**state["progress"])

    def load_weights(self, state):
        """Model, optimizer, averages and loss scale of a checkpoint."""
        self.system.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])

    def export(self):
        """Files made from the state: history, list of the best models, best model. Safe to repeat."""
        if not self.fabric.is_global_zero or not self.progress.best:
            return
        write_history(self.exp_dir / "history.csv", self.progress.history)
        best = {f"{self.checkpoints.folder.name}/{name}": value for value, _, name in self.progress.best}
        write_json(self.exp_dir / "best_k_models.json", best)
        with atomic_path(self.exp_dir / "best_model.pth") as partial:
            partial.write_bytes(self.best_path().read_bytes())

    def best_path(self):
        return self.checkpoints.folder / self.progress.best[0][2]

    def exported(self):
        return (self.exp_dir / "best_model.pth").exists()

    def load_best(self):
        """Give the model the best weights."""
        if self.progress.best:
            self.system.model.load_state_dict(load(self.best_path())["state_dict"])

    def summary(self, status):
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
