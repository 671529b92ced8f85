"""Textbook Band-Split RNN: what one writes from the paper, and what the fast model is measured against.

One loop iteration per band in the band split and in the masks, real and imaginary parts kept apart, contiguous copies
around every layer that wants another order of axes, float32. It is no straw man: the recurrent layers are PyTorch's
own, whole (bidirectional, all rows in one call), and take over 90 % of its time on a processor.

Parameters are named as in the published files, so :func:`from_fast` gives it the weights of any of our models.

References
    [1] Luo and Yu, "Music Source Separation with Band-Split RNN", TASLP 2023.
"""

import torch
from torch import nn

from asteroid_bsrnn.convert import to_reference


class ResidualNet(nn.Module):
    """Norm, LSTM, linear layer, residual. Shape: (rows, features, sequence) in and out."""

    def __init__(self, n_feat, hid_ratio, eps):
        super().__init__()
        self.norm = nn.GroupNorm(1, n_feat, eps)
        self.main_layer = nn.LSTM(n_feat, hid_ratio * n_feat, batch_first=True, bidirectional=True)
        self.proj = nn.Linear(2 * hid_ratio * n_feat, n_feat)

    def forward(self, x):
        y = self.norm(x).transpose(1, 2).contiguous()
        y = self.proj(self.main_layer(y)[0])
        return x + y.transpose(1, 2).contiguous()


class TAC(nn.Module):
    """Transform-average-concatenate. Shape: (items, channels, features) in and out."""

    def __init__(self, n_feat, ratio, act):
        super().__init__()
        shared, hid = (nn.PReLU() if act == "prelu" else nn.Tanh()), ratio * n_feat
        self.transform = nn.Sequential(nn.Linear(n_feat, hid), shared)
        self.average = nn.Sequential(nn.Linear(hid, hid), shared)
        self.concat = nn.Sequential(nn.Linear(2 * hid, n_feat), shared)

    def forward(self, x):
        v = self.transform(x)
        r = self.average(v.mean(1, keepdim=True)).expand_as(v)
        return x + self.concat(torch.cat([v, r], dim=-1))


class FrameNorm(nn.Module):
    """Norm over (feature, band) of each frame. Shape: (batch, features, frames, bands) in and out."""

    def __init__(self, n_feat, n_bands, eps):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, n_feat, 1, n_bands))
        self.beta = nn.Parameter(torch.zeros(1, n_feat, 1, n_bands))
        self.eps = eps

    def forward(self, x):
        mean = x.mean((1, 3), keepdim=True)
        std = torch.sqrt(x.var((1, 3), unbiased=False, keepdim=True) + self.eps)
        return (x - mean) / std * self.gamma + self.beta


class Attention(nn.Module):
    """Full-band attention over frames, head by head. Shape: (batch, features, frames, bands) in and out."""

    def __init__(self, n_feat, n_bands, n_heads, attn_dim, eps):
        super().__init__()
        self.n_heads, self.scale = n_heads, (attn_dim * n_bands) ** -0.5

        def project(n_out):
            return nn.Sequential(nn.Conv2d(n_feat, n_out, 1), nn.PReLU(), FrameNorm(n_out, n_bands, eps))

        for head in range(n_heads):
            self.add_module(f"attn_conv_Q_{head}", project(attn_dim))
            self.add_module(f"attn_conv_K_{head}", project(attn_dim))
            self.add_module(f"attn_conv_V_{head}", project(n_feat // n_heads))
        self.attn_concat_proj = project(n_feat)

    def forward(self, x):
        heads = []
        for head in range(self.n_heads):
            query, key, value = (getattr(self, f"attn_conv_{name}_{head}")(x).transpose(1, 2) for name in "QKV")
            weights = torch.softmax(query.flatten(2) @ key.flatten(2).transpose(1, 2) * self.scale, dim=-1)
            heads.append((weights @ value.flatten(2)).view(value.shape).transpose(1, 2))
        return x + self.attn_concat_proj(torch.cat(heads, dim=1))


class Masker(nn.Module):
    """Masks of one source, one small network per band."""

    def __init__(self, widths, n_feat, ratio, eps):
        super().__init__()
        hid = ratio * n_feat
        self.mask = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, n_feat, eps),
                nn.Conv1d(n_feat, hid, 1),
                nn.Tanh(),
                nn.Conv1d(hid, hid, 1),
                nn.Tanh(),
                nn.Conv1d(hid, 4 * width, 1),
            )
            for width in widths
        )

    def forward(self, x, subbands):
        """(items, features, bands, frames), list of (items, bins, frames) complex -> (items, bins, frames) complex."""
        estimates = []
        for band, (net, spec) in enumerate(zip(self.mask, subbands)):
            real, imag = spec.real, spec.imag
            value, gate = net(x[:, :, band].contiguous()).chunk(2, dim=1)
            mask_re, mask_im = (value * torch.sigmoid(gate)).chunk(2, dim=1)
            estimates.append(torch.complex(real * mask_re - imag * mask_im, real * mask_im + imag * mask_re))
        return torch.cat(estimates, dim=1)


class TextbookBSRNN(nn.Module):
    """Band-Split RNN with LSTMs, for one or several sources, with TAC and attention where wanted.

    Args:
        widths (list of int): bins per band.
        n_src (int): sources, each with a masker of its own.
        n_fft, n_hop, feature_dim, n_repeats, hid_ratio, mask_ratio, stereo, tac_ratio, tac_act, n_attn_heads,
            attn_dim, eps: as in :class:`asteroid_bsrnn.models.BSRNN`; ``stereo`` is None or "tac".
    """

    def __init__(
        self,
        widths,
        n_src=1,
        n_fft=2048,
        n_hop=512,
        feature_dim=64,
        n_repeats=8,
        hid_ratio=2,
        mask_ratio=4,
        stereo=None,
        tac_ratio=3,
        tac_act="prelu",
        n_attn_heads=0,
        attn_dim=16,
        eps=1e-7,
    ):
        super().__init__()
        self.widths, self.n_fft, self.n_hop = widths, n_fft, n_hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.BN = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, 2 * width, eps), nn.Conv1d(2 * width, feature_dim, 1)) for width in widths
        )
        self.separator = nn.ModuleList()
        for _ in range(n_repeats):
            block = nn.ModuleDict({name: ResidualNet(feature_dim, hid_ratio, eps) for name in ("time_net", "band_net")})
            if stereo == "tac":
                block["tac_module"] = TAC(feature_dim, tac_ratio, tac_act)
            if n_attn_heads:
                block["attn_block"] = Attention(feature_dim, len(widths), n_attn_heads, attn_dim, eps)
            self.separator.append(block)
        self.maskers = nn.ModuleList(Masker(widths, feature_dim, mask_ratio, eps) for _ in range(n_src))

    def forward(self, wav):
        """(batch, channels, time) -> (batch, n_src, channels, time)."""
        return self.forward_stft(wav)[0]

    def forward_stft(self, wav):
        """Waveforms as from :meth:`forward`, and the masked spectra."""
        n_batch, n_chan, length = wav.shape
        spec = torch.stft(wav.flatten(0, 1), self.n_fft, self.n_hop, window=self.window, return_complex=True)
        subbands = spec.split(self.widths, dim=1)
        x = self._split(subbands)
        for block in self.separator:
            x = self._block(block, x, n_chan)
        spectra = torch.stack([masker(x, subbands) for masker in self.maskers], dim=1)
        spectra = spectra.view(n_batch, n_chan, *spectra.shape[1:]).transpose(1, 2).contiguous()
        waves = torch.istft(spectra.flatten(0, 2), self.n_fft, self.n_hop, window=self.window, length=length)
        return waves.view(*spectra.shape[:3], length), spectra

    def _split(self, subbands):
        """List of (items, bins, frames) complex -> (items, features, bands, frames)."""
        return torch.stack([net(torch.cat([s.real, s.imag], dim=1)) for net, s in zip(self.BN, subbands)], dim=2)

    @staticmethod
    def _block(block, x, n_chan):
        """(items, features, bands, frames) in and out."""
        n_items, n_feat, n_bands, n_frames = x.shape
        rows = x.permute(0, 2, 1, 3).contiguous().view(-1, n_feat, n_frames)
        rows = block["time_net"](rows).view(n_items, n_bands, n_feat, n_frames)
        rows = rows.permute(0, 3, 2, 1).contiguous().view(-1, n_feat, n_bands)
        rows = block["band_net"](rows).view(n_items, n_frames, n_feat, n_bands)
        x = rows.permute(0, 2, 3, 1).contiguous()
        if "tac_module" in block:
            rows = x.view(-1, n_chan, n_feat, n_bands, n_frames).permute(0, 3, 4, 1, 2).contiguous()
            rows = block["tac_module"](rows.view(-1, n_chan, n_feat)).view(rows.shape)
            x = rows.permute(0, 3, 4, 1, 2).contiguous().view(x.shape)
        if "attn_block" in block:
            x = block["attn_block"](x.transpose(2, 3).contiguous()).transpose(2, 3).contiguous()
        return x


_ARGUMENTS = (
    "n_src n_fft n_hop feature_dim n_repeats hid_ratio mask_ratio stereo tac_ratio tac_act n_attn_heads attn_dim eps"
)


def from_fast(model):
    """The textbook model with the weights of ``model``, a :class:`asteroid_bsrnn.models.BSRNN`."""
    baseline = TextbookBSRNN(model.widths, **{name: getattr(model, name) for name in _ARGUMENTS.split()})
    weights = {key: value for key, value in to_reference(model).items() if not key.endswith("window")}
    baseline.load_state_dict(weights)
    return baseline.to(model.stft.window.device).train(model.training)
