"""Networks that are no LSTM, and steps of speech models: as PyTorch and Asteroid run them, and with our products."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from asteroid.masknn import convolutional, norms
from torch.nn import functional as F

from asteroid_bsrnn import models
from asteroid_bsrnn.common import products
from asteroid_bsrnn.common.memory import keep_freed_memory
from asteroid_bsrnn.models.base import run_batch
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import load_conf
from asteroid_bsrnn.recipe.cost import count_macs

from .contest import Spread
from .record import Block
from .speech import SYSTEMS, make_training_step
from .streams import timed
from .table1 import networks, noise, whole_frames
from .training import profiled

SPEECH = Path(__file__).parents[1] / "recipes" / "libri2mix"
SIZES = ((4096, 384, 1536), (4096, 1536, 384), (1008, 256, 1024), (64, 384, 1536))  # rows, features in and out
FORWARD = ("bs_roformer", "mel_roformer", "tfc_tdf_v3", "convtdfnet", "dttnet", "scnet", "presunet", "afrcnn_4", "sfrcnn",
           "conv_tasnet", "sudormrf_1x", "sepreformer_b", "locoformer_m")  # fmt: skip
MUSIC = FORWARD[:7]
STEPS = ("A-FRCNN-4", "Conv-TasNet", "SuDoRM-RF 1.0x")
AIM = 2.0
Task = Callable[[], Any]


def run(settings: Any) -> Block:
    """The block of products."""
    block = Block("Products, and networks that are no LSTM")
    keep_freed_memory()
    torch.set_num_threads(1)
    try:
        peak = _products(block, settings)
        _networks(block, settings, peak)
    finally:
        torch.set_num_threads(settings.threads)
    return block


def _products(block: Block, settings: Any) -> float:
    """The table of single products; returns the best rate of all, operations per second."""
    rows, best = [], 0.0
    for n_rows, n_in, n_out in ((256, 256, 256),) if settings.quick else SIZES:
        torch.manual_seed(0)
        x, weight = torch.randn(n_rows, n_in), torch.randn(n_out, n_in)
        work, truth = 2 * n_rows * n_in * n_out, x.double() @ weight.double().T
        plain, ours = in_turn(lambda: F.linear(x, weight), lambda: products.linear(x, weight), settings.repeats + 4)
        best = max(best, work / min(plain + ours))
        errors = [float((f(x, weight) - truth).abs().max() / truth.abs().max()) for f in (F.linear, products.linear)]
        cells = [f"{work / min(seconds) / 1e9:.0f}" for seconds in (plain, ours)]
        ratio = Spread.of([before / after for before, after in zip(plain, ours)])
        rows.append((n_rows, n_in, n_out, *cells, ratio.text(), *(f"{error:.0e}" for error in errors)))
    used = "are oneDNN's here" if products.onednn_leads() else "are PyTorch's own here: nothing is gained"
    block.text(f"Our products {used}. One thread, processor time; errors against double precision, of the peak.")
    header = ("rows", "in", "out", "F.linear, GFLOP/s", "ours", "times as fast", "error of F.linear", "of ours")
    block.table(header, rows)
    return best


def _networks(block: Block, settings: Any, peak: float) -> None:
    forward, steps = (("scnet", "conv_tasnet"), STEPS[1:2]) if settings.quick else (FORWARD, STEPS)
    seconds = 0.2 if settings.quick else 1.0
    entries = [(f"{name}, forward", *make_forward(name, seconds, settings.quick)) for name in forward]
    entries += [(f"{name}, training step", *make_step(name, seconds)) for name in steps]
    rows = [_row(block, settings, peak, *entry) for entry in entries]
    block.text(
        f"{seconds:g} s of noise, batch 1, one network of the recipe's variant, one thread, processor time, in turn. Before: `F.linear`, 1x1 "
        f"convolutions and Asteroid's layers as they were. The share is of the best product above, {peak / 1e9:.0f} GFLOP/s; a step counts as "
        "three forward passes. The largest operations are those of ours, by PyTorch's profiler."
    )
    header = ("network", "before, s", "ours, s", "times as fast", "GFLOP/s", "share", "largest operations")
    block.table(header, rows)


def _row(block: Block, settings: Any, peak: float, name: str, task: Task, work: float) -> tuple:
    slow, fast = in_turn(as_before(task), task, settings.repeats)
    ratio = Spread.of([before / after for before, after in zip(slow, fast)])
    rate = work / min(fast)
    largest = ", ".join(f"{operation} {share}" for operation, share, _ in profiled(task)[:3])
    block.target(name, AIM, ratio.median, f"{rate / peak:.0%} of the peak; {largest.partition(',')[0]}")
    cells = [Spread.of(seconds).text() for seconds in (slow, fast)]
    return name, *cells, ratio.text(), f"{rate / 1e9:.0f}", f"{rate / peak:.0%}", largest


def make_forward(name: str, seconds: float, quick: bool) -> tuple[Task, float]:
    """A forward pass of a variant's first network, and its operations."""
    torch.manual_seed(0)
    net: Any = next(networks(name, quick))[0] if name in MUSIC else build_model(load_conf(SPEECH, name, demo=quick))
    net = net.eval()
    length = whole_frames(net, seconds) if name in MUSIC else int(seconds * net.sample_rate)
    wav = noise(length)[:, : 2 if name in MUSIC else 1]

    def task() -> None:
        with torch.inference_mode():
            run_batch(net, wav)

    return task, 2 * count_macs(lambda given: run_batch(net, given), wav)


def make_step(name: str, seconds: float) -> tuple[Task, float]:
    """A training step of a speech system, and its operations."""
    class_name, arguments = SYSTEMS[name]
    net: Any = models.get(class_name)(**arguments).eval()
    wav = noise(int(seconds * 8000))[:, :1]
    return make_training_step(name, seconds), 6 * count_macs(lambda given: run_batch(net, given), wav)


def in_turn(before: Task, after: Task, repeats: int) -> tuple[list[float], list[float]]:
    """Processor seconds of two tasks that run in turn, after a first time of each that is not counted."""
    pairs = [(timed(before), timed(after)) for _ in range(1 + repeats)]
    slow, fast = zip(*pairs[1:])
    return list(slow), list(fast)


def as_before(task: Task) -> Task:
    """``task`` with products, and layers of Asteroid, as they are without this package."""

    def run_before() -> Any:
        with _host_layers(), mock.patch.object(products, "onednn_leads", lambda: False):
            return task()

    return run_before


@contextmanager
def _host_layers() -> Iterator[None]:
    mended = norms.GlobLN.forward, convolutional.SuDORMRF.forward
    norms.GlobLN.forward, convolutional.SuDORMRF.forward = _norm, _masks
    try:
        yield
    finally:
        norms.GlobLN.forward, convolutional.SuDORMRF.forward = mended


def _norm(self: Any, x: torch.Tensor, EPS: float = 1e-8) -> torch.Tensor:
    return self.apply_gain_and_bias(norms.z_norm(x, list(range(1, x.ndim)), EPS))


def _masks(self: Any, x: torch.Tensor) -> torch.Tensor:
    x = self.sm(self.l1(self.ln(x)))
    x = self.reshape_before_masks(x) if self.bn_chan != self.in_chan else x
    return self.output_act(self.m(x.unsqueeze(1)))
