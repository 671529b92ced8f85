"""Streams of the causal model: what blocks of each size cost beside the whole recording, and how late they are."""

import time
from collections.abc import Callable
from typing import Any

import torch

from asteroid_bsrnn.models import CausalBSRNN

from .contest import Spread
from .record import Block
from .training import QUICK

BLOCKS = (512, 2048, 8192)  # samples
LIMIT = "small blocks hold few frames for each pass of the recurrent layers, whose weights are read anew for each"


def timed(run: Callable[[], Any]) -> float:
    """Seconds that one run keeps a processor busy."""
    start = time.process_time()
    run()
    return time.process_time() - start


def streamer(model: CausalBSRNN, wav: torch.Tensor, size: int) -> Callable[[], torch.Tensor]:
    """A function that streams a recording in blocks of ``size`` samples."""

    def run() -> torch.Tensor:
        stream = model.open_stream()
        return torch.cat([*(stream.push(block) for block in wav.split(size, dim=-1)), stream.finish()], dim=-1)

    return run


def whole(model: CausalBSRNN, wav: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A function that separates the recording in one go."""

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return model(wav)

    return run


def run(settings: Any) -> Block:
    """The block of streams."""
    torch.manual_seed(0)
    seconds = 0.2 if settings.quick else 1.0
    model = CausalBSRNN(**(QUICK if settings.quick else {})).eval().to(settings.device)
    wav = 0.1 * torch.randn(1, 2, round(seconds * 44100), device=settings.device)
    torch.set_num_threads(1)
    runs = {"whole": whole(model, wav), **{str(size): streamer(model, wav, size) for size in BLOCKS}}
    expected = runs["whole"]()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(settings.repeats):
        for name, function in runs.items():
            times[name].append(timed(function))
    torch.set_num_threads(settings.threads)
    block = Block("Streams")
    rows = [("whole", "-", f"{Spread.of(times['whole']).median / seconds:.2f}", "1", "-")]
    for size in BLOCKS:
        own = times[str(size)]
        ratio = Spread.of([here / there for here, there in zip(own, times["whole"])])
        error = float((runs[str(size)]() - expected).abs().max() / expected.abs().max())
        late = (size + model.open_stream().latency) / 44.1
        rows.append((size, f"{late:.0f}", f"{Spread.of(own).median / seconds:.2f}", ratio.text(), f"{error:.1e}"))
        block.target(f"speed of real time, blocks of {size}", 1, seconds / Spread.of(own).median, LIMIT)
    block.text(
        f"The variant `causal`, one stem, {seconds:g} s of stereo noise, one thread; processor time. A sample comes out at most so many "
        "milliseconds after it was played: the block that it waits in, and what the network looks ahead."
    )
    block.table(("samples a block", "late at most, ms", "real-time factor", "times the whole", "difference"), rows)
    return block
