"""Where each tensor of the reference implementation lives in our models: one table for both directions.

Every entry is a view into one of our parameters, with axes in the reference's order; importing copies into the view,
exporting copies out of it, so that both ways are bitwise.
"""

from typing import Any

import torch
from torch import nn

from .attention import FrameAttention
from .band_split import BandSplit
from .mask_estimation import MaskEstimation
from .network import BSRNN
from .sequence import DilatedNet, Passage, ResidualNet
from .tac import TAC

Views = dict[str, tuple[torch.Tensor, tuple[int, ...]]]
"""Key -> (view into our parameter, shape of the reference's tensor)."""


def reference_views(model: BSRNN) -> Views:
    """Views of all parameters of a BSRNN under the reference's key names.

    Args:
        model: the model that is read or written through the views.

    Returns:
        Key -> (view into our parameter, shape of the reference's tensor).
    """
    views: Views = {}
    block: Any
    _band_split(views, model.band_split, model.masks.n_chan)
    for index, block in enumerate(model.blocks):
        prefix = f"separator.{index}."
        _net(views, prefix + "time_net.", block.time_net)
        _net(views, prefix + "band_net.", block.band_net)
        if block.tac is not None:
            _tac(views, prefix + "tac_module.", block.tac)
        if block.attention is not None:
            _attention(views, prefix + "attn_block.", block.attention)
    is_bscnn = {model.time_layer, model.band_layer} <= {"dilated", "none"} and model.masks.n_src == 1
    _masks(views, model.masks, "masker" if is_bscnn else None)
    return views


def _same(views: Views, key: str, tensor: torch.Tensor) -> None:
    views[key] = (tensor, tuple(tensor.shape))


def _band_split(views: Views, split: BandSplit, n_chan: int) -> None:
    n_feat = split.feature_dim
    for index, (band, count, width, _) in enumerate(split.groups):
        n_in, axes = 2 * width * n_chan, (n_chan, width, 2)
        for entry in range(count):
            key = f"BN.{band + entry}."
            for name in ("weight", "bias"):
                affine = getattr(split, f"norm_{name}")[index][entry].view(axes).transpose(1, 2)
                views[f"{key}0.{name}"] = (affine, (n_in,))
            weight = split.weight[index][entry].view(*axes, n_feat).permute(3, 0, 2, 1)
            views[key + "1.weight"] = (weight, (n_feat, n_in, 1))
            _same(views, key + "1.bias", split.bias[index][entry, 0])


def _net(views: Views, prefix: str, net: nn.Module) -> None:
    if isinstance(net, Passage):
        return
    if isinstance(net, DilatedNet):
        for name, tensor in net.named_parameters():
            _same(views, prefix + name, tensor)
        return
    assert isinstance(net, ResidualNet)
    for name, tensor in net.named_parameters():
        name = name.replace("layer.conv.", "main_layer.0.").replace("layer.weight", "main_layer.weight")
        _same(views, prefix + name.replace("layer.bias", "main_layer.bias"), tensor)


def _tac(views: Views, prefix: str, tac: TAC) -> None:
    for name in ("transform", "average", "concat"):
        linear = getattr(tac, name)
        _same(views, f"{prefix}{name}.0.weight", linear.weight)
        _same(views, f"{prefix}{name}.0.bias", linear.bias)
        if tac.slope is not None:
            _same(views, f"{prefix}{name}.1.weight", tac.slope)


def _attention(views: Views, prefix: str, attn: FrameAttention) -> None:
    heads, names = attn.n_heads, "QKV"
    weights, biases = attn.weight.split(attn.sizes), attn.bias.split(attn.sizes)
    for index, (weight, bias) in enumerate(zip(weights, biases)):
        kind, head = divmod(index, heads)
        gain = attn.qk_gain[index] if kind < 2 else attn.v_gain[head]
        shift = attn.qk_bias[index] if kind < 2 else attn.v_bias[head]
        slope = attn.slopes[index : index + 1]
        _projection(views, f"{prefix}attn_conv_{names[kind]}_{head}.", weight, bias, slope, gain, shift)
    proj = attn.proj
    _projection(
        views, prefix + "attn_concat_proj.", proj.weight, proj.bias, attn.proj_slope, attn.proj_gain, attn.proj_bias
    )


def _projection(
    views: Views,
    prefix: str,
    weight: torch.Tensor,
    bias: torch.Tensor,
    slope: torch.Tensor,
    gain_KE: torch.Tensor,
    shift_KE: torch.Tensor,
) -> None:
    views[prefix + "0.weight"] = (weight, (*weight.shape, 1, 1))
    _same(views, prefix + "0.bias", bias)
    _same(views, prefix + "1.weight", slope)
    shape = (1, gain_KE.shape[1], 1, gain_KE.shape[0])
    views[prefix + "2.gamma"] = (gain_KE.t(), shape)
    views[prefix + "2.beta"] = (shift_KE.t(), shape)


def _masks(views: Views, masks: MaskEstimation, own_name: str | None) -> None:
    for source in range(masks.n_src):
        prefix = f"{own_name or f'maskers.{source}'}.mask."
        for index, (band, count, width, _) in enumerate(masks.groups):
            for entry in range(count):
                net = (band + entry) * masks.n_src + source
                _hidden_layers(views, f"{prefix}{band + entry}.", masks, net)
                weight, bias = (part[index][entry * masks.n_src + source] for part in (masks.weight3, masks.bias3))
                axes, n_out = (masks.n_chan, 2, width, 2), 4 * width * masks.n_chan
                weight_C2RWM = weight.view(-1, *axes).permute(1, 2, 4, 3, 0)
                views[f"{prefix}{band + entry}.5.weight"] = (weight_C2RWM, (n_out, weight.shape[0], 1))
                views[f"{prefix}{band + entry}.5.bias"] = (bias.view(axes).transpose(2, 3), (n_out,))


def _hidden_layers(views: Views, prefix: str, masks: MaskEstimation, net: int) -> None:
    _same(views, prefix + "0.weight", masks.norm_weight[net, :, 0])
    _same(views, prefix + "0.bias", masks.norm_bias[net, 0])
    for layer, weight, bias in ((1, masks.weight1[net], masks.bias1[net]), (3, masks.weight2[net], masks.bias2[net])):
        views[f"{prefix}{layer}.weight"] = (weight.t(), (weight.shape[1], weight.shape[0], 1))
        _same(views, f"{prefix}{layer}.bias", bias[0])
