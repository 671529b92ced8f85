"""A user's network, trained by the recipe with a tracker of his own: stopped after two epochs and continued, nothing differs."""

import json

import pytest
from helpers import ROOT
from music_corpus import write_corpus
from test_plugins import python
from test_resume import assert_undisturbed

SHORT = """
plugins: [mine, diary]
logging: [{diary: {file: notes.txt}}]
task: {sources: [vocals, bass], simo: %s}
model: {model_name: TinyFilters, kernel: 5}
loss: {name: weighted_loss, weight: 2.0}
data: {corpus: tiny_songs, root: %s, valid_tracks: [Valid A], sad: null, segment: 0.1, n_items: 12}
loader: {num_workers: 0}
energy: {track: false}
training: {epochs: 2, effective_batch: 4, batch: 2, checkpoint_every: 2, ema: 0.9, accelerator: cpu}
"""
TRAIN = """
from asteroid_bsrnn.recipe.music_stages import train
recipe, folder = {recipe!r}, {folder!r}
for name in ("one model per source", "jointly"):
    def run(place, *options):
        train(recipe, ["--exp_dir", f"{{folder}}/{{name}}/{{place}}", "--variant", f"{{folder}}/{{name}}.yml", *options])
    run("at once", "--set", "training.epochs=4")
    run("continued")
    run("continued", "--resume_with", "training.epochs=4")
"""
WAYS = {"one model per source": ("vocals", "bass"), "jointly": ("",)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both ways of training two sources, each at once and continued, by the stage of the recipe."""
    folder = tmp_path_factory.mktemp("trained")
    root = write_corpus(folder / "songs", lengths=(9000, 12000))
    for name in WAYS:
        (folder / f"{name}.yml").write_text(SHORT % (str(name == "jointly").lower(), root))
    done = python(TRAIN.format(recipe=str(ROOT / "recipes" / "musdb18hq"), folder=str(folder)))
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", WAYS)
def test_four_epochs_are_two_and_two(trained, name):
    for model in WAYS[name]:
        once, continued = (trained / name / place / model for place in ("at once", "continued"))
        assert len(json.loads((continued / "run.json").read_text())["resumed"]) == 1
        assert len((continued / "history.csv").read_text().splitlines()) == 1 + 4
        assert_undisturbed(continued, once)  # weights, averages, optimizer, history, best models, bit by bit
    assert (trained / name / "continued" / "best_model.pth").read_bytes() == (
        trained / name / "at once" / "best_model.pth"
    ).read_bytes()


@pytest.mark.parametrize("name", WAYS)
def test_the_tracker_has_each_step_and_epoch_once(trained, name):
    for model in WAYS[name]:
        once, continued = (
            (trained / name / place / model / "notes.txt").read_text() for place in ("at once", "continued")
        )
        assert continued == once
        steps = [int(line.split()[0]) for line in once.splitlines() if line.endswith("step_loss")]
        assert steps == list(range(1, 13)), "four epochs of three steps"
        assert sum("val_usdr" in line for line in once.splitlines()) == 4
