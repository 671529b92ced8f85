"""Recurrent layers alone, at the sizes of the base (128 hidden) and the best models (256): what cuDNN makes of them. Torch alone.

(a) as they are, in every precision; (b) two directions apart, in slices of 128 rows; (c) as a CUDA graph; (d) with more rows.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from .clock import Cost, cost, wait
from .plan import Result, Setting, each, result
from .sliced import SlicedLSTM

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EQUAL = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 5e-2, "fp16": 5e-3}  # of the largest output, which is below 1
#: what -> (steps, rows, features): 2 x 3 s of stereo in 41 bands, along time and along the bands
SHAPES = {"time": (259, 164, 128), "bands": (41, 1036, 128)}


def run(setting: Setting) -> Iterator[Result]:
    """The wide layers first."""
    parts: dict[str, Callable[[], Result]] = {}
    bench = _Bench(setting)
    for axis in SHAPES:
        for kind in bench.kinds:
            parts[f"H 256, {axis}, {kind}"] = partial(bench.plain, 256, axis, kind)
        for kind in bench.kinds:
            if kind in ("fp16", "fp32"):
                parts[f"H 256, {axis}, {kind}, two directions in slices"] = partial(bench.sliced, 256, axis, kind)
        parts[f"H 256, {axis}, {bench.kinds[-1]}, CUDA graph"] = partial(bench.graph, 256, axis, bench.kinds[-1])
        for times in (2, 4):
            parts[f"H 256, {axis}, {bench.kinds[-1]}, {times} x the rows"] = partial(
                bench.plain, 256, axis, bench.kinds[-1], times
            )
    for axis in SHAPES:
        for kind in bench.kinds:
            parts[f"H 128, {axis}, {kind}"] = partial(bench.plain, 128, axis, kind)
    yield from each(setting, parts)


class _Bench:
    """Forward and backward pass of one layer, per row and step."""

    def __init__(self, setting: Setting) -> None:
        self.device, self.dry = setting.device, setting.dry
        self.kinds = ["fp32"] if setting.device == "cpu" else list(DTYPES)
        self.seconds = 0.0 if setting.dry else 0.8
        self.first: dict[str, Cost] = {}

    def _layer(self, hidden: int, axis: str, kind: str, times: int = 1) -> tuple[nn.LSTM, torch.Tensor]:
        steps, rows, features = (5, 20, 8) if self.dry else SHAPES[axis]
        hidden, features = (hidden // 16, 8) if self.dry else (hidden, hidden // 2)
        torch.backends.cudnn.allow_tf32 = kind == "tf32"
        torch.manual_seed(0)
        layer = nn.LSTM(features, hidden, bidirectional=True)
        x = torch.randn(steps, times * rows, features)
        return layer.to(self.device, DTYPES[kind]), x.to(self.device, DTYPES[kind])

    def plain(self, hidden: int, axis: str, kind: str, times: int = 1) -> Result:
        """(a) and (d)."""
        layer, x = self._layer(hidden, axis, kind, times)
        name = f"H {hidden}, {axis}, {kind}" + (f", {times} x the rows" if times > 1 else "")
        exact, _ = self._layer(hidden, axis, "fp32", times)
        torch.backends.cudnn.allow_tf32 = kind == "tf32"
        with torch.no_grad():  # rows know nothing of each other: a few are enough for the processor
            output, reference = layer(x)[0][:, :16].float(), exact.cpu()(x[:, :16].float().cpu())[0]
        return self._told(name, f"{hidden} {axis}", layer, x, output.cpu(), reference, kind, times)

    def sliced(self, hidden: int, axis: str, kind: str) -> Result:
        """(b)."""
        layer, x = self._layer(hidden, axis, kind)
        other = SlicedLSTM(layer, 8 if self.dry else 128)
        with torch.no_grad():
            output, reference = other(x).float(), layer(x)[0].float()
        return self._told(
            f"H {hidden}, {axis}, {kind}, two directions in slices",
            f"{hidden} {axis}",
            other,
            x,
            output,
            reference,
            kind,
        )

    def graph(self, hidden: int, axis: str, kind: str) -> Result:
        """(c)."""
        name = f"H {hidden}, {axis}, {kind}, CUDA graph"
        if self.device != "cuda":
            return {"name": name, "skipped": "there are no CUDA graphs on a processor"}
        layer, x = self._layer(hidden, axis, kind)
        with torch.no_grad():
            reference = layer(x)[0].float()
        call = torch.cuda.make_graphed_callables(_Output(layer), (x.clone().requires_grad_(),))
        return self._told(
            name, f"{hidden} {axis}", call, x, call(x.clone().requires_grad_())[:].float(), reference, kind
        )

    def _told(self, name: str, contest: str, layer: nn.Module, x: torch.Tensor, output: torch.Tensor, reference: torch.Tensor,
              kind: str, times: int = 1) -> Result:  # fmt: skip
        """Equality within the precision, and the time against the first of its shape, for as many rows."""
        error = float((output - reference).abs().max() / reference.abs().max())
        found = cost(partial(_passes, layer, x), self.device, self.seconds)
        torch.backends.cudnn.allow_tf32 = False
        first = self.first.setdefault(contest, found)
        ratio = times * first.seconds / found.seconds
        text = (
            found.text() + ("" if first is found else f"; {ratio:.2f} times the speed of fp32") + f"; error {error:.1e}"
        )
        return {**result(name, error <= EQUAL[kind], ratio, None, text), "seconds": found.seconds, "error": error}


class _Output(nn.Module):
    """The output alone, without the last states."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the layer."""
        return self.layer(x)[0]


def _passes(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Forward and backward pass, gradients of input and weights."""
    layer.train()
    leaf = x.detach().clone().requires_grad_()
    weights = [parameter for parameter in layer.parameters() if parameter.requires_grad]

    def task() -> None:
        out = layer(leaf)
        out = out[0] if isinstance(out, tuple) else out
        torch.autograd.grad(out.float().square().mean(), [leaf, *weights])
        wait(leaf.device.type == "cuda")

    return task
