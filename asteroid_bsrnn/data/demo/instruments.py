"""Small synthesiser behind the rendered demonstration corpus: drums, bass, pad, plucked string, singing voice.

Textbook methods: swept sines and filtered noise for drums, wavetables whose dark and bright forms cross-fade (in place
of a swept filter) for bass and pad, Karplus and Strong's string [1], and a voice of harmonics under three formants
[2] with vibrato, glides between notes and noise for consonants. All functions take seconds and Hz and return float64
samples at ``SAMPLE_RATE``, about 1 in magnitude.

References:
    [1] Karplus and Strong, "Digital Synthesis of Plucked-String and Drum Timbres", Computer Music Journal 1983.
    [2] Peterson and Barney, "Control Methods Used in a Study of the Vowels", JASA 1952 (formants of women's vowels).
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

SAMPLE_RATE = 44100
_TABLE = 16384
_CONTROL = 147  # samples between two control points of the voice (300 per second)
#: First three formants of five vowels, Hz, and their common bandwidths and levels.
VOWELS = np.array([[850, 1220, 2810], [610, 2330, 2990], [310, 2790, 3310], [590, 920, 2710], [370, 950, 2670]], float)
_BANDWIDTHS, _LEVELS = np.array([90.0, 120.0, 180.0]), np.array([1.0, 0.55, 0.3])


def samples(seconds: float) -> int:
    """Number of samples in ``seconds``."""
    return int(round(seconds * SAMPLE_RATE))


def saw_table(n_harmonics: int) -> np.ndarray:
    """One cycle of a saw with so many harmonics; rounded phases leave noise below -75 dB."""
    phase = np.arange(_TABLE) / _TABLE
    return sum((np.sin(2 * np.pi * h * phase) / h for h in range(1, n_harmonics + 1)), np.zeros(_TABLE))


def oscillate(table: np.ndarray, frequency: float, n: int, phase: float = 0.0) -> np.ndarray:
    """``n`` samples of a wavetable at a frequency in Hz."""
    turns = phase + np.arange(n) * (frequency / SAMPLE_RATE)
    return table[(turns % 1.0 * _TABLE).astype(np.int32) % _TABLE]


def fade(n: int, attack: float, release: float) -> np.ndarray:
    """Envelope of ``n`` samples: linear rise and fall over ``attack`` and ``release`` seconds."""
    time = np.arange(n)
    return np.clip(np.minimum(time / max(samples(attack), 1), (n - time) / max(samples(release), 1)), 0, 1)


def decay(n: int, seconds: float) -> np.ndarray:
    """Envelope that falls by 60 dB in ``seconds``."""
    return 10 ** (-3 * np.arange(n) / (seconds * SAMPLE_RATE))


def filtered_noise(n: int, low: float, high: float, generator: np.random.Generator) -> np.ndarray:
    """Noise between two frequencies in Hz."""
    sections = butter(2, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos")
    return sosfilt(sections, generator.standard_normal(n))


def drum(kind: str, generator: np.random.Generator) -> np.ndarray:
    """One hit of ``"kick"``, ``"snare"``, ``"hat"``, ``"open_hat"`` or ``"tom"``; each hit is slightly different."""
    n = samples({"kick": 0.35, "snare": 0.25, "hat": 0.06, "open_hat": 0.3, "tom": 0.35}[kind])
    time = np.arange(n) / SAMPLE_RATE
    if kind in ("kick", "tom"):
        low, sweep = (48, 110) if kind == "kick" else (generator.uniform(90, 160), 60)
        body = np.sin(2 * np.pi * (low * time + sweep * 0.03 * (1 - np.exp(-time / 0.03))))
        return body * decay(n, 0.33) + 0.2 * generator.standard_normal(n) * decay(n, 0.01)
    if kind == "snare":
        tone = np.sin(2 * np.pi * generator.uniform(175, 190) * time) * decay(n, 0.12)
        return 0.6 * tone + 0.8 * filtered_noise(n, 1000, 9000, generator) * decay(n, 0.2)
    return 0.5 * filtered_noise(n, 6500, 16000, generator) * decay(n, 0.05 if kind == "hat" else 0.28)


_DARK, _BRIGHT = saw_table(3), saw_table(18)


def bass(frequency: float, seconds: float) -> np.ndarray:
    """A bass note that starts bright and darkens."""
    n = samples(seconds)
    brightness = decay(n, 0.5)
    note = oscillate(_BRIGHT, frequency, n) * brightness + oscillate(_DARK, frequency, n) * (1 - brightness)
    return 0.6 * note * fade(n, 0.005, 0.03)


def pad(frequencies: Sequence[float], seconds: float, generator: np.random.Generator) -> np.ndarray:
    """A held chord of detuned saws, stereo: (2, time)."""
    n = samples(seconds)
    out = np.zeros((2, n))
    for frequency in frequencies:
        sides = [oscillate(_BRIGHT, frequency * 2 ** (cents / 1200), n, generator.random()) for cents in (-6, 6)]
        out += np.stack(sides)
    return 0.3 * out / len(frequencies) * fade(n, 0.15, 0.3)


def pluck(frequency: float, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """A plucked string: a burst of noise in a delay line with a low-pass in its loop."""
    n, period = samples(seconds), int(round(SAMPLE_RATE / frequency))
    excitation = np.zeros(n)
    excitation[:period] = generator.uniform(-1, 1, min(period, n))
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1, -0.4985, -0.4985
    return lfilter([1.0], loop, excitation) * fade(n, 0.0, 0.02)


def sing(notes: Sequence[tuple[float, float, float]], generator: np.random.Generator) -> np.ndarray:
    """A phrase of one voice.

    Args:
        notes: (start in seconds, length in seconds, frequency in Hz), in order and not overlapping.

    Returns:
        From the start of the first note to the end of the last, (time,).
    """
    begin, end = notes[0][0], notes[-1][0] + notes[-1][1]
    n = samples(end - begin)
    control = np.arange(n // _CONTROL + 2) * (_CONTROL / SAMPLE_RATE) + begin
    starts = np.array([start for start, _, _ in notes])
    index = np.clip(np.searchsorted(starts, control, "right") - 1, 0, None)
    vowels = VOWELS[generator.integers(len(VOWELS), size=len(notes))]
    pitch = _smooth(np.log2([frequency for _, _, frequency in notes])[index], 0.06)
    since = control - starts[index]
    pitch = pitch + np.clip(since - 0.15, 0, 0.3) / 0.3 * (0.35 / 12) * np.sin(2 * np.pi * 5.6 * control)
    formants = np.stack([_smooth(track, 0.05) for track in vowels[index].T], 1)
    voice = _harmonics(2**pitch, formants, n)
    gate = (since > 0.04) & (since < np.array([length for _, length, _ in notes])[index] - 0.02)
    loudness = np.interp(np.arange(n) / _CONTROL, np.arange(len(control)), _smooth(gate.astype(float), 0.03))
    voice = (voice + 0.02 * filtered_noise(n, 2000, 8000, generator)) * loudness
    for start, _, _ in notes:
        _consonant(voice[samples(start - begin) :], generator)
    return voice


def _harmonics(frequency: np.ndarray, formants: np.ndarray, n: int) -> np.ndarray:
    """Harmonics of a gliding tone, each as loud as the formants make it; arguments at the control rate."""
    position, grid = np.arange(n) / _CONTROL, np.arange(len(frequency))
    phase = np.cumsum(np.interp(position, grid, frequency)) * (2 * np.pi / SAMPLE_RATE)
    voice = np.zeros(n)
    for h in range(1, int(5000 / frequency.min()) + 1):
        distance = (h * frequency[:, None] - formants) / _BANDWIDTHS
        level = (_LEVELS / (1 + distance**2)).sum(1) / h**0.3 + 0.02 / h
        voice += np.interp(position, grid, level) * np.sin(h * phase)
    return voice


def _smooth(track: np.ndarray, seconds: float) -> np.ndarray:
    """Moving average over ``seconds`` at the control rate, with the ends held."""
    width = max(int(seconds * SAMPLE_RATE / _CONTROL), 1)
    padded = np.pad(track, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def _consonant(voice: np.ndarray, generator: np.random.Generator) -> None:
    """Add a burst of noise at the start of ``voice``, in place."""
    n = min(samples(generator.uniform(0.03, 0.09)), len(voice))
    low = generator.choice([1500, 3000, 5000])
    voice[:n] += 0.35 * filtered_noise(n, low, 2.4 * low, generator) * fade(n, 0.01, 0.02)


def reverberate(stem: np.ndarray, generator: np.random.Generator, wet: float = 0.12) -> np.ndarray:
    """A diffuse room of half a second: (2, time) convolved with decaying noise, plus the dry sound."""
    n = samples(0.5)
    room = generator.standard_normal((2, n)) * decay(n, 0.5) * (wet / np.sqrt(n * 0.1))
    return stem + oaconvolve(stem, room.astype(stem.dtype), axes=1)[:, : stem.shape[1]]
