"""Time and memory of a task on a card, or on the processor in the dry form. Needs torch alone."""

import gc
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Cost(NamedTuple):
    """Median and least seconds of a call, and the most memory above what lay there before it was made, in MiB (0 on a processor)."""

    seconds: float
    least: float
    mib: float
    calls: int

    def text(self) -> str:
        """For a table."""
        return f"{1e3 * self.seconds:.1f} ms (least {1e3 * self.least:.1f}, {self.calls} calls), {self.mib:.0f} MiB"


def cost(make: Callable[[], Callable[[], object]], device: str, seconds: float, most: int = 30) -> Cost:
    """Make a task, call it twice for nothing, then again and again for about ``seconds``; then forget it."""
    on_card = device == "cuda"
    _clean(on_card)
    before = torch.cuda.memory_allocated() if on_card else 0
    task = make()
    for _ in range(2):
        task()
    wait(on_card)
    spent, start = [], time.perf_counter()
    while not spent or (time.perf_counter() - start < seconds and len(spent) < most):
        first = time.perf_counter()
        task()
        wait(on_card)
        spent.append(time.perf_counter() - first)
    peak = torch.cuda.max_memory_allocated() - before if on_card else 0
    del task
    _clean(on_card)
    spent.sort()
    return Cost(spent[len(spent) // 2], spent[0], peak / 2**20, len(spent))


def wait(on_card: bool) -> None:
    """For the card to finish."""
    if on_card:
        torch.cuda.synchronize()


def _clean(on_card: bool) -> None:
    gc.collect()
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
