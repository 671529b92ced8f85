"""NIST SPHERE, the format of WSJ0's ``.wv1`` files: PCM read here, embedded shorten decoded by the system's ffmpeg.

ffmpeg ends without an error on a broken shorten stream and leaves a part of the audio, so what it gives is always held
against the ``sample_count`` and the ``sample_checksum`` (the sum of all samples modulo 65536) in the header.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import AudioError, UserError
from ..common.files import atomic_path

MAGIC = b"NIST_1A\n"
_TYPES = {"-i": int, "-r": float}


@dataclass(frozen=True)
class SphereHeader:
    """What a reader needs of a header.

    Args:
        fields: every field by its name, converted by its type.
        size: bytes before the samples.
    """

    fields: dict[str, Any]
    size: int

    @property
    def frames(self) -> int:
        """Samples per channel."""
        return self.fields["sample_count"]

    @property
    def coding(self) -> str:
        """``"pcm"``, or for example ``"pcm,embedded-shorten-v2.00"``."""
        return str(self.fields.get("sample_coding", "pcm"))


def read_header(path: str | Path) -> SphereHeader:
    """Read and check the header of a SPHERE file: 16 bit, one channel.

    Raises:
        AudioError: for a file that is missing, no SPHERE file, or of a kind that WSJ0 does not have.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(16)
            if not start.startswith(MAGIC):
                raise AudioError(path, "is no NIST SPHERE file: it does not begin with NIST_1A")
            size = int(start[8:16])
            text = (start + file.read(size - 16)).decode("latin-1")
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(path, f"cannot be read as NIST SPHERE ({error})") from None
    fields = {}
    for line in text[16:].splitlines():
        if line.strip() == "end_head":
            break
        parts = line.split(" ", 2)
        if len(parts) == 3 and not line.startswith(";"):
            fields[parts[0]] = _value(path, *parts)
    else:
        raise AudioError(path, "has a truncated header: end_head is missing")
    return SphereHeader(_check_fields(path, fields), size)


def _value(path: str | Path, name: str, kind: str, text: str) -> int | float | str:
    try:
        return _TYPES.get(kind, str)(text.strip())
    except ValueError:
        raise AudioError(path, f"has a damaged header: {name} is {text!r}") from None


def _check_fields(path: str | Path, fields: dict[str, Any]) -> dict[str, Any]:
    for name in ("sample_count", "sample_rate"):
        if not isinstance(fields.get(name), int) or fields[name] < 1:
            raise AudioError(path, f"has no {name} in its header")
    for name, expected in (("channel_count", 1), ("sample_n_bytes", 2)):
        if fields.get(name, expected) != expected:
            raise AudioError(path, f"has {name} {fields[name]}; {expected} was expected")
    return fields


def read_sphere(path: str | Path) -> tuple[np.ndarray, int]:
    """Samples of a SPHERE file.

    Args:
        path: a file with 16-bit samples of one channel, plain or compressed by shorten.

    Returns:
        Samples, int16 (time,), and their rate in Hz.

    Raises:
        AudioError: for an unknown coding, or when number or sum of the samples disagree with the header.
        UserError: if ffmpeg is needed and missing.
    """
    header = read_header(path)
    if header.coding == "pcm":
        wav = _read_pcm(path, header)
    elif header.coding.startswith("pcm,embedded-shorten"):
        wav = _decode_shorten(path)
    else:
        raise AudioError(path, f"has the sample coding {header.coding!r}; pcm and embedded shorten can be read")
    if len(wav) != header.frames:
        raise AudioError(path, f"is damaged: {len(wav)} samples were decoded where its header says {header.frames}")
    expected = header.fields.get("sample_checksum")
    if expected is not None and checksum(wav) != expected % 65536:
        raise AudioError(path, f"is damaged: its samples sum to {checksum(wav)} where its header says {expected}")
    return wav, header.fields["sample_rate"]


def checksum(wav: np.ndarray) -> int:
    """SPHERE's checksum: the sum of all samples modulo 65536."""
    return int(wav.astype(np.int64).sum()) % 65536


def _read_pcm(path: str | Path, header: SphereHeader) -> np.ndarray:
    order = str(header.fields.get("sample_byte_format", "01"))
    if order not in ("01", "10"):
        raise AudioError(path, f"has the byte order {order!r}; 01 and 10 are allowed")
    data = Path(path).read_bytes()[header.size :]
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2" if order == "01" else ">i2").astype(np.int16)


def _decode_shorten(path: str | Path) -> np.ndarray:
    if shutil.which("ffmpeg") is None:
        raise UserError(f"{path} is compressed by shorten: to read it, ffmpeg must be on the PATH")
    source = "file:" + str(Path(path).absolute())
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "nistsphere", "-i", source, "-f", "s16le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode and not done.stdout:
        message = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise AudioError(path, f"is damaged: ffmpeg cannot decode it ({message[-1]})")
    return np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], "<i2").astype(np.int16)


def write_sphere(
    path: str | Path,
    wav: np.ndarray,
    sample_rate: int = 16000,
    coding: str = "pcm",
    data: bytes | None = None,
    **fields: int | str,
) -> None:
    """Write a SPHERE file with count and checksum in its header.

    Args:
        path: where to.
        wav: int16, (time,).
        sample_rate: Hz.
        coding: what ``data`` is.
        data: the encoded samples; by default ``wav`` as little-endian PCM.
        **fields: further header fields, or other values for the usual ones.
    """
    usual: dict[str, int | str] = {
        "channel_count": 1,
        "sample_count": len(wav),
        "sample_rate": sample_rate,
        "sample_n_bytes": 2,
    }
    usual.update(sample_byte_format="01", sample_sig_bits=16, sample_coding=coding, sample_checksum=checksum(wav))
    lines = [
        f"{name} {f'-s{len(value)}' if isinstance(value, str) else '-i'} {value}\n"
        for name, value in {**usual, **fields}.items()
    ]
    header = f"NIST_1A\n{1024:7d}\n{''.join(lines)}end_head\n".encode("latin-1")
    with atomic_path(path) as partial:
        partial.write_bytes(header.ljust(1024) + (wav.astype("<i2").tobytes() if data is None else data))
