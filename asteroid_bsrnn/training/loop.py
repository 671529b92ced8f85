"""The training loop: steps, validation, checkpoints. All that it does is a function of (seed, position, weights)."""

import time
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from ..common.errors import UserError
from ..experiment.energy import Meter
from ..experiment.history import Epoch
from .devices import gather, on_first_rank
from .faults import FaultPolicy, Rollback
from .feed.ahead import read_ahead
from .feed.ring import RingLoader
from .feed.sampling import StepSampler, ValidationSet
from .loggers import Log
from .optimization import warmed_up, warmup_factor
from .seeds import seed_everything
from .state.checkpoints import load
from .state.progress import Progress
from .state.state import RunState
from .stopping import Interrupted, StopRequest
from .systems import RecordingSystem

Batch = Sequence[torch.Tensor]  # mixture, sources
Part = tuple[Batch, list[str]]  # a micro-batch, and what could not be read for it


class _Step(nn.Module):
    """A training step as a module, so that DDP sees its forward pass."""

    def __init__(self, system: RecordingSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: Batch, number: int, keep_all: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        return self.system.step_totals(batch, number, keep_all)


class Loop:
    """Trains ``system`` on ``fabric``.

    Before every step the generators are seeded from (seed, step, rank), so no random state needs to be stored.

    Args:
        system: training step and scores.
        state: what is trained, and where it stands.
        loader: from :func:`.sampling.make_loader`; its batch sampler holds the position.
        val_set: whole recordings.
        log: what the user sees.
        meter: of energy, on one process of each machine.
        stop: asks to stop after the present step.
    """

    def __init__(
        self,
        system: RecordingSystem,
        state: RunState,
        loader: RingLoader,
        val_set: ValidationSet,
        log: Log,
        meter: Meter | None,
        stop: StopRequest,
    ) -> None:
        self.system, self.state, self.loader, self.val_set = system, state, loader, val_set
        self.fabric, self.options, self.optimizer = state.fabric, state.options, state.optimizer
        assert isinstance(loader.batch_sampler, StepSampler)
        self.sampler, self.split = loader.batch_sampler, loader.batch_sampler.split
        self.step_module = self.fabric.setup_module(_Step(system), move_to_device=True)
        self.parameters = [p for p in system.model.parameters() if p.requires_grad]
        self.log, self.meter, self.stop, self.epochs_here = log, meter, stop, 0.0
        limits = self.options.max_bad_steps, self.options.max_unreadable, self.sampler.n_items
        self.faults = FaultPolicy(*limits, report=log.line)

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self.state.progress

    def run(self, behind: bool = False) -> None:
        """Train until the epochs or the patience are used up; then the model holds the best weights.

        Args:
            behind: a kill may have come between the checkpoint and the files made from it.
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

    def measure(self, phase: str) -> None:
        """Energy is entered under ``phase`` from now on."""
        if self.meter:
            self.meter.start(phase)

    def train_epoch(self) -> None:
        """The rest of one epoch."""
        progress = self.progress
        self.sampler.set_position(progress.epoch, progress.step)
        self.log.start_bar(f"epoch {progress.epoch + 1}", self.sampler.steps_per_epoch, progress.step)
        self.system.train()
        self.system.begin_epoch(progress.epoch + 1)
        start = time.perf_counter()
        parts: list[Part] = []
        for part in self.loader if progress.step < self.sampler.steps_per_epoch else ():
            parts.append(part)
            if len(parts) < self.split.accumulation:
                continue
            loss, stop = self.train_step(parts)
            progress.train_seconds += time.perf_counter() - start
            start, parts = time.perf_counter(), []
            self.after_step(loss, stop)
        self.log.stop_bar()

    def after_step(self, loss: float, stop: int) -> None:
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

    def train_step(self, parts: Sequence[Part]) -> tuple[float, int]:
        """One optimizer step over the accumulated micro-batches of this rank.

        Returns:
            Mean loss of the step, number of the signal that asks to stop (0: none).
        """
        progress, messages = self.progress, [text for _, failures in parts for text in failures]
        loss, norm, counted, n_failures, stop = self.gradients(parts, len(messages))
        if not counted:  # everything is better than the floor: then everything counts
            self.state.precision.abandon()
            self.optimizer.zero_grad(set_to_none=True)
            loss, norm, _, n_failures, stop = self.gradients(parts, len(messages), keep_all=True)
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

    def gradients(
        self, parts: Sequence[Part], n_failures: int, keep_all: bool = False
    ) -> tuple[float, float, float, int, int]:
        """Gradients of the mean loss of the effective batch, clipped; nothing is read back from the device but at the end.

        Where the loss leaves examples out, the mean of the micro-batches' sums is multiplied by the number of
        micro-batches over that of what counts in them.

        Returns:
            Loss, norm of the gradient, number of examples that counted (1 for a loss that is a mean), number of
            unreadable files, signal that asks to stop; the same on every rank.
        """
        seed_everything(self.options.seed, self.progress.global_step, self.fabric.global_rank)
        self.system.begin_step(self.progress.global_step)
        pairs = [self.backward(batch, number, len(parts), keep_all) for number, (batch, _) in enumerate(parts)]
        totals, counts = (torch.stack(values) for values in zip(*pairs))
        loss, counted = totals.mean(), torch.ones_like(totals[0])
        self.state.precision.scaler.unscale_(self.optimizer)
        if self.system.counts_examples:
            counted = torch.as_tensor(self.fabric.all_reduce(counts.sum(), reduce_op="sum"))
            factor = len(parts) * self.fabric.world_size / counted.clamp(min=1)
            loss = loss * factor
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip or float("inf"))
        return self.over_ranks(torch.stack([loss, norm.double(), counted]), n_failures, self.stop.signal)

    def backward(self, batch: Batch, number: int, count: int, keep_all: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward and backward pass of one micro-batch; gradients are exchanged with the last of a step."""
        waiting = self.fabric.world_size > 1 and number < count - 1
        with self.fabric.no_backward_sync(self.step_module) if waiting else nullcontext():
            with self.state.precision.autocast():
                total, counted = self.step_module(self.fabric.to_device(batch), number, keep_all)
            self.fabric.backward(self.state.precision.scaler.scale(total / count))
        return total.detach().double(), counted.detach().double()

    def over_ranks(self, numbers: torch.Tensor, n_failures: int, stop: int) -> tuple[float, float, float, int, int]:
        """Means of the numbers, sum of failures, largest stop signal: the same on every rank."""
        if self.fabric.world_size == 1:
            loss, norm, counted = numbers.tolist()
            return loss, norm, counted, n_failures, stop
        own = torch.cat([numbers, numbers.new_full((1,), n_failures), numbers.new_full((1,), stop)])
        every = torch.as_tensor(self.fabric.all_gather(own)).reshape(self.fabric.world_size, -1).cpu()
        loss, norm, counted, failures, _ = every.mean(0).tolist()
        return loss, norm, counted, round(failures * len(every)), int(every[:, -1].max())

    def roll_back(self) -> None:
        """Weights, optimizer and averages of the last good checkpoint; the data go on from here."""
        newest = on_first_rank(self.fabric, self.state.checkpoints.newest, self.log.line)
        assert newest is not None, "a run has a checkpoint before its first step"
        rates, state = [group["lr"] for group in self.optimizer.param_groups], load(newest)
        self.state.load_weights(state)
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        before = state["progress"]
        self.log.line(
            f"{self.progress.bad_in_a_row} steps in a row were not finite: back to the weights of epoch "
            f"{before['epoch'] + 1}, step {before['step']}; training goes on with the data that follow"
        )
        self.progress.bad_in_a_row, self.progress.rollbacks = 0, self.progress.rollbacks + 1

    def validate_epoch(self) -> None:
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
        if isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            state.scheduler.step(value)
        elif state.scheduler is not None:
            state.scheduler.step()
        progress.next_epoch()
        state.save()
        state.export()

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Mean of each score over the recordings that have it; rank r takes every world-size-th recording from r on."""
        fabric = self.fabric
        own: dict[int, dict[str, float]] = {}  # index of a recording -> its scores
        self.system.eval()
        self.log.start_bar("validation", len(self.val_set))
        indices = range(fabric.global_rank, len(self.val_set), fabric.world_size)
        for index, parts in read_ahead(self.val_set, indices, pin=fabric.device.type == "cuda"):
            mixture, sources = fabric.to_device(parts)
            with self.state.precision.autocast():
                own[index] = self.system.score(mixture, sources)
            self.log.advance()
            if self.meter:
                self.meter.tick()
            if self.stop.signal:
                break
        self.log.stop_bar()
        every = gather(fabric, (own, self.stop.signal))
        if stop := max(signal for _, signal in every):
            raise Interrupted(128 + stop)  # the end of the epoch's training is saved
        rows = dict(sorted(pair for part, _ in every for pair in part.items()))
        names = dict.fromkeys(name for row in rows.values() for name in row)
        found = {name: [row[name] for row in rows.values() if name in row] for name in names}
        return {name: sum(values) / len(values) for name, values in found.items()}

    def enter_epoch(self, scores: dict[str, float], val_seconds: float, improved: bool) -> None:
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
