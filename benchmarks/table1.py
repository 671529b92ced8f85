"""The systems of Table I: seconds per second of music, memory kept for the gradient; the Demucs networks beside their package."""

from pathlib import Path

import torch

from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import conf_of, experiments, load_conf
from asteroid_bsrnn.recipe.cost import recipe_cost

from .contest import Spread, in_turn, timed
from .record import Block
from .saved import saved_bytes

RECIPE = Path(__file__).parents[1] / "recipes" / "musdb18hq"
SYSTEMS = ("presunet", "convtdfnet", "hdemucs", "htdemucs", "simo_optimized", "tfc_tdf_v3", "bs_roformer", "dttnet", "scnet",
           "scnet_large", "mel_roformer")  # fmt: skip
WRAPPED = ("hdemucs", "htdemucs")
TOLERANCE = 1e-6  # of the largest output


def run(settings):
    """The block of Table I."""
    block = Block("Systems of Table I")
    seconds = 0.25 if settings.quick else 1.0
    systems = WRAPPED if settings.quick else SYSTEMS
    rows = [row(variant, seconds, settings) for variant in systems]
    block.text(
        f"Stereo noise of {seconds:g} s (whole blocks of frames where a network pads to them), batch 1, fp32, untrained networks of the recipe's variants; forward pass of all networks that "
        "the four sources need, memory kept for the gradient by the largest (in brackets with checkpointing), both per second of music."
    )
    header = ("variant", "parameters (M)", "GMAC per s", "forward (s per s)", "kept (MiB per s)")
    block.table(header, rows)
    block.text("Beside the original's code path, same weights, outputs compared before: only Demucs is installed here.")
    block.table(
        ("variant", "original (s)", "ours (s)", "times the original"),
        [beside(name, seconds, settings) for name in WRAPPED],
    )
    return block


def networks(variant, quick):
    """(network, how many of the kind the system has) for each kind."""
    conf, kinds = load_conf(RECIPE, variant, demo=quick), {}
    for name, sources in experiments(conf):
        kinds.setdefault(repr((conf_of(conf, name)["model"], len(sources))), []).append(name)
    for names in kinds.values():
        yield build_model(conf, names[0]), len(names)


def row(variant, seconds, settings):
    """One line of the table."""
    total, kept = 0.0, []
    for net, count in networks(variant, settings.quick):
        net, wav = net.to(settings.device), noise(whole_frames(net, seconds)).to(settings.device)
        length = wav.shape[-1] / net.sample_rate
        total += count * Spread.of(timed(forward(net.eval(), wav), settings.repeats)).median / length
        kept.append([saved(net, wav, checkpointing) / length / 2**20 for checkpointing in (False, True)])
    params, gmac = recipe_cost(load_conf(RECIPE, variant, demo=settings.quick), with_macs=True)
    plain, recomputed = map(max, zip(*kept))
    return (
        variant,
        f"{params['total'] / 1e6:.1f}",
        f"{gmac['total']:.1f}",
        f"{total:.2f}",
        f"{plain:.0f} ({recomputed:.0f})",
    )


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


def beside(variant, seconds, settings):
    """The wrapped network of the package, called as it is, and our class.

    Raises:
        RuntimeError: if their outputs differ.
    """
    net, _ = next(networks(variant, settings.quick))
    wav = noise(int(seconds * net.sample_rate)).to(settings.device)
    net = net.to(settings.device).eval()
    original, ours = forward(net.net, wav), forward(net, wav)
    error = float((original() - ours()).abs().max() / original().abs().max())
    if not error < TOLERANCE:
        raise RuntimeError(f"{variant}: ours differs from the package's by {error:.1e}")
    slow, fast, ratio = in_turn(original, ours, settings.repeats)
    return variant, Spread.of(slow).text(), Spread.of(fast).text(), ratio.text()
