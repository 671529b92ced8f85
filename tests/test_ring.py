"""Batches from workers: the same as without workers, never changed after they were received, for any items."""

import gc
import pickle
import time

import pytest
import torch
from torch.utils.data import Dataset
from torch.utils.data._utils.pin_memory import pin_memory  # what the loader's thread runs

from asteroid_bsrnn.training.feed import ring
from asteroid_bsrnn.training.feed.ring import Parcel, Ring, RingCollate, RingLoader, collate
from asteroid_bsrnn.training.feed.sampling import stop_workers

BATCHES = [[2 * step, 2 * step + 1] for step in range(20)]


class Items(Dataset):
    """Item ``index`` holds its index; ``shape`` gives its length, ``pause`` the seconds it takes."""

    def __init__(self, length=lambda index: 50, pause=lambda index: 0, broken=()):
        self.length, self.pause, self.broken = length, pause, broken

    def __getitem__(self, index):
        if index in self.broken:
            raise RuntimeError(f"item {index} is broken")
        time.sleep(self.pause(index))
        length = self.length(index)
        example = torch.full((2, length), float(index)), torch.full((3, 2, length), -index)
        return example, [f"failure {index}"] * (index % 7 == 0)

    def __len__(self):
        return 40


@pytest.fixture
def load():
    """Function that makes a loader; its workers are ended after the test."""
    loaders = []

    def make(dataset, num_workers, batches=BATCHES):
        loaders.append(RingLoader(dataset, batches, num_workers))
        return loaders[-1]

    yield make
    for loader in loaders:
        stop_workers(loader)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for (tensors, failures), (other_tensors, other_failures) in zip(found, expected):
        assert failures == other_failures
        for tensor, other in zip(tensors, other_tensors):
            assert tensor.dtype == other.dtype and torch.equal(tensor, other)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [1, 3, 4])
def test_batches_are_those_without_workers_and_stay(load, num_workers):
    """All batches of two epochs are kept, and compared only when every slot was written many times."""
    uneven = Items(pause=lambda index: 0.02 * (index % 5 == 0))
    loader, plain = load(uneven, num_workers), list(load(Items(), 0))
    assert isinstance(loader.collate_fn.ring, Ring)
    first, second = list(loader), list(loader)
    assert_same(first, plain)
    assert_same(second, plain)


def test_slow_reader_of_batches(load):
    """The workers are far ahead, as far as they may be, whenever a batch is opened."""
    found = []
    for batch in load(Items(), 2):
        found.append(batch)
        time.sleep(0.02)
    assert_same(found, list(load(Items(), 0)))


def test_epoch_that_is_left_early(load):
    loader = load(Items(), 2)
    for number, _ in enumerate(loader):
        if number == 4:
            break
    assert_same(list(loader), list(load(Items(), 0)))


@pytest.mark.parametrize("length", [lambda index: 10 + index // 2, lambda index: 50 if index < 10 else 60])
def test_items_of_other_shapes_come_too(load, length):
    assert_same(list(load(Items(length), 2)), list(load(Items(length), 0)))


def test_batches_of_other_sizes_come_too(load):
    batches = [[0, 1], [2, 3, 4], [5], [6, 7]]
    assert_same(list(load(Items(), 2, batches)), list(load(Items(), 0, batches)))


@pytest.mark.parametrize("broken", [0, 11])
def test_error_in_a_worker_is_raised_here(load, broken):
    with pytest.raises(RuntimeError, match=f"item {broken} is broken"):
        list(load(Items(broken=(broken,)), 2))


def test_without_fork_the_usual_way_is_taken(monkeypatch, load):
    monkeypatch.setattr(ring, "get_start_method", lambda: "spawn")
    loader = load(Items(), 1)
    assert loader.collate_fn.ring is None
    assert_same(list(loader), list(load(Items(), 0)))


def test_pickled_collation_knows_no_ring():
    items = [Items()[index] for index in (0, 1)]
    again = pickle.loads(pickle.dumps(RingCollate(Ring(items[0][0], 2, 1))))
    assert_same([again(items)], [collate(items)])


def test_pinned_batches_are_opened_by_the_thread():
    items = [Items()[index] for index in (4, 5)]
    shared, expected = Ring(items[0][0], 2, 1), collate(items)
    for tensor, value in zip(shared.slots[0][1], expected[0]):
        tensor.copy_(value)
        tensor.pin_memory = value.clone  # there is no GPU to lock pages for
    assert_same([pin_memory(Parcel((shared.number, 0, 1), []))], [expected])


def test_memory_goes_with_the_loader(load):
    loader = RingLoader(Items(), BATCHES, 2)
    number = loader.collate_fn.ring.number
    assert len(list(loader)) == 20 and number in ring._RINGS
    stop_workers(loader)
    del loader
    gc.collect()
    assert number not in ring._RINGS
