"""What a downloaded file holds: every checkpoint in it, recognised by its keys and settings, and converted once."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...common.download import checksum, is_archive, unpack
from ...common.errors import UserError
from ..any_file import read_file
from ..assemble import is_model
from ..foreign import open_foreign
from ..safetensors import json_values, save_safetensors

_NEVER_WEIGHTS = (
    ".txt",
    ".md",
    ".rst",
    ".pdf",
    ".yaml",
    ".yml",
    ".json",
    ".csv",
    ".tsv",
    ".png",
    ".jpg",
    ".svg",
    ".html",
    *(".py", ".sh", ".wav", ".mp3", ".flac", ".m4a", ".ipynb", ".log", ".cfg", ".toml"),
)
_NAMING = ("targets", "target", "sources")  # settings that say which source a checkpoint is for
_DEPTH = 2  # archives within archives


def may_hold_weights(name: str) -> bool:
    """Whether it is worth looking into a file of this name; texts, pictures and sounds are left where they are."""
    return Path(name).suffix.lower() not in _NEVER_WEIGHTS and not Path(name).name.startswith((".", "__MACOSX"))


def convert_all(
    path: Path, folder: Path, workspace: Path, origin: Mapping[str, Any], system: str
) -> tuple[list[dict], list[dict]]:
    """Convert every checkpoint of a system in a file or archive.

    Args:
        path: what was downloaded.
        folder: where converted checkpoints are kept, named by the SHA-256 of the original.
        workspace: for what has to be unpacked; removed afterwards.
        origin: where the file comes from, for the cards (``record``, ``licence``, ``file``).
        system: whose formats the checkpoints may have.

    Returns:
        Checkpoints as dictionaries (``member``, ``sha256``, ``args``, ``told``: whether it names its sources, and
        ``epoch`` and ``global_step`` where they are stored), and what was left aside (``member``, ``reason``).
    """
    checkpoints: list[dict] = []
    skipped: list[dict] = []
    try:
        for member, file in members(path, origin["file"], workspace, skipped, _DEPTH):
            try:
                checkpoints.append(_convert(file, member, folder, origin, system))
            except UserError as error:
                skipped.append({"member": member, "reason": str(error).replace(str(file), member)})
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return checkpoints, skipped


def members(path: Path, name: str, workspace: Path, skipped: list[dict], depth: int = 1) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of each file that may be a checkpoint, those in archives included."""
    if depth == 0 or not is_archive(path):
        yield name, path
        return
    folder = workspace / f"level{depth}" / checksum.of_file(path).partition(":")[2][:16]
    try:
        files = unpack(path, folder)
    except ValueError as error:
        if depth == _DEPTH:
            raise  # the download itself is unusable
        skipped.append({"member": name, "reason": str(error)})
        return
    for file in files:
        member = str(file.relative_to(folder))
        if may_hold_weights(member):
            yield from members(file, member, workspace, skipped, depth - 1)
    shutil.rmtree(folder, ignore_errors=True)


def _convert(path: Path, member: str, folder: Path, origin: Mapping[str, Any], system: str) -> dict[str, Any]:
    content = read_file(path)
    if is_model(content):
        raise UserError("it is no checkpoint of the reference")
    foreign = open_foreign(path, system, content)
    model: Any = foreign.model()
    digest = checksum.of_file(path).partition(":")[2]
    conf = model.serialize()
    card = {**origin, "member": member, "sources": list(model.sources), "converted_from": digest}
    save_safetensors(conf, folder / f"{digest}.safetensors", card)
    told = any(foreign.settings.get(key) for key in _NAMING)
    args = json_values(conf["model_args"])
    return {"member": member, "sha256": digest, "args": args, "told": told, **_training_length(content)}


def _training_length(content: Mapping[str, Any]) -> dict[str, int]:
    """``epoch`` and ``global_step`` of a Lightning file, where it states them."""
    return {key: content[key] for key in ("epoch", "global_step") if isinstance(content.get(key), int)}
