"""What libsndfile cannot read (m4a, aac, mp4, ...), decoded by the ffmpeg of the system."""
import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np

from ..common.errors import AudioError

_LOCAL_ONLY = ["-protocol_whitelist", "file,pipe"]  # a playlist that poses as audio opens no other address
# Their last packet may be shorter than the others, which ffmpeg takes for damage.
_LOOSE = frozenset(("adx", "aptx", "aptx_hd", "gsm", "g722", "g723_1", "g726", "g726le", "sln", "spdif"))
_BROKEN = ("ended prematurely", "partial file", "truncat")


def available() -> bool:
    """Whether ffmpeg and ffprobe are on the PATH."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def _source(path):
    return "file:" + str(Path(path).absolute())


def probe(path) -> dict:
    """Facts about the default audio stream, or the first where none is marked.

    Returns:
        dict: ``index`` (of the stream), ``format``, ``sample_rate`` (Hz), ``channels``, ``layout`` (ffmpeg's name),
        ``frames`` (from the stated duration: an estimate), ``tags``, ``codec``.

    Raises:
        AudioError: if there is no audio in it that ffmpeg understands.
    """
    wanted = "stream=index,codec_name,sample_rate,channels,channel_layout,duration:stream_disposition=default"
    entries = f"{wanted}:stream_tags:format=format_name,duration:format_tags"
    command = ["ffprobe", "-v", "error", *_LOCAL_ONLY, "-select_streams", "a", "-show_entries", entries]
    done = subprocess.run([*command, "-of", "json", _source(path)], capture_output=True, check=False)
    found = json.loads(done.stdout.decode("utf-8", "replace")) if not done.returncode else {}
    streams = found.get("streams", [])
    if not streams:
        raise AudioError(path, "holds no audio that libsndfile or ffmpeg can read")
    stream = next((each for each in streams if each.get("disposition", {}).get("default")), streams[0])
    container = found.get("format", {})
    rate, channels = int(stream.get("sample_rate", 0)), int(stream.get("channels", 0))
    if not rate or not channels:
        raise AudioError(path, "is damaged: its audio has no sample rate or no channels")
    tags = {name.lower(): value for name, value in {**container.get("tags", {}), **stream.get("tags", {})}.items()}
    seconds = float(stream.get("duration", container.get("duration", 0)))
    names = {"index": stream["index"], "format": container.get("format_name", ""), "codec": stream.get("codec_name")}
    sizes = {"sample_rate": rate, "channels": channels, "frames": round(max(0, seconds) * rate)}
    return {**names, **sizes, "layout": stream.get("channel_layout", ""), "tags": tags}


def decode(path, facts, block_len, tolerant=False, complain=lambda line: None):
    """Yield a stream as float32 blocks, (time, channels) each.

    Args:
        path (str or Path): the file.
        facts (dict): from :func:`probe`.
        block_len (int): samples per block.
        tolerant (bool): go on behind damage, as players do.
        complain (callable): is given each line of ffmpeg's complaints.

    Raises:
        AudioError: if the stream is damaged.
    """
    strict = [] if tolerant or facts["format"] in _LOOSE else ["-xerror"]
    source = [*strict, *_LOCAL_ONLY, "-i", _source(path), "-map", f"0:{facts['index']}"]
    yield from _run(path, source, facts["channels"], block_len, not tolerant, complain)


def decode_frames(path, frames, block_len):
    """Yield MPEG frames as float32 blocks, (time, channels).

    Args:
        path (str or Path): the file.
        frames (Mpeg): where they are, from :func:`.mpeg.walk`.
        block_len (int): samples per block.
    """
    decoder = "mp3float" if frames.layer == 3 else f"mp{frames.layer}float"  # "mp2" rounds to 16 bits
    source = ["-c:a", decoder, "-f", "mp3", "-i", "pipe:0", "-map", "0:a:0"]
    source += ["-ac", str(frames.channels), "-ar", str(frames.sample_rate)]
    yield from _run(path, source, frames.channels, block_len, False, lambda line: None, frames.parts)


def _run(path, source, channels, block_len, strict, complain, parts=None):
    command = ["ffmpeg", "-v", "error", *([] if parts else ["-nostdin"]), *source, "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    pipe, n_bytes, lines = subprocess.PIPE, 4 * channels, []
    process = subprocess.Popen(command, stdin=pipe if parts else subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    workers = [threading.Thread(target=_listen, args=(process.stderr, lines, complain), daemon=True)]
    if parts:
        workers.append(threading.Thread(target=_feed, args=(path, parts, process.stdin), daemon=True))
    for worker in workers:
        worker.start()
    try:
        while data := process.stdout.read(n_bytes * block_len):
            yield np.frombuffer(data[: len(data) // n_bytes * n_bytes], dtype="<f4").reshape(-1, channels)
        failed = process.wait()
        workers[0].join()
        broken = [line for line in lines if any(word in line for word in _BROKEN)] if strict else []
        if (failed and strict) or broken:
            reason = (broken or lines or ["ffmpeg failed"])[-1]
            raise AudioError(path, f"is damaged or truncated: {reason}")
    finally:
        process.kill()
        process.wait()
        for worker in workers:
            worker.join()
        process.stdout.close()
        process.stderr.close()


def _listen(stream, lines, complain):
    for line in stream:
        text = line.decode(errors="replace").strip()
        complain(text)
        lines[:] = [*lines[-99:], text]


def _feed(path, parts, stdin):
    try:
        with open(path, "rb") as file, stdin:
            for begin, length in parts:
                file.seek(begin)
                while length and (data := file.read(min(length, 1 << 20))):
                    stdin.write(data)
                    length -= len(data)
    except OSError:  # ffmpeg was ended
        pass
