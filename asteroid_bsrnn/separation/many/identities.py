"""Names of the stems of many recordings: as flat as the recordings' own names allow, or as their folders are."""

import os
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

from ...common.errors import UserError
from ..addresses import is_address, name_of
from .entries import Entry, Line, common_parts, folder_parts


def song_name(path: str | Path) -> str:
    """Name of the folder for the stems of a file: its name without suffix, or all of it where nothing else is left."""
    name = name_of(str(path)) if is_address(path) else os.path.basename(path) or Path(path).name
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return name.lstrip(".") or "recording" if stem in ("", ".", "..") else stem


def named(lines: list[Line], keep_tree: bool = False) -> tuple[list[Entry], list[str]]:
    """Entries with an id each: the list's own, else from the file's name.

    Args:
        keep_tree: ids are the paths below the folder that all recordings have in common. Without it, they are the
            names of the files; those that several recordings have get the folders in which these differ.

    In both cases, files of one folder that differ in their suffix alone keep it, and parts of one recording get
    their offset and, if that is not enough, their duration.

    Returns:
        tuple: entries in the order of the lines, and the ids that had to be told apart.

    Raises:
        UserError: for two lines whose own ids are equal, or that are told apart by nothing.
    """
    ids = _trees(lines) if keep_tree else [line.id or song_name(line.path) for line in lines]
    groups: dict[str, list[int]] = defaultdict(list)
    several = {name for name, count in Counter(ids).items() if count > 1}
    for index, name in enumerate(ids):
        if name in several and lines[index].id is None:
            groups[name].append(index)
    changed = []
    for group in groups.values():
        for index, name in _told_apart(lines, group, keep_tree, ids):
            if name != ids[index]:
                changed.append(name)
            ids[index] = name
    _check(lines, ids)
    return [Entry(name, line.path, line.offset, line.duration) for name, line in zip(ids, lines)], changed


def _trees(lines: list[Line]) -> list[str]:
    common = len(common_parts(folder_parts(line.path) for line in lines))
    return [line.id or "/".join([*_safe(folder_parts(line.path)[common:]), song_name(line.path)]) for line in lines]


def _safe(parts: list[str]) -> list[str]:
    """Folders of an address may be called as no folder is."""
    return [part for part in parts if part not in ("", ".", "..")]


def _told_apart(lines: list[Line], group: list[int], keep_tree: bool, ids: list[str]) -> list[tuple[int, str]]:
    """(index, new id) for recordings of one name."""
    folders = {index: folder_parts(lines[index].path) for index in group}
    common = len(common_parts(list(folders.values())))
    names = {}
    for index in group:
        inside = [] if keep_tree else _safe(folders[index][common:])
        names[index] = "/".join([*inside, ids[index]])
    paths: dict[str, set[str]] = defaultdict(set)
    for index in group:
        paths[names[index]].add(lines[index].path)
    for index in group:
        if len(paths[names[index]]) > 1:
            names[index] = str(PurePosixPath(names[index]).with_name(Path(lines[index].path).name))
    for part in ("offset", "duration"):
        counts = Counter(names.values())
        for index in group:
            value = getattr(lines[index], part)
            if counts[names[index]] > 1 and value:
                names[index] += f"{'@' if part == 'offset' else '+'}{value:g}"
    return list(names.items())


def _check(lines: list[Line], ids: list[str]) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(ids):
        if first.setdefault(name, index) != index:
            one, other = lines[first[name]], lines[index]
            places = [f"{line.path} (line {line.number})" if line.number else line.path for line in (one, other)]
            raise UserError(f"{places[0]} and {places[1]} would both go to {name!r}: give them ids of their own")
