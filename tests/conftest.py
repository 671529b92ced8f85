"""Settings of the whole suite: one thread per process, the package imported before asteroid."""

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # helpers; benchmarks

import torch  # noqa: E402

import asteroid_bsrnn  # noqa: E402, F401

torch.set_num_threads(1)

# Under nohup, or behind a shell's "&", signals are ignored, and what the tests start would inherit that; a handler it does not.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)
