"""Blocks of the speech models, forward and backward, against Asteroid's own or the naive form of the same weights.

The sizes are those of the published models for one second at 8 kHz, in batches of one and of six, the recipes'.
"""

from functools import partial

import torch
from asteroid.dsp.overlap_add import DualPathProcessing
from asteroid.masknn.recurrent import DPRNNBlock
from torch import nn

from asteroid_bsrnn.models.afrcnn.frcnn import FRCNNBlock
from asteroid_bsrnn.models.dual_path.blocks import INTER, INTRA, RecurrentPath
from asteroid_bsrnn.models.dual_path.self_attentive import SelfAttentive, sinusoidal_positions
from asteroid_bsrnn.models.layers.chunking import Chunks
from asteroid_bsrnn.models.layers.multi_scale import AsyncFusion, SyncFusion

from .contest import Spread, in_turn
from .naive_speech import NaiveForms, asteroid_norm, fused_norm, self_attentive
from .saved import saved_bytes

TOLERANCE = 1e-4


class Form(nn.Module):
    """A function of tensors with the parameters of ``module``."""

    def __init__(self, function, module):
        super().__init__()
        self.function, self.module = function, module

    def forward(self, *inputs):
        return self.function(*inputs)


def afrcnn(quick, batch=6, norm=asteroid_norm, fusion="concat"):
    """A-FRCNN's block; its input is (batch, channels, frames)."""
    chan, frames = (16, 64) if quick else (512, 800)
    forms, block = NaiveForms(norm), FRCNNBlock(chan, chan, AsyncFusion(chan, 5, fusion=fusion))
    fuse = forms.summed if fusion == "sum" else forms.pointwise

    def fused(layer, scales):
        return forms.async_fusion(layer, scales, fuse)

    return block, Form(lambda x: forms.frcnn_block(block, x, fused), block), [torch.randn(batch, chan, frames)]


def sfrcnn(quick, batch=6):
    """S-FRCNN's block with what cannot reach the output left out, against the whole one."""
    chan, frames = (16, 64) if quick else (512, 800)
    forms, block = NaiveForms(), FRCNNBlock(chan, chan, SyncFusion(chan, 5, 4))
    full = FRCNNBlock(chan, chan, SyncFusion(chan, 5, 4, prune_dead=False))
    full.load_state_dict(block.state_dict(), strict=False)
    naive = Form(lambda x: forms.frcnn_block(full, x, forms.sync_fusion), full)
    return block, naive, [torch.randn(batch, chan, frames)]


def a_dprnn_fusion(quick):
    """Fusion along the chunk of A-DPRNN; its input are all scales, (1, channels, positions, chunks)."""
    chan, chunks = (8, 4) if quick else (128, 22)
    forms, layer = NaiveForms(), AsyncFusion(chan, 5, n_axes=2)
    scales = [torch.randn(1, chan, size, chunks) for size in (100, 50, 25, 13, 7)]

    def ours(*inputs):
        return layer(list(inputs))

    return Form(ours, layer), Form(lambda *inputs: forms.async_fusion(layer, list(inputs)), layer), scales


def dual_path(quick):
    """Both paths of a DPRNN block, against Asteroid's ``DPRNNBlock`` with the same weights."""
    chan, hid, chunks = (8, 6, 4) if quick else (128, 128, 22)
    ours = nn.Sequential(RecurrentPath(chan, hid, INTRA), RecurrentPath(chan, hid, INTER))
    theirs = DPRNNBlock(chan, hid, norm_type="gLN")
    for path, name in zip(ours, ("intra", "inter")):
        getattr(theirs, f"{name}_RNN").rnn.load_state_dict(path.rnn.state_dict())
        getattr(theirs, f"{name}_linear").load_state_dict(path.proj.linear.state_dict())
    return ours, theirs, [torch.randn(1, chan, 100, chunks)]


def attention(quick):
    """The attention of Sandglasset, against one position and head at a time."""
    chan, chunks = (8, 4) if quick else (128, 33)
    layer = SelfAttentive(chan, 8, dropout=0.0)
    positions = sinusoidal_positions(chunks, chan)
    x = torch.randn(1, chan, 16 if quick else 256, chunks)
    return layer, Form(lambda x: self_attentive(layer, x, positions), layer), [x]


class Joined(nn.Module):
    """Cut into chunks, and put together again."""

    def __init__(self, size, hop):
        super().__init__()
        self.chunks = Chunks(size, hop)

    def forward(self, x):
        return self.chunks.join(self.chunks.split(x), x.shape[-1])


def chunking(quick):
    """Chunks cut and joined, against Asteroid's ``DualPathProcessing``."""
    theirs = DualPathProcessing(250, 125)
    naive = Form(lambda x: theirs.fold(theirs.unfold(x)), nn.Identity())
    return Joined(250, 125), naive, [torch.randn(1, 16 if quick else 128, 8000)]


_CONCATENATED = "concatenated after upsampling, Asteroid's norm"
#: what -> (against what, function that makes ours, the other and the inputs)
BLOCKS = {
    "A-FRCNN": (_CONCATENATED, afrcnn),
    "A-FRCNN, batch of 1": (_CONCATENATED, partial(afrcnn, batch=1)),
    "A-FRCNN, one norm": ("concatenated after upsampling, the same norm as ours", partial(afrcnn, norm=fused_norm)),
    "A-FRCNN (sum)": ("upsampled before the sum, Asteroid's norm", partial(afrcnn, fusion="sum")),
    "S-FRCNN": ("as A-FRCNN, dead updates computed", sfrcnn),
    "A-DPRNN's fusion, batch of 1": (_CONCATENATED, a_dprnn_fusion),
    "dual-path block, batch of 1": ("Asteroid's `DPRNNBlock`", dual_path),
    "Sandglasset's attention, batch of 1": ("one position and head at a time", attention),
    "chunks, batch of 1": ("Asteroid's `DualPathProcessing`", chunking),
}


def compare(what, settings):
    """Time both forms in turn and count what they save for the gradient.

    Returns:
        tuple: seconds of the naive form, of ours, :class:`Spread` of the ratio, bytes of the naive form, of ours.

    Raises:
        RuntimeError: if the forms differ.
    """
    torch.manual_seed(0)
    ours, naive, inputs = BLOCKS[what][1](settings.quick)
    for module in (ours, naive):
        module.to(settings.device)
    inputs = [x.to(settings.device).requires_grad_() for x in inputs]
    error = float((naive(*inputs) - ours(*inputs)).detach().abs().max())
    if not error < TOLERANCE:
        raise RuntimeError(f"{what}: the naive form differs from ours by {error:.1e}")
    before, after, ratio = in_turn(*(_pass(net, inputs) for net in (naive, ours)), settings.repeats)
    kept = [saved_bytes(net, *inputs) for net in (naive, ours)]
    return Spread.of(before), Spread.of(after), ratio, *kept


def _pass(net, inputs):
    return lambda: net(*inputs).sum().backward()
