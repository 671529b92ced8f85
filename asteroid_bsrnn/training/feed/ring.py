"""Batches from worker processes through memory that is used again and again.

PyTorch makes new shared memory for every tensor of every batch, which the system fills with zeros page by page, and
hands a descriptor of it over a socket: for music that takes longer than reading and mixing. Here each worker has a few
slots in memory that it has shared with the main process since it was forked; only the number of a slot travels.

No batch changes after it was received: what is in a slot is copied before it is handed out (for a GPU into page-locked
memory, by the loader's thread), and until then its worker was asked for at most ``PREFETCH`` others.
"""

import itertools
import mmap
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch.multiprocessing import get_start_method
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

Example = tuple[torch.Tensor, ...]
Item = tuple[Example, list[str]]  # an example, and what could not be read for it
Batch = tuple[list[torch.Tensor], list[str]]

PREFETCH = 2  # batches that a worker is asked for ahead of the one that is handed out

_RINGS: WeakValueDictionary[int, "Ring"] = (
    WeakValueDictionary()
)  # number -> Ring, of this process; where parcels find theirs
_NUMBERS = itertools.count()


class Ring:
    """Slots that the workers which are forked after its making share with this process.

    Args:
        example: one item; all must have its shapes and types.
        batch: items that a slot holds.
        n_workers: worker processes, each with slots of its own.

    Attributes:
        slots: per worker a list of slots, a slot being one tensor per part of the example.
    """

    def __init__(self, example: Example, batch: int, n_workers: int) -> None:
        self.number = next(_NUMBERS)
        self.slots = [[_shared_like(example, batch) for _ in range(PREFETCH + 1)] for _ in range(n_workers)]
        _RINGS[self.number] = self


def _shared_like(example: Example, batch: int) -> list[torch.Tensor]:
    tensors = []
    for part in example:
        shape = (batch, *part.shape)
        memory = mmap.mmap(-1, prod(shape) * part.itemsize)  # anonymous: /dev/shm may be small, in containers say
        tensors.append(torch.frombuffer(memory, dtype=part.dtype).view(shape))
    return tensors


class Parcel:
    """What travels: the place of a batch, and what is no tensor.

    Args:
        place: ring, worker, slot.
        failures: of the batch's items.
    """

    def __init__(self, place: tuple[int, int, int], failures: list[str]) -> None:
        self.place, self.failures = place, failures

    def _tensors(self) -> list[torch.Tensor]:
        ring, worker, slot = self.place
        return _RINGS[ring].slots[worker][slot]

    def open(self) -> Batch:
        """``([tensors], failures)``, as :func:`collate` gives them."""
        return [tensor.clone() for tensor in self._tensors()], self.failures

    def pin_memory(self) -> Batch:
        """The same in page-locked memory; what the loader's thread calls."""
        return [tensor.pin_memory() for tensor in self._tensors()], self.failures


class RingCollate:
    """Stacks items into the worker's next slot; those that do not fit, or have no ring, as PyTorch does.

    Args:
        ring: lost when this is pickled, as its memory reaches forked processes only.
    """

    def __init__(self, ring: Ring | None) -> None:
        self.ring, self.turn = ring, 0

    def __call__(self, items: Sequence[Item]) -> Parcel | Batch:
        """List of ``(example, failures)``, an example being a tuple of tensors -> :class:`Parcel` or batch."""
        worker = get_worker_info()
        if self.ring is None or worker is None:
            return collate(items)
        slots = self.ring.slots[worker.id]
        if not all(_fits(example, slots[0], len(items)) for example, _ in items):
            return collate(items)
        slot, self.turn = self.turn, (self.turn + 1) % len(slots)
        for number, out in enumerate(slots[slot]):
            torch.stack([example[number] for example, _ in items], out=out)
        return Parcel((self.ring.number, worker.id, slot), join_failures(items))

    def __getstate__(self) -> dict[str, Any]:
        return {"ring": None, "turn": 0}


def _fits(example: Example, slot: Sequence[torch.Tensor], batch: int) -> bool:
    return len(example) == len(slot) and all(
        torch.is_tensor(part) and (batch, *part.shape) == out.shape and part.dtype == out.dtype
        for part, out in zip(example, slot)
    )


def collate(items: Sequence[Item]) -> Batch:
    """Stack the examples and join the failures of one micro-batch."""
    return default_collate([example for example, _ in items]), join_failures(items)


def join_failures(items: Sequence[Item]) -> list[str]:
    """Failures of all items in one list."""
    return [text for _, failures in items for text in failures]


class RingLoader(DataLoader):
    """A ``DataLoader`` of ``((tensors), failures)`` whose workers, if any, deliver through a :class:`Ring`.

    Args:
        dataset: gives ``(example, failures)``; an example is a tuple of tensors.
        batch_sampler: gives lists of keys, all of one length.
        num_workers: worker processes; 0 reads in this one.
        **options: of ``DataLoader``.
    """

    def __init__(
        self, dataset: Dataset, batch_sampler: Iterable[list[tuple[int, int]]], num_workers: int, **options: Any
    ) -> None:
        ring = _make_ring(dataset, batch_sampler, num_workers) if num_workers else None
        if num_workers:
            options.update(prefetch_factor=PREFETCH, persistent_workers=True)
        collate_fn = RingCollate(ring)
        super().__init__(
            dataset, batch_sampler=batch_sampler, num_workers=num_workers, collate_fn=collate_fn, **options
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # PyTorch names a class of its own
        for batch in super().__iter__():
            yield batch.open() if isinstance(batch, Parcel) else batch


def _make_ring(dataset: Dataset, batch_sampler: Iterable[list[tuple[int, int]]], num_workers: int) -> Ring | None:
    """A ring for items like the first, or None: no fork here, or an item that cannot be read or is something else."""
    keys = next(iter(batch_sampler), None)
    if keys is None or get_start_method() != "fork":
        return None
    try:
        example, _ = dataset[keys[0]]
    except Exception:  # comes again, with its message, where the item is used
        return None
    if not isinstance(example, (tuple, list)) or not all(map(torch.is_tensor, example)):
        return None
    return Ring(tuple(example), len(keys), num_workers)
