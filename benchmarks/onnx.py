"""Exported networks beside PyTorch: the same segment through onnxruntime and through the model, in turn."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from asteroid_bsrnn.models import AFRCNN, BSRNN
from asteroid_bsrnn.models.base import run_batch
from asteroid_bsrnn.publishing.onnx_export import export_onnx
from asteroid_bsrnn.publishing.onnx_runner import OnnxModel

from .contest import Spread
from .record import Block
from .streams import timed
from .training import QUICK

MODELS = {  # name -> class, arguments, channels, seconds
    "BSRNN, base, one stem": (BSRNN, {}, 2, 2.0),
    "A-FRCNN, 4 iterations": (AFRCNN, {"num_iters": 4}, 1, 2.0),
}
LIMIT = "recurrent layers: both run the same products; onnxruntime gains where PyTorch has many small operations"
SMALL = {  # for --quick
    "BSRNN, base, one stem": (BSRNN, QUICK, 2, 0.2),
    "A-FRCNN, 4 iterations": (AFRCNN, {"n_filters": 8, "bn_chan": 8, "hid_chan": 8, "num_iters": 1}, 1, 0.2),
}


def run(settings: Any) -> Block:
    """The block of exported networks."""
    block = Block("ONNX")
    block.text("Noise of that length, whole, in turn; one thread each, processor time. Above 1, onnxruntime is faster.")
    torch.set_num_threads(1)
    rows = [_row(settings, name, *entry) for name, entry in (SMALL if settings.quick else MODELS).items()]
    torch.set_num_threads(settings.threads)
    for name, *_, ratio, _ in rows:
        block.target(f"onnxruntime, {name}", 1, float(ratio.split()[0]), LIMIT)
    block.table(("model", "s of audio", "PyTorch, s", "onnxruntime, s", "times PyTorch", "difference"), rows)
    return block


def _row(settings: Any, name: str, cls: type, arguments: dict[str, Any], n_chan: int, seconds: float) -> tuple:
    torch.manual_seed(0)
    model = cls(**arguments).eval()
    wav_BCL = 0.1 * torch.randn(1, n_chan, round(seconds * model.sample_rate))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        made = export_onnx(model, Path(folder) / "model.onnx", seconds)
        runner = OnnxModel(Path(folder) / "model.onnx", threads=1)
        times: dict[str, list[float]] = {"torch": [], "onnx": []}
        for _ in range(settings.repeats + 1):
            times["torch"].append(timed(lambda: run_batch(model, wav_BCL)))
            times["onnx"].append(timed(lambda: runner(wav_BCL)))
    spent = {who: values[1:] for who, values in times.items()}  # the first round warms up
    ratio = Spread.of([theirs / ours for theirs, ours in zip(spent["torch"], spent["onnx"])])
    cells = [Spread.of(spent[who]).text() for who in ("torch", "onnx")]
    return name, f"{seconds:g}", *cells, ratio.text(), f"{made.error:.1e}"
