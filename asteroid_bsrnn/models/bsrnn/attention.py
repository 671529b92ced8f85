"""Full-band self-attention over frames: every frame is compared with all others by all its bands at once.

Legend: K band, B batch, T frame, N feature, H head, E encoding, Q all projections.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear, linear
from ..layers.norms import uniform

_EPS = 1e-7  # added to the variance; fixed, as in the reference, whose `eps` does not reach this block


class FrameAttention(nn.Module):
    """Attention block of the optimised BSRNN, on PyTorch's fused scaled-dot-product attention.

    Queries, keys and values of all heads come from one linear layer; each has a PReLU slope of its own and a norm over
    (feature, band) of each frame. The gains depend on the bands, so weights belong to one band scheme.

    Args:
        n_feat: N.
        n_bands: K.
        n_heads: heads; divides ``n_feat``.
        attn_dim: features per band of queries and keys.

    References
        [1] Wang et al., "TF-GridNet", ICASSP 2023 (full-band self-attention module).
    """

    slope_of: torch.Tensor

    def __init__(self, n_feat: int, n_bands: int, n_heads: int = 1, attn_dim: int = 16) -> None:
        super().__init__()
        n_value = n_feat // n_heads
        self.n_heads = n_heads
        self.sizes = [attn_dim] * 2 * n_heads + [n_value] * n_heads  # queries, keys, values
        self.weight = uniform(sum(self.sizes), n_feat, fan_in=n_feat)
        self.bias = uniform(sum(self.sizes), fan_in=n_feat)
        self.slopes = nn.Parameter(torch.full((3 * n_heads,), 0.25))
        self.qk_gain = nn.Parameter(torch.ones(2 * n_heads, n_bands, attn_dim))
        self.qk_bias = nn.Parameter(torch.zeros(2 * n_heads, n_bands, attn_dim))
        self.v_gain = nn.Parameter(torch.ones(n_heads, n_bands, n_value))
        self.v_bias = nn.Parameter(torch.zeros(n_heads, n_bands, n_value))
        self.proj = Linear(n_feat, n_feat)
        self.proj_slope = nn.Parameter(torch.full((1,), 0.25))
        self.proj_gain = nn.Parameter(torch.ones(n_bands, n_feat))
        self.proj_bias = nn.Parameter(torch.zeros(n_bands, n_feat))
        owner = [index for index, size in enumerate(self.sizes) for _ in range(size)]
        self.register_buffer("slope_of", torch.tensor(owner), persistent=False)

    def _heads(self, y_KBTQ: torch.Tensor, gain_HKE: torch.Tensor, bias_HKE: torch.Tensor) -> torch.Tensor:
        """Norm of each head and frame over (band, feature), flattened: (batch, heads, frames, bands * features)."""
        y_BHTKE = y_KBTQ.unflatten(3, (gain_HKE.shape[0], -1)).permute(1, 3, 2, 0, 4)
        y_BHTD = F.layer_norm(y_BHTKE.flatten(3), (gain_HKE[0].numel(),), eps=_EPS)
        return torch.addcmul(bias_HKE.flatten(1)[:, None], y_BHTD, gain_HKE.flatten(1)[:, None])

    def forward(self, x_KBTN: torch.Tensor) -> torch.Tensor:
        """Shape: (bands, batch, frames, features) in and out."""
        n_bands, n_batch, n_frames, _ = x_KBTN.shape
        y_Q = linear(x_KBTN, self.weight, self.bias).flatten(0, 2)
        slopes = self.slopes[self.slope_of].to(y_Q.dtype)
        y_KBTQ = F.prelu(y_Q, slopes).view(n_bands, n_batch, n_frames, -1)
        n_qk = 2 * self.n_heads * self.qk_gain.shape[-1]
        qk_BHTD = self._heads(y_KBTQ[..., :n_qk], self.qk_gain, self.qk_bias).to(y_Q.dtype)
        v_BHTD = self._heads(y_KBTQ[..., n_qk:], self.v_gain, self.v_bias).to(y_Q.dtype)
        query, key = qk_BHTD.chunk(2, dim=1)
        out_BHTD = F.scaled_dot_product_attention(query, key, v_BHTD)  # scale 1 / sqrt(attn_dim * n_bands)
        out_BTKN = out_BHTD.unflatten(3, (n_bands, -1)).permute(0, 2, 3, 1, 4).flatten(3)
        out_BTKN = self.proj(out_BTKN)
        out_BTKN = F.prelu(out_BTKN, self.proj_slope.to(out_BTKN.dtype))
        out_BTKN = F.layer_norm(out_BTKN, out_BTKN.shape[2:], self.proj_gain, self.proj_bias, _EPS)
        return x_KBTN + out_BTKN.permute(2, 0, 1, 3)
