"""``fit``: protocol, files, draws, precision, averages; small models on one CPU."""

import csv
import importlib.util
import json
import multiprocessing

import numpy as np
import pytest
import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr
from asteroid.models import BaseModel
from engine_toys import Draws, Gain, Talkers, Toy, conf, same_weights, toy, train, train_talkers
from torch import nn

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.precision import supports
from asteroid_bsrnn.engine import EpochSampler, MusicSystem, SpeechSystem, fit, seed_everything
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.models import register_model
from asteroid_bsrnn.recipe.repeat import repeat
from asteroid_bsrnn.training.autocast import Precision
from asteroid_bsrnn.training.state.checkpoints import exclusive
from asteroid_bsrnn.training.state.ema import WeightAverage
from asteroid_bsrnn.training.state.progress import Progress

register_model(Toy)


def rows(folder):
    with open(folder / "history.csv") as file:
        return list(csv.DictReader(file))


# -- one run and what it leaves behind


def test_fit_learns_and_writes_its_files(tmp_path):
    summary, weights = train(tmp_path, conf(epochs=6, keep_best=2))
    history = rows(tmp_path)
    assert [row["epoch"] for row in history] == list("123456")
    assert float(history[-1]["val_usdr"]) > float(history[0]["val_usdr"]) + 1
    assert float(history[-1]["train_loss"]) < float(history[0]["train_loss"])
    best = max(history, key=lambda row: float(row["val_usdr"]))
    assert summary["best"] == float(best["val_usdr"]) and summary["best_epoch"] == int(best["epoch"])
    assert summary["status"] == "finished" and summary["epochs"] == 6

    loaded = BaseModel.from_pretrained(str(tmp_path / "best_model.pth"))
    assert isinstance(loaded, Toy) and same_weights(loaded.state_dict(), weights)
    best_k = json.loads((tmp_path / "best_k_models.json").read_text())
    assert len(best_k) == 2 and max(best_k.values()) == summary["best"]
    assert all((tmp_path / name).exists() for name in best_k)
    assert len(list((tmp_path / "checkpoints").glob("resume_*.ckpt"))) == 2
    assert not list(tmp_path.rglob(".*partial*"))

    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "finished" and record["resumed"] == [] and record["conf"] == conf(epochs=6, keep_best=2)
    assert record["effective_batch"] == 4 and record["batch"] == 2 and record["accumulation"] == 2
    assert record["lr"] == 0.01 and record["precision"] == "fp32" and record["seed"] == 1
    assert record["n_params"] == sum(p.numel() for p in loaded.parameters())
    if importlib.util.find_spec("tensorboard"):
        assert list((tmp_path / "tensorboard").glob("events*"))
    assert torch.__version__.startswith(record["versions"]["torch"]) and record["energy"] is None


def test_effective_values_are_printed_before_training(tmp_path, capsys):
    configuration = conf(epochs=1)
    configuration["optim"] = {"lr": 1.0e-3}
    train(tmp_path, configuration)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "effective batch 4 = 2 per device x 1 device(s) (cpu) x 2 accumulated; learning rate 0.00025" in first
    assert "% of the epoch)" in last  # the share of validation


def test_a_finished_run_changes_nothing(tmp_path):
    summary, weights = train(tmp_path, conf())
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}
    again, same = train(tmp_path, conf())
    assert again == summary and same_weights(weights, same)
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}


def test_same_seed_same_weights_other_seed_others(tmp_path):
    _, first = train(tmp_path / "a", conf())
    _, second = train(tmp_path / "b", conf())
    _, other = train(tmp_path / "c", conf(seed=2))
    assert same_weights(first, second) and not same_weights(first, other)


def test_two_runs_in_one_folder_are_refused(tmp_path):
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()

    def other():
        with exclusive(tmp_path / "checkpoints"):
            held.set(), done.wait(600)

    process = context.Process(target=other)
    process.start()
    assert held.wait(600)
    with pytest.raises(UserError, match="another process is training"):
        train(tmp_path, conf())
    done.set(), process.join()
    assert train(tmp_path, conf())[0]["status"] == "finished"


@pytest.mark.parametrize(
    "training, sentence",
    [
        ({"monitor": "sdr"}, "training.monitor 'sdr' is unknown; allowed are loss, usdr, si_sdr"),
        ({"monitor": "si_sdr"}, "training.monitor si_sdr: validation gives only val_loss, val_usdr"),
        ({"epochs": 0}, "training.epochs must be a whole number of at least 1"),
        ({"bacth": 2}, "unknown key training.bacth"),
        ({"precision": "fp8"}, "training.precision 'fp8' is unknown; allowed are fp32, bf16, fp16, auto"),
        ({"effective_batch": 100}, "an epoch has only 24 items"),
        ({"activation_checkpointing": True}, "Toy has no such option"),
    ],
)
def test_wrong_settings_get_one_sentence(tmp_path, training, sentence):
    with pytest.raises(UserError, match=sentence.replace("(", r"\(")):
        train(tmp_path, conf(**training))


def test_text_for_a_number_and_empty_validation_are_refused(tmp_path):
    configuration = conf()
    configuration["optim"]["lr"] = "1e-3"
    with pytest.raises(UserError, match="write 1.0e-3"):
        train(tmp_path, configuration)
    with pytest.raises(UserError, match="validation set is empty"):
        train(tmp_path, conf(), val_set=Draws(0))


# -- stopping and choosing


def test_patience_counts_validations_without_improvement():
    progress, kept = Progress(), []
    for epoch, value in enumerate([1.0, 3.0, 2.0, float("nan"), 3.0]):
        progress.epoch = epoch
        kept.append(progress.note_score(value, "max", f"{epoch}.pth", keep=2))
    assert kept == [True, True, False, False, False] and progress.wait == 3
    assert [entry[1:] for entry in progress.best] == [[2, "1.pth"], [5, "4.pth"]] and progress.dropped == ["2.pth"]


def test_early_stopping_and_monitor(tmp_path):
    class Falling(MusicSystem):
        def score(self, mixture, sources):
            return {"val_loss": float(self.calls()), "val_usdr": float(self.calls())}

        def calls(self):
            self.count = getattr(self, "count", 0) + 1
            return self.count

    summary, _ = train(tmp_path / "loss", conf(epochs=9, patience=2, monitor="loss"), system_cls=Falling)
    assert summary["epochs"] == 3 and summary["best_epoch"] == 1
    summary, _ = train(tmp_path / "usdr", conf(epochs=4, patience=2, monitor="usdr"), system_cls=Falling)
    assert summary["epochs"] == 4 and summary["best_epoch"] == 4


# -- precision and averages


def test_average_follows_the_weights_and_is_exported(tmp_path):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = WeightAverage(model, 0.9)
    nn.init.constant_(model.weight, 2.0)
    average.update()
    with average.applied():
        assert model.weight.item() == pytest.approx(1.1)
    assert model.weight.item() == 2.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        WeightAverage(model, 1.0)

    _, plain = train(tmp_path / "plain", conf(epochs=1))
    _, averaged = train(tmp_path / "ema", conf(epochs=1, ema=0.9))
    last = torch.load(sorted((tmp_path / "ema" / "checkpoints").glob("resume_*"))[-1], weights_only=True)
    assert (
        same_weights(last["model"], plain) and same_weights(last["ema"], averaged) and not same_weights(plain, averaged)
    )


@pytest.mark.processor
def test_bf16_trains_or_is_refused(tmp_path):
    if not supports("bf16", "cpu"):
        with pytest.raises(UserError, match="training.precision bf16 cannot be had on device 'cpu' here: use fp32$"):
            train(tmp_path, conf(precision="bf16"))
        assert not list(tmp_path.iterdir())
        return
    summary, weights = train(tmp_path, conf(precision="bf16"))
    assert summary["skipped_steps"] == 0 and rows(tmp_path)[-1]["val_usdr"] > rows(tmp_path)[0]["val_usdr"]
    assert all(value.dtype == torch.float32 for value in weights.values())


@pytest.mark.processor
def test_auto_goes_on_with_what_the_run_began_with(tmp_path, monkeypatch):
    def used(**training):
        train(tmp_path, conf(precision="auto", **training), allow_changes=True)
        return json.loads((tmp_path / "run.json").read_text())["precision"]

    monkeypatch.setattr("asteroid_bsrnn.common.precision._is_faster", lambda precision, device: True)
    begun = used(epochs=1)
    assert (
        begun == ("bf16" if supports("bf16", "cpu") else "fp32")
        and repeat(tmp_path)[0]["training"]["precision"] == begun
    )
    monkeypatch.setattr("asteroid_bsrnn.common.precision._is_faster", lambda precision, device: False)
    assert used(epochs=2) == begun
    monkeypatch.setattr("asteroid_bsrnn.training.fit.supports", lambda precision, device: precision == "fp32")
    assert used(epochs=3) == "fp32"  # the folder was brought to a device without bf16


def test_overflow_lowers_the_scale_and_is_no_fault():
    precision = Precision("fp32", "cpu")
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], 1.0)
    for grad, overflow, scale in ((float("inf"), True, 2.0), (float("inf"), True, 1.0), (float("inf"), False, 0.5)):
        precision.scaler.scale((parameter * grad).sum()).backward()
        precision.scaler.unscale_(optimizer)
        assert precision.step(optimizer, finite=False) is overflow and precision.scaler.get_scale() == scale
        optimizer.zero_grad()
    assert parameter.item() == 1.0
    precision.scaler.scale((parameter * 2).sum()).backward()
    precision.scaler.unscale_(optimizer)
    assert precision.step(optimizer, finite=True) is False and parameter.item() == -1.0


# -- the systems


def test_song_loss_is_the_median_over_segments_and_score_that_of_the_whole_song():
    from asteroid_bsrnn.metrics import usdr

    seed_everything(0)
    model = Toy(sources=("vocals", "bass"), dropout=0.0)
    inference = {"scheme": "ola", "segment": 0.25, "hop": 0.25}
    system = MusicSystem(model, None, TimeTFLoss("t"), None, config={"inference": inference})
    mixture, sources = Draws(1, n_src=2, time=800)[0]
    scores = system.score(mixture, sources)
    with torch.no_grad():
        parts = [model(part[None])[0] for part in mixture.split(200, dim=-1)]
    losses = [(part - target).abs().mean() for part, target in zip(parts, sources.split(200, dim=-1))]
    assert scores["val_loss"] == pytest.approx(float(torch.stack(losses).median()), rel=1e-6)
    expected = usdr(torch.cat(parts, dim=-1)[None], sources[None])[0]
    assert scores["val_usdr_vocals"] == pytest.approx(float(expected[0]), rel=1e-5)
    assert scores["val_usdr"] == pytest.approx(float(expected.mean()), rel=1e-5)


def test_each_song_counts_once(tmp_path):
    class Counting(MusicSystem):
        def score(self, mixture, sources):
            return {"val_loss": 0.0, "val_usdr": float(mixture.shape[-1])}

    class Songs(Draws):
        def __getitem__(self, index):
            return torch.ones(2, 100 * (index + 1)), torch.ones(1, 2, 100 * (index + 1))

    summary, _ = train(tmp_path, conf(epochs=1), val_set=Songs(5), system_cls=Counting)
    assert summary["best"] == 300.0


def test_speech_is_permutation_invariant():
    class Swapped(nn.Module):
        sample_rate = 8000

        def forward(self, wav):
            return torch.stack([wav - self.first, self.first.expand_as(wav)], dim=1)

    sources = torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    model = Swapped()
    model.first = sources[0]
    system = SpeechSystem(model, None, PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx"), None)
    scores = system.score(sources.sum(0), sources)
    assert scores["val_si_sdr"] > 50 and scores["val_loss"] == pytest.approx(-scores["val_si_sdr"], rel=1e-3)
    batch = (sources.sum(0)[None], sources[None])
    assert float(system.common_step(batch, 0)) == pytest.approx(scores["val_loss"], rel=1e-3)
    model.training_loss = lambda wav, targets: targets.mean() * 0 + 7
    assert float(system.common_step(batch, 0)) == 7 and system.score(*[x[0] for x in batch])["val_loss"] == 7


@pytest.mark.parametrize("name", ["ConvTasNet", "own loss"])
def test_fit_trains_speech(tmp_path, name):
    from asteroid.models import ConvTasNet

    class Speech(Draws):
        def __getitem__(self, key):
            mixture, sources = super().__getitem__(key)
            return sources[:, 0].sum(0), sources[:, 0]

    made = conf(epochs=2, monitor="si_sdr")
    seed_everything(1)
    sizes = dict(n_filters=16, kernel_size=16, stride=8, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8, skip_chan=8)
    model = ConvTasNet(2, sample_rate=8000, **sizes)  # leaves parameters without a gradient
    if name == "own loss":
        model.training_loss = lambda wav, sources: (model(wav) - sources).square().mean()
    loss = PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx")
    data = Speech(n_src=2, time=400), Speech(3, n_src=2, time=700)
    summary = fit(model, *data, loss, made, tmp_path, system_cls=SpeechSystem)
    row = rows(tmp_path)[-1]
    if name == "own loss":
        assert float(row["val_loss"]) > 0
    else:
        assert float(row["val_loss"]) == pytest.approx(-float(row["val_si_sdr"]), abs=1e-4)
    assert summary["monitor"] == "val_si_sdr" and (tmp_path / "best_model.pth").exists()


def test_systems_work_with_lightnings_own_trainer(tmp_path):
    import pytorch_lightning as pl
    from torch.utils.data import DataLoader

    model = toy(conf())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaders = DataLoader(Draws(8), batch_size=4), DataLoader(Draws(2, time=500), batch_size=1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    system = MusicSystem(model, optimizer, TimeTFLoss(n_fft=64, n_hop=16), *loaders, config=conf())
    quiet = dict(enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, log_every_n_steps=1, **quiet)
    trainer.fit(system)
    assert {"val_loss", "val_usdr"} <= trainer.callback_metrics.keys() and not same_weights(before, model.state_dict())


class Worsening(MusicSystem):
    """A run whose uSDR rises in every epoch, while its loss rises too."""

    def score(self, mixture, sources):
        return {"val_loss": float(self.current_epoch), "val_usdr": float(self.current_epoch)}


@pytest.mark.parametrize("mode, lowered", [("max", False), ("min", True)])
def test_trainer_monitors_what_the_mode_means_and_draws_new_items(tmp_path, mode, lowered):
    import pytorch_lightning as pl
    from torch.utils.data import DataLoader

    class Noted(Draws):
        def __getitem__(self, key):
            asked.append(key)
            return super().__getitem__(key)

    asked, data = [], Noted(8)
    model, loader = toy(conf()), DataLoader(data, batch_size=4, sampler=EpochSampler(data, seed=3))
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, patience=0, factor=0.5)
    system = Worsening(
        model, optimizer, TimeTFLoss(n_fft=64, n_hop=16), loader, DataLoader(Draws(1, time=500)), scheduler, conf()
    )
    best = pl.callbacks.ModelCheckpoint(tmp_path, monitor=system.default_monitor, mode="max", save_weights_only=True)
    quiet = dict(enable_progress_bar=False, enable_model_summary=False, logger=False, num_sanity_val_steps=0)
    pl.Trainer(max_epochs=3, accelerator="cpu", callbacks=[best], log_every_n_steps=1, **quiet).fit(system)
    assert (optimizer.param_groups[0]["lr"] < 1e-2) == lowered and best.best_model_score == 2
    assert sorted(asked) == [(epoch, index) for epoch in range(3) for index in range(8)]
    assert [index for epoch, index in asked if epoch == 0] != [index for epoch, index in asked if epoch == 1]


def test_epochs_of_a_loader_without_lightning():
    sampler = EpochSampler(Draws(4), seed=1)
    first, second = list(sampler), list(sampler)
    assert {epoch for epoch, _ in first} == {0} and {epoch for epoch, _ in second} == {1} and len(sampler) == 4
    sampler.set_epoch(0)
    assert list(sampler) == first


# -- a loss that leaves examples out


@pytest.mark.parametrize("bad", [{1}, {0, 1, 6}, set(range(8)), set()], ids=["one", "three", "all", "none"])
def test_counted_examples_are_those_of_the_effective_batch(tmp_path, bad):
    """However the batch is split; also against one gradient step written down directly."""
    weights = [train_talkers(tmp_path / str(batch), bad, batch=batch) for batch in (8, 4, 2, 1)]
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], rtol=0, atol=1e-9)
    model, data = Gain(), [Talkers(8, bad)[(0, index)] for index in sorted(bad) or range(8)]
    mixture, sources = (torch.stack(signals) for signals in zip(*data))
    PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx")(model(mixture), sources).backward()
    torch.testing.assert_close(
        weights[0], (Gain().filter.weight - 1e-3 * model.filter.weight.grad).detach(), rtol=0, atol=1e-4
    )


def test_gradient_norm_is_clipped(tmp_path):
    configuration = conf(epochs=1, clip=1e-3, effective_batch=24, batch=24)
    configuration["optim"] = {"optimizer": "sgd", "lr": 1.0, "lr_reference_batch": None}
    model = toy(configuration)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    train(tmp_path, configuration, model=model)
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_seeds_all_generators():
    import random

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    seed_everything(1, 2)
    first = draw()
    seed_everything(1, 2)
    assert first == draw()
    seed_everything(1, 3)
    assert all(a != b for a, b in zip(first, draw()))


def test_remixing_within_the_batch_keeps_what_the_mixtures_are_made_of():
    system = MusicSystem(torch.nn.Identity(), None, None, None, config={"training": {"remix_batch": True}})
    parts = torch.randn(6, 3, 2, 50)
    torch.manual_seed(1)
    mixture, sources = system.remixed(parts.sum(1), parts[:, :1])
    assert system.remix and not MusicSystem(torch.nn.Identity(), None, None, None, config={}).remix
    order = [int((parts[:, 0] - sources[i, 0]).abs().sum((1, 2)).argmin()) for i in range(6)]
    assert sorted(order) == list(range(6)) and order != list(range(6))
    assert torch.allclose(sources[:, 0], parts[order, 0])
    assert torch.allclose(mixture.sum(0), parts.sum((0, 1)), atol=1e-4)
    assert not torch.allclose(mixture, parts[order].sum(1), atol=1e-3)


def test_no_worker_process_outlives_the_training(tmp_path):
    made = conf(epochs=2)
    made["loader"]["num_workers"] = 2
    before = set(multiprocessing.active_children())
    train(tmp_path, made)
    assert set(multiprocessing.active_children()) <= before
