"""Is a card as right as a processor? Goldens, every model, precisions, recomputing, what fits, whole recordings."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from asteroid_bsrnn.common.precision import PRECISIONS, supports, use_tf32
from asteroid_bsrnn.convert import from_reference
from asteroid_bsrnn.separation import Separator, separate
from asteroid_bsrnn.training.autocast import Precision
from asteroid_bsrnn.training.devices import make_fabric
from asteroid_bsrnn.training.feed.sampling import TolerantDataset
from asteroid_bsrnn.training.fitting import fit_to_device
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.options import TrainingOptions
from asteroid_bsrnn.training.state.state import RunState

from . import zoo
from .plan import ROOT, Result, Setting, each, result, within

GOLDEN = ROOT / "tests" / "golden"
OUTPUT, GRADIENT = 1e-4, 1e-3  # of the largest value; of the norm
HALF = {"bf16": 0.1, "fp16": 0.05}  # of the loss


def run(setting: Setting) -> Iterator[Result]:
    """Results in order of importance."""
    use_tf32(False)
    yield from each(setting, parts(setting))


def parts(setting: Setting) -> dict[str, Callable[[], Result]]:
    """name -> check."""
    device = setting.device
    found: dict[str, Callable[[], Result]] = {}
    if (GOLDEN / "index.json").exists():
        for name in ("base_vocals", "bscnn_d3_h1", "tac_prelu"):
            found[f"golden {name}, fp32"] = partial(golden, name, device)
    else:
        found["goldens"] = lambda: {"name": "goldens", "skipped": f"there is no {GOLDEN}"}
    for name in zoo.names():
        found[f"{name}, forward and backward"] = partial(same_step, name, device)
    for name in ("BSRNN", "AFRCNN"):
        for precision in HALF:
            found[f"{name}, {precision}"] = partial(half_step, name, precision, device)
    found["activation checkpointing"] = partial(recomputed, device)
    found["batch auto"] = partial(fits, device)
    found["recording, fp32"] = partial(recording, "fp32", device)
    for precision in HALF:
        found[f"recording, {precision}"] = partial(recording, precision, device)
    return found


def golden(name: str, device: str) -> Result:
    """The published implementation's output."""
    arrays = np.load(GOLDEN / f"{name}.npz")
    weights = {key[3:]: arrays[key] for key in arrays.files if key.startswith("sd/")}
    model = from_reference(weights, json.loads((GOLDEN / "index.json").read_text())[name]).to(device)
    with torch.no_grad():
        output = model(torch.from_numpy(arrays["x"]).to(device))
    return within(f"golden {name}, fp32", zoo.deviation(output, torch.from_numpy(arrays["wav"])), 1e-5)


def same_step(name: str, device: str) -> Result:
    """Loss and gradients of a training step as on a processor."""
    model = zoo.build(name)
    other = zoo.twin(model)
    losses = zoo.step(name, model, "cpu"), zoo.step(name, other, device)
    loss = zoo.deviation(losses[1], losses[0])
    gradient = zoo.gradient_deviation(zoo.gradients(other), zoo.gradients(model))
    what = f"{name}, forward and backward"
    return result(what, loss <= OUTPUT and gradient <= GRADIENT, gradient, GRADIENT, f"gradients; loss {loss:.1e}")


def half_step(name: str, precision: str, device: str) -> Result:
    """Automatic mixed precision: the loss is near that of fp32, scaled gradients are finite."""
    what = f"{name}, {precision}"
    if not supports(precision, device):
        return {"name": what, "skipped": f"{precision} cannot be had on this device"}
    model = zoo.build(name)
    exact = zoo.step(name, zoo.twin(model), device)
    mode = Precision(precision, device)
    loss = zoo.step(name, model.to(device), device, mode.autocast)
    finite = all(bool(value.isfinite().all()) for value in zoo.gradients(model).values())
    error = zoo.deviation(loss, exact)
    return result(what, finite and error <= HALF[precision], error, HALF[precision], "of the loss")


def recomputed(device: str) -> Result:
    """Gradients with activation checkpointing are those without."""
    found = []
    for flag in (False, True):
        model = zoo.build("BSRNN, tac, attention")
        model.activation_checkpointing = flag
        zoo.step("BSRNN, tac, attention", model, device)
        found.append(zoo.gradients(model))
    return within("activation checkpointing", zoo.gradient_deviation(*found), 1e-5, "gradients against those without")


class _Noise:
    """Training items of the tiny model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.parts = [part[0] for part in zoo.batch("BSRNN", model)]

    def __len__(self) -> int:
        return 64

    def __getitem__(self, key: tuple[int, int]) -> list[torch.Tensor]:
        return self.parts


def fits(device: str) -> Result:
    """``training.batch: auto`` in a card that is made small: a step of what it chose runs, one of twice as much may not."""
    model = zoo.build("BSRNN").to(device)
    options = TrainingOptions(batch="auto", effective_batch=64, ema=0.99)
    fabric = make_fabric(accelerator="gpu" if device == "cuda" else "cpu", devices=1)
    optimizer, scheduler = make_optim(model.named_parameters(), 64)
    state = RunState(fabric, model, optimizer, scheduler, options, SimpleNamespace(folder=ROOT))
    total = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else 0
    if total:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 2**28) / total))
    try:
        data, trained = TolerantDataset(_Noise(model)), zoo.system("BSRNN", model)
        split = fit_to_device(trained, state, data)
        batch = [torch.stack([part] * split.batch).to(device) for part in data.dataset.parts]
        for _ in range(2):
            trained.common_step(batch, 0).backward()
            optimizer.step()
    finally:
        if total:
            torch.cuda.set_per_process_memory_fraction(1.0)
    note = f"{split.batch} of 64 items at a time" + (" in 256 MiB" if total else "; nothing is tried on a processor")
    return result("batch auto", split.effective_batch == 64, split.batch, None, note)


def recording(precision: str, device: str) -> Result:
    """A recording through the packaged model, against the processor's fp32; a table of errors for the other precisions."""
    what = f"recording, {precision}"
    if precision in PRECISIONS and not supports(precision, device):
        return {"name": what, "skipped": f"{precision} cannot be had on this device"}
    generator = torch.Generator().manual_seed(2)
    wav = 0.1 * torch.randn(1, 8000 * 4, generator=generator)
    estimates = [
        separate(Separator("tiny-2spk", device=where, precision=how), wav, 8000)
        for where, how in (("cpu", "fp32"), (device, precision))
    ]
    limit = {"fp32": OUTPUT, "fp16": 0.03, "bf16": 0.1}[precision]
    return within(what, zoo.deviation(estimates[1], estimates[0]), limit, "tiny-2spk, of the peak")
