"""Speed and memory against the textbook baseline, contender after contender in one process: training steps, songs, a captured step."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from asteroid_bsrnn import models
from asteroid_bsrnn.common.precision import supports, use_tf32
from asteroid_bsrnn.losses import PITNegSISDR, TimeTFLoss
from asteroid_bsrnn.models.family import demo_arguments
from asteroid_bsrnn.training.autocast import Precision

from ..songs import make_song
from ..training import MODELS, build, make_step
from .clock import Cost, cost
from .plan import Result, Setting, each, result

TINY = {"feature_dim": 8, "n_repeats": 1}
AIMS = {"fp32": 2.0, "tf32": 2.0, "bf16": 3.0, "fp16": 3.0}  # of a training step; songs: 5
SPEECH = {"A-FRCNN": ("AFRCNN", {}), "DPRNN": ("DPRNNTasNet", {"n_src": 2, "kernel_size": 18, "stride": 9})}


def run(setting: Setting) -> Iterator[Result]:
    """Steps of the base model first, then songs, the larger models, speech, and the captured step."""
    bench = _Bench(setting)
    parts: dict[str, Callable[[], Result]] = {}
    parts.update(bench.steps("base"))
    parts.update(bench.songs())
    parts["step, base, CUDA graph, fp32"] = partial(captured, setting)
    for name in ("optimized", "simo_optimized"):
        parts.update(bench.steps(name))
    parts.update(bench.speech())
    yield from each(setting, parts)


class _Bench:
    """Contests whose first contender is what the others are measured by."""

    def __init__(self, setting: Setting) -> None:
        self.device, self.dry = setting.device, setting.dry
        self.seconds = 0.0 if setting.dry else 2.5  # of measuring, for each contender
        there = [name for name in ("bf16", "fp16") if supports(name, setting.device)]
        self.precisions = ["fp32", *(["tf32"] if setting.device == "cuda" else []), *there]
        self.first: dict[str, Cost] = {}

    def steps(self, name: str) -> dict[str, Callable[[], Result]]:
        """Training steps of 2 x 3 s, as published."""
        size = {"batch": 1, "seconds": 0.1} if self.dry else {"batch": 2, "seconds": 3.0}
        args = dict(model_args={**MODELS[name], **(TINY if self.dry else {})}, device=self.device, **size)
        entries = {"textbook, fp32": dict(args, textbook=True, precision="fp32")}
        entries.update({kind: dict(args, textbook=False, precision=kind) for kind in self.precisions})
        best = self.precisions[-1]
        if best not in ("fp32", "tf32"):
            entries[f"textbook, {best}"] = dict(args, textbook=True, precision=best)
        entries["fp32, checkpointing"] = dict(args, textbook=False, precision="fp32", checkpointing=True)
        return {
            f"step, {name}, {who}": partial(self.measure, f"step, {name}", who, partial(make_step, **entry), AIMS)
            for who, entry in entries.items()
        }

    def songs(self) -> dict[str, Callable[[], Result]]:
        """A minute of stereo in segments of 10 s, one stem."""
        args = dict(model_args=TINY if self.dry else {}, seconds=0.5 if self.dry else 60.0, device=self.device)
        entries = {"textbook, fp32": dict(args, textbook=True, precision="fp32", batch=1)}
        entries.update({kind: dict(args, textbook=False, precision=kind, batch=6) for kind in self.precisions})
        aims = dict.fromkeys(AIMS, 5.0)
        return {
            f"song, base, {who}": partial(self.measure, "song, base", who, partial(make_song, **entry), aims)
            for who, entry in entries.items()
        }

    def speech(self) -> dict[str, Callable[[], Result]]:
        """Training steps of the speech models, 6 x 3 s at 8 kHz; the first precision is what the others are measured by."""
        precisions = [name for name in self.precisions if name != "tf32"]
        return {
            f"step, {name}, {kind}": partial(
                self.measure, f"step, {name}", kind, partial(speech_step, name, kind, self.device, self.dry), {}
            )
            for name in SPEECH
            for kind in precisions
        }

    def measure(self, contest: str, who: str, make: Callable[[], Callable[[], Any]], aims: dict[str, float]) -> Result:
        """One contender."""
        found = cost(make, self.device, self.seconds)
        use_tf32(False)
        first = self.first.setdefault(contest, found)
        ratio = first.seconds / found.seconds
        memory = f", memory {found.mib / first.mib:.2f} of it" if first.mib else ""
        text = found.text() + ("" if first is found else f"; {ratio:.2f} times the speed of the first{memory}")
        aim = aims.get(who) if self.device == "cuda" and first is not found else None
        reached = None if aim is None else ratio >= aim
        text += "" if aim is None else f"; aim {aim:g}: {'reached' if reached else 'missed'}"
        return {
            **result(f"{contest}, {who}", None, ratio, None, text),
            "seconds": found.seconds,
            "mib": found.mib,
            "aim": aim,
            "aim_reached": reached,
        }


def speech_step(name: str, precision: str, device: str, dry: bool) -> Callable[[], None]:
    """A function that makes one training step on noise."""
    torch.manual_seed(0)
    class_name, arguments = SPEECH[name]
    small = {**demo_arguments(class_name), "n_filters": 8, "bn_chan": 8} if dry else {}
    model = models.get(class_name)(**arguments, **small).to(device).train()
    mode, loss_func = Precision(precision, device), PITNegSISDR(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    sources = 0.1 * torch.randn(1 if dry else 6, 2, 800 if dry else 24000, device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with mode.autocast():
            estimates = model(sources.sum(1))
        total, count = loss_func.totals(estimates.float(), sources)
        mode.scaler.scale(total / count.clamp(min=1)).backward()
        mode.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        mode.step(optimizer, True)

    return step


def captured(setting: Setting) -> Result:
    """The whole training step of the base model as one CUDA graph: nothing in it waits, so that it can be captured."""
    name = "step, base, CUDA graph, fp32"
    if setting.device != "cuda":
        return {"name": name, "skipped": "there are no CUDA graphs on a processor"}
    use_tf32(False)
    found = cost(_capture, "cuda", 2.5)
    return {**result(name, True, None, None, found.text()), "seconds": found.seconds, "mib": found.mib}


def _capture() -> Callable[[], None]:
    model = build({}, device="cuda").train()
    loss_func = TimeTFLoss().match_stft(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    wav = 0.1 * torch.randn(2, 2, 3 * 44100, device="cuda")
    targets = wav[:, None].contiguous()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_func(model.forward_stft(wav), targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
