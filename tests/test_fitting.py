"""The micro-batch that fits: measured on whole steps by a stand-in for a card's memory, with nothing left behind."""

from types import SimpleNamespace

import pytest
import torch
from engine_toys import Draws, Toy, conf, same_weights, toy
from torch import nn

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.engine import MusicSystem
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.training.devices import make_fabric
from asteroid_bsrnn.training.feed.batching import split_batch
from asteroid_bsrnn.training.feed.sampling import TolerantDataset
from asteroid_bsrnn.training.fitting import fit_to_device
from asteroid_bsrnn.training.optimization import load_optimizer, make_optim
from asteroid_bsrnn.training.options import TrainingOptions, call_with_section
from asteroid_bsrnn.training.state.state import RunState


class Normed(Toy):
    """With running statistics, and sizes that are remembered; recomputing halves what it needs."""

    activation_checkpointing = False

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.norm, self.sizes = nn.BatchNorm1d(2), []

    def forward(self, wav):
        self.sizes.append(len(wav))
        return self.norm(super().forward(wav).flatten(1, 2)).unflatten(1, (1, 2))


class Meter:
    """Memory that a step takes in items: one each, and one for what is there anyway once the optimizer has its state."""

    def __init__(self, limit, model, state):
        self.limit, self.model, self.state = limit, model, state

    def peak(self, task):
        task()
        state = self.state.optimizer.state
        assert all("exp_avg" in state[parameter] for parameter in self.model.parameters()), (
            "its state is part of a step"
        )
        items = self.model.sizes[-1] * (0.5 if self.model.activation_checkpointing else 1)
        return 1 + items


def parts(**training):
    made = conf(effective_batch=16, ema=0.9, **training)
    model = Normed()
    options = call_with_section(TrainingOptions, "training", made)
    fabric, checkpoints = make_fabric(accelerator="cpu"), SimpleNamespace(folder=SimpleNamespace(parent=None))
    optimizer, scheduler = make_optim(model.named_parameters(), 16)
    state = RunState(fabric, model, optimizer, scheduler, options, checkpoints)
    system = MusicSystem(model, optimizer, TimeTFLoss("t"), None, config=made)
    return (
        model,
        state,
        lambda limit: fit_to_device(system, state, TolerantDataset(Draws()), limit and Meter(limit, model, state)),
    )


@pytest.mark.parametrize("limit, size", [(100, 16), (16.5, 8), (9, 8), (8.9, 4), (2, 1)])
def test_auto_takes_the_largest_that_fits_and_keeps_the_effective_batch(limit, size):
    model, _, fit = parts(batch="auto")
    split = fit(limit)
    assert (split.batch, split.effective_batch) == (size, 16)
    assert model.sizes == [n for n in (16, 8, 4, 2, 1) if n >= size]


def test_a_number_is_the_most_that_is_tried():
    model, _, fit = parts(batch=4)
    assert fit(100).batch == 4 and model.sizes == [4]
    assert fit(3.5).batch == 2


def test_nothing_is_left_behind():
    model, state, fit = parts(batch="auto")
    before, average = (
        {name: value.clone() for name, value in each.items()} for each in (model.state_dict(), state.ema.mean)
    )
    fit(3)
    assert same_weights(before, model.state_dict()) and same_weights(average, state.ema.mean)
    assert not state.optimizer.state and all(parameter.grad is None for parameter in model.parameters())


def test_recomputing_only_where_not_even_one_fits():
    model, _, fit = parts(batch="auto", activation_checkpointing="auto")
    assert fit(2).batch == 1 and not model.activation_checkpointing
    assert fit(1.5).batch == 1 and model.activation_checkpointing
    _, _, fit = parts(batch="auto")
    with pytest.raises(UserError, match="one training item does not fit"):
        fit(1.5)


def test_on_a_processor_nothing_is_tried():
    model, _, fit = parts(batch="auto")
    assert fit(None) == split_batch(16, 2) and not model.sizes


def test_other_words_than_auto_are_refused():
    with pytest.raises(UserError, match="training.batch"):
        TrainingOptions(batch="large")
    with pytest.raises(UserError, match="true, false or auto"):
        TrainingOptions(activation_checkpointing="often")


def test_the_device_chooses_the_kernels_of_a_restored_optimizer():
    model = toy(conf())
    optimizer, _ = make_optim(model.parameters(), 4)
    model(torch.ones(1, 2, 160)).sum().backward()
    optimizer.step()
    saved = optimizer.state_dict()
    saved["param_groups"][0]["fused"] = True  # as a card saved it
    load_optimizer(optimizer, saved)
    assert not optimizer.param_groups[0]["fused"]
