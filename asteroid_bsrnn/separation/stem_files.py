"""Stems of one recording as files: adding up exactly, never clipped, with one gain for all."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..audio.write import AudioWriter, check_format
from ..common.errors import AudioError
from ..common.files import atomic_paths

MIXTURE = "mixture"
Part = tuple[torch.Tensor, torch.Tensor]  # of a mixture (channels, time) and of its stems (n_src, channels, time)


@dataclass(frozen=True)
class StemFormat:
    """How stems are written.

    Args:
        fmt (str): ``"wav"``, ``"flac"`` or ``"mp3"``.
        bits (int or None): 16, 24, or 32 for floats; None for mp3.
        consistent (bool): make all sources of the model sum to the mixture.
        complement (bool): add the mixture less each stem.
    """

    fmt: str = "wav"
    bits: int | None = 32
    consistent: bool = False
    complement: bool = False

    @property
    def integer(self) -> bool:
        """Whether samples are integers, which can clip and have a last bit."""
        return self.bits in (16, 24)

    @property
    def last_bit(self) -> float:
        """What the last bit of an integer sample is worth."""
        return 2.0 ** (1 - (self.bits or 0))

    def rows(self, mixture: torch.Tensor, stems: torch.Tensor) -> torch.Tensor:
        """The samples that are written, in float64: stems, then the complements if asked for.

        With ``consistent`` the error of the sum is shared out equally. What has to add up is put on a grid first, the
        integers of the format, or 23 bits below the loudest of the sample so that float32 holds the differences too:
        sums are exact, except where a float mixture has bits that a louder stem has no room for.

        Shape:
            (channels, time), (n_src, channels, time) -> (n_src or 2 * n_src, channels, time)
        """
        mixture, stems = mixture.double(), stems.double()
        if self.consistent:
            stems = stems + (mixture - stems.sum(0)) / len(stems)
        step = self._step(mixture, stems)
        if step is not None:
            stems = torch.round(stems / step) * step
            mixture = torch.round(mixture / step) * step if self.integer else mixture
            if self.consistent:
                stems[-1] = mixture - stems[:-1].sum(0)
        return torch.cat([stems, mixture - stems]) if self.complement else stems

    def _step(self, mixture: torch.Tensor, stems: torch.Tensor) -> float | torch.Tensor | None:
        if self.integer:
            return self.last_bit
        if self.bits is None or not (self.consistent or self.complement):
            return None
        level = torch.cat([mixture[None], stems]).abs().amax(0)
        return torch.ldexp(torch.ones_like(level), torch.frexp(level)[1] - 23)


def write_stems(
    parts: Iterable[Part],
    paths: Sequence[Path | None],
    sample_rate: int,
    channels: int,
    form: StemFormat,
    tags: dict[str, str] | None = None,
    frames: int = 0,
    layout: int = 0,
) -> float:
    """Write the stems of one recording: all of them, or none.

    Formats that clip are written in two passes, over a nameless temporary file, because the gain depends on all
    samples; a float wav is never scaled.

    Args:
        parts (iterable): consecutive (mixture (channels, time), stems (n_src, channels, time)).
        paths (list of Path or None): one per stem, then one per complement if asked for; None where it is not wanted.
        sample_rate (int): in Hz.
        channels (int): how many.
        form (StemFormat): see there.
        tags (dict, optional): title, artist, ... of the recording.
        frames (int): expected length, 0 if unknown.
        layout (int): mask of WAVE_FORMAT_EXTENSIBLE for more than two channels, 0 if unknown.

    Returns:
        float: the gain that all stems have in common, 1 unless one would clip.

    Raises:
        UserError: if the format cannot hold such audio.
        AudioError: if the disk is full.
    """
    check_format(form.fmt, form.bits, sample_rate, channels)
    folder = next(path for path in paths if path is not None).parent
    with ExitStack() as stack:
        gain = 1.0
        if form.bits != 32:
            folder.mkdir(parents=True, exist_ok=True)
            spool = _Spool(folder, stack.enter_context(tempfile.TemporaryFile(dir=folder)))
            gain = spool.fill(parts, form)
            parts = ((gain * mixture, gain * stems) for mixture, stems in spool)
        settings: dict[str, Any] = {"bits": form.bits, "tags": tags, "frames": frames or None, "layout": layout}
        wanted = {row: path for row, path in enumerate(paths) if path is not None}
        partials = stack.enter_context(atomic_paths([*wanted.values()]))
        writers = {
            row: stack.enter_context(AudioWriter(path, sample_rate, channels, **settings, partial=partial))
            for (row, path), partial in zip(wanted.items(), partials)
        }
        for mixture, stems in parts:
            rows = form.rows(mixture, stems)
            for row, writer in writers.items():
                writer.write(torch.round(rows[row] / form.last_bit).int() if form.integer else rows[row].float())
    return gain


class _Spool:
    """Parts of a recording in a temporary file that has no name, so that nothing of it can be left behind."""

    def __init__(self, folder: Path, file: IO[bytes]) -> None:
        self.folder, self.file = folder, file
        self.shapes: list[torch.Size] = []

    def fill(self, parts: Iterable[Part], form: StemFormat) -> float:
        """Take everything in and return the gain with which nothing clips."""
        top = 1 - form.last_bit if form.integer else 1.0
        highest = lowest = 0.0
        for mixture, stems in parts:
            rows = form.rows(mixture, stems)
            highest, lowest = max(highest, rows.max().item()), min(lowest, rows.min().item())
            whole = torch.cat([mixture[None], stems]).float().contiguous()
            self.shapes.append(whole.shape)
            try:
                self.file.write(whole.numpy().tobytes())
            except OSError as error:
                raise AudioError(self.folder, f"could not be written to: {error.strerror}") from None
        if highest <= top and lowest >= -1:
            return 1.0
        room = (whole.shape[0] + 1) * form.last_bit if form.integer else 0.0  # what rounding may add
        return (1 - room) / max(highest, -lowest)

    def __iter__(self) -> Iterator[Part]:
        self.file.seek(0)
        for shape in self.shapes:
            whole = torch.from_numpy(np.frombuffer(self.file.read(4 * shape.numel()), dtype="f4").reshape(shape).copy())
            yield whole[0], whole[1:]
