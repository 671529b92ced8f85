"""Spectrograms for reports and for the listening page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from ...common.errors import AudioError
from . import style

FLOOR_DB = 70
LOWEST_HZ = 40


def read_wav(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a sound file whole.

    Args:
        path: any format that libsndfile reads.

    Returns:
        A float64 array (time, channels), sample rate in Hz.

    Raises:
        AudioError: when it cannot be read, is empty or holds NaN.
    """
    try:
        wav, sample_rate = soundfile.read(path, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"cannot be read as sound ({error})") from None
    if not len(wav):
        raise AudioError(path, "is empty")
    if not np.isfinite(wav).all():
        raise AudioError(path, "holds NaN or infinite samples")
    return wav, sample_rate


def mel_spectrogram(wav: np.ndarray, sample_rate: int, n_mels: int = 80, n_frames: int = 400) -> np.ndarray:
    """Level of each mel band over time.

    Args:
        wav: (time, channels); channels are averaged.
        sample_rate: Hz.
        n_mels: bands, from 40 Hz to half the sample rate.
        n_frames: at most about this many columns.

    Returns:
        (n_mels, frames), dB relative to full scale.
    """
    mono = wav.mean(axis=1)
    n_fft = 2 ** int(np.round(np.log2(0.046 * sample_rate)))
    mono = np.pad(mono, (0, max(0, n_fft - len(mono))))
    hop = max(n_fft // 8, len(mono) // n_frames)
    stft = ShortTimeFFT(hann(n_fft, sym=False), hop, sample_rate, scale_to="magnitude")
    power = np.abs(stft.stft(mono)) ** 2
    return 10 * np.log10(_mel_matrix(stft.f, n_mels, sample_rate) @ power + 1e-10)


def _mel(hz: Any) -> Any:
    return 2595 * np.log10(1 + hz / 700)


def _mel_matrix(frequencies: np.ndarray, n_mels: int, sample_rate: int) -> np.ndarray:
    edges = np.linspace(_mel(LOWEST_HZ), _mel(sample_rate / 2), n_mels + 2)
    mel = _mel(frequencies)
    rising = (mel - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - mel) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    nearest = np.abs(mel[None] - edges[1:-1, None]).argmin(axis=1)
    empty = weights.sum(axis=1) == 0  # narrow bands between two bins take the nearest one
    weights[np.nonzero(empty)[0], nearest[empty]] = 1
    return weights


@style.styled
def draw_triptych(paths: Mapping[str, Path], title: str) -> Figure:
    """Mixture, estimate and reference over one another in one scale of color and time.

    Args:
        paths: label -> sound file, drawn from left to right.
        title: heading.
    """
    sounds = {label: read_wav(path) for label, path in paths.items()}
    fig = style.figure(3.6 * len(paths), 2.7)
    axes = fig.subplots(1, len(paths), sharey=True, squeeze=False)[0]
    levels = {label: mel_spectrogram(*sound) for label, sound in sounds.items()}
    top = max(level.max() for level in levels.values())
    for ax, (label, level) in zip(axes, levels.items()):
        wav, sample_rate = sounds[label]
        image = ax.imshow(
            level,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=top - FLOOR_DB,
            vmax=top,
            extent=(0, len(wav) / sample_rate, 0, len(level)),
            interpolation="nearest",
        )
        ax.set(title=label, xlabel="time (s)")
        ax.grid(False)
    _mel_ticks(axes[0], next(iter(sounds.values()))[1], len(level))
    fig.colorbar(image, ax=axes, label="level (dB)", pad=0.01)
    fig.suptitle(title, fontsize=10, weight="bold", x=0.01, ha="left")
    return fig


def _mel_ticks(ax: Axes, sample_rate: int, n_mels: int) -> None:
    low, high = _mel(LOWEST_HZ), _mel(sample_rate / 2)
    ticks = [hz for hz in (100, 500, 1000, 2000, 5000, 10000, 20000) if hz < sample_rate / 2]
    ax.set_yticks(
        [(_mel(hz) - low) / (high - low) * n_mels for hz in ticks],
        [f"{hz // 1000} k" if hz >= 1000 else str(hz) for hz in ticks],
    )
    ax.set_ylabel("frequency (Hz), mel scale")
