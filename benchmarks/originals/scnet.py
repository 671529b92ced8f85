"""SCNet. B batch, D channel, F bin, T frame."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .layers import plain, spectrum, waveform


def compress(stage, x):
    """Three bands, shortened and refined one after the other; also the lengths before and after."""
    n_bins = x.shape[2]
    ends = [math.ceil(n_bins * stage.ratios[0]), math.ceil(n_bins * (stage.ratios[0] + stage.ratios[1])), n_bins]
    bands, original, short, start = [], [], [], 0
    for end, stride, kernel, down, convs in zip(ends, stage.strides, stage.kernels, stage.downs, stage.convs):
        band = x[:, :, start:end]
        total = kernel - 1 if stride == 1 else -band.shape[2] % stride
        band = plain(down, F.pad(band, (0, 0, total // 2, total - total // 2)))
        original.append(end - start)
        short.append(band.shape[2])
        batch, dim, length, n_frames = band.shape
        band = band.permute(0, 2, 1, 3).reshape(-1, dim, n_frames)
        for conv in convs:
            band = band + plain(conv, band)
        band = band.view(batch, length, dim, n_frames).permute(0, 2, 1, 3)
        bands.append(F.gelu(band))
        start = end
    skip = torch.cat(bands, dim=2)
    return plain(stage.out, skip), (skip, original, short)


def path(part, x):
    """Norm, LSTM along frequency (axis 2) or time (axis 3), linear layer, residual."""
    y = plain(part.norm, x)
    order = (0, 3, 2, 1) if part.axis == 2 else (0, 2, 3, 1)
    y = y.permute(order).contiguous()
    shape = y.shape
    y = plain(part.linear, nn.LSTM.forward(part.lstm, y.view(-1, *shape[2:]))[0]).view(shape)
    return x + (y.permute(0, 3, 2, 1) if part.axis == 2 else y.permute(0, 3, 1, 2))


def separation(net, x):
    """Dual paths; a Fourier transform along time behind every even one, its inverse behind every odd one."""
    n_frames = x.shape[-1]
    for index, layer in enumerate(net.separator):
        for part in layer:
            x = path(part, x)
        if index % 2:
            real, imag = x.chunk(2, dim=1)
            x = torch.fft.irfft(torch.complex(real, imag), n=n_frames, dim=3, norm="ortho")
        else:
            x = torch.fft.rfft(x, dim=3, norm="ortho")
            x = torch.cat([x.real, x.imag], dim=1)
    return x


def expand(stage, x, skip, original, short):
    """The skip connection is added, bands are lengthened again one after the other."""
    x = x + skip
    x = F.glu(plain(stage.mix, torch.cat([x, x], dim=1)), dim=1)
    bands, start = [], 0
    for up, wanted, length in zip(stage.ups, original, short):
        band = plain(up, x[:, :, start : start + length])
        first = abs(wanted - band.shape[2]) // 2
        bands.append(band[:, :, first : first + wanted])
        start += length
    return torch.cat(bands, dim=2)


def scnet(net, wav_BCL):
    """(batch, channels, time) -> (batch, n_src, channels, time); not the masked variant."""
    config, length = net.config, wav_BCL.shape[-1]
    options = {"win_length": config.nfft, "normalized": config.normalized}
    options["window"] = torch.ones(config.nfft, device=wav_BCL.device)
    padding = config.hop_size - length % config.hop_size
    padding += config.hop_size if (length + padding) // config.hop_size % 2 == 0 else 0
    spec_BCFT2 = spectrum(F.pad(wav_BCL, (0, padding)), config.nfft, config.hop_size, **options)
    x = spec_BCFT2.permute(0, 1, 4, 2, 3).flatten(1, 2)
    mean, std = x.mean(dim=(1, 2, 3), keepdim=True), x.std(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) / (1e-5 + std) if config.standardise else x
    kept = []
    for stage in net.encoder:
        x, keep = compress(stage, x)
        kept.append(keep)
    x = separation(net, x)
    for stage in net.decoder:
        x = expand(stage, x, *kept.pop())
    x = x * std + mean if config.standardise else x
    est_BSCFT2 = x.unflatten(1, (net.n_src, -1, 2)).permute(0, 1, 2, 4, 5, 3)
    return waveform(est_BSCFT2, config.nfft, config.hop_size, **options)[..., :length]
