"""Models whose right answer is known, for tests of separation, and songs to separate."""

import numpy as np
import soundfile
import torch

from asteroid_bsrnn.models import BSRNN, get, register_model
from asteroid_bsrnn.models.base import SeparationModel


@register_model
class KnownGains(SeparationModel):
    """Each source is the input times its own gain."""

    def __init__(self, sources=("vocals", "drums"), gains=(0.25, 0.75), sample_rate=44100, in_channels=2):
        super().__init__(sample_rate, in_channels)
        self.sources, self.gains = tuple(sources), tuple(gains)
        self.factor = torch.nn.Parameter(torch.tensor(self.gains))

    def forward(self, wav):
        return self.factor[:, None, None] * wav[:, None]


@register_model
class KnownSpeech(SeparationModel):
    """A speech model: low and high half of the spectrum, with arbitrary level, sign and order for each item."""

    def __init__(self, n_src=2, sample_rate=8000):
        super().__init__(sample_rate, 1)
        self.n_src, self.n_calls = n_src, 0
        self.factor = torch.nn.Parameter(torch.tensor([0.1, -7.0]))

    def forward(self, wav):
        spectrum = torch.fft.rfft(wav[:, 0])
        low = torch.arange(spectrum.shape[-1]) < spectrum.shape[-1] // 2
        estimates = torch.fft.irfft(torch.stack([spectrum * low, spectrum * ~low], dim=1), n=wav.shape[-1])
        self.n_calls += 1
        scaled = self.factor[:, None] * estimates
        return torch.stack([item.roll(self.n_calls + index, dims=0) for index, item in enumerate(scaled)])


def save(model, path):
    """Write the model as ``from_pretrained`` reads it; returns the path as text."""
    torch.save(model.serialize(), path)
    return str(path)


def tones(seconds=1.0, rate=44100, channels=2, peak=0.5, low=300.0):
    """A few low tones, different in every channel, fading in and out; (channels, time)."""
    t = np.arange(max(1, round(seconds * rate))) / rate
    wav = np.stack([np.sin(2 * np.pi * low * (1 + 0.37 * chan) * t) for chan in range(channels)])
    return (peak * wav * np.hanning(len(t) + 2)[1:-1]).astype("f4")


def noise(frames=20000, channels=2, peak=0.5, seed=0):
    """White noise, (channels, time)."""
    return np.random.default_rng(seed).uniform(-peak, peak, (channels, frames)).astype("f4")


def write(path, wav, rate=44100, **options):
    """Write (channels, time) and return the path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav.T, rate, **options)
    return str(path)


def read(path, dtype="float64"):
    """Read as (channels, time)."""
    return soundfile.read(path, dtype=dtype, always_2d=True)[0].T


def files_in(folder):
    """All files below a folder, hidden ones too, as sorted relative names."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def tiny_bsrnn(**options):
    torch.manual_seed(0)
    return BSRNN(**{"sources": ("vocals", "drums"), "feature_dim": 8, "n_repeats": 1, **options}).eval()


def snr(reference, estimate):
    """In dB."""
    reference, estimate = np.asarray(reference), np.asarray(estimate)
    return 10 * np.log10((reference**2).sum() / ((reference - estimate) ** 2).sum())


def tiny_net():
    """A model of the host's."""
    torch.manual_seed(0)
    sizes = {
        "n_filters": 8,
        "kernel_size": 4,
        "n_repeats": 1,
        "n_blocks": 1,
        "bn_chan": 4,
        "hid_chan": 4,
        "skip_chan": 4,
    }
    return get("ConvTasNet")(n_src=2, **sizes).eval()
