"""On Windows and macOS all but training works: simulated by taking away what they lack, once the libraries are loaded."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
import torch
from helpers import ROOT

from asteroid_bsrnn.models import BSRNN

LACKING = {  # platform: modules, functions of os, signals
    "win32": (
        "resource fcntl termios pwd grp",
        "fork sched_getaffinity preadv pread statvfs sysconf killpg getuid geteuid setsid nice getloadavg mkfifo",
        "SIGUSR1 SIGUSR2 SIGALRM SIGKILL",
    ),
    "darwin": ("", "sched_getaffinity preadv", ""),
}
SIMULATION = """
import errno, os, pathlib, signal, sys
from fcntl import fcntl
from asteroid_bsrnn_cli import _in_place, main
_in_place()
from asteroid_bsrnn import host
host.repair()
import asteroid.models, huggingface_hub, matplotlib.pyplot, pandas, scipy.signal, soundfile, soxr, tqdm, yaml, requests, safetensors.torch
for name in [name for name in sys.modules if name.startswith("asteroid_bsrnn")]:
    del sys.modules[name]
platform, modules, functions, signals, song, model, out = sys.argv[1:]
for name in modules.split():
    sys.modules[name] = None
for name in functions.split():
    delattr(os, name)
for name in signals.split():
    delattr(signal, name)
class OfLinux:
    platform = sys.platform
    __getattr__ = lambda self, name: getattr(sys, name)

soundfile._sys = OfLinux()  # its library here lacks what the one for Windows has
sys.platform = platform
read_text, fsync = pathlib.Path.read_text, os.fsync

def without_proc(self, *args, **kwargs):
    if self.parts[1:2] in (("proc",), ("sys",)):
        raise FileNotFoundError(str(self))
    return read_text(self, *args, **kwargs)

def windows_fsync(descriptor):
    if not fcntl(descriptor, 3) & (os.O_WRONLY | os.O_RDWR):
        raise OSError(errno.EBADF, "Bad file descriptor")
    fsync(descriptor)

pathlib.Path.read_text = without_proc
if platform == "win32":
    os.fsync = windows_fsync
scores = ["evaluate", out, "--references", out, "-o", out + "_scores"]
sys.exit(
    main(["separate", song, "--model", model, "-o", out]) or main(scores) or main(["info"])
    or main(["report", "--published", "-o", out + "_report"]) or main(["models"])
)
"""


@pytest.mark.parametrize("platform", sorted(LACKING))
def test_commands_ask_for_nothing_that_the_system_lacks(platform, tmp_path):
    song, model, out = (tmp_path / name for name in ("song.wav", "model.pth", "out"))
    torch.save(BSRNN(feature_dim=8, n_repeats=1).serialize(), model)
    sf.write(song, 0.1 * np.random.default_rng(0).standard_normal((30000, 2)), 44100, subtype="FLOAT")
    command = [sys.executable, "-c", SIMULATION, platform, *LACKING[platform], *map(str, (song, model, out))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert sf.info(out / "song" / "vocals.wav").frames == 30000
    assert "memory_free_gib    unknown" in done.stdout, "`info` goes on where the system tells nothing"
