"""Counters of a run, early stopping, and the best models so far: all that a checkpoint must hold besides tensors."""

import math
from dataclasses import asdict, dataclass, field


@dataclass
class Progress:
    """Where a run stands. Plain numbers only, so that it can be stored and compared."""

    epoch: int = 0
    step: int = 0  # optimizer steps taken in this epoch
    global_step: int = 0
    loss_sum: float = 0.0  # over the steps of this epoch that were not skipped
    loss_steps: int = 0
    train_seconds: float = 0.0  # of this epoch
    skipped: int = 0  # steps of this epoch with a loss or gradient that is not finite
    skipped_total: int = 0
    bad_in_a_row: int = 0
    rollbacks: int = 0  # in this epoch
    unreadable: int = 0  # files of this epoch
    unreadable_total: int = 0
    wait: int = 0  # validations without improvement
    best: list = field(default_factory=list)  # [value, epoch (the first is 1), file name], best first
    dropped: list = field(default_factory=list)  # file names that fell out of the best in the last validation
    history: list = field(default_factory=list)  # one dict per epoch

    state_dict = asdict

    def next_epoch(self) -> None:
        """Begin the next epoch: its own counters start from zero."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.loss_steps, self.train_seconds = 0.0, 0, 0.0
        self.skipped = self.rollbacks = self.unreadable = 0

    def train_loss(self) -> float:
        """Mean over the steps of the epoch; NaN if all were skipped."""
        return self.loss_sum / self.loss_steps if self.loss_steps else math.nan

    def note_score(self, value: float, mode: str, name: str, keep: int) -> bool:
        """Enter a validation result.

        Args:
            value: monitored value of this epoch; one that is not finite never counts as better.
            mode: ``"max"`` or ``"min"``.
            name: file name of this epoch's weights.
            keep: how many best models are kept.

        Returns:
            True if it is the best so far.
        """
        sign = -1 if mode == "max" else 1
        improved = math.isfinite(value) and (not self.best or sign * value < sign * self.best[0][0])
        self.wait = 0 if improved else self.wait + 1
        before = [entry[2] for entry in self.best]
        if math.isfinite(value):
            entries = [*self.best, [value, self.epoch + 1, name]]
            self.best = sorted(entries, key=lambda entry: (sign * entry[0], entry[1]))[:keep]
        kept = {entry[2] for entry in self.best}
        self.dropped = [file for file in before if file not in kept]
        return improved
