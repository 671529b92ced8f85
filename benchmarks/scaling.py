"""Time and memory against length, batch, bands and repeats: measured on a small model, plotted, slopes checked."""

import math

import torch
from matplotlib.figure import Figure

from asteroid_bsrnn.common.files import atomic_path
from asteroid_bsrnn.models import BSRNN

from .contest import Spread, timed
from .record import Block
from .saved import saved_bytes

SMALL = dict(feature_dim=32, n_repeats=2)
#: what grows -> (unit, values)
AXES = {
    "length": ("s", (1, 2, 4, 8)),
    "batch": ("stereo examples", (1, 2, 4, 8)),
    "bands": ("bands", (10, 20, 40, 80)),
    "repeats": ("blocks", (1, 2, 4, 8)),
}
LINEAR = (0.8, 1.15)  # slope of log cost over log size


def _case(axis, value):
    """(model arguments, batch, seconds) for one point."""
    arguments, batch, seconds = dict(SMALL), 1, 1.0
    if axis == "length":
        seconds = float(value)
    elif axis == "batch":
        batch = value
    elif axis == "bands":
        arguments["bands"] = [[value - 1, 22050 / value - 1]]
    else:
        arguments["n_repeats"] = value
    return arguments, batch, seconds


def measure(axis, value, repeats, device="cpu", size=1.0):
    """(median seconds of forward and backward, bytes saved in between) for one point."""
    arguments, batch, seconds = _case(axis, value)
    torch.manual_seed(0)
    model = BSRNN(**arguments).to(device).train()
    wav = 0.1 * torch.randn(batch, 2, int(size * seconds * 44100), device=device)
    return Spread.of(timed(lambda: model(wav).abs().mean().backward(), repeats)).median, saved_bytes(model, wav)


def slope(sizes, costs):
    """Slope of the straight line through log cost over log size: 1 where the cost is proportional."""
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def run(settings):
    """The block of scaling, and its figure."""
    block, rows, curves = Block("Scaling"), [], {}
    for axis, (unit, values) in AXES.items():
        values = values[:2] if settings.quick else values
        points = [
            measure(axis, value, settings.repeats, settings.device, 0.2 if settings.quick else 1.0) for value in values
        ]
        seconds, saved = zip(*points)
        curves[axis] = (unit, values, seconds, saved)
        for what, costs, form in (("time", seconds, "{:.2f} s"), ("saved activations", saved, "{:.3g} B")):
            exponent = slope(values, costs)
            verdict = (
                "linear" if LINEAR[0] <= exponent <= LINEAR[1] else "below linear" if exponent < 1 else "above linear"
            )
            ends = f"{form.format(costs[0])} -> {form.format(costs[-1])}"
            rows.append((axis, f"{values[0]} -> {values[-1]} {unit}", what, ends, f"{exponent:.2f}", verdict))
    block.text(
        "Forward and backward of a small model (32 features, two blocks, 1 s of stereo). The exponent is the slope of log "
        f"cost over log size; {LINEAR[0]} to {LINEAR[1]} counts as linear. What does not grow (STFT, masks) lowers it."
    )
    block.table(("grows", "from - to", "cost", "measured", "exponent", "verdict"), rows)
    name = f"scaling_{settings.device}.png"
    plot(curves, settings.folder / "figures" / name)
    block.text(f"![Time and memory against size](figures/{name})")
    return block


def plot(curves, path):
    """Two rows of log-log panels, time above memory, with the line of proportional growth in grey."""
    figure = Figure(figsize=(3 * len(curves), 5.5), layout="constrained")
    axes = figure.subplots(2, len(curves), squeeze=False)
    for column, (axis, (unit, values, *costs)) in enumerate(curves.items()):
        for panel, cost, label in zip(axes[:, column], costs, ("time (s)", "saved activations (B)")):
            panel.loglog(values, [cost[0] * value / values[0] for value in values], color="0.7", label="proportional")
            panel.loglog(values, cost, "o-", label="measured")
            panel.set_xticks(values, map(str, values))
            panel.minorticks_off()
            panel.set_xlabel(f"{axis} ({unit})")
            panel.set_ylabel(label)
    axes[0, 0].legend(frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=110)
