"""The blocks of the speech models written the obvious way, from the weights of ours.

What the tests compare with, and what the benchmarks are measured against: everything is concatenated after
upsampling, chunks and heads are looped over, the global layer norm is Asteroid's own.
"""

from weakref import WeakKeyDictionary

import torch
from asteroid.masknn.norms import GlobLN
from torch.nn import functional as F

_GLOBLN = WeakKeyDictionary()


def asteroid_norm(layer, x):
    """Asteroid's ``GlobLN`` with the gain and the bias of ``layer``, one of our global layer norms."""
    if layer not in _GLOBLN:
        _GLOBLN[layer] = GlobLN(layer.num_channels)
        _GLOBLN[layer].gamma, _GLOBLN[layer].beta = layer.weight, layer.bias
    return _GLOBLN[layer](x)


def fused_norm(layer, x):
    """PyTorch's group norm."""
    return layer(x)


class NaiveForms:
    """Blocks as functions of one of ours, whose parameters they share.

    Args:
        norm (callable): ``norm(layer, x)``, :func:`asteroid_norm` or :func:`fused_norm`.
    """

    def __init__(self, norm=asteroid_norm):
        self.norm = norm

    def depthwise(self, layer, x):
        return self.norm(layer[1], layer[0](x))

    def pointwise(self, layer, inputs):
        """Concatenate at the length of the first input, 1x1 convolution, norm, PReLU."""
        size = inputs[0].shape[2:]
        full = torch.cat([x if x.shape[2:] == size else F.interpolate(x, size=size) for x in inputs], dim=1)
        return layer.act(self.norm(layer.norm, layer.conv(full)))

    def summed(self, layer, inputs):
        """Sum at the length of the first input, norm, PReLU."""
        total = inputs[0]
        for x in inputs[1:]:
            total = total + F.interpolate(x, size=total.shape[2:])
        return layer.act(self.norm(layer.norm, total))

    def neighbours(self, layer, scales, fuse=None):
        """New values of the finest ``len(layer.fuse)`` scales from the old ones."""
        updated = []
        for s, part in enumerate(layer.fuse):
            finer = [self.depthwise(layer.down[s - 1], scales[s - 1])] if s else []
            updated.append((fuse or self.pointwise)(part, finer + scales[s : s + 2]))
        return updated

    def async_fusion(self, layer, scales, fuse=None):
        return self.pointwise(layer.last, self.neighbours(layer.neighbours, scales, fuse))

    def sync_fusion(self, layer, scales):
        for step in layer.steps:
            scales = self.neighbours(step, scales)
        return scales[0]

    def frcnn_block(self, block, x, fusion):
        """``fusion(layer, scales)`` is one of the two above."""
        scales = [self.depthwise(block.bottom_up[0], self.pointwise(block.proj, [x]))]
        for layer in block.bottom_up[1:]:
            scales.append(self.depthwise(layer, scales[-1]))
        return block.res_conv(fusion(block.fusion, scales)) + x

    def recurrent(self, rnn, proj, x, axis):
        """BiLSTM over each chunk (axis 2) or each position (axis 3) by itself, linear, norm, residual."""
        lines = x.unbind(5 - axis)
        hidden = [proj.linear(rnn(line.permute(2, 0, 1))[0]).permute(1, 2, 0) for line in lines]
        return x + self.norm(proj.norm, torch.stack(hidden, dim=5 - axis))

    def multi_scale_intra(self, layer, x, fusion):
        scales, current = [], x
        for s in range(len(layer.down) + 1):
            current = self.recurrent(layer.rnn, layer.proj[s if len(layer.proj) > 1 else 0], current, axis=2)
            scales.append(current)
            if s < len(layer.down):
                current = self.depthwise(layer.down[s], current)
        return x + layer.res_conv(fusion(layer.fusion, scales))


def self_attentive(layer, x, positions):
    """One position in the chunk after another, one head after another."""
    attention, _batch, chan = layer.attention, *x.shape[:2]
    heads, size = attention.n_heads, chan // attention.n_heads
    columns = []
    for column in x.unbind(2):
        sequence = F.layer_norm(column.transpose(1, 2), (chan,), layer.norm_in.weight, layer.norm_in.bias) + positions
        query, key, value = attention.in_proj(sequence).chunk(3, dim=-1)
        parts = []
        for h in range(heads):
            q, k, v = (t[..., h * size : (h + 1) * size] for t in (query, key, value))
            parts.append(torch.softmax(q @ k.transpose(1, 2) / size**0.5, dim=-1) @ v)
        attended = attention.out_proj(torch.cat(parts, dim=-1))
        kept = attended if layer.legacy_residual else sequence
        out = F.layer_norm(kept + attended, (chan,), layer.norm_out.weight, layer.norm_out.bias)
        columns.append(out.transpose(1, 2))
    return torch.stack(columns, dim=2)
