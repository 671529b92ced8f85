"""Blocks of the documentation, and a folder in which they can run."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from helpers import GOLDEN, ROOT
from music_corpus import SOURCES, write_corpus

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/*/README.md")]
)
LANGUAGES = ("sh", "python")
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
SETTINGS = "model.feature_dim=8 model.n_repeats=1 data.segment=1.0 data.sad_window=1.5 data.n_items=4 data.valid_tracks=[ValidA] " \
    "loader.num_workers=0 training.effective_batch=2 training.batch=2 training.epochs=1"  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One fenced block: where, in which language, what, and why it is not run (None: it is)."""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None


def blocks(page):
    """Blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["language"], found["text"], found["reason"])
        for found in _BLOCK.finditer(text)
    ]


def make_world(folder):
    """Songs, small models, a trained experiment, corpora and the recipes, under the names that the documentation uses."""
    from asteroid.models import ConvTasNet

    from asteroid_bsrnn.models import BSRNN, StemSeparator

    torch.manual_seed(0)
    noise = 0.1 * np.random.default_rng(0).standard_normal((40000, 2))
    soundfile.write(folder / "song.wav", noise, 44100, subtype="FLOAT")
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", folder / "song.wav", folder / "song.mp3"], check=True)
    soundfile.write(folder / "mix.wav", noise[:8000, 0], 8000)
    voices = [soundfile.read(path) for path in sorted((GOLDEN / "voices").glob("*.flac"))]
    length = min(len(voice) for voice, _ in voices)
    soundfile.write(folder / "talk.wav", sum(voice[:length] for voice, _ in voices) / 2, voices[0][1])
    members = [BSRNN(sources=[name], feature_dim=8, n_repeats=1, mask_ratio=1) for name in SOURCES]
    torch.save(StemSeparator(members).serialize(), folder / "model.pth")
    small = ConvTasNet(n_src=2, n_filters=16, n_repeats=1, n_blocks=2, bn_chan=8, hid_chan=8, skip_chan=8)
    torch.save(small.serialize(), folder / "best_model.pth")
    write_corpus(folder / "musdb18hq", lengths=(80000, 90000, 100000), valid=("ValidA",), level=0.5)
    shutil.copytree(folder / "musdb18hq" / "test", folder / "estimates")
    write_corpus(folder / "my_songs", lengths=(80000, 90000), valid=("ValidA",), level=0.5)
    (folder / "my_songs" / "train" / "Song 0" / "bass.wav").unlink()
    stems = f"name: my_corpus\nstems: [{', '.join(SOURCES)}]\ncomplete: false\nsplits: {{valid: [ValidA]}}\n"
    (folder / "my_corpus.yml").write_text(stems)
    shutil.copytree(
        ROOT / "recipes", folder / "recipes", ignore=shutil.ignore_patterns("data", "exp", "logs", "__pycache__")
    )
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / "bin").mkdir()
    for name, module in (("asteroid-bsrnn", " -m asteroid_bsrnn_cli"), ("python", "")):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        program.chmod(0o755)


def run(command, folder, **variables):
    """Output of a command in a world; fails with that output."""
    import os

    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        **variables,
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def train_base(folder):
    """``exp/base``: the music recipe from corpus to report, at its smallest."""
    recipe = folder / "recipes" / "musdb18hq"
    run(
        [
            str(recipe / "run.sh"),
            "--stage",
            "0",
            "--tag",
            "base",
            "--musdb_root",
            str(folder / "musdb18hq"),
            "--set",
            SETTINGS,
        ],
        folder,
    )
    shutil.copytree(recipe / "exp", folder / "exp")
