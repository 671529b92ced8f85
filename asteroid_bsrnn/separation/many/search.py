"""Recordings by name and in folders, without what earlier runs left among them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...audio.read import SUFFIXES
from ...common.errors import UserError
from ..addresses import files_below, is_address, local_or_address
from .entries import Entry, Line
from .identities import named, song_name
from .places import LocalPlaces

_NOT_SEARCHED = frozenset(("__MACOSX", "@eaDir"))


def find_songs(given: Sequence[str], out: str | Path) -> list[Path | str]:
    """The audio files that were named, and those in the folders that were named, in order, each once; also at addresses.

    Left out in folders: hidden files, what macOS and storage servers keep beside files, and the folder for the stems.

    Raises:
        UserError: for a folder without audio.
    """
    songs: dict[Path | str, Path | str] = {}
    for place in map(local_or_address, given):
        found = _found(place, out)
        if not found:
            raise UserError(f"{place} is a folder without audio files")
        for file in found:
            songs.setdefault(file.resolve() if isinstance(file, Path) else file, file)
    return list(songs.values())


def _found(place: str | Path, out: str | Path) -> Sequence[Path | str]:
    if is_address(place):
        return files_below(str(place), SUFFIXES)
    path = Path(place)
    return sorted(_audio_in(path, Path(local_or_address(out)))) if path.is_dir() else [path]


def _audio_in(folder: Path, out: Path) -> Iterator[Path]:
    out, inside = out.resolve(), folder.resolve()
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _NOT_SEARCHED for part in parts)
        if hidden or file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        if out == inside or out in inside.parents or not file.resolve().is_relative_to(out):
            yield file


def named_songs(
    songs: Sequence[Path | str], given: Sequence[str], places: LocalPlaces, stems: list[str], keep_tree: bool = False
) -> tuple[list[Entry], list[str]]:
    """Entries for songs, without those that are the stems of another one, from a run whose stems lie among the songs.

    Args:
        given: the names that were given; these are never left out.
        stems: all names that stems can have.

    Returns:
        tuple: as :func:`.identities.named`.
    """
    lines = [Line(str(song)) for song in songs]
    entries, changed = named(lines, keep_tree)
    if is_address(places.out):
        return entries, changed
    flat = [Entry(song_name(song), str(song)) for song in songs]
    targets = (place for entry in (*entries, *flat) for place in places.stems(entry, stems).values())
    made = {target.resolve().with_suffix("") for target in targets}
    kept = {Path(local_or_address(path)).resolve() for path in given}

    def wanted(song: Path | str) -> bool:
        return isinstance(song, str) or song.resolve() in kept or song.resolve().with_suffix("") not in made

    left = [line for line, song in zip(lines, songs) if wanted(song)]
    return (entries, changed) if len(left) == len(lines) else named(left, keep_tree)
