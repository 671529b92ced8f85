"""What libsndfile cannot read (m4a, aac, mp4, ...), decoded by the ffmpeg of the system."""
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np

from ..common.errors import AudioError

_LOCAL_ONLY = ["-protocol_whitelist", "file,pipe"]  # a playlist that poses as audio opens no other address


def available():
    """Whether ffmpeg and ffprobe are on the PATH."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def _source(path):
    return "file:" + str(Path(path).absolute())


def probe(path):
    """Facts about the first audio stream.

    Returns:
        tuple: sample rate (Hz), channels, frames (from the stated duration: an estimate), tags (dict).

    Raises:
        AudioError: if there is no audio in it that ffmpeg understands.
    """
    entries = "stream=sample_rate,channels,duration:stream_tags:format=duration:format_tags"
    command = ["ffprobe", "-v", "error", *_LOCAL_ONLY, "-select_streams", "a:0", "-show_entries", entries]
    command += ["-of", "json", _source(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = json.loads(done.stdout or "{}")
    if done.returncode or not found.get("streams"):
        raise AudioError(path, "holds no audio that libsndfile or ffmpeg can read")
    stream, container = found["streams"][0], found.get("format", {})
    rate, channels = int(stream.get("sample_rate", 0)), int(stream.get("channels", 0))
    if not rate or not channels:
        raise AudioError(path, "is damaged: its audio has no sample rate or no channels")
    seconds = float(stream.get("duration", container.get("duration", 0)))
    tags = {**container.get("tags", {}), **stream.get("tags", {})}
    return rate, channels, round(seconds * rate), {name.lower(): value for name, value in tags.items()}


def decode(path, channels, block_len):
    """Yield the first audio stream as float32 blocks, (time, channels) each.

    Raises:
        AudioError: if the stream is damaged.
    """
    command = ["ffmpeg", "-v", "error", "-nostdin", "-xerror", *_LOCAL_ONLY, "-i", _source(path)]
    command += ["-map", "0:a:0", "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    n_bytes = 4 * channels
    try:
        while data := process.stdout.read(n_bytes * block_len):
            yield np.frombuffer(data[: len(data) // n_bytes * n_bytes], dtype="<f4").reshape(-1, channels)
        message = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise AudioError(path, f"is damaged or truncated: {(message.splitlines() or ['ffmpeg failed'])[-1]}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
