"""What the transcriptions share: layers as PyTorch has them, complex spectra as channels."""

import torch
from torch import nn


def plain(layer, x):
    """A layer as PyTorch's own class computes it, whatever a subclass or a hook does; of a sequence, one after the other."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x = plain(part, x)
        return x
    kind = next(cls for cls in type(layer).__mro__ if cls.__module__.startswith("torch.nn.modules"))
    return kind.forward(layer, x)


def spectrum(wav_BCL, n_fft, n_hop, **options):
    """(batch, channels, bins, frames, 2)."""
    spec = torch.stft(wav_BCL.flatten(0, 1), n_fft, n_hop, return_complex=True, **options)
    return torch.view_as_real(spec).unflatten(0, wav_BCL.shape[:2])


def waveform(spec_BSCFT2, n_fft, n_hop, **options):
    """(batch, sources, channels, time)."""
    spec = torch.view_as_complex(spec_BSCFT2.contiguous())
    return torch.istft(spec.flatten(0, 2), n_fft, n_hop, **options).unflatten(0, spec.shape[:3])
