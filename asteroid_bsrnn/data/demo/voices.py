"""Voices for the speech demonstrations: espeak-ng's, or, where it is not installed, a small formant synthesiser's.

A voice speaks a list of words, given as letters. The fallback maps letters to vowels (glottal pulses through formant
filters [1]) and consonants (shaped noise or a closure), so that its words are words: the same letters, the same sound.

References
    [1] Klatt, "Software for a cascade/parallel formant synthesizer", JASA 1980.
"""

import io
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile as sf
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from ...common.errors import UserError
from ...common.registry import check_known

RATE = 16000
ENGINES = ("auto", "espeak-ng", "formant")
#: First three formants of the vowels of men, Hz; those of women are 17 % higher.
VOWELS = {"a": (730, 1090, 2440), "e": (530, 1840, 2480), "i": (270, 2290, 3010), "o": (570, 840, 2410), "u": (300, 870, 2240),
          "y": (390, 1990, 2550)}  # fmt: skip
_BANDWIDTHS = (80, 110, 170)
_HISSES = {"s": (3800, 7400), "z": (3600, 7000), "f": (1500, 7000), "v": (1200, 5000), "h": (800, 4000), "x": (3000, 7000),
           "c": (2500, 6000), "j": (2200, 5500)}  # fmt: skip
_SONORANTS = {"m": 250, "n": 280, "l": 360, "r": 420, "w": 310}


@dataclass(frozen=True)
class Speaker:
    """A voice.

    Args:
        sex: ``"M"`` or ``"F"``.
        variant: voice of espeak-ng, for example ``"en-us+f2"``.
        pitch: 0 to 1, from low to high within the voice.
        speed: words per minute.
        tract: factor of all formants of the fallback.
    """

    sex: str
    variant: str
    pitch: float
    speed: int
    tract: float


def make_speakers(n: int, male: Sequence[str], female: Sequence[str], seed: int) -> list[Speaker]:
    """``n`` different speakers, men and women in turn.

    Args:
        n: how many.
        male, female: espeak-ng's variants to use in turn, for example ``"m1"``.
        seed: decides pitch and speed.
    """
    generator, accents, speakers = np.random.default_rng([seed, n]), ("en-us", "en-gb", "en-gb-scotland"), []
    for index in range(n):
        sex, names = (("M", male), ("F", female))[index % 2]
        variant = f"{accents[index // 2 // len(names) % len(accents)]}+{names[index // 2 % len(names)]}"
        pitch, speed, tract = (
            generator.uniform(0.15, 0.75),
            int(generator.integers(140, 190)),
            generator.uniform(0.92, 1.08),
        )
        speakers.append(Speaker(sex, variant, float(pitch), speed, float(tract) * (1.17 if sex == "F" else 1.0)))
    return speakers


def choose_engine(engine: str = "auto") -> str:
    """``"espeak-ng"`` or ``"formant"``: the one that is asked for, or for ``"auto"`` the best that is there.

    Raises:
        UserError: for an unknown one, or if espeak-ng is asked for and missing.
    """
    check_known("voices", engine, ENGINES)
    installed = shutil.which("espeak-ng") is not None
    if engine == "espeak-ng" and not installed:
        raise UserError(
            "the voices of espeak-ng are asked for, but the program is not installed; voices: formant needs nothing"
        )
    return ("espeak-ng" if installed else "formant") if engine == "auto" else engine


def speak(text: str, speaker: Speaker, engine: str) -> np.ndarray:
    """A sentence: (time,) at 16 kHz, float64, peak below 1."""
    wav = _espeak(text, speaker) if engine == "espeak-ng" else formant_speech(text, speaker)
    return 0.6 * wav / max(np.abs(wav).max(), 1e-9)


def _espeak(text: str, speaker: Speaker) -> np.ndarray:
    pitch = str(int(15 + 70 * speaker.pitch))
    command = ["espeak-ng", "-v", speaker.variant, "-p", pitch, "-s", str(speaker.speed), "--stdout", "--", text]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or len(done.stdout) < 1000:
        raise UserError(
            f"espeak-ng failed with the voice {speaker.variant}: {done.stderr.decode(errors='replace').strip()}"
        )
    wav, rate = sf.read(io.BytesIO(_mended(done.stdout)), dtype="float64")
    return resample_poly(wav, RATE // 50, rate // 50)


def _mended(data: bytes) -> bytes:
    """A WAV file from a pipe states no length; write the true one where libsndfile looks for it."""
    start = data.index(b"data")
    return data[: start + 4] + (len(data) - start - 8).to_bytes(4, "little") + data[start + 8 :]


def formant_speech(text: str, speaker: Speaker) -> np.ndarray:
    """The fallback's sentence: syllables with falling pitch, pauses between words; a function of its arguments alone."""
    words, base = text.lower().split(), (95 if speaker.sex == "M" else 175) * (1 + 0.5 * speaker.pitch)
    stretch, parts = 165 / speaker.speed, []
    for index, word in enumerate(words):
        pitch = base * (1.12 - 0.24 * index / max(len(words) - 1, 1))
        for place, letter in enumerate(word):
            parts.append(_sound(letter, pitch * (1.06 - 0.12 * place / len(word)), stretch, round(speaker.tract, 4)))
        parts.append(np.zeros(int((0.12 if word[-1] in ".,?" else 0.04) * stretch * RATE)))
    return np.concatenate(parts)


def _sound(letter: str, pitch: float, stretch: float, tract: float) -> np.ndarray:
    if letter in VOWELS:
        return _vowel(letter, round(pitch), round(0.11 * stretch, 3), tract)
    if letter in _HISSES:
        return _hiss(letter, round(0.08 * stretch, 3))
    if letter in _SONORANTS:
        return 0.4 * _voiced((_SONORANTS[letter], 1200, 2400), round(pitch), 0.06 * stretch, tract)
    if letter.isalpha():  # a plosive: closure, then a burst
        return np.concatenate(
            [np.zeros(int(0.04 * stretch * RATE)), 0.5 * _hiss("f" if letter in "pbm" else "s", 0.02)]
        )
    return np.zeros(0)


@lru_cache(maxsize=4096)
def _vowel(letter: str, pitch: float, seconds: float, tract: float) -> np.ndarray:
    return _voiced(VOWELS[letter], pitch, seconds, tract)


def _voiced(formants: Sequence[float], pitch: float, seconds: float, tract: float) -> np.ndarray:
    n = int(seconds * RATE)
    phase = np.cumsum(pitch * (1 + 0.01 * np.sin(2 * np.pi * 5 * np.arange(n) / RATE))) / RATE
    source = lfilter([1.0], [1, -0.97], np.diff(np.floor(phase), prepend=0.0)) - 0.01
    wav = np.zeros(n)
    for level, centre, width in zip((1.0, 0.6, 0.3), formants, _BANDWIDTHS):
        radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * min(centre * tract, 7500) / RATE
        wav += level * (1 - radius) * lfilter([1.0], [1, -2 * radius * np.cos(angle), radius**2], source)
    return _faded(wav / max(np.abs(wav).max(), 1e-9), 0.012)


@lru_cache(maxsize=256)
def _hiss(letter: str, seconds: float) -> np.ndarray:
    noise = np.random.default_rng([ord(letter), int(seconds * RATE)]).standard_normal(int(seconds * RATE))
    sections = butter(2, _HISSES[letter], "bandpass", fs=RATE, output="sos")
    return _faded(0.12 * sosfilt(sections, noise), 0.008)


def _faded(wav: np.ndarray, seconds: float) -> np.ndarray:
    ramp = np.minimum(1, np.arange(len(wav)) / (seconds * RATE))
    return wav * ramp * ramp[::-1]
