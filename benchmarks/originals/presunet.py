"""CWS-PResUNet, whose STFTs are convolutions with Fourier matrices. B batch, M maps, T frame, F bin, L sample."""

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

from .layers import plain


@lru_cache
def fourier(size):
    """Cosines and negative sines of a transform, (size, size) each: products of frequency and sample."""
    angle = 2 * math.pi / size * (torch.arange(size)[:, None] * torch.arange(size)).remainder(size).double()
    return angle.cos().float(), -angle.sin().float()


def stft(wav_BML, size, hop):
    """Real and imaginary part, (batch, maps, frames, bins) each."""
    rows = F.pad(wav_BML.flatten(0, 1).unsqueeze(1), (size // 2, size // 2), mode="reflect")
    window = torch.hann_window(size)
    parts = [F.conv1d(rows, (matrix * window)[: size // 2 + 1, None], stride=hop) for matrix in fourier(size)]
    return [part.transpose(1, 2).unflatten(0, wav_BML.shape[:2]) for part in parts]


def istft(real, imag, size, hop, length):
    """(batch, maps, length): both halves of the spectrum, inverse Fourier matrices, overlap-add, division by the windows' sum."""
    shape, window = real.shape[:2], torch.hann_window(size)
    cos, sin = ((matrix * window[:, None] / size)[..., None] for matrix in fourier(size))
    real, imag = (part.flatten(0, 1).transpose(1, 2) for part in (real, imag))
    real, imag = torch.cat([real, real[:, 1:-1].flip(1)], 1), torch.cat([imag, -imag[:, 1:-1].flip(1)], 1)
    frames = F.conv1d(real, cos) + F.conv1d(imag, sin)
    total, n_frames = (frames.shape[2] - 1) * hop + size, frames.shape[2]
    fold = {"output_size": (1, total), "kernel_size": (1, size), "stride": (1, hop)}
    wav = F.fold(frames, **fold)[:, 0, 0]
    heard = F.fold(window.square()[None, :, None].repeat(1, 1, n_frames), **fold)[:, 0, 0].clamp(min=1e-11)
    return (wav / heard)[:, size // 2 : size // 2 + length].unflatten(0, shape)


def units(stage, x):
    """Residual units."""
    for unit in stage:
        y = plain(unit.conv1, F.leaky_relu(plain(unit.norm1, x), 0.01))
        y = plain(unit.conv2, F.leaky_relu(plain(unit.norm2, y), 0.01))
        x = plain(unit.shortcut, x) + y
    return x


def up(stage, x, skip):
    """Twice as many frames and bins, beside those of the encoder."""
    x = plain(stage.up, F.relu(plain(stage.norm, x)))[:, :, :-1, :-1]
    return units(stage.units, torch.cat([x, skip], 1))


def unet(net, mag_BMTF):
    """Maps of each source."""
    n_frames = mag_BMTF.shape[2]
    x, skips = plain(net.norm, mag_BMTF.transpose(1, 3)).transpose(1, 3), []
    x = F.pad(x, (0, 0, 0, -n_frames % 64))[..., :-1]
    for stage in net.encoder:
        x = units(stage, x)
        skips.append(x)
        x = F.avg_pool2d(x, 2)
    for stage in net.middle:
        x = units(stage, x)
    for stage in net.decoder:
        x = up(stage, x, skips.pop())
    return [F.pad(plain(head.out, units(head.units, x)), (0, 1))[:, :, :n_frames] for head in net.heads]


def presunet(net, wav_BCL):
    """(batch, channels, time) -> (batch, n_src, channels, time), of a network with a filter bank."""
    n_bands, edge, size, hop = net.config.n_subbands, net.config.edge, net.stft.n_fft, 441 // net.config.n_subbands
    wide_BCL = F.pad(wav_BCL, (edge, edge))
    bands = F.conv1d(F.pad(wide_BCL.flatten(0, 1)[:, None], (64 - n_bands, 0)), net.bank.analysis, stride=n_bands)
    bands_BML = bands.reshape(len(wav_BCL), -1, bands.shape[-1])
    real, imag = stft(bands_BML, size, hop)
    mag = (real.square() + imag.square()).clamp(min=1e-8).sqrt()
    cos, sin, estimates = real / mag, imag / mag, []
    for maps in unet(net, mag):
        mask, turn_real, turn_imag, more = maps.chunk(4, dim=1)
        turn = (turn_real.square() + turn_imag.square()).sqrt().clamp(min=1e-10)
        turn_cos, turn_sin = turn_real / turn, turn_imag / turn
        out_mag = F.relu(mag * torch.sigmoid(mask) + more)
        out_real, out_imag = out_mag * (cos * turn_cos - sin * turn_sin), out_mag * (sin * turn_cos + cos * turn_sin)
        rows = istft(out_real, out_imag, size, hop, bands.shape[-1]).reshape(-1, n_bands, bands.shape[-1])
        synthesis = net.bank.synthesis
        wav = F.conv1d(F.pad(rows, (0, synthesis.shape[-1] - 1)), synthesis)
        estimates.append(wav.transpose(1, 2).reshape(*wav_BCL.shape[:2], -1))
    est_BSCL = torch.stack(estimates, 1)[..., edge : edge + wav_BCL.shape[-1]]
    return F.pad(est_BSCL, (0, wav_BCL.shape[-1] - est_BSCL.shape[-1]))
