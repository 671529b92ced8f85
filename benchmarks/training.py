"""Training step (forward, loss, backward, optimizer): time, peak memory, share of the machine's peak, profile."""

import torch
from torch.profiler import profile

from asteroid_bsrnn.common import products
from asteroid_bsrnn.common.precision import supports, use_tf32
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.models import BSRNN
from asteroid_bsrnn.recipe.cost import count_macs
from asteroid_bsrnn.recipe.imagined import imagined
from asteroid_bsrnn.training.autocast import Precision

from .baseline import from_fast
from .contest import Spread, contest, speed_up, timed
from .record import Block

SOURCES = ("vocals", "bass", "drums", "other")
OPTIMIZED = dict(feature_dim=128, n_repeats=12, n_attn_heads=2, attn_dim=16, stereo="tac", tac_act="prelu")
MODELS = {"base": {}, "optimized": OPTIMIZED, "simo_optimized": {**OPTIMIZED, "sources": SOURCES}}
QUICK = dict(feature_dim=8, n_repeats=1)
LIMITS = {
    "fp32": "what is freed is kept, for speed, and blocks of many sizes do not fit into each other; see checkpointing",
    "bf16": "as in fp32, at half the size",
}
AIMS = {
    "cpu": {"fp32": 1.1, "bf16": 1.8, "fp32, checkpointing": 1.1, "bf16, checkpointing": 1.8},
    "cuda": {"fp32": 2.0, "tf32": 2.0, "bf16": 3.0},
}


def build(model_args, textbook=False, device="cpu", seed=0):
    """A model of ours, or the textbook one with the same weights."""
    torch.manual_seed(seed)
    model = BSRNN(**model_args).to(device)
    return from_fast(model) if textbook else model


def make_step(model_args, textbook, precision, batch, seconds, device="cpu", checkpointing=False):
    """A function that makes one training step on noise.

    Args:
        model_args (dict): of BSRNN.
        textbook (bool): the baseline instead of our model.
        precision (str): "fp32", "tf32", "bf16" or "fp16".
        batch (int): stereo examples.
        seconds (float): their length.
        device (str): "cpu" or "cuda".
        checkpointing (bool): of our blocks.
    """
    mode = Precision("fp32" if precision == "tf32" else precision, device)
    use_tf32(precision == "tf32")
    model = build(model_args, textbook, device).train()
    if not textbook:
        model.activation_checkpointing = checkpointing
    loss_func = TimeTFLoss().match_stft(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(1)  # the same noise for every contender
    wav = 0.1 * torch.randn(batch, 2, int(seconds * 44100), device=device)
    n_src = len(model_args.get("sources", ("vocals",)))
    targets = wav[:, None].expand(-1, n_src, -1, -1).contiguous() / n_src

    def step():
        optimizer.zero_grad(set_to_none=True)
        with mode.autocast():
            estimates = model.forward_stft(wav)
        loss = loss_func(estimates, targets)
        mode.scaler.scale(loss).backward()
        mode.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        mode.step(optimizer, True)

    return step


def precisions_here(device):
    """Those of fp32 and bf16 that the device has; the others are not measured."""
    return [name for name in ("fp32", "bf16") if supports(name, device)]


def matmul_peak(device, dtype, size=2048):
    """Best measured rate of a square matrix product, operations per second, on this process's threads."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    linear = products.Linear(size, size, bias=False).to(device, dtype)
    with torch.no_grad():
        best = min(timed(lambda: a @ b, 5) + timed(lambda: linear(a), 5))
    return 2 * size**3 / best


def measure_peaks(settings):
    """Rate of matrix products by precision."""
    size = 256 if settings.quick else 2048
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {name: matmul_peak(settings.device, dtypes[name], size) for name in precisions_here(settings.device)}


def run(settings):
    """The block of training steps."""
    block, outcomes, measured = Block("Training step"), {}, [measure_peaks(settings)]
    for name, batch, seconds in _sizes(settings):
        _, entries = _contenders(settings, name, batch, seconds)
        outcomes[name] = contest(entries, settings.repeats, settings.threads)
        measured.append(measure_peaks(settings))
    peaks = {name: max(peak[name] for peak in measured) for name in measured[0]}
    block.text(
        "Matrix products of this machine (2048 x 2048, the best of ten before the contests and after each): "
        + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items())
        + ". A step counts as three forward passes; its share of the peak is of that of its precision."
    )
    rows, memory_rows = [], []
    for name, batch, seconds in _sizes(settings):
        model_args, _ = _contenders(settings, name, batch, seconds)
        with imagined():
            macs = count_macs(BSRNN(**model_args).eval(), torch.zeros(1, 2, int(seconds * 44100)))
        work = 6 * batch * macs
        rows += [(name, f"{batch} x {seconds:g}", *row) for row in _speed_rows(outcomes[name], work, peaks)]
        memory_rows += [(name, *row) for row in _memory_rows(outcomes[name])]
        _targets(block, settings, name, outcomes[name])
    block.text(
        "Noise, stereo. Ours runs as `fit` runs it, in a process that keeps freed memory (`asteroid_bsrnn/memory.py`); "
        "the baseline as PyTorch runs it, and once more with `same allocator`."
    )
    block.table(("model", "batch x seconds", "contender", "s", "times the baseline", "GFLOP/s", "share of peak"), rows)
    block.text("Peak memory of the steps above that of the idle process with its model, in MiB.")
    block.table(("model", "contender", "MiB", "of the baseline"), memory_rows)
    block.text(
        "Where the time of our steps goes (PyTorch's profiler, own time of operations; the first of each model):"
    )
    block.table(("model", "operation", "share", "calls"), profile_rows(settings))
    return block


def _sizes(settings):
    """(model, batch, seconds) of each contest: 1-s examples on a processor (less for the largest), published sizes on a GPU."""
    if settings.quick:
        return [("base", 1, 0.1)]
    if settings.device == "cuda":
        return [(name, 2, 3.0) for name in MODELS]
    return [("base", 2, 1.0), ("optimized", 1, 1.0), ("simo_optimized", 1, 0.2)]


def _contenders(settings, name, batch, seconds):
    model_args = {**MODELS[name], **(QUICK if settings.quick else {})}
    common = dict(model_args=model_args, batch=batch, seconds=seconds, device=settings.device)

    def ours(precision, checkpointing=False):
        return make_step, dict(common, textbook=False, precision=precision, checkpointing=checkpointing), True

    textbook, here = dict(common, textbook=True, precision="fp32"), precisions_here(settings.device)
    entries = {"baseline": (make_step, textbook, False), **{kind: ours(kind) for kind in here}}
    if settings.device == "cuda":
        entries["tf32"] = ours("tf32")
    if name == "base":
        entries.update({f"{kind}, checkpointing": ours(kind, checkpointing=True) for kind in here})
        entries["baseline, same allocator"] = (make_step, textbook, True)
    return model_args, entries


def _speed_rows(outcomes, work, peaks):
    rows = []
    for who, outcome in outcomes.items():
        time, rate = Spread.of(outcome.seconds), work / Spread.of(outcome.seconds).median
        gain = speed_up(outcomes["baseline"], outcome).text() if who != "baseline" else "1"
        peak = peaks["bf16" if who.startswith("bf16") else "fp32"]
        rows.append((who, time.text(), gain, f"{rate / 1e9:.0f}", f"{rate / peak:.0%}"))
    return rows


def _memory_share(outcomes, who):
    return outcomes[who].peak_bytes / max(outcomes["baseline"].peak_bytes, 1)


def _memory_rows(outcomes):
    return [
        (who, f"{outcome.peak_bytes / 2**20:.0f}", f"{_memory_share(outcomes, who):.2f}")
        for who, outcome in outcomes.items()
    ]


def _targets(block, settings, name, outcomes):
    if name == "simo_optimized" or (settings.device == "cpu" and name != "base"):
        return
    for who in outcomes:
        if who in AIMS[settings.device]:
            ratio = speed_up(outcomes["baseline"], outcomes[who])
            block.target(f"training step, {name}, {who}", AIMS[settings.device][who], ratio.median)
        if name == "base" and who.startswith(("fp32", "bf16")):
            share, limit = _memory_share(outcomes, who), LIMITS.get(who, "")
            block.target(f"peak memory of a training step, {name}, {who}", 0.7, share, limit, at_most=True)


def profile_rows(settings, top=7):
    """(model, operation, share of the time, calls) of our training steps."""
    rows = []
    for name, batch, seconds in _sizes(settings):
        args, _ = _contenders(settings, name, batch, seconds)
        on_gpu = settings.device == "cuda"
        step = make_step(args, False, "fp32", 1, seconds if on_gpu else min(seconds, 0.3), settings.device)
        rows += [(name, *row) for row in profiled(step, on_gpu)[:top]]
    return rows


def profiled(task, on_gpu=False):
    """(operation, share of the time, calls) of ``task()`` by PyTorch's profiler, the longest first."""
    task()
    with profile() as trace:
        task()

    def own_time(event):
        return event.self_device_time_total if on_gpu else event.self_cpu_time_total

    events = sorted(trace.key_averages(), key=own_time, reverse=True)
    total = sum(map(own_time, events))
    return [(f"`{event.key[:60]}`", f"{own_time(event) / total:.1%}", event.count) for event in events]
