"""On a card nothing lies on the wrong device and nobody waits: seen on simulated CUDA tensors, without a card.

Each case is a model, loss or training step with real autograd, in 32 bits and under autocast; see ``fake_cuda.py``.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
FAST = ("loss/", "step/", "scores", "music/BSRNN, tac")
LIBRARY = {  # what other packages wait for: demucs copies filters and windows and inverts by torch's; Asteroid copies a zero
    "Demucs": 2,
    "HDemucs": 4,
    "HTDemucs": 5,
    "ConvTasNet": 1,
}


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    """The library that answers for CUDA, built for this PyTorch."""
    if shutil.which("g++") is None:
        pytest.skip("no compiler g++ for the CUDA guard that does nothing")
    root, library = Path(torch.__file__).parent, tmp_path_factory.mktemp("guard") / "libfakecuda.so"
    command = ["g++", "-w", "-shared", "-fPIC", "-std=c++20", str(HERE / "fake_cuda_guard.cpp"), "-o", str(library)]
    command += [f"-I{root / 'include'}", f"-I{root / 'include/torch/csrc/api/include'}"]
    command += [f"-L{root / 'lib'}", f"-Wl,-rpath,{root / 'lib'}", "-lc10", "-ltorch_cpu"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def outcomes(guard, *prefixes):
    environment = {**os.environ, "FAKE_CUDA_GUARD": str(guard), "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "fake_cuda_cases.py"), *prefixes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found):
    """No error; no wait in a model or a loss, one in a step; scores may wait."""
    assert found
    for entry in found:
        kind, _, name = entry["case"].partition("/")
        allowed = 1 if kind == "step" else LIBRARY.get(name, 0)
        assert entry["error"] is None, entry
        assert kind == "scores" or sum(entry["waits"].values()) <= allowed, entry


def test_losses_steps_scores_and_a_model(guard):
    found = outcomes(guard, *FAST)
    check(found)
    steps = [entry for entry in found if entry["case"].startswith("step/")]
    assert [sum(entry["waits"].values()) for entry in steps] == [1] * 6, "the loss is read, so that a wait is seen"


@pytest.mark.slow
def test_every_model(guard):
    check(outcomes(guard, "music/", "speech/"))
