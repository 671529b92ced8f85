"""The content of a weights file of any kind, as it is: safetensors, or what torch.save wrote."""

import os
import zipfile
from typing import Any

from ..common.errors import UserError
from .pickles import read_pickled
from .safetensors import looks_like_safetensors, read_safetensors


def read_file(path: str | os.PathLike) -> Any:
    """Content of a weights file, usually a dict; nothing in it is executed.

    Raises:
        UserError: if it is no weights file, damaged, or would execute something.
    """
    try:
        with open(path, "rb") as content:
            head = content.read(16)
        if not head:
            raise UserError(f"{path} is empty, not a model")
        if looks_like_safetensors(path):
            return read_safetensors(path)
        if head[:2] == b"PK" and not zipfile.is_zipfile(path):
            raise UserError(f"{path} is damaged or truncated; fetch or copy it again")
        if head[:2] != b"PK" and head[:1] != b"\x80":
            raise UserError(f"{path} is no weights file: it starts with {head[:12]!r}")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return read_pickled(path)
