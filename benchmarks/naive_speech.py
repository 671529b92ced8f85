"""A-FRCNN's block the obvious way, from the weights of ours: concatenated after upsampling, Asteroid's own norm."""
import torch
from asteroid.masknn.norms import GlobLN
from torch import nn
from torch.nn import functional as F


class NaiveBlock(nn.Module):
    """Same function as :class:`asteroid_bsrnn.masknn.frcnn.FRCNNBlock` with asynchronous fusion.

    Args:
        block (FRCNNBlock): whose parameters are shared.
        fused_norm (bool): PyTorch's group norm instead of Asteroid's ``GlobLN``.

    Shape: (batch, channels, frames) in and out.
    """

    def __init__(self, block, fused_norm=False):
        super().__init__()
        self.proj, self.bottom_up, self.res_conv = block.proj, block.bottom_up, block.res_conv
        self.down, self.fuse = block.fusion.neighbours.down, block.fusion.neighbours.fuse
        self.last, self.fused_norm = block.fusion.last, fused_norm
        self.norms = nn.ModuleDict()
        for name, module in block.named_modules():
            if isinstance(module, nn.GroupNorm):
                norm = GlobLN(module.num_channels)
                norm.gamma, norm.beta = module.weight, module.bias
                self.norms[name.replace(".", "_")] = norm
        self._norm_of = {id(norm.gamma): norm for norm in self.norms.values()}

    def _norm(self, layer, x):
        return layer(x) if self.fused_norm else self._norm_of[id(layer.weight)](x)

    def _depthwise(self, layer, x):
        return self._norm(layer[1], layer[0](x))

    def _pointwise(self, layer, inputs):
        size = inputs[0].shape[2:]
        full = torch.cat([x if x.shape[2:] == size else F.interpolate(x, size=size) for x in inputs], dim=1)
        return layer.act(self._norm(layer.norm, layer.conv(full)))

    def forward(self, x):
        scales = [self._depthwise(self.bottom_up[0], self._pointwise(self.proj, [x]))]
        for layer in self.bottom_up[1:]:
            scales.append(self._depthwise(layer, scales[-1]))
        fused = []
        for index, layer in enumerate(self.fuse):
            finer = [self._depthwise(self.down[index - 1], scales[index - 1])] if index else []
            fused.append(self._pointwise(layer, finer + scales[index : index + 2]))
        return self.res_conv(self._pointwise(self.last, fused)) + x
