"""Folders of synthetic sound examples in both layouts, for the tests of the listening page."""

import numpy as np
import soundfile


def tone(hz, seconds, sample_rate, channels=1):
    """A tone that swells, so that no two moments are alike."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return np.repeat((0.2 * np.sin(2 * np.pi * hz * time) * (0.3 + time / seconds))[:, None], channels, axis=1)


def write(path, wav, sample_rate):
    """Write 32-bit float WAV, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, sample_rate, subtype="FLOAT")


def speech_folder(folder, seconds=1.0, sample_rate=8000, names=("clip one", "clip two"), references="references"):
    """The supplement's layout. ``Bad`` is noisy, loud and swapped; ``Good`` quiet and clean; of ``Copied``, the
    first clip's s1 is the reference."""
    for i, name in enumerate(names):
        noise = np.random.default_rng(i).normal(size=(int(seconds * sample_rate), 1))
        s1, s2 = tone(300 + 70 * i, seconds, sample_rate), tone(1100 + 90 * i, seconds, sample_rate)
        sounds = {
            "mix": s1 + s2,
            f"{references}/s1": s1,
            f"{references}/s2": s2,
            "Good/s1": 0.02 * (s1 + 0.05 * s2),
            "Good/s2": 0.02 * (s2 + 0.05 * s1),
            "Bad/s1": 3 * (s2 + 0.4 * s1 + 0.02 * noise),
            "Bad/s2": 3 * (s1 + 0.4 * s2 + 0.02 * noise),
            "Copied/s1": s1 if i == 0 else s1 + 0.2 * s2,
            "Copied/s2": s2 + 0.2 * s1,
        }
        for place, wav in sounds.items():
            write(folder / place / f"{name}.wav", wav, sample_rate)
    return folder


def music_folder(exp, sources=("vocals", "drums"), tracks=("Some - Song",), seconds=1.0, leak=0.1, sample_rate=44100):
    """``exp/<tag>/examples`` as eval writes it."""
    for i, track in enumerate(tracks):
        stems = {
            source: tone(200 * (k + 2) + 30 * i, seconds, sample_rate, 2)
            for k, source in enumerate(("vocals", "drums"))
        }
        mixture = sum(stems.values())
        write(exp / "examples" / track / "mixture.wav", mixture, sample_rate)
        for source in sources:
            write(exp / "examples" / track / f"{source}.wav", stems[source], sample_rate)
            write(
                exp / "examples" / track / f"{source}_estimate.wav", 0.5 * (stems[source] + leak * mixture), sample_rate
            )
    return exp
