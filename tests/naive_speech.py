"""The blocks of the speech models written the obvious way, from the weights of ours: what the tests compare with.

Everything is concatenated after upsampling, chunks and scales are looped over, norms are computed by hand.
"""
import torch
from torch.nn import functional as F


def norm(layer, x):
    """Global layer norm from its definition."""
    dims = tuple(range(1, x.ndim))
    mean = x.mean(dims, keepdim=True)
    var = (x - mean).square().mean(dims, keepdim=True)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean) / (var + 1e-8).sqrt() * layer.weight.view(shape) + layer.bias.view(shape)


def prelu(layer, x):
    return torch.where(x > 0, x, layer.weight * x)


def up(x, size):
    """Nearest upsampling of the last axes to ``size``."""
    return F.interpolate(x, size=size, mode="nearest")


def depthwise(layer, x):
    return norm(layer[1], layer[0](x))


def pointwise(layer, inputs):
    """Concatenate at the length of the first input, 1x1 convolution, norm, PReLU."""
    full = torch.cat([x if x.shape == inputs[0].shape else up(x, inputs[0].shape[2:]) for x in inputs], dim=1)
    return prelu(layer.act, norm(layer.norm, layer.conv(full)))


def summed(layer, inputs):
    total = inputs[0]
    for x in inputs[1:]:
        total = total + up(x, inputs[0].shape[2:])
    return prelu(layer.act, norm(layer.norm, total))


def neighbours(layer, scales, fuse=pointwise):
    """New values of the finest ``len(layer.fuse)`` scales from the old ones."""
    updated = []
    for s, part in enumerate(layer.fuse):
        inputs = []
        if s > 0:
            inputs.append(depthwise(layer.down[s - 1], scales[s - 1]))
        inputs.append(scales[s])
        if s + 1 < len(scales):
            inputs.append(scales[s + 1])
        updated.append(fuse(part, inputs))
    return updated


def async_fusion(layer, scales, fuse=pointwise):
    return pointwise(layer.last, neighbours(layer.neighbours, scales, fuse))


def sync_fusion(layer, scales):
    for step in layer.steps:
        scales = neighbours(step, scales)
    return scales[0]


def frcnn_block(block, x, fusion):
    scales = [pointwise(block.proj, [x])]
    scales[0] = depthwise(block.bottom_up[0], scales[0])
    for layer in block.bottom_up[1:]:
        scales.append(depthwise(layer, scales[-1]))
    return block.res_conv(fusion(block.fusion, scales)) + x


def recurrent(rnn, proj, x, axis):
    """BiLSTM over each chunk (axis 2) or each position (axis 3) by itself, linear, norm, residual."""
    lines = x.unbind(5 - axis)
    hidden = [proj.linear(rnn(line.transpose(1, 2))[0]).transpose(1, 2) for line in lines]
    return x + norm(proj.norm, torch.stack(hidden, dim=5 - axis))


def multi_scale_intra(layer, x, fusion):
    scales, current = [], x
    for s in range(len(layer.down) + 1):
        current = recurrent(layer.rnn, layer.proj[s if len(layer.proj) > 1 else 0], current, axis=2)
        scales.append(current)
        if s < len(layer.down):
            current = depthwise(layer.down[s], current)
    return x + layer.res_conv(fusion(layer.fusion, scales))


def self_attentive(layer, x, positions):
    """One position in the chunk after another, one head after another."""
    attention, batch, chan = layer.attention, *x.shape[:2]
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
