"""Tags that libsndfile cannot write as others read them: ID3v2 in UTF-16, and the layout of a FLAC file's channels."""

from collections.abc import Mapping
from pathlib import Path

_WAV_BYTES = 2000  # of one text: libsndfile reads none of them back where they are much longer
_ID3 = {
    "title": "TIT2", "artist": "TPE1", "album": "TALB", "date": "TDRC", "genre": "TCON", "tracknumber": "TRCK",
    "copyright": "TCOP",
}  # fmt: skip


def fitting(tags: Mapping[str, str], fmt: str) -> dict[str, str]:
    """The tags that libsndfile shall write into such a file: none into mp3, short ones into wav."""
    if fmt == "mp3":
        return {}
    limit = _WAV_BYTES if fmt == "wav" else None
    clean = {name: value.replace("\0", " ").encode("utf-8", "replace")[:limit] for name, value in tags.items()}
    return {name: value.decode("utf-8", "ignore") for name, value in clean.items()}


def add_tags(path: str | Path, fmt: str, tags: Mapping[str, str], layout: int = 0) -> None:
    """Add to a finished file what :func:`fitting` left out.

    Args:
        path: the file.
        fmt: ``"wav"``, ``"flac"`` or ``"mp3"``.
        tags: title, artist, ...
        layout: mask of WAVE_FORMAT_EXTENSIBLE, 0 if there is none to say.
    """
    if fmt == "mp3" and tags:
        _add_id3(path, tags)
    elif fmt == "flac" and layout:
        from mutagen.flac import FLAC

        file = FLAC(path)
        if file.tags is None:
            file.add_tags()
        file["WAVEFORMATEXTENSIBLE_CHANNEL_MASK"] = f"0x{layout:04X}"
        file.save()
    elif fmt == "wav" and layout:
        _set_mask(path, layout)


def _add_id3(path: str | Path, tags: Mapping[str, str]) -> None:
    from mutagen import id3

    file = id3.ID3()
    for name, value in tags.items():
        text = value.encode("utf-8", "replace").decode()
        if name == "comment":
            # "XXX" is what ID3 writes where the language is not known
            file.add(id3.COMM(encoding=id3.Encoding.UTF16, lang="XXX", desc="", text=text))
        elif name in _ID3:
            file.add(getattr(id3, _ID3[name])(encoding=id3.Encoding.UTF16, text=text))
    file.save(path, v2_version=3)


def _set_mask(path: str | Path, layout: int) -> None:
    """Write the mask into the format chunk of a WAVE_FORMAT_EXTENSIBLE file."""
    with open(path, "r+b") as file:
        head = file.read(4096)
        at = head.find(b"fmt ")
        if at > 0 and head[at + 8 : at + 10] == b"\xfe\xff":
            file.seek(at + 28)
            file.write(layout.to_bytes(4, "little"))
