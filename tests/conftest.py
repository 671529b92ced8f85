"""Settings of the whole suite: one thread per process, the package imported before asteroid."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # helpers; benchmarks

import torch  # noqa: E402

import asteroid_bsrnn  # noqa: E402, F401

torch.set_num_threads(1)
