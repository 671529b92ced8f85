"""The systems of Table I: seconds per second of music, memory kept for the gradient; each network beside the original's code path."""

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import conf_of, experiments, load_conf
from asteroid_bsrnn.recipe.cost import recipe_cost
from asteroid_bsrnn.separation.segments import apply_segments

from .contest import Spread, in_turn, synchronize, timed
from .originals import Original
from .record import Block
from .saved import saved_bytes

RECIPE = Path(__file__).parents[1] / "recipes" / "musdb18hq"
SYSTEMS = ("presunet", "convtdfnet", "hdemucs", "htdemucs", "simo_optimized", "tfc_tdf_v3", "bs_roformer", "dttnet", "scnet",
           "scnet_large", "mel_roformer")  # fmt: skip
WRAPPED = ("hdemucs", "htdemucs")
BESIDE = (
    *WRAPPED,
    "presunet",
    "tfc_tdf_v3",
    "convtdfnet",
    "dttnet",
    "bs_roformer",
    "mel_roformer",
    "scnet",
    "scnet_large",
)
QUICK_BESIDE = (*WRAPPED, "scnet", "tfc_tdf_v3", "bs_roformer")
TOLERANCE = 1e-4  # of the largest output: random networks of full size, fp32
SONG = 240  # s


def run(settings):
    """The block of Table I."""
    block = Block("Systems of Table I")
    seconds = 0.25 if settings.quick else 1.0
    systems = WRAPPED if settings.quick else SYSTEMS
    rows = each(row, systems, seconds, settings)
    block.text(
        f"Stereo noise of {seconds:g} s (whole blocks of frames where a network pads to them), batch 1, fp32, untrained networks of the recipe's variants; forward pass of all networks that "
        "the four sources need, memory kept for the gradient by the largest (in brackets with checkpointing), both per second of music."
    )
    block.text(
        f"Whole song: one segment of the recipe's inference is timed, and counted as often as a song of {SONG} s is cut into, overlaps and all."
    )
    header = (
        "variant",
        "parameters (M)",
        "GMAC per s",
        "forward (s per s)",
        "kept (MiB per s)",
        "whole song (s per s)",
    )
    block.table(header, rows)
    block.text(
        "Beside the original's code path, the largest or only network, same weights, outputs compared before: the package for Demucs, for the others "
        "benchmarks/originals, textbook PyTorch line by line after the description of each network, held to the originals' golden outputs by "
        "tests/test_originals.py; attention is PyTorch's fused one on both sides. Where a network is the same layers in the same order, as most "
        "are, there is nothing to gain, and the ratio says so."
    )
    header = (
        "variant",
        "original (s)",
        "ours (s)",
        "times the original",
        "kept, original / ours (MiB per s)",
        "times less",
    )
    block.table(header, each(beside, QUICK_BESIDE if settings.quick else BESIDE, seconds, settings))
    return block


def each(line, variants, seconds, settings):
    """Lines of a table; those of large networks in a process each, as memory that is freed stays with a process."""
    if settings.quick:
        return [line(variant, seconds, settings) for variant in variants]
    rows = []
    for variant in variants:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(line, variant, seconds, settings).result())
    return rows


def networks(variant, quick):
    """(network, how many of the kind the system has, its configuration) for each kind."""
    conf, kinds = load_conf(RECIPE, variant, demo=quick), {}
    for name, sources in experiments(conf):
        kinds.setdefault(repr((conf_of(conf, name)["model"], len(sources))), []).append(name)
    for names in kinds.values():
        yield build_model(conf, names[0]), len(names), conf_of(conf, names[0])


def row(variant, seconds, settings):
    """One line of the table."""
    total, song, kept = 0.0, 0.0, []
    for net, count, conf in networks(variant, settings.quick):
        net, wav = net.to(settings.device), noise(whole_frames(net, seconds)).to(settings.device)
        length = wav.shape[-1] / net.sample_rate
        total += count * Spread.of(timed(forward(net.eval(), wav), settings.repeats)).median / length
        song += count * whole_song(net.eval(), conf["inference"], settings)
        kept.append([saved(net, wav, checkpointing) / length / 2**20 for checkpointing in (False, True)])
    params, gmac = recipe_cost(load_conf(RECIPE, variant, demo=settings.quick), with_macs=True)
    plain, recomputed = map(max, zip(*kept))
    return (
        variant,
        f"{params['total'] / 1e6:.1f}",
        f"{gmac['total']:.1f}",
        f"{total:.2f}",
        f"{plain:.0f} ({recomputed:.0f})",
        f"{song:.2f}",
    )


def whole_song(net, inference, settings):
    """Seconds per second of a song: a segment of the usual length is timed, and all that a song is cut into are counted."""
    seconds, lengths = 2 if settings.quick else SONG, []

    def cut(segments):
        lengths.extend(len(segments) * [segments.shape[-1]])
        return segments.new_zeros(len(segments), net.n_src, 2, segments.shape[-1])

    rate = int(net.sample_rate)
    apply_segments(cut, torch.zeros(2, seconds * rate), rate, **inference)
    usual = statistics.mode(lengths)
    wav = noise(usual).to(settings.device)
    synchronize()
    start = time.perf_counter()
    forward(net, wav)()
    synchronize()
    return (time.perf_counter() - start) * sum(lengths) / usual / seconds


def whole_frames(net, seconds):
    """Samples of at least so many seconds that a U-Net over frames need not pad."""
    length, config = int(seconds * net.sample_rate), getattr(net, "config", None)
    if not hasattr(config, "frame_multiple"):
        return length
    n_frames = config.frame_multiple * -(-(length + config.n_hop) // (config.n_hop * config.frame_multiple))
    return config.n_hop * (n_frames - 1)


def noise(length):
    """(1, 2, length), always the same."""
    return 0.1 * torch.randn(1, 2, length, generator=torch.Generator().manual_seed(0))


def forward(net, wav):
    """A task: the forward pass without gradients."""

    def task():
        with torch.no_grad():
            return net(wav)

    return task


def saved(net, wav, checkpointing):
    """Bytes kept in training."""
    net.train().activation_checkpointing = checkpointing
    kept = saved_bytes(net, wav)
    net.activation_checkpointing = False
    return kept


def original_of(variant, net):
    """The original's code path with the weights of a network of ours: the package's own network, or a transcription."""
    return net.net if variant in WRAPPED else Original(net)


def beside(variant, seconds, settings):
    """One line of the table of both code paths.

    Raises:
        RuntimeError: if their outputs differ.
    """
    net, *_ = next(networks(variant, settings.quick))
    net, wav = net.to(settings.device), noise(whole_frames(net, seconds)).to(settings.device)
    original = original_of(variant, net)
    tasks = forward(original.eval(), wav), forward(net.eval(), wav)
    theirs, ours = (task() for task in tasks)
    error = float((theirs - ours).abs().max() / theirs.abs().max())
    if not error < TOLERANCE:
        raise RuntimeError(f"{variant}: ours differs from the original's code path by {error:.1e}")
    slow, fast, ratio = in_turn(*tasks, settings.repeats)
    length = wav.shape[-1] / net.sample_rate * 2**20
    kept = saved_bytes(original.train(), wav) / length, saved_bytes(net.train(), wav) / length
    sizes = f"{kept[0]:.0f} / {kept[1]:.0f}", f"{kept[0] / kept[1]:.2f}"
    return variant, Spread.of(slow).text(), Spread.of(fast).text(), ratio.text(), *sizes
