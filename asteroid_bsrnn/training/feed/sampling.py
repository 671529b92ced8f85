"""Which item is drawn when: a function of (seed, epoch, position) alone, whatever the workers, ranks and resumes.

One optimizer step takes ``effective_batch`` consecutive items of the epoch's order. They are cut into micro-batches,
dealt out to the ranks in turn; every rank runs ``accumulation`` of them.
"""

import signal
from collections.abc import Iterator, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ...common.errors import AudioError, UserError
from .batching import Split
from .ring import Item, RingLoader

ATTEMPTS = 20  # other draws tried for one unreadable item
_ORDER, _REPLACEMENT = 1, 2  # keep the two random streams apart


class TrainingSet(Protocol):
    """``train_set[(epoch, index)]`` -> ``(mixture, sources)``, drawn from (seed, epoch, index) alone."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int], /) -> Any: ...


class ValidationSet(Protocol):
    """``val_set[index]`` -> ``(mixture, sources)``, whole recordings."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class StepSampler:
    """Yields the micro-batches of one rank for the rest of one epoch, as lists of ``(epoch, index)``.

    Args:
        n_items: items in one epoch. What does not fill a step at the end of an epoch is left out.
        split: how a step is cut (:mod:`.batching`).
        rank: which rank's micro-batches.
        seed: decides the order of each epoch.

    Raises:
        UserError: if one epoch does not fill a single step.
    """

    def __init__(self, n_items: int, split: Split, rank: int = 0, seed: int = 0) -> None:
        self.n_items, self.split, self.rank, self.seed = n_items, split, rank, seed
        self.steps_per_epoch = n_items // split.effective_batch
        if not self.steps_per_epoch:
            raise UserError(
                f"training.effective_batch is {split.effective_batch}, but an epoch has only {n_items} items: "
                "lower it or draw more items per epoch"
            )
        self.set_position(0, 0)

    def set_position(self, epoch: int, step: int) -> None:
        """The next iteration starts at ``step`` of ``epoch``."""
        self.epoch, self.step = epoch, step

    def order(self) -> list[int]:
        """Indices of the epoch in the order in which they are used."""
        return _order(self.n_items, self.seed, self.epoch)

    def __len__(self) -> int:
        return (self.steps_per_epoch - self.step) * self.split.accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, split, epoch = self.order(), self.split, self.epoch
        for step in range(self.step, self.steps_per_epoch):
            for part in range(split.accumulation):
                first = step * split.effective_batch + (part * split.world_size + self.rank) * split.batch
                yield [(epoch, index) for index in order[first : first + split.batch]]


def _order(n_items: int, seed: int, epoch: int) -> list[int]:
    generator = np.random.default_rng(np.random.SeedSequence([seed, _ORDER, epoch]))
    return generator.permutation(n_items).tolist()


class EpochSampler(Sampler):
    """Sampler for a plain ``DataLoader`` over our training sets: ``(epoch, index)``, so that every epoch draws new items.

    Without it a loader asks for ``dataset[index]``, which is the item of the first epoch, again and again. Lightning
    calls :meth:`set_epoch`; where nobody does, each iteration is the next epoch.

    Args:
        dataset: training set that takes ``(epoch, index)``.
        seed: decides the order of each epoch.
    """

    def __init__(self, dataset: Sized, seed: int = 0) -> None:
        self.n_items, self.seed, self.epoch = len(dataset), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is that of ``epoch``, the first being 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_items

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return ((epoch, index) for index in _order(self.n_items, self.seed, epoch))


class TolerantDataset(Dataset):
    """Draws another item where a file cannot be read; which one depends on (seed, epoch, index) alone.

    Args:
        dataset: training set, ``dataset[(epoch, index)]`` -> ``(mixture, sources)``.
        seed: of the run.

    Returns:
        per item ``((mixture, sources), failures)``; ``failures`` lists the messages of unreadable files.
    """

    def __init__(self, dataset: TrainingSet, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        failures: list[str] = []
        for _ in range(ATTEMPTS):
            try:
                return self.dataset[(epoch, index)], failures
            except (AudioError, OSError) as error:
                failures.append(str(error))
            sequence = np.random.SeedSequence([self.seed, _REPLACEMENT, epoch, key[1], len(failures)])
            index = int(np.random.default_rng(sequence).integers(len(self.dataset)))
        raise UserError(f"{ATTEMPTS} draws in a row could not be read; the last: {failures[-1]}")


def make_loader(
    dataset: TolerantDataset, sampler: StepSampler, *, num_workers: int = 4, pin_memory: bool | None = None
) -> RingLoader:
    """Loader over the sampler's micro-batches: ``((mixture, sources), failures)``.

    Args:
        dataset: what to draw from.
        sampler: what to draw.
        num_workers: processes that read ahead; 0 reads in this one. Does not change what is drawn.
        pin_memory: page-locked batches; None: where there is a CUDA device.
    """
    if not isinstance(num_workers, int) or num_workers < 0:
        raise UserError(f"loader.num_workers must be 0 or more, not {num_workers!r}")
    return RingLoader(
        dataset,
        sampler,
        num_workers,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        worker_init_fn=_ignore_signals,
    )


def _ignore_signals(number: int) -> None:
    """Workers go on while a run that was asked to stop finishes its step; they end with the main process."""
    for name in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)


def stop_workers(loader: RingLoader) -> None:
    """End the worker processes that a loader keeps between epochs.

    They have inherited the handler that lets the main process finish its step at SIGTERM, so the SIGTERM by which
    Python ends them at its own exit would not move them.
    """
    iterator = getattr(loader, "_iterator", None)
    if iterator is not None:
        iterator._shutdown_workers()
        loader._iterator = None
