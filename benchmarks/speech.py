"""Speech: the A-FRCNN block against the naive one, and what an epoch of each system of Table S2 takes."""
import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

from asteroid_bsrnn import models
from asteroid_bsrnn.masknn.frcnn import FRCNNBlock
from asteroid_bsrnn.masknn.multi_scale import AsyncFusion

from .contest import Spread, in_turn, timed
from .naive_speech import NaiveBlock
from .record import Block
from .saved import saved_bytes

EPOCH_ITEMS = 13900  # mixtures of Libri2Mix train-100
#: system -> (class, arguments). Those with chunks or iterations are at their published sizes, 8 kHz.
SYSTEMS = {
    "A-FRCNN-16": ("AFRCNN", {}),
    "A-FRCNN-8": ("AFRCNN", {"num_iters": 8}),
    "A-FRCNN-4": ("AFRCNN", {"num_iters": 4}),
    "A-FRCNN-16 (sum)": ("AFRCNN", {"bn_chan": 128, "fusion": "sum"}),
    "S-FRCNN": ("SFRCNN", {}),
    "DPRNN": ("DPRNNTasNet", {"n_src": 2, "kernel_size": 18, "stride": 9}),
    "S-DPRNN": ("SDPRNNTasNet", {}),
    "A-DPRNN": ("ADPRNNTasNet", {}),
    "Sandglasset": ("Sandglasset", {}),
    "A-Sandglasset": ("ASandglasset", {}),
    "uPIT-BLSTM": ("UPITBLSTM", {}),
    "uPIT-BLSTM-ST": ("UPITBLSTM", {"stacked": True}),
    "DPCL": ("DPCL", {}),
    "Chimera++": ("Chimera", {}),
    "Conv-TasNet": ("ConvTasNet", {"n_src": 2}),
    "SuDoRM-RF 1.0x": ("SuDORMRFNet", {"n_src": 2}),
}


def make_training_step(name, seconds=1.0, device="cpu"):
    """A function that makes one training step of a system on one example of noise."""
    torch.manual_seed(0)
    class_name, arguments = SYSTEMS[name]
    model = models.get(class_name)(**arguments).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    sources = 0.1 * torch.randn(1, 2, int(seconds * 8000), device=device)
    loss_func = PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx")

    def step():
        optimizer.zero_grad(set_to_none=True)
        mixture = sources.sum(1)
        if hasattr(model, "training_loss"):
            loss = model.training_loss(mixture, sources)
        else:
            loss = loss_func(model(mixture), sources)
        loss.backward()
        optimizer.step()

    return step


def _block_rows(block, settings):
    """A-FRCNN's block, forward and backward, on one second at 8 kHz."""
    chan, n_frames = (16, 64) if settings.quick else (512, 800)
    torch.manual_seed(0)
    fast = FRCNNBlock(chan, chan, AsyncFusion(chan, 5)).to(settings.device)
    x = torch.randn(1, chan, n_frames, device=settings.device)
    rows = []
    for what, fused_norm in (("Asteroid's GlobLN", False), ("fused norm", True)):
        naive = NaiveBlock(fast, fused_norm)
        error = float((naive(x) - fast(x)).detach().abs().max())
        if not error < 1e-4:
            raise RuntimeError(f"the naive block differs from ours by {error:.1e}")
        before, after, ratio = in_turn(*(_pass(net, x) for net in (naive, fast)), settings.repeats)
        kept = [saved_bytes(net, x) for net in (naive, fast)]
        mib = [f"{size / 2**20:.1f}" for size in kept]
        times = [f"{1e3 * Spread.of(seconds).median:.0f}" for seconds in (before, after)]
        rows.append((f"concatenated after upsampling, {what}", *times, ratio.text(), *mib, f"{kept[1] / kept[0]:.2f}"))
        if not fused_norm:
            block.target("A-FRCNN block, forward and backward", 1.5, ratio.median)
            block.target("A-FRCNN block, saved activations", 0.5, kept[1] / kept[0], at_most=True)
    return rows


def _pass(net, x):
    return lambda: net(x).sum().backward()


def run(settings):
    """The block of speech."""
    block = Block("Speech")
    block.text("A-FRCNN block (512 channels, 5 scales, 800 frames), forward and backward, against the naive forms.")
    header = ("naive form", "naive, ms", "ours, ms", "times the baseline", "naive saves, MiB", "ours, MiB", "of the baseline")
    block.table(header, _block_rows(block, settings))
    names = ("A-FRCNN-4",) if settings.quick else SYSTEMS
    rows = []
    for name in names:
        step = make_training_step(name, 0.2 if settings.quick else 1.0, settings.device)
        seconds = Spread.of(timed(step, settings.repeats))
        rows.append((name, seconds.text(), f"{seconds.median * EPOCH_ITEMS / 3600:.1f}", ""))
    block.text(
        f"Training time as in Table S2 of the A-FRCNN supplement: one step on one example of 1 s at 8 kHz, batch 1, "
        f"times the {EPOCH_ITEMS} mixtures of Libri2Mix train-100. The published hours are not known to us: left blank."
    )
    block.table(("system", "s per step", "h per epoch of 1-s examples, this machine", "published h"), rows)
    return block
