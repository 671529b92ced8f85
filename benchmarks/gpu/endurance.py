"""A run that is killed and goes on, and one on two cards, end as one that was left alone on one card."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from asteroid_bsrnn.common.precision import use_tf32
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.training.fit import fit
from asteroid_bsrnn.training.loop import seed_everything
from asteroid_bsrnn.training.state.checkpoints import Checkpoints, load

from . import zoo
from .plan import ROOT, Result, Setting, each, result, within

ITEMS, KILLED_AT = 16, 9  # the second epoch's second step
TWO_CARDS = 1e-3  # of the largest weight: sums in another order, through Adam's normalisation


def run(setting: Setting) -> Iterator[Result]:
    """A whole run first, which both are held against."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        parts: dict[str, Callable[[], Result]] = {
            "a whole run": lambda: whole(place, setting),
            "kill and resume": lambda: killed(place, setting),
            "two cards": lambda: two(place, setting),
        }
        yield from each(setting, parts)


def whole(folder: Path, setting: Setting) -> Result:
    """Train without interruption."""
    done = _process(folder / "whole", setting)
    return result("a whole run", done.returncode == 0, text=_last(done))


def killed(folder: Path, setting: Setting) -> Result:
    """Train, be killed by SIGKILL in the second epoch, go on: the same weights, to the bit where cuDNN has the kernels."""
    done = [_process(folder / "killed", setting, KILL="1"), _process(folder / "killed", setting)]
    if [process.returncode for process in done] != [-signal.SIGKILL, 0]:
        return result(
            "kill and resume", False, text=f"ended with {done[0].returncode} and {done[1].returncode}: {_last(done[1])}"
        )
    distance = _distance(folder / "killed", folder / "whole")
    note = "to the bit" if distance == 0 else "not to the bit: cuDNN has no deterministic kernel for a layer"
    return result(
        "kill and resume", distance == 0 or (setting.device == "cuda" and distance < TWO_CARDS), distance, None, note
    )


def two(folder: Path, setting: Setting) -> Result:
    """DDP over NCCL; in the dry form over gloo, on the processor."""
    if setting.device == "cuda" and torch.cuda.device_count() < 2:
        return {"name": "two cards", "skipped": "there is one card here"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "x",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    started = [_start(folder / "two", setting, **both, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    ended = [process.wait(120) for process in started]
    if any(ended):
        return result("two cards", False, text=f"the processes ended with {ended}")
    return within(
        "two cards", _distance(folder / "two", folder / "whole"), TWO_CARDS, "weights against those of one card"
    )


def _distance(folder: Path, other: Path) -> float:
    """Largest difference of a weight over the largest weight."""
    found, reference = (load(Checkpoints(place / "checkpoints").newest())["model"] for place in (folder, other))
    flat = [torch.cat([value.flatten().float() for value in state.values()]) for state in (found, reference)]
    return zoo.deviation(*flat)


def _start(folder: Path, setting: Setting, **extra: str) -> subprocess.Popen:
    environment = {**os.environ, **extra, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "benchmarks.gpu.endurance", str(folder), setting.device]
    pipes = (
        {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        if not extra.get("RANK")
        else {"stdout": subprocess.DEVNULL}
    )
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


def _process(folder: Path, setting: Setting, **extra: str) -> Any:
    process = _start(folder, setting, **extra)
    output, _ = process.communicate(timeout=180)
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def _last(done: Any) -> str:
    return "" if done.returncode == 0 else (done.stdout or "nothing was said").strip().splitlines()[-1]


class _Draws:
    """Noise that depends on (epoch, index) alone; kills the process at one of the items if it is told to."""

    dataset_name, sample_rate = "noise", 44100

    def __init__(self, length: int, seconds: float) -> None:
        self.length, self.samples = length, round(seconds * 44100)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Any) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = key if isinstance(key, tuple) else (99, key)
        if os.environ.get("KILL") and (epoch, index) == (1, KILLED_AT):
            os.kill(os.getpid(), signal.SIGKILL)
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        stems = 0.1 * torch.randn(2, 2, self.samples, generator=generator)
        return stems.sum(0), stems[:1]


def train(folder: str, device: str) -> None:
    """Two epochs of the tiny model."""
    use_tf32(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    conf = {
        "optim": {"lr": 1.0e-3, "lr_reference_batch": None},
        "loader": {"num_workers": 0},
        "inference": {"scheme": "fader", "segment": 0.5, "overlap": 0.1},
        "energy": {"track": False},
        "training": {"epochs": 2, "effective_batch": 4, "batch": 2, "seed": 1, "checkpoint_every": 1, "devices": "auto",
                     "accelerator": "gpu" if device == "cuda" else "cpu"},
    }  # fmt: skip
    if "WORLD_SIZE" not in os.environ:
        conf["training"]["devices"] = 1
    seed_everything(1)
    model = zoo.build("BSRNN")
    fit(model, _Draws(ITEMS, 0.3), _Draws(2, 1.0), TimeTFLoss(), conf, folder)


if __name__ == "__main__":
    train(*sys.argv[1:])
