"""How a run is cut: which items in which order, how a batch is dealt out, and the learning rate of each epoch."""

import csv

import pytest
import torch
from engine_toys import Draws, Toy, conf, same_weights, toy, train
from torch import nn

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.engine import MusicSystem
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.training.devices import choose_devices, make_fabric
from asteroid_bsrnn.training.feed.batching import largest_batch, split_batch
from asteroid_bsrnn.training.feed.sampling import StepSampler, TolerantDataset, make_loader
from asteroid_bsrnn.training.fitting import fitting_split
from asteroid_bsrnn.training.optimization import make_optim, scale_lr, warmed_up, warmup_factor
from asteroid_bsrnn.training.options import TrainingOptions, call_with_section
from asteroid_bsrnn.training.state.checkpoints import Checkpoints
from asteroid_bsrnn.training.state.state import RunState

# -- which items, in which order


def stream(num_workers=0, world_size=1, batch=2, start=(0, 0), epochs=2):
    """Items of each step in the order of a single process: list of lists of drawn mixtures."""
    split = split_batch(8, batch, world_size)
    per_rank = []
    for rank in range(world_size):
        sampler = StepSampler(40, split, rank, seed=3)
        loader = make_loader(TolerantDataset(Draws(40), 3), sampler, num_workers=num_workers)
        batches = []
        for epoch in range(start[0], epochs):
            sampler.set_position(epoch, start[1] if epoch == start[0] else 0)
            batches += [batch[0] for batch, _ in loader]
        per_rank.append(batches)
    micro = [batches[part] for part in range(len(per_rank[0])) for batches in per_rank]
    return torch.cat(micro)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    "num_workers, world_size, batch", [(1, 1, 2), (4, 1, 2), (0, 2, 2), (0, 4, 2), (1, 2, 4), (0, 1, 8)]
)
def test_same_items_for_any_number_of_workers_and_ranks(num_workers, world_size, batch):
    expected = stream()
    found = stream(num_workers, world_size, batch)
    assert torch.equal(found, expected)


def test_every_item_once_per_epoch_in_another_order_each_epoch():
    sampler, orders = StepSampler(40, split_batch(8, 2), seed=3), []
    for epoch in range(2):
        sampler.set_position(epoch, 0)
        keys = [key for batch in sampler for key in batch]
        assert {key[0] for key in keys} == {epoch} and sorted(key[1] for key in keys) == list(range(40))
        orders.append([key[1] for key in keys])
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_starts_at_the_saved_position():
    whole = stream(epochs=2)
    assert torch.equal(stream(start=(0, 3), epochs=2), whole[3 * 8 :])
    assert torch.equal(stream(num_workers=2, start=(1, 4), epochs=2), whole[-8:])


# -- how a batch is cut


@pytest.mark.parametrize("effective", [1, 4, 6, 8, 16])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_split_multiplies_to_the_effective_batch(effective, world_size, batch):
    if effective % world_size:
        with pytest.raises(UserError, match="cannot be shared evenly"):
            split_batch(effective, batch, world_size)
        return
    split = split_batch(effective, batch, world_size)
    assert split.effective_batch == effective and split.batch <= batch


def test_batch_is_halved_until_it_fits():
    tried = []

    def try_batch(size):
        tried.append(size)
        if size > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")

    assert largest_batch(try_batch, 16, 8) == 2 and tried == [8, 4, 2]

    def never(size):
        raise torch.cuda.OutOfMemoryError("out of memory")

    with pytest.raises(UserError, match="one training item does not fit"):
        largest_batch(never, 16, 8)


def test_fit_probes_what_fits_and_leaves_no_trace(tmp_path):
    class Large(Toy):
        def forward(self, wav):
            if len(wav) > 1:
                raise torch.cuda.OutOfMemoryError("out of memory")
            return self.norm(super().forward(wav).flatten(1, 2)).unflatten(1, (1, 2))

    made = conf()
    model = toy(made)
    model.__class__, model.norm = Large, nn.BatchNorm1d(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = call_with_section(TrainingOptions, "training", made)
    system, optimizer = MusicSystem(model, None, TimeTFLoss("t"), None), torch.optim.Adam(model.parameters())
    state = RunState(make_fabric(accelerator="cpu"), model, optimizer, None, options, Checkpoints(tmp_path))
    split = fitting_split(system, state, TolerantDataset(Draws()))
    assert (split.batch, split.accumulation) == (1, 4)
    assert same_weights(before, model.state_dict()) and all(p.grad is None for p in model.parameters())


def test_devices_share_the_batch_evenly(monkeypatch):
    assert choose_devices("auto", "cpu", 8) == (1, 1, "cpu")
    assert choose_devices(2, "cpu", 8) == (2, 1, "cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 6)
    assert choose_devices("auto", "auto", 8) == (4, 1, "cuda")
    with pytest.raises(UserError, match="only 6 GPUs"):
        choose_devices(7, "gpu", 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4"), monkeypatch.setenv("WORLD_SIZE", "8")
    assert choose_devices("auto", "auto", 8) == (4, 2, "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="no CUDA device"):
        choose_devices("auto", "gpu", 8)


def test_accumulation_gives_the_step_of_the_whole_batch(tmp_path):
    def run(batch):
        configuration = conf(epochs=1, batch=batch)
        model = toy(configuration, dropout=0.0).double()
        data = Draws(dtype=torch.float64), Draws(1, dtype=torch.float64)
        return train(tmp_path / str(batch), configuration, *data, model)

    weights = [run(batch)[1] for batch in (4, 2, 1)]
    for other in weights[1:]:
        assert all(torch.allclose(other[name], weights[0][name], rtol=0, atol=1e-12) for name in other)


# -- learning rate


def test_learning_rates_of_the_protocol():
    for batch, rate in ((8, 5e-4), (4, 2.5e-4), (16, 1e-3)):
        optimizer, scheduler = make_optim(nn.Linear(1, 1).parameters(), batch)
        rates = []
        for _ in range(5):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert rates == pytest.approx([rate, rate, rate * 0.98, rate * 0.98, rate * 0.98**2])
    speech, _ = make_optim(nn.Linear(1, 1).parameters(), 6, lr_reference_batch=None)
    assert speech.param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize("mode, better", [("max", 1), ("min", -1)])
def test_plateau_looks_in_the_right_direction(mode, better):
    def rate_after(direction):
        parameters = nn.Linear(1, 1).parameters()
        optimizer, scheduler = make_optim(parameters, 16, mode, scheduler="plateau", plateau_patience=2)
        for epoch in range(6):
            scheduler.step(float(direction * epoch))
        return optimizer.param_groups[0]["lr"]

    assert rate_after(better) == 1e-3 and rate_after(-better) == 5e-4


def test_changed_rate_scales_the_whole_schedule():
    optimizer, scheduler = make_optim(nn.Linear(1, 1).parameters(), 16)
    scale_lr(optimizer, scheduler, 0.5)
    optimizer.step(), scheduler.step(), scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-3 * 0.98) and scheduler.base_lrs == [0.5e-3]


def test_rate_grows_over_the_first_steps_and_is_itself_again_after_each():
    optimizer, scheduler = make_optim(nn.Linear(1, 1).parameters(), 16, scheduler="none", warmup_steps=4)
    used = []
    for step in range(6):
        with warmed_up(optimizer, step):
            used.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["lr"] == 1e-3
    assert used == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3]) and scheduler is None
    plain, _ = make_optim(nn.Linear(1, 1).parameters(), 16)
    assert warmup_factor(plain, 0) == 1.0 and "warmup_steps" not in plain.state_dict()["param_groups"][0]


def test_warm_up_crosses_epochs_and_a_continued_run_alike(tmp_path):
    def run(folder, epochs, **keywords):
        configuration = conf(epochs=epochs)
        configuration["optim"] = {**configuration["optim"], "warmup_steps": 9}
        return train(tmp_path / folder, configuration, **keywords)[1]

    whole = run("whole", 3)  # 6 steps an epoch
    with open(tmp_path / "whole" / "history.csv") as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == pytest.approx([6 / 9 * 1e-2, 1e-2, 0.98e-2])
    run("parts", 1)
    assert same_weights(whole, run("parts", 3, allow_changes=True))


def test_plateau_that_begins_late():
    optimizer, scheduler = make_optim(
        nn.Linear(1, 1).parameters(), 16, "min", scheduler="plateau", plateau_patience=1, plateau_start=5
    )
    rates = []
    for _ in range(8):
        scheduler.step(1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1e-3] * 7 + [0.5e-3]
    other = make_optim(nn.Linear(1, 1).parameters(), 16, "min", scheduler="plateau", plateau_start=5)[1]
    other.load_state_dict(scheduler.state_dict())
    assert other.n_seen == 8


def test_unknown_optimizer_and_scheduler_are_refused():
    for key in ("warmup_steps", "plateau_start"):
        with pytest.raises(UserError, match=f"optim.{key} must be a whole number"):
            make_optim(nn.Linear(1, 1).parameters(), 16, **{key: -1})
    with pytest.raises(UserError, match="optim.scheduler 'cosine' is unknown; allowed are step, plateau, none"):
        make_optim(nn.Linear(1, 1).parameters(), 16, scheduler="cosine")
    with pytest.raises(UserError, match="optim: "):
        make_optim(nn.Linear(1, 1).parameters(), 16, optimizer="adamm")


def test_momentum_reaches_the_optimizers_that_have_one():
    for name in ("rmsprop", "sgd"):
        optimizer, _ = make_optim(nn.Linear(1, 1).parameters(), 40, optimizer=name, lr=1e-5, momentum=0.9)
        assert optimizer.param_groups[0]["momentum"] == 0.9
    with pytest.raises(UserError, match="optim.momentum must be 0: adam has none"):
        make_optim(nn.Linear(1, 1).parameters(), 40, optimizer="adam", momentum=0.9)
