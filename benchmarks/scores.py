"""cSDR against museval on a signal of one minute; both take time in proportion to the length."""

import time

import numpy as np
import torch

from asteroid_bsrnn.metrics import csdr

from .contest import Spread, timed
from .record import Block

RATE = 44100


def run(settings):
    """The block of scores. museval runs once: it takes minutes, and its spread cannot matter at such a ratio."""
    import museval

    seconds = 1 if settings.quick else 60
    generator = np.random.default_rng(0)
    targets = generator.standard_normal((4, seconds * RATE, 2)).astype(np.float32)
    estimates = targets + 0.3 * generator.standard_normal(targets.shape, dtype=np.float32)
    ours = [torch.from_numpy(np.ascontiguousarray(part.swapaxes(1, 2)))[None] for part in (estimates, targets)]
    fast = Spread.of(timed(lambda: csdr(*ours), settings.repeats))
    start = time.perf_counter()
    expected = museval.evaluate(targets, estimates)[0]
    slow = time.perf_counter() - start
    error = float(np.abs(csdr(*ours, frames=True)[0].numpy() - expected).max())
    if not error < 1e-3:
        raise RuntimeError(f"our cSDR differs from museval's by {error:.1e} dB")
    block = Block("cSDR")
    block.text(f"Four stereo sources of {seconds} s; museval `evaluate` ran once. Largest difference: {error:.1e} dB.")
    row = (
        f"{fast.median:.3f}",
        f"{slow:.1f}",
        f"{slow / fast.median:.0f}",
        f"{slow / fast.most:.0f} - {slow / fast.least:.0f}",
    )
    block.table(("ours, s", "museval, s", "times museval", "range"), [row])
    block.target("cSDR against museval", 200, slow / fast.median)
    return block
