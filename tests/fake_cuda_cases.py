"""What runs on simulated CUDA tensors: every model, loss, score and the training step; prints one JSON line per case."""

import fake_cuda  # isort: skip  # before torch

import json
import os
import sys
import warnings
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

import asteroid_bsrnn  # noqa: F401  # isort: skip

from speech_helpers import small_model

from asteroid_bsrnn import losses, metrics
from asteroid_bsrnn.data.music.augment import remix_batch
from asteroid_bsrnn.training.feed.batching import split_batch
from asteroid_bsrnn.training.feed.sampling import StepSampler
from asteroid_bsrnn.training.loggers import Log
from asteroid_bsrnn.training.loop import Loop
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.options import TrainingOptions
from asteroid_bsrnn.training.state.state import RunState
from asteroid_bsrnn.training.stopping import StopRequest
from asteroid_bsrnn.training.systems import MusicSystem, SpeechSystem
from benchmarks.gpu import zoo

PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
VARIANTS = ("afrcnn_sum", "a_dprnn_literal", "sandglasset_dwconv", "upit_blstm_st", "chimera_clustering")
LOSSES = {  # what a loss is built with and takes: music (stems with channels), or speech
    "TimeTFLoss": ({}, "music"),
    "MultiResolutionSTFTLoss": ({}, "music"),
    "QuantileMSELoss": ({}, "music"),
    "WaveMagnitudeLoss": ({}, "music"),
    "SpectralRMSELoss": ({}, "music"),
    "PITNegSISDR": ({"n_src": 3}, "speech"),
    "ClampedSISNR": ({"n_src": 3}, "speech"),
    "MultiStageLoss": ({"n_src": 3}, "speech"),
}


def on_card(*shape: int, **options: Any) -> torch.Tensor:
    return torch.empty(*shape, device="cuda", **options)


def model_step(name: str, model: torch.nn.Module) -> Any:
    """Forward pass and loss of a model in training; music is mixed anew on the card."""
    batch = [fake_cuda.fake(part) for part in zoo.batch(name, model)]
    system = zoo.system(name, fake_cuda.to_card(model.train()))
    system.config = {"training": {"remix_batch": True}}
    return lambda: system.step_totals(batch, 0)[0], model


def loss_step(name: str) -> Any:
    arguments, kind = LOSSES[name]
    loss = losses.get(name)(**arguments)
    shape = (2, 3, 2, 9000) if kind == "music" else (2, 3, 2000)
    estimate, target = on_card(*shape, requires_grad=True), on_card(*shape)
    function = getattr(loss, "totals", loss)

    def step() -> torch.Tensor:
        out = function(estimate, target)
        return out[0] if isinstance(out, tuple) else out

    return step, loss


def cases() -> dict[str, Any]:
    """name -> function that makes (forward pass and loss, module)."""
    found: dict[str, Any] = {}
    for name in zoo.names():
        kind = "speech" if name in zoo.SPEECH else "music"
        found[f"{kind}/{name}"] = lambda name=name: model_step(name, zoo.build(name, dropout=True))
    for name in VARIANTS:
        found[f"speech/{name}"] = lambda name=name: model_step("AFRCNN", small_model(name))
    found.update({f"loss/{name}": lambda name=name: loss_step(name) for name in LOSSES})
    return found


def run(name: str, precision: str, waits: Any) -> None:
    """Forward pass under autocast and backward pass; every parameter that trains gets a gradient of its type."""
    forward, module = cases()[name]()
    waits.seen.clear()
    dtype = PRECISIONS[precision]
    with torch.autocast("cuda", dtype, enabled=dtype is not None):
        loss = forward()
    assert loss.device.type == "cuda" and loss.dim() == 0, loss
    loss.backward()
    assert any(p.grad is not None for p in module.parameters()) or not list(module.parameters())


class Card:
    """What the loop asks of Fabric, for one simulated card."""

    world_size, global_rank, local_rank, is_global_zero = 1, 0, 0, True

    def __init__(self) -> None:
        self.device = torch.device("cuda")

    def setup_module(self, module: Any, move_to_device: bool = True) -> Any:
        return module

    def to_device(self, batch: Any) -> Any:
        return [part.to(self.device, non_blocking=True) for part in batch]

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def all_reduce(self, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
        return value


def optimizer_step(kind: str, precision: str, waits: Any) -> None:
    """One step of the training loop on two micro-batches, with clipping, averages and Adam."""
    music = kind == "music"
    model = zoo.build("BSRNN") if music else small_model("afrcnn")
    model = fake_cuda.to_card(model.train())
    options = TrainingOptions(precision=precision, ema=0.99, batch=2, effective_batch=4)
    optimizer, scheduler = make_optim(model.named_parameters(), 4)
    loss = losses.TimeTFLoss() if music else losses.PITNegSISDR()
    system = (MusicSystem if music else SpeechSystem)(model, optimizer, loss, None, config={})
    with mock.patch("asteroid_bsrnn.training.autocast.choose_precision", lambda name, *others: name):
        state = RunState(
            Card(), model, optimizer, scheduler, options, SimpleNamespace(folder=SimpleNamespace(parent="."))
        )
    assert optimizer.param_groups[0]["fused"], "one kernel for all weights"
    loader = SimpleNamespace(batch_sampler=StepSampler(8, split_batch(4, 2), 0, 42), dataset=range(8))
    loop = Loop(system, state, loader, [], Log(False, []), None, StopRequest())
    shapes = ((2, 2, 9000), (2, 1, 2, 9000)) if music else ((2, 2000), (2, 2, 2000))
    parts = [([torch.empty(shape) for shape in shapes], []) for _ in range(2)]
    loop.train_step(parts)  # the optimizer makes its state
    waits.seen.clear()
    loop.train_step(parts)


def scores(waits: Any) -> None:
    """Every score of waveforms on the card; these may wait, but must not mix devices."""
    music, speech = (on_card(1, 2, 2, 9000) for _ in "12"), (on_card(1, 2, 9000) for _ in "12")
    metrics.usdr(*music)
    metrics.csdr(on_card(1, 2, 2, 9000), on_card(1, 2, 2, 9000), 8000)
    est, ref = speech
    for score in (metrics.best_permutation, metrics.si_sdr):
        score(est, ref)
    metrics.si_sdr_imp(est, ref, on_card(1, 9000))
    remix_batch(on_card(2, 3, 2, 100))


def precisions(name: str) -> list[str]:
    """All for what is small; bf16 takes the way of fp16."""
    if name == "scores":
        return ["fp32"]
    return list(PRECISIONS) if name.startswith(("loss/", "step/", "music/BSRNN")) else ["fp32", "fp16"]


def main() -> None:
    """Run the cases whose names start with one of the arguments."""
    warnings.simplefilter("ignore")
    prefixes = tuple(sys.argv[1:]) or ("",)
    whole = {"scores": lambda precision, waits: scores(waits)}
    whole.update({f"step/{kind}": lambda p, w, kind=kind: optimizer_step(kind, p, w) for kind in ("music", "speech")})
    names = [name for name in (*cases(), *whole) if name.startswith(prefixes)]
    for name in names:
        for precision in precisions(name):
            with fake_cuda.fake_cuda() as waits:
                try:
                    whole[name](precision, waits) if name in whole else run(name, precision, waits)
                    error = None
                except Exception as failure:
                    error = f"{type(failure).__name__}: {failure}"
            print(json.dumps({"case": name, "precision": precision, "waits": waits.seen, "error": error}), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # the threads of autograd for a card that is not there do not end by themselves
