"""BS-RoFormer and Mel-Band RoFormer. B batch, R rows, N tokens, H heads, E features of a head, K bands, T frames."""

import torch
from torch.nn import functional as F

from .layers import plain, spectrum, waveform


def rms_norm(norm, x):
    """Unit vectors, times the root of their size, times a gain."""
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * norm.gamma


def turned(x_RHNE):
    """Rotary positions: cosines and sines of each token's angles, on pairs of neighbouring features."""
    n_tokens, size = x_RHNE.shape[-2:]
    frequency = 10000.0 ** (-torch.arange(0, size, 2, device=x_RHNE.device) / size)
    angle_NE = (torch.arange(n_tokens, device=x_RHNE.device)[:, None] * frequency).repeat_interleave(2, dim=-1)
    even, odd = x_RHNE.unflatten(-1, (-1, 2)).unbind(-1)
    return x_RHNE * angle_NE.cos() + torch.stack((-odd, even), dim=-1).flatten(-2) * angle_NE.sin()


def attention(layer, x_RND):
    """With PyTorch's fused product, as published configurations ask for (``flash_attn``)."""
    x_RND = rms_norm(layer.norm, x_RND)
    qkv = plain(layer.to_qkv, x_RND).unflatten(-1, (3, layer.n_heads, -1)).permute(2, 0, 3, 1, 4)
    q_RHNE, k_RHNE, v_RHNE = qkv
    dropout = layer.dropout if layer.training else 0.0
    out_RHNE = F.scaled_dot_product_attention(turned(q_RHNE), turned(k_RHNE), v_RHNE, dropout_p=dropout)
    if layer.to_gates is not None:
        out_RHNE = out_RHNE * plain(layer.to_gates, x_RND).transpose(1, 2).unsqueeze(-1).sigmoid()
    return plain(layer.to_out, out_RHNE.transpose(1, 2).flatten(2))


def linear_attention(layer, x_RND):
    """Of features instead of tokens."""
    qkv = plain(layer.to_qkv, rms_norm(layer.norm, x_RND)).unflatten(-1, (3, layer.n_heads, -1))
    q_RHEN, k_RHEN, v_RHEN = qkv.permute(2, 0, 3, 4, 1)
    q_RHEN, k_RHEN = F.normalize(q_RHEN, dim=-1) * layer.temperature.exp(), F.normalize(k_RHEN, dim=-1)
    out_RHEN = F.scaled_dot_product_attention(q_RHEN, k_RHEN, v_RHEN, scale=8.0)
    return plain(layer.to_out, out_RHEN.permute(0, 3, 1, 2).flatten(2))


def transformer(net, x_RND):
    """Attention and feed-forward nets, each added to its input."""
    for attend, feed in net.layers:
        x_RND = x_RND + (linear_attention if hasattr(attend, "temperature") else attention)(attend, x_RND)
        norm, *rest = feed.net
        y_RND = rms_norm(norm, x_RND)
        for layer in rest:
            y_RND = plain(layer, y_RND)
        x_RND = x_RND + y_RND
    return x_RND if net.norm is None else rms_norm(net.norm, x_RND)


def trunk(net, x_BTKD):
    """Transformers over time, then over bands."""
    outputs = []
    for block in net.layers:
        if net.config.skip:
            for earlier in outputs:
                x_BTKD = x_BTKD + earlier
        *linear, time, band = block
        for part in linear:
            x_BTKD = transformer(part, x_BTKD.flatten(1, 2)).view_as(x_BTKD)
        x_BKTD = x_BTKD.transpose(1, 2).contiguous()
        x_BKTD = transformer(time, x_BKTD.flatten(0, 1)).view_as(x_BKTD)
        x_BTKD = x_BKTD.transpose(1, 2).contiguous()
        x_BTKD = transformer(band, x_BTKD.flatten(0, 1)).view_as(x_BTKD)
        outputs.append(x_BTKD)
    shared = getattr(net, "final_norm", None)
    return x_BTKD if shared is None else rms_norm(shared, x_BTKD)


def mask(estimator, x_BTKD):
    """One source: each band by its own layers."""
    outs = []
    for band, x_BTD in enumerate(x_BTKD.unbind(-2)):
        if estimator.norms is not None:
            x_BTD = rms_norm(estimator.norms[band], x_BTD)
        outs.append(plain(estimator.to_freqs[band], x_BTD))
    return torch.cat(outs, dim=-1)


def roformer(net, wav_BCL):
    """(batch, channels, time) -> (batch, n_src, channels, time)."""
    config = net.config
    n_chan, window = wav_BCL.shape[1], torch.hann_window(config.win_length or config.n_fft, device=wav_BCL.device)
    options = {"win_length": len(window), "window": window, "normalized": config.normalized}
    spec_BCFT2 = spectrum(wav_BCL, config.n_fft, config.n_hop, **options)
    x_BFCT2 = spec_BCFT2.transpose(1, 2)
    bins = getattr(net, "bins", None)
    x_BFCT2 = x_BFCT2 if bins is None else x_BFCT2[:, bins]
    x_BTW = x_BFCT2.permute(0, 3, 1, 2, 4).flatten(2)
    parts = zip(net.band_split.to_features, x_BTW.split(net.band_split.sizes, dim=-1))
    x_BTKD = trunk(net, torch.stack([plain(linear, rms_norm(norm, x)) for (norm, linear), x in parts], dim=-2))
    mask_BSTW = torch.stack([mask(estimator, x_BTKD) for estimator in net.mask_estimators], dim=1)
    mask_BSFCT2 = mask_BSTW.unflatten(-1, (-1, n_chan, 2)).permute(0, 1, 3, 4, 2, 5)
    if bins is not None:
        shape = (*mask_BSFCT2.shape[:2], spec_BCFT2.shape[2], *mask_BSFCT2.shape[3:])
        index = bins[None, None, :, None, None, None].expand(mask_BSFCT2.shape)
        mask_BSFCT2 = mask_BSFCT2.new_zeros(shape).scatter_add(2, index, mask_BSFCT2)
        mask_BSFCT2 = mask_BSFCT2 / net.n_heard[:, None, None, None].clamp(min=1e-8)
    masks = torch.view_as_complex(mask_BSFCT2.contiguous()).transpose(2, 3)
    est_BSCFT = torch.view_as_complex(spec_BCFT2.contiguous()).unsqueeze(1) * masks
    if config.zero_dc:
        est_BSCFT = est_BSCFT.index_fill(3, torch.zeros(1, dtype=torch.long, device=wav_BCL.device), 0)
    return waveform(torch.view_as_real(est_BSCFT), config.n_fft, config.n_hop, length=wav_BCL.shape[-1], **options)
