"""One recording between opening and the last stem: what separation of one file and of many files share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..audio.channel_order import DEFAULT as DEFAULT_LAYOUT
from ..audio.read import AudioInfo, AudioReader
from ..audio.write import check_format
from ..common.errors import AudioError, UserError
from .request import Request
from .stem_files import Part, StemFormat, write_stems
from .values import as_part
from .whole_song import mono_mix_level_of

Progress = Callable[[int, int], object]


class OpenRecording:
    """A recording whose header was read and whose stems have their places.

    Args:
        sources: all that the separator gives, in its order.
        path: the file.
        targets: name of the stem -> where it goes; all in one folder.
        request: what is asked for.
        offset, duration: the part, in seconds.
        slack: a part that would end so few seconds before the end takes the rest, for durations that were rounded.

    Attributes:
        info: facts about the file.
        reader: its blocks.
        total: expected frames of the part, 0 if unknown.
        layout: of the channels, as :meth:`.ensemble.Separator.stream` takes it.
        level: mean and deviation of its mono mix, where it is standardised: that takes a pass over the file.
        gain: that all stems have in common, known when they are written.

    Raises:
        AudioError: if the file cannot be read, or something else is in the place of a stem.
        UserError: for a part that cannot be, and for options that contradict each other.
    """

    def __init__(
        self,
        sources: Sequence[str],
        path: str | Path,
        targets: Mapping[str, Path],
        request: Request,
        offset: float = 0.0,
        duration: float | None = None,
        slack: float = 0.0,
    ) -> None:
        self.path, self.targets = path, dict(targets)
        exact = request.consistent and len(sources) > 1
        self.form = StemFormat(request.fmt, check_format(request.fmt, request.bits), exact, request.complement)
        self.info, self.reader, self.total = _open(path, offset, duration, request.tolerant, slack)
        _refuse_own_input(path, self.targets)
        self.columns = [*sources, *(f"no_{name}" for name in sources if request.complement)]
        self.layout = self.info.layout or DEFAULT_LAYOUT.get(self.info.channels, 0)
        part = (path, offset, duration, request.tolerant, slack)
        self.level = mono_mix_level_of(_open(*part)[1]) if request.standardise else None
        self.gain = 1.0

    @property
    def folder(self) -> Path:
        """Where the stems go."""
        return next(iter(self.targets.values())).parent

    def write(self, parts: Iterable[Part]) -> None:
        """Write the stems, all of them or none; folders that were made for nothing are removed.

        Raises:
            AudioError: if they cannot be written.
        """
        made = [part for part in (self.folder, *self.folder.parents) if not part.exists()]
        info, places = self.info, [self.targets.get(name) for name in self.columns]
        try:
            self.gain = write_stems(
                parts, places, info.sample_rate, info.channels, self.form, info.tags, self.total, info.layout
            )
        except BaseException as error:
            for folder in made:
                with suppress(OSError):  # something is in it, or somebody puts something there at this moment
                    folder.rmdir()
            if isinstance(error, OSError):
                raise AudioError(self.folder, f"stems cannot be written: {error.strerror or error}") from None
            raise

    def result(self, seconds: float) -> dict[str, Any]:
        """What is told of a recording whose stems are written.

        Args:
            seconds: that it took.
        """
        facts = {"sample_rate": self.info.sample_rate, "channels": self.info.channels, "frames": self.reader.n_read}
        cost = {"seconds": round(seconds, 3), "rtf": round(seconds * self.info.sample_rate / self.reader.n_read, 5)}
        stems = {name: str(target) for name, target in self.targets.items()}
        return {
            "file": str(self.path), "stems": stems, **facts, "gain": self.gain, "remarks": self.reader.remarks, **cost
        }  # fmt: skip


def _open(
    path: str | Path, offset: float, duration: float | None, tolerant: bool, slack: float
) -> tuple[AudioInfo, AudioReader, int]:
    """Header, reader and expected length of the part of a file."""
    offset, duration = as_part(offset, duration)
    reader = AudioReader(path, tolerant=tolerant)
    info, rate = reader.info, reader.info.sample_rate
    if offset or duration is not None:
        start = round(offset * rate)
        frames = -1 if duration is None else max(1, round(duration * rate))
        if frames > 0 and 0 <= info.frames - start - frames <= slack * rate:
            frames = -1
        reader = AudioReader(path, start, frames, tolerant=tolerant)
    left = max(0, info.frames - reader.start)
    return info, reader, left if reader.frames < 0 else min(left, reader.frames)


def _refuse_own_input(path: str | Path, targets: Mapping[str, Path]) -> None:
    for target in targets.values():
        if target.is_dir():
            raise AudioError(target, "is a folder where a stem should go")
        if target.exists() and target.samefile(path):
            raise UserError(f"{target} is the recording itself: choose another folder for the stems")
    folder = next(part for part in (target.parent, *target.parent.parents) if part.exists())
    if not folder.is_dir():
        raise AudioError(folder, "is a file where a folder for the stems should be")
