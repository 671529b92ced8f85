"""Files as the encoders of the system write them, and what an independent decoder of the system makes of them."""

import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

RATE, FRAMES = 44100, 66150


def needs(*programs):
    """Mark: skipped where one of the programs is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def sound(channels=2, rate=RATE, frames=FRAMES):
    """A chord with noise, louder and softer, other tones in every channel, from and to silence; (time, channels)."""
    t = np.arange(frames) / rate
    rng = np.random.default_rng(channels)
    rise = np.minimum(1, np.minimum(t, t[::-1]) / 0.01)
    envelope = rise * (0.6 + 0.4 * np.sin(2 * np.pi * 1.7 * t))
    tones = [np.sin(2 * np.pi * 220 * (1 + index) * t) for index in range(channels)]
    return (0.35 * envelope * (np.stack(tones) + 0.05 * rng.standard_normal((channels, frames)))).T.astype("f4")


def wav(path, channels=2, rate=RATE, frames=FRAMES, subtype="PCM_16", **options):
    """Write :func:`sound`; returns the path."""
    soundfile.write(path, sound(channels, rate, frames), rate, subtype=subtype, **options)
    return path


def run(*command, stdin=None):
    """Run a program; returns what it writes to its standard output, a pipe."""
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0 or done.stdout, done.stderr.decode(errors="replace")
    return done.stdout


def ffmpeg(source, target, *options):
    """Encode with ffmpeg; returns the target."""
    run("ffmpeg", "-v", "error", "-y", "-i", source, *options, target)
    return target


def by_ffmpeg(path, channels=2, options=()):
    """All samples by ffmpeg, (time, channels)."""
    data = run("ffmpeg", "-v", "error", *options, "-i", path, "-map", "0:a:0", "-f", "f32le", "-")
    return np.frombuffer(data, "<f4").reshape(-1, channels)


def by_sox(path):
    """All samples by sox, (time, channels)."""
    data = run("sox", "-V1", path, "-t", "au", "-e", "float", "-b", "32", "-")
    start, channels = struct.unpack(">I", data[4:8])[0], struct.unpack(">I", data[20:24])[0]
    return np.frombuffer(data[start:], ">f4").astype("f4").reshape(-1, channels)


def with_sizes(data, riff=None, sound_size=None, order="<"):
    """A canonical WAV file (data behind byte 44) with other sizes in its header."""
    data = bytearray(data)
    assert data[36:40] == b"data"
    if riff is not None:
        data[4:8] = struct.pack(order + "I", riff)
    if sound_size is not None:
        data[40:44] = struct.pack(order + "I", sound_size)
    return bytes(data)


def patched(data, at, new):
    """``data`` with other bytes from ``at`` on."""
    return data[:at] + new + data[at + len(new) :]


def lag(one, other, reach=1500):
    """Samples by which the second signal is late, by correlation of their first channels."""
    one, other = np.asarray(one, "f8"), np.asarray(other, "f8")
    size = 1 << (len(one) + len(other)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(one, size).conj() * np.fft.rfft(other, size), size)
    return int(np.argmax(np.roll(cross, reach)[: 2 * reach + 1])) - reach
