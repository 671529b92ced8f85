"""The micro-batch that fits: measured on whole steps by a stand-in for a card's memory, with nothing left behind."""

import json
from types import SimpleNamespace

import pytest
import torch
from engine_toys import Draws, Toy, conf, same_weights, toy, train
from torch import nn

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.engine import MusicSystem
from asteroid_bsrnn.experiment.run import compare
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.training.autocast import Precision
from asteroid_bsrnn.training.devices import make_fabric
from asteroid_bsrnn.training.feed.ahead import read_ahead
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
    with pytest.raises(UserError, match="true, false, auto or a share"):
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


def test_what_was_used_is_recorded(tmp_path):
    train(tmp_path, conf(epochs=1, batch="auto", activation_checkpointing="auto"))
    run = json.loads((tmp_path / "run.json").read_text())
    assert (run["batch"], run["tf32"], run["activation_checkpointing"]) == (2, False, False)


def test_a_share_is_recorded_and_may_change_when_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Toy, "activation_checkpointing", False, raising=False)
    for epochs, share in ((1, 0.5), (2, 0.25)):
        train(tmp_path, conf(epochs=epochs, batch="auto", activation_checkpointing=share), allow_changes=True)
        assert json.loads((tmp_path / "run.json").read_text())["activation_checkpointing"] == share


def test_a_run_from_before_there_was_tf32_goes_on_without_it():
    old, new = conf(), conf(tf32=False, activation_checkpointing="auto")
    assert "training.tf32" not in compare(old, new)
    with pytest.raises(UserError, match="training.tf32"):
        compare(old, conf(tf32=True))


def test_gradients_can_be_unscaled_again_after_they_were_given_up():
    model = toy(conf())
    optimizer, _ = make_optim(model.parameters(), 4)
    precision = Precision("fp32", "cpu")
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    norms = []
    for _ in range(2):
        optimizer.zero_grad()
        torch.manual_seed(0)
        precision.scaler.scale(model(torch.ones(1, 2, 160)).square().sum()).backward()
        precision.scaler.unscale_(optimizer)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9))
        precision.abandon()
    assert norms[0] == norms[1] and precision.scaler.get_scale() == 8.0


def test_the_next_recording_is_read_while_one_is_scored():
    started = []

    class Songs:
        def __getitem__(self, index):
            started.append(index)
            if index == 4:
                raise OSError("no such song")
            return torch.full((2,), index), torch.zeros(1, 2)

    songs, found = read_ahead(Songs(), range(0, 6, 2), pin=False), []
    with pytest.raises(OSError, match="no such song"):
        for index, (mixture, _) in songs:
            found.append((index, int(mixture[0])))
            assert len(started) <= len(found) + 1
    assert found == [(0, 0), (2, 2)] and started == [0, 2, 4]
    assert list(read_ahead(Songs(), (), pin=False)) == []
