"""The fork's two RoFormers as their description says, from a dictionary of weights: slow, plain, independent."""

import math

import torch
from torch.nn import functional as F


def rms_norm(x, gamma):
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * gamma


def rope(x_RHNE):
    """Turn the features 2i and 2i + 1 of token n by n * 10000 ** (-2i / size)."""
    size, out = x_RHNE.shape[-1], torch.empty_like(x_RHNE)
    for pair in range(size // 2):
        angle = torch.arange(x_RHNE.shape[2]).float() * 10000.0 ** (-2 * pair / size)
        a, b = x_RHNE[..., 2 * pair], x_RHNE[..., 2 * pair + 1]
        out[..., 2 * pair] = a * angle.cos() - b * angle.sin()
        out[..., 2 * pair + 1] = b * angle.cos() + a * angle.sin()
    return out


def attention(state, at, x, heads):
    x = rms_norm(x, state[at + "norm.gamma"])
    q, k, v = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2)
        for part in F.linear(x, state[at + "to_qkv.weight"]).chunk(3, -1)
    )
    weights = torch.softmax(rope(q) @ rope(k).transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
    out = weights @ v
    if at + "to_gates.weight" in state:
        gates = torch.sigmoid(F.linear(x, state[at + "to_gates.weight"], state[at + "to_gates.bias"]))
        out = out * gates.transpose(1, 2).unsqueeze(-1)
    return F.linear(out.transpose(1, 2).flatten(2), state[at + "to_out.0.weight"])


def linear_attention(state, at, x, heads):
    x = rms_norm(x, state[at + "norm.gamma"])
    chunks = F.linear(x, state[at + "to_qkv.0.weight"]).chunk(3, -1)
    q, k, v = (part.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1) for part in chunks)
    q = F.normalize(q, dim=-1) * torch.exp(state[at + "temperature"].reshape(heads, 1, 1))
    out = torch.softmax(8 * q @ F.normalize(k, dim=-1).transpose(-1, -2), dim=-1) @ v
    return F.linear(out.permute(0, 3, 1, 2).flatten(2), state[at + "to_out.1.weight"])


def transformer(state, at, x, heads):
    layer = 0
    while f"{at}layers.{layer}.0.norm.gamma" in state:
        here = f"{at}layers.{layer}."
        kind = linear_attention if here + "0.temperature" in state else attention
        x = x + kind(state, here + "0.", x, heads)
        y = F.linear(
            rms_norm(x, state[here + "1.net.0.gamma"]), state[here + "1.net.1.weight"], state[here + "1.net.1.bias"]
        )
        x = x + F.linear(F.gelu(y), state[here + "1.net.4.weight"], state[here + "1.net.4.bias"])
        layer += 1
    return rms_norm(x, state[at + "norm.gamma"]) if at + "norm.gamma" in state else x


def mask_network(state, at, x):
    numbers = sorted(
        int(key[len(at) :].split(".")[0]) for key in state if key.startswith(at) and key.endswith("weight")
    )
    for number in numbers:
        x = F.linear(x, state[f"{at}{number}.weight"], state[f"{at}{number}.bias"])
        x = x if number == numbers[-1] else torch.tanh(x)
    return F.glu(x, dim=-1)


def trunk(state, x_BTKD, args):
    outputs = []
    for block in range(args["depth"]):
        if args.get("skip_connection"):
            for earlier in outputs:
                x_BTKD = x_BTKD + earlier
        batch, frames, bands, dim = x_BTKD.shape
        part = 0
        if args.get("linear_transformer_depth"):
            x_BTKD = transformer(state, f"layers.{block}.0.", x_BTKD.flatten(1, 2), args["heads"]).view(
                batch, frames, bands, dim
            )
            part = 1
        rows = x_BTKD.transpose(1, 2).reshape(batch * bands, frames, dim)
        x_BKTD = transformer(state, f"layers.{block}.{part}.", rows, args["heads"]).view(batch, bands, frames, dim)
        rows = x_BKTD.transpose(1, 2).reshape(batch * frames, bands, dim)
        x_BTKD = transformer(state, f"layers.{block}.{part + 1}.", rows, args["heads"]).view(batch, frames, bands, dim)
        outputs.append(x_BTKD)
    return rms_norm(x_BTKD, state["final_norm.gamma"]) if "final_norm.gamma" in state else x_BTKD


def separate(state, args, bands, wav_BCL):
    """Estimates of the length of ``wav_BCL``.

    Args:
        state: weights under the fork's names.
        args: in the fork's words.
        bands: bins of each band.
    """
    window = torch.hann_window(args["stft_win_length"])
    stft = (args["stft_n_fft"], args["stft_hop_length"], args["stft_win_length"], window)
    batch, n_chan, length = wav_BCL.shape
    spec = torch.stft(wav_BCL.flatten(0, 1), *stft, normalized=args["stft_normalized"], return_complex=True)
    spec_BCFT = spec.unflatten(0, (batch, n_chan))
    values_BFCT2 = torch.view_as_real(spec_BCFT).transpose(1, 2)
    features = []
    for band, bins in enumerate(bands):
        x_BTW = values_BFCT2[:, bins].permute(0, 3, 1, 2, 4).flatten(2)
        at = f"band_split.to_features.{band}."
        features.append(F.linear(rms_norm(x_BTW, state[at + "0.gamma"]), state[at + "1.weight"], state[at + "1.bias"]))
    x_BTKD = trunk(state, torch.stack(features, 2), args)
    estimates = []
    for stem in range(args["num_stems"]):
        mask_BFCT2, heard = torch.zeros_like(values_BFCT2), torch.zeros(values_BFCT2.shape[1])
        for band, bins in enumerate(bands):
            mask_BTW = mask_network(state, f"mask_estimators.{stem}.to_freqs.{band}.0.", x_BTKD[:, :, band])
            mask_BFCT2[:, bins] += mask_BTW.unflatten(-1, (len(bins), n_chan, 2)).permute(0, 2, 3, 1, 4)
            heard[bins] += 1
        mask_BFCT = torch.view_as_complex((mask_BFCT2 / heard[:, None, None, None]).contiguous())
        est_BCFT = mask_BFCT.transpose(1, 2) * spec_BCFT
        if args.get("zero_dc", True):
            est_BCFT[:, :, 0] = 0
        wav = torch.istft(est_BCFT.flatten(0, 1), *stft, normalized=args["stft_normalized"], length=length)
        estimates.append(wav.unflatten(0, (batch, n_chan)))
    return torch.stack(estimates, 1)
