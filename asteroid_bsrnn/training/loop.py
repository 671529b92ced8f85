"""The training loop: steps, validation, checkpoints. All that it does is a function of (seed, position, weights)."""

import random
import time
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from ..common.errors import UserError
from ..experiment.history import Epoch
from .devices import gather
from .faults import FaultPolicy, Rollback
from .optimization import warmed_up, warmup_factor
from .state.checkpoints import load


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

    def forward(self, batch, number, keep_all=False):
        return self.system.step_totals(batch, number, keep_all)


class Loop:
    """Trains ``system`` on ``fabric``.

    Before every step the generators are seeded from (seed, step, rank), so no random state needs to be stored.

    Args:
        system (RecordingSystem): training step and scores.
        state (RunState): what is trained, and where it stands.
        loader (DataLoader): from :func:`.sampling.make_loader`; its batch sampler holds the position.
        val_set: whole recordings.
    """

    def __init__(self, system, state, loader, val_set):
        self.system, self.state, self.loader, self.val_set = system, state, loader, val_set
        self.fabric, self.options, self.optimizer = state.fabric, state.options, state.optimizer
        self.sampler, self.split = loader.batch_sampler, loader.batch_sampler.split
        self.step_module = self.fabric.setup_module(_Step(system), move_to_device=True)
        self.parameters = [p for p in system.model.parameters() if p.requires_grad]
        self.log, self.meter, self.stop_signal, self.epochs_here = None, None, 0, 0.0
        limits = self.options.max_bad_steps, self.options.max_unreadable, len(loader.dataset)
        self.faults = FaultPolicy(*limits, report=lambda text: self.log.line(text))

    @property
    def progress(self):
        return self.state.progress

    def run(self, behind=False):
        """Train until the epochs or the patience are used up; then the model holds the best weights.

        Args:
            behind (bool): a kill may have come between the checkpoint and the files made from it.
        """
        if behind:
            self.state.export()
        while not self.state.finished():
            self.measure("training")
            self.train_epoch()
            self.measure("validation")
            self.validate_epoch()
        self.fabric.barrier()
        self.state.load_best()

    def measure(self, phase):
        """Energy is entered under ``phase`` from now on."""
        if self.meter:
            self.meter.start(phase)

    def train_epoch(self):
        """The rest of one epoch."""
        progress = self.progress
        self.sampler.set_position(progress.epoch, progress.step)
        self.log.start_bar(f"epoch {progress.epoch + 1}", self.sampler.steps_per_epoch, progress.step)
        self.system.train()
        self.system.begin_epoch(progress.epoch + 1)
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
        self.log.advance(loss, progress.global_step)
        self.epochs_here += 1 / steps
        if self.meter:
            self.meter.tick(self.epochs_here)
        due = progress.step == steps or progress.step % self.options.checkpoint_every == 0
        if stop or (due and not progress.bad_in_a_row):
            self.state.save()
        if stop:
            raise Interrupted(128 + stop)

    def train_step(self, parts):
        """One optimizer step over the accumulated micro-batches of this rank.

        Returns:
            tuple: mean loss of the step, number of the signal that asks to stop (0: none).
        """
        progress, messages = self.progress, [text for _, failures in parts for text in failures]
        loss, factor = self.gradients(parts)
        self.state.precision.unscale(self.optimizer)
        if factor != 1.0:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip or float("inf"))
        numbers = torch.stack([loss * factor, norm.double()])
        loss, norm, n_failures, stop = self.over_ranks(numbers, len(messages), self.stop_signal)
        finite = bool(np.isfinite(loss) and np.isfinite(norm))
        with warmed_up(self.optimizer, progress.global_step):
            overflow = self.state.precision.step(self.optimizer, finite) and bool(np.isfinite(loss))
        self.optimizer.zero_grad(set_to_none=True)
        if finite:
            progress.loss_sum, progress.loss_steps = progress.loss_sum + loss, progress.loss_steps + 1
            if self.state.ema:
                self.state.ema.update()
        try:
            self.faults.step(progress, finite, overflow)
        except Rollback:
            self.roll_back()
        if n_failures:
            self.faults.unreadable(progress, [text for part in gather(self.fabric, messages) for text in part])
        progress.step, progress.global_step = progress.step + 1, progress.global_step + 1
        return loss, stop

    def gradients(self, parts, keep_all=False):
        """Gradients of the loss of the effective batch, up to a factor.

        Returns:
            tuple: mean of the micro-batches' sums, and what it and the gradients are still to be multiplied by: the
            number of micro-batches over that of what counts in them (1 unless the loss leaves examples out).
        """
        seed_everything(self.options.seed, self.progress.global_step, self.fabric.global_rank)
        pairs = [self.backward(batch, number, len(parts), keep_all) for number, (batch, _) in enumerate(parts)]
        totals, counts = (torch.stack(values) for values in zip(*pairs))
        if not self.system.counts_examples:
            return totals.mean(), 1.0
        counted = sum(gather(self.fabric, float(counts.sum())))
        if not counted and not keep_all:  # everything is better than the floor: then everything counts
            self.optimizer.zero_grad(set_to_none=True)
            return self.gradients(parts, keep_all=True)
        return totals.mean(), len(parts) * self.fabric.world_size / max(counted, 1.0)

    def backward(self, batch, number, count, keep_all):
        """Forward and backward pass of one micro-batch; gradients are exchanged with the last of a step."""
        waiting = self.fabric.world_size > 1 and number < count - 1
        with self.fabric.no_backward_sync(self.step_module) if waiting else nullcontext():
            with self.state.precision.autocast():
                total, counted = self.step_module(self.fabric.to_device(batch), number, keep_all)
            self.fabric.backward(self.state.precision.scale(total / count))
        return total.detach().double(), counted.detach().double()

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
        newest = self.state.checkpoints.newest(self.log.line) if self.fabric.is_global_zero else None
        rates, state = [group["lr"] for group in self.optimizer.param_groups], load(self.fabric.broadcast(newest))
        self.state.load_weights(state)
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        before = state["progress"]
        self.log.line(
            f"{self.progress.bad_in_a_row} steps in a row were not finite: back to the weights of epoch "
            f"{before['epoch'] + 1}, step {before['step']}; training goes on with the data that follow"
        )
        self.progress.bad_in_a_row, self.progress.rollbacks = 0, self.progress.rollbacks + 1

    def validate_epoch(self):
        """Score every recording once, whatever the number of ranks; enter the epoch; save and export."""
        state, progress, start = self.state, self.progress, time.perf_counter()
        with state.ema.applied() if state.ema else nullcontext():
            scores = self.scores()
            value = scores.get(f"val_{self.options.monitor}")
            if value is None:
                raise UserError(f"training.monitor {self.options.monitor}: validation gives only {', '.join(scores)}")
            name = f"epoch={progress.epoch + 1}-step={progress.global_step}.pth"
            improved = progress.note_score(value, self.options.mode, name, self.options.keep_best)
            state.save_weights(name)
        self.enter_epoch(scores, time.perf_counter() - start, improved)
        if state.scheduler is not None:
            plateau = isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            state.scheduler.step(*([value] if plateau else []))
        progress.next_epoch()
        state.save()
        state.export()

    @torch.no_grad()
    def scores(self):
        """Mean of each score over the recordings that have it; rank r takes every world-size-th recording from r on."""
        fabric, own = self.fabric, {}
        self.system.eval()
        self.log.start_bar("validation", len(self.val_set))
        for index in range(fabric.global_rank, len(self.val_set), fabric.world_size):
            mixture, sources = fabric.to_device(list(self.val_set[index]))
            with self.state.precision.autocast():
                own[index] = self.system.score(mixture, sources)
            self.log.advance()
            if self.meter:
                self.meter.tick()
            if self.stop_signal and fabric.world_size == 1:
                raise Interrupted(128 + self.stop_signal)  # the end of the epoch's training is saved
        self.log.stop_bar()
        rows = dict(sorted(pair for part in gather(fabric, own) for pair in part.items()))
        names = dict.fromkeys(name for row in rows.values() for name in row)
        found = {name: [row[name] for row in rows.values() if name in row] for name in names}
        return {name: sum(values) / len(values) for name, values in found.items()}

    def enter_epoch(self, scores, val_seconds, improved):
        """Add the epoch to the history; one line for the user."""
        progress = self.progress
        epoch = Epoch(
            epoch=progress.epoch + 1,
            step=progress.global_step,
            train_loss=progress.train_loss(),
            scores=scores,
            lr=self.optimizer.param_groups[0]["lr"] * warmup_factor(self.optimizer, max(0, progress.global_step - 1)),
            train_seconds=round(progress.train_seconds, 3),
            val_seconds=round(val_seconds, 3),
            skipped_steps=progress.skipped,
            unreadable=progress.unreadable,
        )
        progress.history.append(epoch.row())
        self.log.scalars(epoch.numbers(), epoch.step)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        share = val_seconds / max(val_seconds + progress.train_seconds, 1e-9)
        self.log.line(
            f"epoch {epoch.epoch}: train_loss {epoch.train_loss:.4g}, {shown}{' (best)' if improved else ''}; "
            f"{progress.train_seconds:.1f} s training + {val_seconds:.1f} s validation ({share:.0%} of the epoch)"
        )
