"""Experiment folders whose files are lost or broken: nothing that is there is ever lost by training again."""

import importlib.util
import json
import shutil

import pytest
import torch
from engine_toys import conf, same_weights, train
from helpers import ROOT
from music_corpus import write_corpus

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.files import read_json
from asteroid_bsrnn.training.loop import Loop
from asteroid_bsrnn.training.state.checkpoints import Checkpoints, damage

MADE = conf(epochs=4, checkpoint_every=2, keep_best=2)
STOP = 16  # steps after which the unfinished run was stopped: 6 an epoch, so in the third


def stopped(folder, step=STOP):
    """Train until ``step``, then stop as Ctrl-C does."""
    with pytest.MonkeyPatch.context() as patch:
        original = Loop.after_step

        def after_step(self, *args):
            original(self, *args)
            if self.progress.global_step == step:
                raise KeyboardInterrupt

        patch.setattr(Loop, "after_step", after_step)
        with pytest.raises(KeyboardInterrupt):
            train(folder, MADE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished and an unfinished run; with the finished one's summary and weights."""
    folder = tmp_path_factory.mktemp("runs")
    summary, weights = train(folder / "finished", MADE)
    stopped(folder / "unfinished")
    return folder, summary, weights


@pytest.fixture(params=["finished", "unfinished"])
def kind(request):
    return request.param


@pytest.fixture
def copy_of(runs, tmp_path):
    def copied(kind):
        shutil.copytree(runs[0] / kind, tmp_path / "exp")
        return tmp_path / "exp"

    return copied


def checkpoints(exp):
    return Checkpoints(exp / "checkpoints").files()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete_all(exp):
    for path in checkpoints(exp):
        path.unlink()


def truncate_all(exp):
    for path in checkpoints(exp):
        truncate(path)


def leave_out_the_folder(exp):
    shutil.rmtree(exp / "checkpoints")


def leave_only_a_backup(exp):
    newest, other = checkpoints(exp)
    newest.rename(newest.with_name("resume_backup.ckpt"))
    other.rename(other.with_name("resume_00000003 (1).ckpt"))


def leave_only_results(exp):
    delete_all(exp)
    (exp / "run.json").unlink()


def leave_only_weights(exp):
    for path in exp.glob("*.*"):
        path.unlink()
    delete_all(exp)


def files(exp):
    return {path.relative_to(exp): path.read_bytes() for path in exp.rglob("*") if path.is_file()}


def assert_still_there(before, exp):
    after = files(exp)
    assert [str(name) for name in before if after.get(name) != before[name]] == []
    assert {name.name for name in set(after) - set(before)} <= {".lock"}


GONE = [delete_all, truncate_all, leave_out_the_folder, leave_only_a_backup]


@pytest.mark.parametrize("harm", GONE + [lambda exp: truncate(checkpoints(exp)[0])])
def test_finished_means_nothing_to_do(runs, copy_of, harm):
    exp = copy_of("finished")
    harm(exp)
    before = files(exp)
    for _ in range(2):  # as a job that is queued again does
        summary, weights = train(exp, MADE)
        assert {**summary, "exp_dir": "", "best_model": ""} == {**runs[1], "exp_dir": "", "best_model": ""}
        assert same_weights(weights, runs[2])
        assert_still_there(before, exp)


@pytest.mark.parametrize("harm", GONE + [leave_only_results, leave_only_weights])
def test_begun_without_a_checkpoint_is_refused_each_time(copy_of, harm):
    exp = copy_of("unfinished")
    harm(exp)
    before = files(exp)
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"nothing was changed: restore .* from a copy, or start anew in another folder"
        ):
            train(exp, MADE)
        assert_still_there(before, exp)


def test_more_epochs_of_a_finished_run_need_a_checkpoint(copy_of):
    exp, longer = copy_of("finished"), {**MADE, "training": {**MADE["training"], "epochs": 5}}
    delete_all(exp)
    before = files(exp)
    with pytest.raises(UserError, match="no checkpoint to continue it from"):
        train(exp, longer, allow_changes=True)
    assert_still_there(before, exp)


def test_one_broken_checkpoint_costs_nothing(runs, copy_of, capsys):
    exp = copy_of("unfinished")
    broken = checkpoints(exp)[0]
    truncate(broken)
    assert Checkpoints(exp / "checkpoints").newest() == checkpoints(exp)[1] and broken.exists()
    assert "continuing from the one before" in capsys.readouterr().out
    summary, weights = train(exp, MADE)
    assert summary["best"] == runs[1]["best"] and same_weights(weights, runs[2])
    assert not broken.exists() and [damage(path) for path in checkpoints(exp)] == [None, None]


def test_a_broken_checkpoint_does_not_push_out_a_readable_one(tmp_path):
    kept = Checkpoints(tmp_path)
    for number in range(2):
        kept.save({"number": number})
    truncate(kept.files()[0])
    good = kept.newest(report=lambda text: None)
    kept.save({"number": 2})
    assert [path.name for path in kept.files()] == ["resume_00000002.ckpt", good.name]


def test_files_of_the_user_are_left_alone(copy_of, runs):
    exp = copy_of("unfinished")
    mine = [
        "resume_backup.ckpt",
        "resume_99999999_old.ckpt",
        "resume_1.ckpt",
        "epoch=best.pth",
        "epoch=1-step=6 (1).pth",
    ]
    mine += [".notes.partial.txt"]
    for name in mine:
        (exp / "checkpoints" / name).write_bytes(b"mine")
    assert [path.name for path in checkpoints(exp)] == [path.name for path in checkpoints(runs[0] / "unfinished")]
    summary, weights = train(exp, MADE)
    assert summary["status"] == "finished" and same_weights(weights, runs[2])
    assert all((exp / "checkpoints" / name).read_bytes() == b"mine" for name in mine)


def test_what_a_kill_left_half_written_is_removed(copy_of):
    exp = copy_of("unfinished")
    left = [
        ".best_model.0a1b2c3d.partial.pth",
        ".run.0a1b2c3d.partial.json",
        "checkpoints/.resume_00000004.0a1b2c3d.partial.ckpt",
    ]
    for name in left:
        (exp / name).write_bytes(b"half")
    train(exp, MADE)
    assert not any((exp / name).exists() for name in left)


# -- a better result is never lost


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), truncate])
def test_lost_weights_do_not_stop_a_resume(copy_of, runs, harm, capsys):
    exp = copy_of("unfinished")
    best, *others = json.loads((exp / "best_k_models.json").read_text())
    harm(exp / best)
    summary, weights = train(exp, MADE)
    assert "mended from" in capsys.readouterr().out
    assert summary["best"] == runs[1]["best"] and same_weights(weights, runs[2])


def test_all_weights_lost_are_said_and_training_goes_on(copy_of, capsys):
    exp = copy_of("unfinished")
    for path in [*exp.glob("checkpoints/epoch=*"), exp / "best_model.pth"]:
        path.unlink()
    summary, weights = train(exp, MADE)
    assert "no longer counts as best" in capsys.readouterr().out
    assert summary["status"] == "finished" and summary["best_epoch"] > 2
    assert same_weights(weights, torch.load(exp / "best_model.pth", weights_only=True)["state_dict"])


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), truncate])
def test_best_model_of_a_finished_run_is_mended_or_said(copy_of, runs, harm, capsys):
    exp = copy_of("finished")
    expected = (exp / "best_model.pth").read_bytes()
    harm(exp / "best_model.pth")
    assert same_weights(train(exp, MADE)[1], runs[2])
    assert "mended from" in capsys.readouterr().out and (exp / "best_model.pth").read_bytes() == expected
    harm(exp / "best_model.pth")
    for path in exp.glob("checkpoints/epoch=*"):
        path.unlink()
    before = files(exp)
    for _ in range(2):
        with pytest.raises(UserError, match="best_model.pth cannot be read .* restore one of the two"):
            train(exp, MADE)
        assert_still_there(before, exp)


def test_an_old_checkpoint_does_not_overwrite_later_results(copy_of, tmp_path):
    stopped(tmp_path / "early", step=4)
    exp = copy_of("finished")
    delete_all(exp)
    for path in checkpoints(tmp_path / "early"):
        shutil.copy(path, exp / "checkpoints")
    (exp / "run.json").write_text((exp / "run.json").read_text().replace('"status": "finished"', '"status": "failed"'))
    before = files(exp)
    for _ in range(2):
        with pytest.raises(UserError, match="results up to epoch 4, but its newest readable checkpoint is of epoch 1"):
            train(exp, MADE)
        assert_still_there(before, exp)


def test_a_validation_done_again_leaves_the_better_model_until_then(copy_of, runs):
    exp = copy_of("finished")  # in this run the last epoch is the best
    assert runs[1]["best_epoch"] == 4
    truncate(checkpoints(exp)[0])
    (exp / "run.json").write_text((exp / "run.json").read_text().replace('"status": "finished"', '"status": "failed"'))
    best = (exp / "best_model.pth").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "scores", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(exp, MADE)
    assert (exp / "best_model.pth").read_bytes() == best
    assert same_weights(train(exp, MADE)[1], runs[2]) and (exp / "best_model.pth").read_bytes() == best


# -- through the recipe: four models in folders of their own, joined into one file


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Stage 2 of the music recipe on two short songs, and a finished experiment of it."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"), lengths=(50000, 50000), valid=("ValidA",), level=0.5)
    values = f"data.root={corpus} data.valid_tracks=[ValidA] data.sad=null data.segment=1.0 data.n_items=2 loader.num_workers=0"
    values += " model.feature_dim=4 model.n_repeats=1 training.effective_batch=2 training.batch=2 training.epochs=1"
    spec = importlib.util.spec_from_file_location("music_train", ROOT / "recipes" / "musdb18hq" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(exp, *options):
        return module.guarded(
            module.main, ["--exp_dir", str(exp), *options, "--set", *values.split(), "energy.track=false"]
        )

    exp = tmp_path_factory.mktemp("music") / "exp"
    assert call(exp) == 0 and read_json(exp / "run.json")["status"] == "finished"
    return call, exp


@pytest.fixture
def music(recipe, tmp_path):
    shutil.copytree(recipe[1], tmp_path / "exp")
    return recipe[0], tmp_path / "exp"


def test_recipe_without_checkpoints_has_nothing_to_do(music):
    call, exp = music
    for folder in exp.glob("*/checkpoints"):
        shutil.rmtree(folder)
    before = files(exp)
    for _ in range(2):
        assert call(exp) == 0
        assert_still_there(before, exp)


def unfinished(exp, source):
    for path in (exp, exp / source):
        record = read_json(path / "run.json")
        record["models"] = {name: value for name, value in record.get("models", {}).items() if name != source}
        (path / "run.json").write_text(json.dumps({**record, "status": "interrupted"}, indent=2))
    delete_all(exp / source)


def without_folder(exp, source):
    shutil.rmtree(exp / source)


@pytest.mark.parametrize(
    "harm, said", [(unfinished, "no checkpoint to continue"), (without_folder, "is empty, though")]
)
def test_recipe_refuses_a_damaged_model_and_changes_no_record(music, harm, said, capsys):
    call, exp = music
    harm(exp, "bass")
    before = files(exp)
    for options in ((), ("--source", "bass"), ()):
        assert call(exp, *options) == 2
        assert said in capsys.readouterr().err
        assert_still_there(before, exp)
    assert call(exp, "--source", "drums") == 0


@pytest.mark.parametrize("text", ["[1]", "{"])
def test_broken_record_is_refused_and_can_be_removed(copy_of, runs, text):
    exp = copy_of("unfinished")
    (exp / "run.json").write_text(text)
    with pytest.raises(UserError, match="run.json is not .*; restore it from a copy, or remove it to go on without it"):
        train(exp, MADE)
    (exp / "run.json").unlink()
    assert same_weights(train(exp, MADE)[1], runs[2])


# -- every file of an experiment, harmed in every way


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


HARMS = {"deleted": lambda path: path.unlink(), "truncated": truncate, "flipped": flip}


def called(exp):
    """What a call does with an experiment: its weights, or the sentence that refuses."""
    try:
        return train(exp, MADE)[1]
    except UserError as error:
        return str(error)


@pytest.mark.slow
def test_each_file_harmed_gives_the_same_weights_or_a_clear_refusal(runs, copy_of, kind):
    counts = {"same": 0, "refused": 0}
    names = [name for name in files(runs[0] / kind) if name.name != ".lock" and "tensorboard" not in name.parts]
    for name in names:
        for how, harm in HARMS.items():
            exp = copy_of(kind)
            harm(exp / name)
            before = files(exp)
            for found in (called(exp), called(exp)):
                if isinstance(found, str):
                    refused = (
                        "from a copy" in found or "choose another tag or restore" in found
                    )  # a bit of a key or value
                    assert str(exp) in found and refused, f"{name} {how}: {found}"
                    assert_still_there(before, exp)
                else:
                    assert same_weights(found, runs[2]), f"{name} {how}"
            counts["refused" if isinstance(found, str) else "same"] += 1
            print(f"{kind}, {name} {how}: {found if isinstance(found, str) else 'same weights'}")
            shutil.rmtree(exp)
    print(f"{kind}: {counts}")
    assert sum(counts.values()) == 3 * len(names) >= 24 and counts["same"] > counts["refused"]
