"""Steps that are not finite and files that cannot be read: counted, survived, and in the end refused."""

from collections.abc import Callable, Sequence
from typing import Any

from ..common.errors import UserError
from .state.progress import Progress


class TrainingFailed(UserError):
    """Training cannot go on by itself."""


class Rollback(Exception):
    """Internal signal: go back to the weights of the last good checkpoint."""


class FaultPolicy:
    """Decides when faults are too many.

    Args:
        max_bad_steps: so many steps in a row that are not finite send training back to the last good checkpoint;
            if that happens again in the same epoch, training stops.
        max_unreadable: share of an epoch's draws that may fail for unreadable files.
        n_items: draws per epoch.
        report: prints one line.
    """

    def __init__(
        self, max_bad_steps: int, max_unreadable: float, n_items: int, report: Callable[[str], Any] = print
    ) -> None:
        self.max_bad_steps, self.max_unreadable = max_bad_steps, max_unreadable
        self.n_items, self.report = n_items, report

    def step(self, progress: Progress, finite: bool, overflow: bool = False) -> None:
        """Count one step.

        Args:
            progress: its counters are updated.
            finite: loss and gradient were finite and the step was taken.
            overflow: fp16 only: the loss scale was too high, which is no fault.

        Raises:
            Rollback: after ``max_bad_steps`` faults in a row.
            TrainingFailed: if that happens twice in one epoch.
        """
        if finite:
            progress.bad_in_a_row = 0
            return
        progress.skipped, progress.skipped_total = progress.skipped + 1, progress.skipped_total + 1
        if overflow:
            return
        progress.bad_in_a_row += 1
        where = f"epoch {progress.epoch + 1}, step {progress.step + 1}"
        self.report(f"{where}: loss or gradient is not finite, step skipped ({progress.bad_in_a_row} in a row)")
        if progress.bad_in_a_row < self.max_bad_steps:
            return
        if progress.rollbacks:
            raise TrainingFailed(
                f"{where}: {progress.bad_in_a_row} steps in a row were not finite, again after going back to the last "
                "good checkpoint: lower optim.lr, or use training.precision fp32, and look at the data"
            )
        raise Rollback

    def unreadable(self, progress: Progress, messages: Sequence[str]) -> None:
        """Report and count unreadable files.

        Args:
            messages: those of all ranks, each naming its file.

        Raises:
            TrainingFailed: above the allowed share of the epoch.
        """
        for message in messages:
            self.report(f"unreadable, replaced by another draw: {message}")
        progress.unreadable += len(messages)
        progress.unreadable_total += len(messages)
        if progress.unreadable > self.max_unreadable * self.n_items:
            raise TrainingFailed(
                f"{progress.unreadable} draws of epoch {progress.epoch + 1} hit unreadable files, more than "
                f"training.max_unreadable ({self.max_unreadable:g} of {self.n_items} draws) allows; "
                f"the last: {messages[-1]}"
            )
