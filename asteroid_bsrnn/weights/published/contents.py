"""What a downloaded file holds: every checkpoint in it, recognised by its keys and settings, and converted once."""

import shutil
from pathlib import Path

from ...common.download import checksum, is_archive, unpack
from ..load import read_file
from ..safetensors import plain, save_safetensors

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
    ".py",
    ".sh",
)
_NEVER_WEIGHTS += (".wav", ".mp3", ".flac", ".m4a", ".ipynb", ".log", ".cfg", ".toml")
_DEPTH = 2  # archives within archives


def may_hold_weights(name):
    """Whether it is worth looking into a file of this name; texts, pictures and sounds are left where they are."""
    return Path(name).suffix.lower() not in _NEVER_WEIGHTS and not Path(name).name.startswith((".", "__MACOSX"))


def convert_all(path, folder, workspace, origin):
    """Convert every checkpoint of the reference in a file or archive.

    Args:
        path (Path): what was downloaded.
        folder (Path): where converted checkpoints are kept, named by the SHA-256 of the original.
        workspace (Path): for what has to be unpacked; removed afterwards.
        origin (dict): where the file comes from, for the cards (``record``, ``licence``, ``file``).

    Returns:
        tuple of list: checkpoints as dictionaries (``member``, ``sha256``, ``args``, ``told``: whether it names its
        sources, and ``epoch`` and ``global_step`` where they are stored), and what was left aside (``member``,
        ``reason``).
    """
    checkpoints, skipped = [], []
    try:
        for member, file in _members(path, origin["file"], workspace, skipped, _DEPTH):
            try:
                checkpoints.append(_convert(file, member, folder, origin))
            except ValueError as error:
                skipped.append({"member": member, "reason": str(error).replace(str(file), member)})
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return checkpoints, skipped


def _members(path, name, workspace, skipped, depth):
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
            yield from _members(file, member, workspace, skipped, depth - 1)
    shutil.rmtree(folder, ignore_errors=True)


def _convert(path, member, folder, origin):
    from ...convert import from_reference

    content = read_file(path)
    state_dict = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state_dict, dict) or "model_name" in content:
        raise ValueError("it is no checkpoint of the reference")
    settings = content.get("hyper_parameters") or {}
    model = from_reference(state_dict, settings or None)
    digest = checksum.of_file(path).partition(":")[2]
    conf = model.serialize()
    card = {**origin, "member": member, "sources": list(model.sources), "converted_from": digest}
    save_safetensors(conf, folder / f"{digest}.safetensors", card)
    told = any(settings.get(key) for key in ("targets", "target"))
    args = plain(conf["model_args"])
    return {"member": member, "sha256": digest, "args": args, "told": told, **_training_length(content)}


def _training_length(content):
    """``epoch`` and ``global_step`` of a Lightning file, where it states them."""
    return {key: content[key] for key in ("epoch", "global_step") if isinstance(content.get(key), int)}
