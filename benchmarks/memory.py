"""Memory of a training step on a processor: pages, and shares of the blocks that are computed again."""

from typing import Any

from .contest import Spread, contest, speed_up
from .record import Block
from .training import QUICK, make_step

SHARES = (0.375, 0.625, 1.0)
LIMIT = (
    "84 % of what a step keeps is oneDNN's LSTM workspace, which comes whole from kept pages; less of it is bought with "
    "time, by computing blocks again"
)


def run(settings: Any) -> Block:
    """The block of memory."""
    batch, seconds = (1, 0.1) if settings.quick else (2, 0.5)
    common = {"model_args": QUICK if settings.quick else {}, "batch": batch, "seconds": seconds, "precision": "fp32"}
    ours = {**common, "textbook": False}
    entries = {
        "baseline": (make_step, {**common, "textbook": True}, False),
        "fresh pages": (make_step, ours, False),
        "kept pages": (make_step, ours, True),
        **{
            f"kept, {share:g} again": (make_step, {**ours, "checkpointing": share}, True)
            for share in (SHARES[:1] if settings.quick else SHARES)
        },
    }
    outcomes = contest(entries, settings.repeats, settings.threads)
    block, rows = Block("Memory"), []
    baseline, fastest = outcomes["baseline"], outcomes["kept pages"]
    for who, outcome in outcomes.items():
        share, speed = outcome.peak_bytes / max(baseline.peak_bytes, 1), speed_up(baseline, outcome)
        loss = f"{1 - speed_up(fastest, outcome).median:.0%}"
        cells = (Spread.of(outcome.seconds).text(), speed.text(), loss, f"{outcome.peak_bytes / 2**20:.0f}")
        rows.append((who, *cells, f"{share:.2f}"))
        if who != "baseline" and share <= 1:
            block.target(f"speed at {share:.2f} of the memory, {who}", 0.9 if share <= 0.7 else 1, speed.median, LIMIT)
    block.text(
        f"The base model, {batch} x {seconds:g} s of stereo noise, fp32, eight blocks; `training.activation_checkpointing` is the share of "
        "blocks that are computed again. Peak above that of the idle process with its model."
    )
    block.table(("contender", "s", "times the baseline", "loss of speed to kept pages", "MiB", "of the baseline"), rows)
    return block
