"""Speech: blocks against their naive forms, and what an epoch of each system of Table S2 takes."""

import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

from asteroid_bsrnn import models

from .contest import Spread, timed
from .record import Block
from .speech_blocks import BLOCKS, compare

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
    rows = []
    for what, (against, _) in BLOCKS.items():
        before, after, ratio, naive_bytes, our_bytes = compare(what, settings)
        times = [f"{1e3 * seconds.median:.1f}" for seconds in (before, after)]
        sizes = [f"{size / 2**20:.1f}" for size in (naive_bytes, our_bytes)]
        rows.append(
            (what, against, *times, ratio.text(), *sizes, f"{our_bytes / naive_bytes:.2f}" if naive_bytes else "-")
        )
        if what == "A-FRCNN":
            block.target("A-FRCNN block, forward and backward", 1.5, ratio.median)
            block.target("A-FRCNN block, saved activations", 0.5, our_bytes / naive_bytes, at_most=True)
    return rows


def run(settings):
    """The block of speech."""
    block = Block("Speech")
    block.text(
        "Blocks at their published sizes on 1 s at 8 kHz, batches of 6 as in the recipes unless stated: forward and "
        "backward, and what is saved for the gradient."
    )
    header = ("block", "against", "that, ms", "ours, ms", "times that", "that saves, MiB", "ours, MiB", "of that")
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
