"""Transform-average-concatenate: the channels of one recording exchange what they have in common.

Legend: K band, B batch, C channel, T frame, N feature, H hidden.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear, linear

ACTIVATIONS = ("tanh", "prelu")


class TAC(nn.Module):
    """TAC block for any number of channels; it commutes with every permutation of them.

    For one channel the average is that channel itself, so the block is defined for mono as well. PReLU has one slope
    for the three layers of a block, and the activation follows the last layer too, as in the published models.
    W3 [v ; r] is computed as A v + B r, so that the concatenation is never built and B r once for all channels.

    Args:
        n_feat: N.
        ratio: hidden features are ``ratio * n_feat``.
        act: "tanh" or "prelu".

    References
        [1] Luo et al., "End-to-end Microphone Permutation and Number Invariant Multi-channel Speech Separation",
        ICASSP 2020.
    """

    def __init__(self, n_feat: int, ratio: int = 3, act: str = "prelu") -> None:
        super().__init__()
        hid = ratio * n_feat
        self.transform, self.average = Linear(n_feat, hid), Linear(hid, hid)
        self.concat = Linear(2 * hid, n_feat)
        self.slope = nn.Parameter(torch.full((1,), 0.25)) if act == "prelu" else None

    def _act(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) if self.slope is None else F.prelu(x, self.slope.to(x.dtype))

    def forward(self, x_KBTN: torch.Tensor, n_chan: int) -> torch.Tensor:
        """Shape: (bands, batch * n_chan, frames, features) in and out; channels of one item are neighbours."""
        v_KBCTH = self._act(self.transform(x_KBTN)).unflatten(1, (-1, n_chan))
        r_KB1TH = self._act(self.average(v_KBCTH.mean(2, keepdim=True)))
        own_NH, mean_NH = self.concat.weight.chunk(2, dim=1)
        r_KB1TN = linear(r_KB1TH, mean_NH, self.concat.bias)
        y_KBCTN = self._act(linear(v_KBCTH, own_NH) + r_KB1TN)
        return x_KBTN + y_KBCTN.flatten(1, 2)
