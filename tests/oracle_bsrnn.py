"""Textbook BSRNN: one loop iteration per band, layers as the papers draw them, parameters named as the published files.

It is the yardstick for the fast implementation and shares no code with it. Shapes are channels-first.
"""

import torch
from torch import nn


class RNNNet(nn.Module):
    """Norm, LSTM / GRU / convolution, linear layer, residual: (batch, n, length) in and out."""

    def __init__(self, layer, n, hid, bidirectional, groups, eps):
        super().__init__()
        n_out = hid * (2 if bidirectional else 1)
        self.norm = nn.GroupNorm(max(n // 16, 1) if groups is None else groups, n, eps)
        if layer == "conv":
            self.main_layer = nn.Sequential(nn.Conv1d(n, n_out, 3, padding=1), nn.ReLU())
        else:
            cls = {"lstm": nn.LSTM, "gru": nn.GRU}[layer]
            self.main_layer = cls(n, hid, batch_first=True, bidirectional=bidirectional)
        self.proj = nn.Linear(n_out, n)

    def forward(self, x):
        y = self.norm(x)
        if isinstance(self.main_layer, nn.Sequential):
            y = self.main_layer(y).transpose(1, 2)
        else:
            y = self.main_layer(y.transpose(1, 2))[0]
        return x + self.proj(y).transpose(1, 2)


class DilatedNet(nn.Module):
    def __init__(self, n, n_dilated, kernel, ratio, eps):
        super().__init__()
        hid = ratio * n

        def layer(n_in, n_out, dilation, eps):
            pad = dilation * (kernel - 1)
            return nn.Sequential(
                nn.GroupNorm(1, n_in, eps),
                nn.Conv1d(n_in, n_out, kernel, dilation=dilation),
                nn.ConstantPad1d((pad // 2, pad - pad // 2), 0.0),
            )

        self.in_layer = layer(n, hid, 1, eps)
        self.dil_layers = nn.ModuleList(layer(hid, hid, 2**i, 1e-5) for i in range(n_dilated))
        around = [[j for j in (i - 1, i, i + 1) if 0 <= j < n_dilated] for i in range(n_dilated)]
        self.around = around
        self.concat_layers = nn.ModuleList(layer(hid * len(a), hid, 1, 1e-5) for a in around)
        self.out_layer = layer(hid * max(n_dilated, 1), n, 1, eps)

    @staticmethod
    def run(layer, x):
        norm, conv, pad = layer
        return torch.relu(conv(pad(norm(x))))

    def forward(self, x):
        y, scales = self.run(self.in_layer, x), []
        for layer in self.dil_layers:
            scales.append(self.run(layer, scales[-1] if scales else y))
        if scales:
            fused = [torch.cat([scales[j] for j in a], 1) for a in self.around]
            y = torch.cat([self.run(layer, z) for layer, z in zip(self.concat_layers, fused)], 1)
        return x + self.run(self.out_layer, y)


class TAC(nn.Module):
    def __init__(self, n, ratio, act):
        super().__init__()
        shared = nn.PReLU() if act == "prelu" else nn.Tanh()
        self.transform = nn.Sequential(nn.Linear(n, ratio * n), shared)
        self.average = nn.Sequential(nn.Linear(ratio * n, ratio * n), shared)
        self.concat = nn.Sequential(nn.Linear(2 * ratio * n, n), shared)

    def forward(self, x):  # (items, channels, n)
        v = self.transform(x)
        r = self.average(v.mean(1))
        return x + self.concat(torch.cat([v, r[:, None].expand_as(v)], -1))


class Norm4d(nn.Module):
    """Norm over (channel, band) of each frame: (batch, channels, frames, bands)."""

    def __init__(self, q, n_bands, eps):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, q, 1, n_bands))
        self.beta = nn.Parameter(torch.zeros(1, q, 1, n_bands))
        self.eps = eps

    def forward(self, x):
        var, mean = torch.var_mean(x, dim=(1, 3), unbiased=False, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.gamma + self.beta


class Attention(nn.Module):
    def __init__(self, n, n_bands, heads, enc, eps):
        super().__init__()
        self.heads, self.enc = heads, enc

        def conv(q):
            return nn.Sequential(nn.Conv2d(n, q, 1), nn.PReLU(), Norm4d(q, n_bands, eps))

        for i in range(heads):
            self.add_module(f"attn_conv_Q_{i}", conv(enc))
            self.add_module(f"attn_conv_K_{i}", conv(enc))
            self.add_module(f"attn_conv_V_{i}", conv(n // heads))
        self.attn_concat_proj = conv(n)

    def forward(self, x):  # (batch, n, frames, bands)
        heads = []
        for i in range(self.heads):
            query, key, value = (getattr(self, f"attn_conv_{name}_{i}")(x) for name in "QKV")
            flat = [z.transpose(1, 2).flatten(2) for z in (query, key, value)]
            logits = flat[0] @ flat[1].transpose(1, 2) / (self.enc * x.shape[-1]) ** 0.5
            out = logits.softmax(-1) @ flat[2]
            heads.append(out.view(value.transpose(1, 2).shape).transpose(1, 2))
        return x + self.attn_concat_proj(torch.cat(heads, 1))


class Masker(nn.Module):
    def __init__(self, widths, n, ratio, chan, context, eps):
        super().__init__()
        hid = ratio * n
        self.context = context
        self.mask = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, n, eps),
                nn.Conv1d(n, hid, 1),
                nn.Tanh(),
                nn.Conv1d(hid, hid, 1),
                nn.Tanh(),
                nn.Conv1d(hid, 4 * w * chan, 1),
            )
            for w in widths
        )

    def forward(self, x, subbands):  # (items, K, N, frames); list of complex (items, channels, w, frames)
        out = []
        for band, (net, spec) in enumerate(zip(self.mask, subbands)):
            y = net(x[:, band]).reshape(*spec.shape[:2], 2, 2, *spec.shape[2:])
            mask = y[:, :, 0] * torch.sigmoid(y[:, :, 1])
            est = torch.complex(mask[:, :, 0], mask[:, :, 1]) * spec
            if self.context:
                taps = torch.ones(1, 1, 2 * self.context + 1, dtype=x.dtype)
                rows = [z.transpose(2, 3).reshape(-1, 1, spec.shape[2]) for z in (est.real, est.imag)]
                rows = [nn.functional.conv1d(row, taps, padding=self.context) for row in rows]
                est = torch.complex(*rows).reshape(*spec.shape[:2], spec.shape[3], spec.shape[2]).transpose(2, 3)
            out.append(est)
        return torch.cat(out, 2)


class OracleBSRNN(nn.Module):
    """Same constructor arguments as the fast model, except ``widths`` in the place of the bands."""

    def __init__(
        self,
        widths,
        sources=("vocals",),
        in_channels=2,
        n_fft=2048,
        n_hop=512,
        feature_dim=64,
        n_repeats=8,
        hid_ratio=2,
        time_layer="lstm",
        band_layer="lstm",
        bidirectional=True,
        mask_ratio=4,
        mask_context=0,
        residual_source=False,
        n_heads=1,
        n_attn_heads=0,
        attn_dim=16,
        stereo=None,
        tac_ratio=3,
        tac_act="prelu",
        group_num=1,
        n_dilated=3,
        dilated_kernel=3,
        dilated_ratio=1,
        eps=1e-7,
    ):
        super().__init__()
        self.widths, self.n_fft, self.n_hop, self.n_heads, self.stereo = widths, n_fft, n_hop, n_heads, stereo
        self.residual = residual_source and len(sources) > 1
        chan = in_channels if stereo == "naive" else 1
        self.BN = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, 2 * w * chan, eps), nn.Conv1d(2 * w * chan, feature_dim, 1)) for w in widths
        )
        n = feature_dim // n_heads
        pairs = [
            value if isinstance(value, (list, tuple)) else (value, value)
            for value in (n_dilated, dilated_kernel, dilated_ratio)
        ]
        self.separator = nn.ModuleList()
        for _ in range(n_repeats):
            block = nn.Module()
            for axis, (name, layer) in enumerate((("time_net", time_layer), ("band_net", band_layer))):
                if layer == "dilated":
                    block.add_module(name, DilatedNet(n, *(pair[axis] for pair in pairs), eps))
                elif layer != "none":
                    block.add_module(name, RNNNet(layer, n, hid_ratio * n, bidirectional, group_num, eps))
            if stereo == "tac":
                block.tac_module = TAC(feature_dim, tac_ratio, tac_act)
            if n_attn_heads:
                block.attn_block = Attention(feature_dim, len(widths), n_attn_heads, attn_dim, eps)
            self.separator.append(block)
        masks = [
            Masker(widths, feature_dim, mask_ratio, chan, mask_context, eps)
            for _ in range(len(sources) - self.residual)
        ]
        self.singular = time_layer in ("dilated", "none") and band_layer in ("dilated", "none") and len(masks) == 1
        if self.singular:
            self.masker = masks[0]
        else:
            self.maskers = nn.ModuleList(masks)

    def forward(self, wav):  # (batch, channels, time)
        n_batch, n_chan, length = wav.shape
        window = torch.hann_window(self.n_fft).to(wav.dtype)
        spec = torch.stft(wav.flatten(0, 1), self.n_fft, self.n_hop, window=window, return_complex=True)
        items = spec.view(n_batch, n_chan, *spec.shape[1:]) if self.stereo == "naive" else spec[:, None]
        subbands = torch.split(items, self.widths, dim=2)
        x = torch.stack([self.split_band(net, band) for net, band in zip(self.BN, subbands)], 1)
        for block in self.separator:
            x = self.run_block(block, x, n_chan)
        maskers = [self.masker] if self.singular else self.maskers
        est = torch.stack([masker(x, subbands) for masker in maskers], 1)  # (items, S, c, F, T)
        est = est.reshape(n_batch, -1, *est.shape[1:]).permute(0, 2, 1, 3, 4, 5).flatten(2, 3)
        if self.residual:
            mix = spec.view(n_batch, 1, n_chan, *spec.shape[1:])
            est = torch.cat([est, mix - est.sum(1, keepdim=True)], 1)
        out = torch.istft(est.flatten(0, 2), self.n_fft, self.n_hop, window=window, length=length)
        return out.view(n_batch, -1, n_chan, length)

    @staticmethod
    def split_band(net, band):
        parts = torch.stack([band.real, band.imag], 2)  # (items, c, 2, w, T)
        return net(parts.flatten(1, 3))

    def run_block(self, block, x, n_chan):  # (items, K, N, T)
        n_items, n_bands, n_feat, n_frames = x.shape
        n = n_feat // self.n_heads
        x = x.transpose(1, 2).reshape(n_items * self.n_heads, n, n_bands, n_frames)
        if hasattr(block, "time_net"):
            y = block.time_net(x.transpose(1, 2).reshape(-1, n, n_frames))
            x = y.view(-1, n_bands, n, n_frames).transpose(1, 2)
        if hasattr(block, "band_net"):
            y = block.band_net(x.permute(0, 3, 1, 2).reshape(-1, n, n_bands))
            x = y.view(-1, n_frames, n, n_bands).permute(0, 2, 3, 1)
        x = x.reshape(n_items, n_feat, n_bands, n_frames)
        if hasattr(block, "tac_module"):
            y = x.view(-1, n_chan, n_feat, n_bands, n_frames).permute(0, 3, 4, 1, 2)
            z = block.tac_module(y.reshape(-1, n_chan, n_feat))
            x = z.view(y.shape).permute(0, 3, 4, 1, 2).reshape(x.shape)
        if hasattr(block, "attn_block"):
            x = block.attn_block(x.transpose(2, 3)).transpose(2, 3)
        return x.transpose(1, 2)
