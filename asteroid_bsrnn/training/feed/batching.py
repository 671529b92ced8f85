"""How one effective batch is cut: per-device batch x devices x accumulation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ...common.errors import UserError


@dataclass(frozen=True)
class Split:
    """One optimizer step: ``accumulation`` micro-batches of ``batch`` items on each of ``world_size`` devices."""

    batch: int
    world_size: int
    accumulation: int

    @property
    def effective_batch(self) -> int:
        """Items of the step, over all devices."""
        return self.batch * self.world_size * self.accumulation


def split_batch(effective_batch: int, batch: int, world_size: int = 1) -> Split:
    """Cut ``effective_batch`` so that no device holds more than ``batch`` items at a time.

    Args:
        effective_batch: items per optimizer step, over all devices.
        batch: most items that one device may hold.
        world_size: number of devices.

    Raises:
        UserError: if the devices cannot share the batch evenly.
    """
    if effective_batch < 1 or batch < 1:
        raise UserError(f"training.effective_batch and batch must be 1 or more, not {effective_batch} and {batch}")
    share, rest = divmod(effective_batch, world_size)
    if rest or not share:
        allowed = ", ".join(str(n) for n in range(1, effective_batch + 1) if effective_batch % n == 0)
        raise UserError(
            f"training.effective_batch {effective_batch} cannot be shared evenly by {world_size} devices: "
            f"use a number of devices among {allowed}, or another effective_batch"
        )
    largest = max(size for size in range(1, min(batch, share) + 1) if share % size == 0)
    return Split(largest, world_size, share // largest)


def largest_batch(try_batch: Callable[[int], Any], effective_batch: int, batch: int, world_size: int = 1) -> int:
    """Largest per-device batch not above ``batch`` for which ``try_batch(size)`` does not run out of memory.

    Args:
        try_batch: runs one step with this many items.

    Raises:
        torch.cuda.OutOfMemoryError: when not even one item fits.
    """
    while True:
        split = split_batch(effective_batch, batch, world_size)
        try:
            try_batch(split.batch)
            return split.batch
        except torch.cuda.OutOfMemoryError:
            if split.batch == 1:
                raise
        torch.cuda.empty_cache()
        batch = split.batch - 1
