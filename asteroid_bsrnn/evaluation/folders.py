"""What is on disk: tracks with stems (MUSDB layout), systems with speakers (the supplement's layout)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..audio.read import SUFFIXES, AudioReader
from ..common.errors import AudioError, UserError
from ..common.files import nfc
from ..data.music.musdb import SOURCES as STEMS

MIXTURE = "mixture"
BLOCK_SECONDS = 5


def subfolders(folder: str | Path) -> dict[str, Path]:
    """Visible folders in ``folder`` by name.

    Raises:
        UserError: if it is no folder or cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    try:
        return {
            nfc(entry.name): entry
            for entry in sorted(folder.iterdir())
            if entry.is_dir() and not entry.name.startswith(".")
        }
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None


def tracks(root: str | Path) -> dict[str, Path]:
    """Track folders by name: ``<root>/<track>/`` or, where there is a folder ``test``, ``<root>/test/<track>/``.

    Raises:
        UserError: if there are none.
    """
    root = Path(root)
    found = subfolders(root / "test" if (root / "test").is_dir() else root)
    if not found:
        raise UserError(
            f"{root} holds no tracks; expected are folders <track>/<source>.wav, or test/<track>/<source>.wav"
        )
    return found


def paired(
    references: Mapping[str, Any],
    estimates: Mapping[str, Any],
    references_dir: str | Path,
    est_dir: str | Path,
    unit: str,
) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the recordings that both have, and those that one lacks: ``missing`` and ``extra`` estimates.

    Raises:
        UserError: if there is no estimate at all.
    """
    missing, extra = sorted(set(references) - set(estimates)), sorted(set(estimates) - set(references))
    names = sorted(set(references) & set(estimates))
    if not names:
        raise UserError(
            f"no {unit} of {references_dir} is in {est_dir}; names must be equal, for example {missing[0]!r}"
        )
    return names, {"missing": missing, "extra": extra}


def audio_files(folder: str | Path) -> dict[str, Path]:
    """Audio files in a folder by their name without suffix.

    Raises:
        UserError: if two files differ in the suffix alone.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            name = nfc(path.stem)
            if name in found:
                raise UserError(f"{folder} has both {found[name].name} and {path.name}; keep one")
            found[name] = path
    return found


def sources_of(
    references: Mapping[str, Path], estimates: Mapping[str, Path], given: Sequence[str] | None = None
) -> list[str]:
    """Which sources to score.

    Args:
        references, estimates: track folders by name.
        given: the user's choice; by default those of vocals, bass, drums and other that the
            references have, or every stem where they have none of these.

    Raises:
        UserError: if there is none, or a source that no reference or no estimate has.
    """
    stems = {name for folder in references.values() for name in audio_files(folder)} - {MIXTURE}
    estimated = {name for folder in estimates.values() for name in audio_files(folder)}
    sources = list(given or [name for name in STEMS if name in stems] or sorted(stems))
    if not sources:
        raise UserError("the references hold no stems; expected are files <track>/<source>.wav")
    if len(set(sources)) < len(sources):
        raise UserError(f"--sources names a source twice: {', '.join(sources)}")
    for source in sources:
        if source not in stems:
            raise UserError(f"no reference has {source!r}; the references have {', '.join(sorted(stems))}")
        if source not in estimated:
            have = ", ".join(sorted(estimated & stems)) or "none of the references' stems"
            raise UserError(f"no estimate has {source!r}; score a subset with --sources (the estimates have {have})")
    return sources


def stem_paths(folder: Path, names: Sequence[str], role: str) -> list[Path]:
    """Files of the named stems in a track's folder.

    Raises:
        UserError: if one is missing.
    """
    files = audio_files(folder)
    missing = [name for name in names if name not in files]
    if missing:
        raise UserError(f"no {' and no '.join(missing)} among the {role} ({folder})")
    return [files[name] for name in names]


def stat_of(paths: Sequence[Path]) -> list[list]:
    """Name, size and time of each file: the estimates and references that a record belongs to."""
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


class AlignedFiles:
    """Several files of the same rate, channels and length, read side by side in blocks of whole seconds.

    Args:
        paths: the files; the first one is what the others must agree with.

    Raises:
        AudioError: if one cannot be read or differs.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        first = AudioReader(paths[0]).info
        self.paths, self.sample_rate = paths, first.sample_rate
        self.readers = [AudioReader(path, block_len=BLOCK_SECONDS * first.sample_rate) for path in paths]
        for reader in self.readers:
            for what, unit in (("sample_rate", "Hz"), ("channels", "channels")):
                ours, theirs = getattr(reader.info, what), getattr(first, what)
                if ours != theirs:
                    raise AudioError(reader.info.path, f"has {ours} {unit} where {paths[0]} has {theirs}")

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        """Yield lists of float32 tensors (channels, time), one for each file."""
        streams = [iter(reader) for reader in self.readers]
        while True:
            blocks = [next(stream, None) for stream in streams]
            lengths = [0 if block is None else block.shape[-1] for block in blocks]
            for reader, length in zip(self.readers, lengths):
                if length != lengths[0]:
                    raise AudioError(reader.info.path, self._other_length(reader))
            if not lengths[0]:
                return
            yield [block for block in blocks if block is not None]

    def _other_length(self, reader: AudioReader) -> str:
        """Both lengths, counted rather than taken from the headers."""
        ours, first = (
            sum(block.shape[-1] for block in AudioReader(each.info.path)) for each in (reader, self.readers[0])
        )
        return f"has {ours} samples where {self.paths[0]} has {first}"
