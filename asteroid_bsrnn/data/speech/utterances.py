"""The single utterances that mixtures are made of: read, resampled, and looked at before hours are spent on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from ...audio.sphere import read_header, read_sphere
from ...common.errors import AudioError
from ...common.registry import check_known

RATE = 16000  # Hz, of LibriSpeech and WSJ0
MODES = ("min", "max")
_SPHERE = (".wv1", ".wv2", ".sph")


def read_utterance(
    path: str | Path, dtype: str = "float32", mono: bool = True, start: int = 0, stop: int | None = None
) -> np.ndarray:
    """An utterance of 16 kHz: (time,) in [-1, 1].

    Args:
        path: FLAC, WAV or SPHERE (``.wv1``).
        dtype: ``"float32"`` or ``"float64"``.
        mono: refuse several channels; otherwise the first one is taken.
        start, stop: samples; only these are decoded, where the format allows.

    Raises:
        AudioError: if it is missing, broken, empty, or has another rate or more channels.
    """
    if Path(path).suffix.lower() in _SPHERE:
        wav, rate = read_sphere(path)
        wav = (wav[start:stop] / 32768).astype(dtype)[:, None]
    else:
        try:
            wav, rate = sf.read(path, start=start, stop=stop, dtype=dtype, always_2d=True)
        except (sf.LibsndfileError, OSError) as error:
            raise AudioError(path, _missing_or_broken(path, error)) from None
    _check(path, len(wav), wav.shape[1] if mono else 1, rate)
    return wav[:, 0]


def read_passage(path: str | Path, start: int, frames: int) -> np.ndarray:
    """A passage of an utterance of 16 kHz: (frames,), float32.

    Raises:
        AudioError: as :func:`read_utterance`, and where the file ends before the passage does.
    """
    wav = read_utterance(path, start=start, stop=start + frames)
    if len(wav) != frames:
        raise AudioError(path, f"ends after {start + len(wav)} samples; {start + frames} were expected")
    return wav


def look_at(path: str | Path, mono: bool = True) -> int:
    """Number of samples of an utterance, from its header and its last sample, which a truncated file lacks.

    Raises:
        AudioError: as :func:`read_utterance`, as far as this can be seen without decoding all of it.
    """
    if Path(path).suffix.lower() in _SPHERE:
        header = read_header(path)
        _check(path, header.frames, 1, header.fields["sample_rate"])
        return header.frames
    try:
        with sf.SoundFile(path) as file:
            _check(path, file.frames, file.channels if mono else 1, file.samplerate)
            file.seek(file.frames - 1)
            if len(file.read(1)) != 1:
                raise AudioError(path, f"is truncated: its header promises {file.frames} samples")
            return file.frames
    except (sf.LibsndfileError, OSError) as error:
        raise AudioError(path, _missing_or_broken(path, error)) from None


def _missing_or_broken(path: str | Path, error: Exception) -> str:
    return f"is broken ({error}); a readable recording was expected" if Path(path).exists() else "is missing"


def _check(path: str | Path, frames: int, channels: int, rate: int) -> None:
    if rate != RATE or channels != 1 or not frames:
        what = f"holds {frames} samples of {channels} channel(s) at {rate} Hz"
        raise AudioError(path, f"{what}; mono at {RATE} Hz was expected")


def resample(wav: np.ndarray, sample_rate: int, rate: int = RATE) -> np.ndarray:
    """From ``rate`` (16 kHz) to ``sample_rate``; the length is :func:`resampled_len`."""
    return wav if sample_rate == rate else resample_poly(wav, sample_rate, rate)


def resampled_len(frames: int, sample_rate: int) -> int:
    """Samples that so many at 16 kHz become."""
    return -(-frames * sample_rate // RATE)


def extend_noise(noise: np.ndarray, length: int) -> np.ndarray:
    """Noise that is too short, with copies of itself cross-faded on, as LibriMix' official script does.

    The fades are the halves of a Hann window of one second and a sample, which sum to one: each copy overlaps what is there by
    half a second. Noise of half a second or less, on which that script fails, is repeated without a fade.

    Shape:
        (time,) -> (length,)
    """
    if len(noise) >= length:
        return noise[:length]
    rise = np.hanning(RATE + 1)[: RATE // 2 + 1]
    fade, extended = len(rise), noise
    if len(noise) <= fade:
        return np.resize(noise, length)
    while len(extended) < length:
        joint = extended[-fade:] * rise[::-1] + noise[:fade] * rise
        extended = np.concatenate([extended[:-fade], joint, noise[fade:]])
    return extended[:length]


def fit_length(wavs: Sequence[np.ndarray], mode: str) -> np.ndarray:
    """Cut to the shortest (``"min"``) or pad with zeros to the longest (``"max"``): list of (time,) -> (n, time)."""
    length = fitted_len([len(wav) for wav in wavs], mode)
    return np.stack([np.pad(wav[:length], (0, max(length - len(wav), 0))) for wav in wavs])


def fitted_len(lengths: Sequence[int], mode: str) -> int:
    """Length of a mixture of signals of these lengths."""
    check_known("mode", mode, MODES)
    return min(lengths) if mode == "min" else max(lengths)
