"""What libsndfile cannot read (m4a, aac, mp4, ...), decoded by the ffmpeg of the system."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..common.errors import AudioError
from .mpeg import Mpeg

_LOCAL_ONLY = ["-protocol_whitelist", "file,pipe"]  # a playlist that poses as audio opens no other address
# Their last packet may be shorter than the others, which ffmpeg takes for damage.
_LOOSE = frozenset(("adx", "aptx", "aptx_hd", "gsm", "g722", "g723_1", "g726", "g726le", "sln", "spdif"))
_LOSSLESS = frozenset(("flac", "tta", "wavpack", "ape"))  # their checksums tell damage
_DAMAGE = re.compile(
    r"exceed|invalid|corrupt|overread|error|truncat|prematurely|partial|broken|missing|failed|out.of.range|too (small|large)",
    re.I,
)
_STATES = re.compile(r"mov|flv|asf|wv$|tta|ape|caf")  # formats whose duration is no estimate


def available() -> bool:
    """Whether ffmpeg and ffprobe are on the PATH."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def _source(path: str | Path) -> str:
    return "file:" + str(Path(path).absolute())


def probe(path: str | Path) -> dict[str, Any]:
    """Facts about the default audio stream, or the first where none is marked.

    Returns:
        ``index`` (of the stream), ``format``, ``codec``, ``sample_rate`` (Hz), ``channels``, ``layout`` (ffmpeg's
        name), ``frames`` (from the stated duration: an estimate), ``stated`` (seconds, 0 where the stream states none),
        ``tags``.

    Raises:
        AudioError: if there is no audio in it that ffmpeg understands.
    """
    wanted = "stream=index,codec_name,sample_rate,channels,channel_layout,duration:stream_disposition=default"
    entries = f"{wanted}:stream_tags:format=format_name,nb_streams,duration:format_tags"
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
    kind, seconds = container.get("format_name", ""), float(stream.get("duration", container.get("duration", 0)))
    is_stated = _STATES.match(kind) and ("duration" in stream or container.get("nb_streams") == 1)
    return {
        "index": stream["index"],
        "format": kind,
        "codec": stream.get("codec_name"),
        "sample_rate": rate,
        "channels": channels,
        "frames": round(max(0, seconds) * rate),
        "stated": seconds if is_stated else 0.0,
        "layout": stream.get("channel_layout", ""),
        "tags": tags,
    }


def decode(
    path: str | Path,
    facts: dict[str, Any],
    block_len: int,
    tolerant: bool = False,
    complain: Callable[[str], object] = lambda line: None,
) -> Iterator[np.ndarray]:
    """Yield a stream as float32 blocks, (time, channels) each.

    Args:
        path: the file.
        facts: from :func:`probe`.
        block_len: samples per block.
        tolerant: go on behind damage, as players do.
        complain: is given each line of ffmpeg's complaints.

    Raises:
        AudioError: if the stream is damaged.
    """
    strict = [] if tolerant or facts["format"] in _LOOSE else ["-xerror"]
    checks = ["-err_detect", "crccheck"] if facts["codec"] in _LOSSLESS else []
    source = [*strict, *checks, *_LOCAL_ONLY, "-i", _source(path), "-map", f"0:{facts['index']}"]
    run, done, rate = _Run(source, facts["channels"], complain), 0, facts["sample_rate"]
    for block in run.blocks(block_len):
        done += len(block)
        yield block
    if tolerant:
        return
    contexts = (f"[{facts['format']} @", f"[{facts['codec']} @")
    damage = [line for line in run.lines if line.startswith(contexts) and _DAMAGE.search(line)]
    if run.failed or damage:
        reason = (damage or run.lines or ["decoding failed"])[-1]
        raise AudioError(
            path, f"is damaged or truncated at about {done / rate:.1f} s: {re.sub(r' @ 0x[0-9a-f]+', '', reason)}"
        )
    if facts["stated"] - done / rate > max(1.0, 0.02 * facts["stated"]):
        raise AudioError(path, f"is truncated: it states {facts['stated']:.1f} s and ends at {done / rate:.1f} s")


def decode_frames(path: str | Path, frames: Mpeg, block_len: int) -> Iterator[np.ndarray]:
    """Yield MPEG frames as float32 blocks, (time, channels).

    Args:
        path: the file.
        frames: where they are, from :func:`.mpeg.walk`.
        block_len: samples per block.
    """
    decoder = "mp3float" if frames.layer == 3 else f"mp{frames.layer}float"  # "mp2" rounds to 16 bits
    source = ["-c:a", decoder, "-f", "mp3", "-i", "pipe:0", "-map", "0:a:0"]
    source += ["-ac", str(frames.channels), "-ar", str(frames.sample_rate)]
    yield from _Run(source, frames.channels, feed=partial(_feed, path, frames.parts)).blocks(block_len)


def decode_joined(
    path: str | Path, parts: Iterable[tuple[int, int]], facts: dict[str, Any], block_len: int
) -> Iterator[np.ndarray]:
    """Yield Ogg streams that stand one behind the other, each by a run of its own, as float32 blocks (time, channels).

    Args:
        path: the file.
        parts: (first byte, number of bytes) of each stream.
        facts: from :func:`probe`.
        block_len: samples per block.
    """
    rate, channels = str(facts["sample_rate"]), str(facts["channels"])
    source = ["-xerror", "-f", "ogg", "-i", "pipe:0", "-map", "0:a:0", "-ac", channels, "-ar", rate]
    for part in parts:
        run = _Run(source, facts["channels"], feed=partial(_feed, path, [part]))
        yield from run.blocks(block_len)
        if run.failed:
            raise AudioError(path, f"is damaged: {(run.lines or ['decoding failed'])[-1]}")


class _Run:
    """One run of ffmpeg: what it decodes, what it complains of, and whether it failed."""

    def __init__(
        self,
        source: Sequence[str],
        channels: int,
        complain: Callable[[str], object] = lambda line: None,
        feed: Callable[[IO[bytes]], None] | None = None,
    ) -> None:
        quiet = [] if feed else ["-nostdin"]
        self.command = ["ffmpeg", "-v", "error", *quiet, *source, "-f", "f32le", "-c:a", "pcm_f32le", "-"]
        self.channels, self.complain, self.feed = channels, complain, feed
        self.lines: list[str] = []
        self.failed = False

    def blocks(self, block_len: int) -> Iterator[np.ndarray]:
        """Yield float32 blocks (time, channels)."""
        pipe, n_bytes = subprocess.PIPE, 4 * self.channels
        stdin = pipe if self.feed else subprocess.DEVNULL
        with subprocess.Popen(self.command, stdin=stdin, stdout=pipe, stderr=pipe) as process:
            assert process.stdout is not None  # a pipe
            workers = [threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)]
            if self.feed:
                workers.append(threading.Thread(target=self.feed, args=(process.stdin,), daemon=True))
            for worker in workers:
                worker.start()
            try:
                while data := process.stdout.read(n_bytes * block_len):
                    yield np.frombuffer(data[: len(data) // n_bytes * n_bytes], dtype="<f4").reshape(-1, self.channels)
                self.failed = process.wait() != 0
            finally:
                process.kill()
                for worker in workers:
                    worker.join()

    def _listen(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode(errors="replace").strip()
            self.complain(text)
            self.lines = [*self.lines[-99:], text]


def _feed(path: str | Path, parts: Iterable[tuple[int, int]], stdin: IO[bytes]) -> None:
    with suppress(OSError), open(path, "rb") as file, stdin:  # ffmpeg may be ended
        for begin, length in parts:
            file.seek(begin)
            while length and (data := file.read(min(length, 1 << 20))):
                stdin.write(data)
                length -= len(data)
