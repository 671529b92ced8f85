"""Losses and gradients that are not finite, and files that cannot be read in the middle of a run."""

import csv

import pytest
import torch
from engine_toys import Draws, conf, train

from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.engine import MusicSystem
from asteroid_bsrnn.training.faults import TrainingFailed
from asteroid_bsrnn.training.feed.sampling import ATTEMPTS, TolerantDataset


def failing(bad_calls, value=float("nan"), gradient_only=False):
    """System whose loss (or only its gradient) is not finite in some of its calls, counted from 0."""

    class Failing(MusicSystem):
        calls = -1

        def common_step(self, batch, batch_nb, train=True):
            loss = super().common_step(batch, batch_nb, train)
            type(self).calls += 1
            if self.calls not in bad_calls:
                return loss
            zero = next(self.model.parameters()).flatten()[0] * 0
            return loss + zero.square().sqrt() if gradient_only else loss * value  # the root has no slope at 0

    return Failing


def rows(folder):
    with open(folder / "history.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("value, gradient_only", [(float("nan"), False), (float("inf"), False), (1.0, True)])
def test_step_that_is_not_finite_is_skipped_and_counted(tmp_path, capsys, value, gradient_only):
    made = conf(batch=4, epochs=1)  # 6 steps, one call each
    system = failing({5}, value, gradient_only)
    summary, weights = train(tmp_path / "a", made, system_cls=system)
    _, shorter = train(tmp_path / "b", made, train_set=Prefix(20))
    assert summary["skipped_steps"] == 1 and rows(tmp_path / "a")[0]["skipped_steps"] == "1"
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert all(torch.equal(weights[name], shorter[name]) for name in weights)  # as if the last step had not been
    assert "epoch 1, step 6: loss or gradient is not finite, step skipped (1 in a row)" in capsys.readouterr().out
    assert float(rows(tmp_path / "a")[0]["train_loss"]) == float(rows(tmp_path / "b")[0]["train_loss"])


class Prefix(Draws):
    """The first items of the 24 of ``Draws``, in the order in which an epoch of 24 uses them."""

    def __getitem__(self, key):
        from asteroid_bsrnn.training.feed.batching import split_batch
        from asteroid_bsrnn.training.feed.sampling import StepSampler

        long, short = (StepSampler(n, split_batch(4, 4), seed=1).order() for n in (24, self.length))
        return super().__getitem__((key[0], long[short.index(key[1])])) if isinstance(key, tuple) else None


def test_one_bad_part_of_an_accumulated_step_skips_the_whole_step(tmp_path):
    summary, _ = train(tmp_path, conf(epochs=1), system_cls=failing({2}))
    assert summary["skipped_steps"] == 1 and rows(tmp_path)[0]["train_loss"] != "nan"


def test_too_many_in_a_row_go_back_to_the_last_good_checkpoint(tmp_path, capsys):
    made = conf(batch=4, epochs=1, max_bad_steps=2, checkpoint_every=2)

    class Spoiling(failing({3, 4})):
        def common_step(self, batch, batch_nb, train=True):
            loss = super().common_step(batch, batch_nb, train)
            if self.calls == 4:  # without going back these weights would stay
                next(self.model.parameters()).data.fill_(1e6)
            return loss

    summary, weights = train(tmp_path, made, system_cls=Spoiling)
    assert summary["skipped_steps"] == 2
    assert all(tensor.abs().max() < 10 for tensor in weights.values())
    said = capsys.readouterr().out
    assert "2 steps in a row were not finite: back to the weights of epoch 1, step 2" in said


def test_stops_when_going_back_does_not_help(tmp_path):
    made = conf(batch=4, epochs=2, max_bad_steps=2)
    with pytest.raises(TrainingFailed, match="again after going back to the last good checkpoint: lower optim.lr"):
        train(tmp_path, made, system_cls=failing(set(range(2, 99))))
    # nothing is lost: the state before the trouble is there
    summary, weights = train(tmp_path, made)
    assert summary["status"] == "finished" and all(torch.isfinite(value).all() for value in weights.values())


class Broken(Draws):
    """Some items name a file that cannot be read."""

    def __init__(self, broken, **keywords):
        super().__init__(**keywords)
        self.broken = set(broken)

    def __getitem__(self, key):
        if isinstance(key, tuple) and key[1] in self.broken:
            raise AudioError(f"song{key[1]}.wav", "is empty")
        return super().__getitem__(key)


def test_unreadable_file_is_named_replaced_and_counted(tmp_path, capsys):
    made = conf(epochs=2, max_unreadable=0.5)
    summary, first = train(tmp_path / "a", made, Broken({3, 7}))
    assert summary["unreadable"] >= 4 and int(rows(tmp_path / "a")[0]["unreadable"]) >= 2
    said = capsys.readouterr().out
    assert "unreadable, replaced by another draw: song3.wav: is empty" in said and "song7.wav" in said
    made["loader"]["num_workers"] = 2
    _, second = train(tmp_path / "b", made, Broken({3, 7}))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_replacement_depends_on_seed_epoch_and_index_alone():
    data = Broken({3}, length=24)
    (mixture, _), failures = TolerantDataset(data, seed=1)[(0, 3)]
    assert failures == ["song3.wav: is empty"]
    assert torch.equal(TolerantDataset(data, seed=1)[(0, 3)][0][0], mixture)
    others = [TolerantDataset(data, seed=seed)[(epoch, 3)][0][0] for seed, epoch in ((2, 0), (1, 1))]
    assert not any(torch.equal(mixture, other) for other in others)
    drawn = [data[(0, index)][0] for index in range(24) if index != 3]
    assert any(torch.equal(mixture, other) for other in drawn)  # a draw of the same epoch


def test_too_many_unreadable_files_stop_the_run(tmp_path):
    with pytest.raises(TrainingFailed, match=r"more than training.max_unreadable \(0.1 of 24 draws\) allows; the last"):
        train(tmp_path, conf(max_unreadable=0.1), Broken({1, 2, 3, 4, 5}))
    with pytest.raises(UserError, match=f"{ATTEMPTS} draws in a row could not be read; the last: song"):
        TolerantDataset(Broken(range(24)))[(0, 0)]


def test_unreadable_validation_file_stops_with_its_name(tmp_path):
    class BrokenSong(Draws):
        def __getitem__(self, index):
            raise AudioError("valid.wav", "is truncated")

    with pytest.raises(AudioError, match="valid.wav: is truncated"):
        train(tmp_path, conf(epochs=1), val_set=BrokenSong(1))


def test_a_model_that_diverges_in_validation_is_never_the_best(tmp_path):
    class Diverging(MusicSystem):
        def separate(self, mixture, sources):
            estimates, losses = super().separate(mixture, sources)
            return estimates * float("nan"), losses

    summary, _ = train(tmp_path, conf(epochs=3, patience=2), system_cls=Diverging)
    assert summary["best"] is None and summary["epochs"] == 2 and not (tmp_path / "best_model.pth").exists()
