"""Whole songs: ours in batches of segments against the baseline one segment at a time; four stems with one STFT."""

import torch

from asteroid_bsrnn.common.precision import use_tf32
from asteroid_bsrnn.models import StemSeparator
from asteroid_bsrnn.separation.segments import apply_segments
from asteroid_bsrnn.training.autocast import Precision

from .contest import Spread, contest, speed_up
from .record import Block
from .training import MODELS, QUICK, SOURCES, build, precisions_here, profiled


def make_song(model_args, textbook, precision, seconds, batch, device="cpu"):
    """A function that separates noise of ``seconds`` in 10-s segments, ``batch`` at a time.

    ``model_args`` is one model's arguments or a list of them: then ours is a separator that shares the STFT, the
    baseline a model after the other.
    """
    mode = Precision("fp32" if precision == "tf32" else precision, device)
    use_tf32(precision == "tf32")
    several = isinstance(model_args, list)
    models = [build(args, textbook, device).eval() for args in (model_args if several else [model_args])]
    if several and not textbook:
        models = [StemSeparator(models).eval()]
    torch.manual_seed(1)  # the same noise for every contender
    wav = 0.1 * torch.randn(2, int(seconds * 44100), device=device)

    def song():
        with torch.no_grad(), mode.autocast():
            for model in models:
                apply_segments(model, wav, 44100, batch=batch)

    return song


def run(settings):
    """The block of whole songs."""
    block = Block("Whole songs")
    contests = [("base", "one stem", 2.0 if settings.quick else 240.0 if settings.device == "cuda" else 12.0)]
    if settings.quick or settings.device == "cuda":  # minutes per song and model on a processor
        contests.append(("optimized", "four stems", 0.5 if settings.quick else 240.0))
    rows = []
    for name, what, seconds in contests:
        rows += _contest(block, settings, name, what, seconds)
    block.text("Stereo noise in segments of 10 s (linear fader); ours takes four segments at a time, the baseline one.")
    block.table(("model", "song", "contender", "s", "real-time factor", "times the baseline"), rows)
    block.text("Where the time of our base model goes (one stem, 2 s, PyTorch's profiler):")
    args = {**MODELS["base"], **(QUICK if settings.quick else {})}
    song = make_song(args, False, "fp32", 2.0, 4, settings.device)
    block.table(("operation", "share", "calls"), profiled(song, settings.device == "cuda")[:7])
    return block


def _contest(block, settings, name, what, seconds):
    model_args = {**MODELS[name], **(QUICK if settings.quick else {})}
    if what == "four stems":
        model_args = [{**model_args, "sources": (source,)} for source in SOURCES]
    common = dict(model_args=model_args, seconds=seconds, device=settings.device)
    entries = {"baseline": (make_song, dict(common, textbook=True, precision="fp32", batch=1), False)}
    for precision in precisions_here(settings.device) + (["tf32"] if settings.device == "cuda" else []):
        entries[precision] = (make_song, dict(common, textbook=False, precision=precision, batch=4), True)
    outcomes = contest(entries, settings.repeats, settings.threads)
    rows = []
    for who, outcome in outcomes.items():
        ratio, time = speed_up(outcomes["baseline"], outcome), Spread.of(outcome.seconds)
        gain = ratio.text() if who != "baseline" else "1"
        rows.append((name, f"{what}, {seconds:g} s", who, time.text(), f"{time.median / seconds:.2f}", gain))
        aims = {"fp32": 1.1, "bf16": 2.0} if settings.device == "cpu" else dict.fromkeys(("fp32", "tf32", "bf16"), 5.0)
        if who in aims and (what == "one stem") == (settings.device == "cpu"):
            block.target(f"whole song, {name}, {what}, {who}", aims[who], ratio.median)
    return rows
