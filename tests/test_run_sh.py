"""``run.sh`` from anywhere: what the Python scripts get is what the caller meant. Python itself is a stand-in here."""

import os
import shutil
import stat
import subprocess

import pytest
from helpers import ROOT
from music_corpus import write_corpus

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data import music_data
from asteroid_bsrnn.recipe.command_line import recipe_conf, recipe_parser
from asteroid_bsrnn.recipe.configuration import load_conf, read_yaml
from asteroid_bsrnn.recipe.overrides import parse_overrides, split_overrides

RECIPES = ("musdb18hq", "libri2mix", "wsj0-2mix")
ROOT_OPTION = {
    "musdb18hq": ("musdb_root", "root"),
    "libri2mix": ("librispeech_dir", "speech_dir"),
    "wsj0-2mix": ("wsj0_dir", "speech_dir"),
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES)
STAND_IN = '#!/bin/sh\npwd >> "{log}"\nfor word; do printf "%s\\n" "$word" >> "{log}"; done\n'


@pytest.fixture
def place(tmp_path):
    """A folder with a blank in its name, a stand-in for python in it, and the recipes beside."""
    folder = tmp_path / "my work"
    folder.mkdir()
    shutil.copytree(
        ROOT / "recipes", folder / "recipes", ignore=shutil.ignore_patterns("data", "exp", "logs", "__pycache__")
    )
    python = folder / "my python"
    python.write_text(STAND_IN.format(log=folder / "log"))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


def run(command, cwd, code=0):
    env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def called(place):
    return (place / "log").read_text().splitlines()


@every_recipe
@pytest.mark.parametrize("way", ["from the repository", "through a symlink", "in its folder", "set -u", "config"])
def test_it_works_from_anywhere_and_relative_paths_are_the_callers(recipe, way, place):
    folder, (option, key) = place / "recipes" / recipe, ROOT_OPTION[recipe]
    cwd, command, start = place, [f"recipes/{recipe}/run.sh"], []
    if way == "through a symlink":
        (place / "bin").mkdir()
        (place / "bin" / "train").symlink_to(folder / "run.sh")
        command = ["bin/train"]
    elif way == "in its folder":
        cwd, command = folder, ["./run.sh"]
    elif way == "set -u":
        command = ["bash", "-u", *command]
    elif way == "config":
        (place / "mine.sh").write_text("seed=7\n")
        start = ["--config", "mine.sh"]
    python = os.path.relpath(place / "my python", cwd)
    python = python if "/" in python else f"./{python}"
    run(
        [*command, *start, "--stage", "2", "--stop_stage", "3", f"--{option}", "my data # x", "--python_path", python],
        cwd,
    )
    lines = called(place)
    assert lines[0] == str(folder) and "train.py" in lines and "eval.py" in lines
    wanted = f"data.{key}={cwd}/my data # x"
    if recipe == "musdb18hq":
        assert lines.count(wanted) == 1 and f"{cwd}/my data # x" in lines  # training, evaluation
    else:
        assert lines.count(wanted) == 2
    assert ("7" in lines) == (way == "config")


@every_recipe
def test_values_reach_python_in_one_piece(recipe, place):
    values = "data.segment=1.0 optim.betas=[0.8, 0.9] training.seed=010"
    run([f"recipes/{recipe}/run.sh", "--stage", "2", "--stop_stage", "2", "--python_path", "./my python", "--set", values,
         "--repeat", "exp/old run/run.json"], place)  # fmt: skip
    lines = called(place)
    assert values in lines and str(place / "exp/old run/run.json") in lines


@every_recipe
def test_another_shell_is_told_so(recipe, place):
    if not shutil.which("dash"):
        pytest.skip("no other shell here")
    assert "run.sh needs bash" in run(["dash", f"recipes/{recipe}/run.sh", "--stage", "0"], place, code=2)


@every_recipe
def test_the_folder_of_options_is_the_same_everywhere(recipe):
    texts = [(ROOT / "recipes" / name / "utils" / "parse_options.sh").read_text() for name in (recipe, RECIPES[0])]
    assert texts[0] == texts[1]


# -- values


def conf_of(recipe, *options):
    args = recipe_parser("").parse_args(["--exp_dir", "nowhere", *options])
    return recipe_conf(args, ROOT / "recipes" / recipe)[0]


def test_values_are_taken_literally_where_a_text_is_meant():
    conf = conf_of("musdb18hq", "--place", "data.root=/none # x", "--set", "data.lists=/my lists: 010 data.corpus=synth",
                   "optim.betas=[0.8, 0.99] training.seed=010", "data.valid_tracks=[Song A, 'Song, B']", "data.sad=null")  # fmt: skip
    assert conf["data"]["root"] == "/none # x" and conf["data"]["lists"] == "/my lists: 010"
    assert conf["data"]["corpus"] == "synth" and conf["data"]["sad"] is None
    assert conf["data"]["valid_tracks"] == ["Song A", "Song, B"]
    assert conf["optim"]["betas"] == [0.8, 0.99] and conf["training"]["seed"] == 10
    conf = conf_of(
        "libri2mix", "--set", "data.noise_dir=/a: b # c", "data.metadata_dir='/quoted path'", "training.devices=2"
    )
    assert conf["data"]["noise_dir"] == "/a: b # c" and conf["data"]["metadata_dir"] == "/quoted path"
    assert conf["training"]["devices"] == 2


def test_overrides_begin_where_a_name_does():
    assert split_overrides(["a.b=1 c.d=two words", " e.f=[1, 2] "]) == ["a.b=1", "c.d=two words", "e.f=[1, 2]"]
    assert parse_overrides(["a.b=010", "a.c=-007", "a.d=08", "a.e=0x1f", "a.f=0.5", "a.g=0"])["a"] == {
        "b": 10, "c": -7, "d": 8, "e": 31, "f": 0.5, "g": 0}  # fmt: skip


def test_yaml_files_may_merge(tmp_path):
    (tmp_path / "a.yml").write_text("a: &base {x: 010, y: 2}\nb: {<<: *base, y: 3}\nc:\n  <<: [*base]\n  z: 1\n")
    assert read_yaml(tmp_path / "a.yml") == {
        "a": {"x": 10, "y": 2},
        "b": {"x": 10, "y": 3},
        "c": {"x": 10, "y": 2, "z": 1},
    }
    (tmp_path / "b.yml").write_text("a: &base {x: 1}\nb: {<<: *base, y: 3, y: 4}\n")
    with pytest.raises(UserError, match="the key 'y' stands twice"):
        read_yaml(tmp_path / "b.yml")


@pytest.mark.parametrize("split", ["train", "test"])
def test_musdb18_as_mp4_is_recognised(split, tmp_path):
    root = write_corpus(tmp_path / "musdb18") if split == "test" else tmp_path / "musdb18"
    (root / split).mkdir(parents=True, exist_ok=True)
    (root / split / "A Band - A Song.stem.mp4").touch()
    conf = load_conf(ROOT / "recipes" / "musdb18hq", overrides={"data": {"root": str(root)}})
    for download in (False, True):
        with pytest.raises(UserError, match="holds MUSDB18 .*compressed.*--download true.*musdbconvert .*16 kHz"):
            music_data(conf, tmp_path).prepare(download)
