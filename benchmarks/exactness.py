"""Equality with the baseline, errors of each precision, operation counts, and where the baseline spends its time."""

import time

import torch
from torch.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode

from asteroid_bsrnn.common.precision import supports

from .record import Block
from .training import MODELS, QUICK, SOURCES, build, use_tf32

TOLERANCE = 1e-4  # of the largest value of the output
LSTM = ("aten::lstm", "aten::mkldnn_rnn_layer_backward", "autograd::engine::evaluate_function: MkldnnRnnLayerBackward0")


class OperationCount(TorchDispatchMode):
    """Counts the ATen operations that are dispatched inside the context."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.total += 1
        return func(*args, **(kwargs or {}))


def count_operations(model):
    """Operations of a forward pass without gradient on (1, 2, 44100)."""
    device = next(model.parameters()).device
    with torch.no_grad(), OperationCount() as count:
        model.eval()(torch.randn(1, 2, 44100, device=device))
    return count.total


def deviation(estimate, reference):
    """Largest difference over the largest value of ``reference``."""
    return float((estimate.double() - reference.double()).abs().max() / reference.abs().max())


def check_equality(model_args, device="cpu", seconds=0.3):
    """Deviation of our fp32 outputs from the baseline's.

    Raises:
        RuntimeError: if it exceeds :data:`TOLERANCE`, so that no speed of another function is ever reported.
    """
    use_tf32(False)
    fast = build(model_args, device=device).eval()
    textbook = build(model_args, textbook=True, device=device).eval()
    wav = 0.1 * torch.randn(1, 2, int(seconds * 44100), device=device)
    with torch.no_grad():
        error = deviation(fast(wav), textbook(wav))
    if not error <= TOLERANCE:
        raise RuntimeError(
            f"our output differs from the baseline's by {error:.1e} of its peak; allowed are {TOLERANCE}"
        )
    return error


def lstm_share(model, wav, backward=True):
    """Share of a pass on the processor that is spent in ``nn.LSTM``, by PyTorch's profiler."""
    model.train(backward)
    for _ in range(2):
        with profile() as trace, torch.set_grad_enabled(backward):
            out = model(wav)
            if backward:
                out.abs().mean().backward()
    events = trace.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    names = LSTM[::2]  # backward's operation runs inside of evaluate_function
    return sum(event.cpu_time_total for event in events if event.key in names) / total


def precisions(model_args, device, seconds):
    """(precision, against, deviation) of our model's output."""
    torch.manual_seed(1)
    wav = 0.1 * torch.randn(1, 2, int(seconds * 44100), device=device)
    model = build(model_args, device=device).eval()
    use_tf32(False)
    with torch.no_grad():
        single = model(wav)
        rows = []
        if supports("bf16", device):
            with torch.autocast(device, torch.bfloat16):
                rows.append(("bf16 autocast", "fp32", deviation(model(wav), single)))
        if device == "cuda":
            use_tf32(True)
            rows.append(("TF32", "fp32", deviation(model(wav), single)))
            use_tf32(False)
            with torch.autocast(device, torch.float16):
                rows.append(("fp16 autocast", "fp32", deviation(model(wav), single)))
        double = build(model_args, device=device).eval().double()
        return [("fp32", "float64", deviation(single, double(wav.double())))] + rows


def run(settings):
    """The block of exactness."""
    block, size = Block("Exactness and operation counts"), QUICK if settings.quick else {}
    errors = {name: check_equality({**args, **size}, settings.device) for name, args in MODELS.items()}
    block.text(
        "Largest difference between ours and the textbook baseline, same weights, fp32, over the largest output."
    )
    block.table(("model", "difference"), [(name, f"{error:.1e}") for name, error in errors.items()])
    block.text("Error of each precision (base model, noise), largest difference over the largest output.")
    rows = precisions(size, settings.device, seconds=0.3)
    block.table(("precision", "against", "error"), [(*row[:2], f"{row[2]:.1e}") for row in rows])
    counts = [("base", size, 600), ("SIMO", {**size, "sources": SOURCES}, 800)]
    block.text("ATen operations of a forward pass, (1, 2, 44100), evaluation mode, without gradient.")
    table = [
        (name, *(count_operations(build(args, textbook)) for textbook in (False, True)), f"< {limit}")
        for name, args, limit in counts
    ]
    block.table(("model", "ours", "baseline", "wanted of ours"), table)
    if settings.device == "cpu":
        _shares(block, size, seconds=0.3 if settings.quick else 1.0)
    return block


def nets_share(model, wav):
    """Share of a forward pass that is spent in the nets along time and bands: norm, LSTM, linear layer, residual."""
    nets = [module for block in getattr(model, "blocks", None) or model.separator for module in _nets(block)]
    spent = []
    for net in nets:
        net.register_forward_pre_hook(lambda *_: spent.append(-time.perf_counter()))
        net.register_forward_hook(lambda *_: spent.append(time.perf_counter()))
    with torch.no_grad():
        for _ in range(2):
            spent.clear()
            start = time.perf_counter()
            model.eval()(wav)
            total = time.perf_counter() - start
    return sum(spent) / total


def _nets(block):
    return (block.time_net, block.band_net) if hasattr(block, "time_net") else (block["time_net"], block["band_net"])


def _shares(block, size, seconds):
    wav = 0.1 * torch.randn(1, 2, int(seconds * 44100))
    rows = []
    for name, textbook in (("ours", False), ("baseline", True)):
        model = build(size, textbook)
        shares = lstm_share(model, wav, False), lstm_share(model, wav), nets_share(model, wav)
        rows.append((name, *(f"{share:.0%}" for share in shares)))
    block.text(
        "Share of the time in `nn.LSTM` (base, profiler), and in the nets around it (norm, LSTM, linear layer, copies). "
        "Ours can only gain on the rest, and on how LSTMs get memory."
    )
    header = ("model", "LSTM, forward, no gradient", "LSTM, forward and backward", "nets, forward, no gradient")
    block.table(header, rows)
