"""Which decoder a file gets, so that what comes out is counted and a header is only a hint.

======================================  ==========================================================================
plain samples (WAV, AIFF, W64, CAF, AU)  libsndfile, shown the length that is on the disk (:mod:`.chunks`)
FLAC                                     libsndfile, shown no length, so that it reads to the end
Ogg Vorbis and Opus                      libsndfile, one stream after the other (:mod:`.ogg`)
MP3, MP2                                 frames are counted (:mod:`.mpeg`); libsndfile where the Info header is right,
                                         so that encoder delay and padding are left out, else ffmpeg
other formats of libsndfile              libsndfile
everything else                          ffmpeg
======================================  ==========================================================================
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..common.errors import AudioError
from . import channel_order as layout
from . import ffmpeg, flac, mpeg, ogg, sndfile
from .chunks import Sound, find_sound
from .info import AudioInfo
from .source import Source, check_joined, from_libsndfile, info_of, refuse, reordered, what_is_wrong
from .view import Bytes, View

_MPEG_IN_WAV = (0x50, 0x55)


def open_source(path: str | Path, tolerant: bool = False) -> Source:
    """Find out how a file is decoded.

    Raises:
        AudioError: if it is no audio, or surely damaged or truncated. With ``tolerant`` what is there is decoded.
    """
    with open(path, "rb") as file:
        head = file.read(16)
    if head[:4] == b"OggS":
        source = _ogg(path, tolerant)
    elif head[:4] == b"fLaC" or (head[:3] == b"ID3" and flac.begins_behind_tag(path)):
        source = flac.flac_source(path)
    else:
        source = _measured(path, tolerant) or _plain(path, tolerant)
    return source or through_ffmpeg(path, tolerant)


# -------------------------------------------------------------------------------------------------- plain samples


def _measured(path: str | Path, tolerant: bool) -> Source | None:
    """Containers whose sound can be measured; None for others, and for codecs that libsndfile does not know."""
    sound = find_sound(path)
    if sound is None:
        return None
    remarks = (sound.remark,) if sound.remark else ()
    if sound.cut:
        remarks = (refuse(path, tolerant, f"is truncated: {sound.cut}"),)
    if sound.tag in _MPEG_IN_WAV:
        return _mpeg_in_wav(path, sound, tolerant)
    if sound.length == 0:
        raise AudioError(path, "holds no samples (its length is zero)")
    return from_libsndfile(path, partial(View, path, sound.pieces) if sound.pieces else partial(str, path), remarks)


def _plain(path: str | Path, tolerant: bool) -> Source | None:
    """What libsndfile knows beside: MPEG audio is counted first."""
    stream = sndfile.open_stream(path)
    if stream is None:
        return None
    with stream:
        is_mpeg, is_voc, info = stream.format == "MP3", stream.format == "VOC", info_of(path, stream)[0]
    if is_mpeg:
        return _mpeg(path, info, tolerant)
    if is_voc and _voc_blocks(path) > 1 and ffmpeg.available():  # libsndfile takes their heads for samples
        return None
    return from_libsndfile(path, partial(str, path))


def _voc_blocks(path: str | Path) -> int:
    """Blocks of sound in a Creative Voice file."""
    with Bytes(path) as data:
        at, n_blocks = int.from_bytes(data[20:22], "little"), 0
        while (head := data[at : at + 4]) and head[0]:
            n_blocks += head[0] in (1, 2, 9)
            at += 4 + int.from_bytes(head[1:], "little")
    return n_blocks


# ------------------------------------------------------------------------------------------------------------- Ogg


def _ogg(path: str | Path, tolerant: bool) -> Source | None:
    """Vorbis and Opus, also several joined; None for what ffmpeg shall read."""
    found = ogg.walk(path)
    if bad := what_is_wrong(found):
        return through_ffmpeg(path, tolerant, refuse(path, tolerant, bad))
    if found.links is None or any(link.codec == "other" for link in found.links):
        return _joined_through_ffmpeg(path, found.links or [])
    makers, infos = [partial(View, path, [(link.start, link.stop)]) for link in found.links], []
    for make_file in makers:
        stream = sndfile.open_stream(make_file())
        if stream is None:
            return None
        with stream:
            infos.append(info_of(path, stream)[0])
    check_joined(path, infos)
    first = found.links[0]
    if infos[0].sample_rate < min(48000, first.wanted) and ffmpeg.available():
        return None  # libsndfile decodes Opus of 32 kHz at 24 kHz
    speakers = first.family in (0, 1)
    mask = layout.DEFAULT.get(first.channels, 0) if speakers else 0
    info = replace(infos[0], frames=sum(info.frames for info in infos), layout=mask)
    order = layout.VORBIS_ORDER.get(first.channels) if speakers else None

    def decode(block_len: int, begin: int) -> Iterator[np.ndarray]:
        done = 0
        for make_file in makers:
            with sndfile.reopen(make_file, path) as stream:
                for block in sndfile.read_on(stream, path, block_len, done):
                    done += len(block)
                    yield block

    return Source(info, lambda block_len, begin: reordered(decode(block_len, begin), order))


def _joined_through_ffmpeg(path: str | Path, links: Sequence[ogg.Link]) -> Source | None:
    """FLAC or Speex in Ogg, several joined; None for one alone, which any way of reading gets right."""
    if len(links) < 2 or not ffmpeg.available():
        return None
    source, facts = through_ffmpeg(path), ffmpeg.probe(path)
    parts = [(link.start, link.stop - link.start) for link in links]
    return Source(
        replace(source.info, frames=0), lambda block_len, begin: ffmpeg.decode_joined(path, parts, facts, block_len)
    )


# ------------------------------------------------------------------------------------------------------------ MPEG


def _mpeg(path: str | Path, info: AudioInfo, tolerant: bool) -> Source | None:
    """MP3 and MP2, whose frames are counted."""
    found = mpeg.walk(path)
    if found is None:  # of a free bit rate, which ffmpeg cannot decode
        return from_libsndfile(path, partial(str, path), estimated=True) if info.decoder == "libsndfile" else None
    if bad := what_is_wrong(found):
        return through_ffmpeg(path, tolerant, refuse(path, tolerant, bad))
    if len(found.parts) == 1 and (
        found.stated == found.counted or (found.stated is None and info.frames == found.samples)
    ):
        return from_libsndfile(path, partial(str, path))
    remark = ""
    if found.stated is not None:
        remark = f"its header states {found.stated} frames and there are {found.counted}: all of them were read"
    frames = found.samples - found.delay
    return _frames_through_ffmpeg(path, replace(info, frames=frames), found, found.delay, remark)


def _mpeg_in_wav(path: str | Path, sound: Sound, tolerant: bool) -> Source | None:
    found = mpeg.walk(path, sound.start)
    if found is None:
        return None
    if bad := what_is_wrong(replace(found, cut="")):
        return through_ffmpeg(path, tolerant, refuse(path, tolerant, bad))
    info = AudioInfo(str(path), found.sample_rate, found.channels, found.samples, _tags_of(path), subtype="MPEG")
    return _frames_through_ffmpeg(path, info, found, 0, sound.remark)


def _tags_of(path: str | Path) -> dict[str, str]:
    stream = sndfile.open_stream(path)
    if stream is None:
        return {}
    with stream:
        return sndfile.tags_of(stream)


def _frames_through_ffmpeg(path: str | Path, info: AudioInfo, found: mpeg.Mpeg, delay: int, remark: str) -> Source:
    if not ffmpeg.available():
        raise AudioError(path, "is an MP3 whose header does not say how long it is; with ffmpeg installed, it is read")
    info = replace(info, decoder="ffmpeg", remarks=(remark,) if remark else ())

    def decode(block_len: int, begin: int) -> Iterator[np.ndarray]:
        done = -delay
        for block in ffmpeg.decode_frames(path, found, block_len):
            yield block[max(0, -done) :]
            done += len(block)
        if done != info.frames:
            raise AudioError(path, f"is damaged: its frames hold {info.frames} samples and decoding gives {done}")

    return Source(info, decode)


# ---------------------------------------------------------------------------------------------------------- ffmpeg


def through_ffmpeg(path: str | Path, tolerant: bool = False, remark: str = "") -> Source:
    """What ffmpeg makes of a file.

    Args:
        path: the file.
        tolerant: go on behind damage, as players do.
        remark: what is known to be wrong.

    Raises:
        AudioError: if there is no ffmpeg, or nothing that it understands.
    """
    if not ffmpeg.available():
        raise AudioError(path, "is in no format that libsndfile reads; with ffmpeg installed, more formats are tried")
    facts = ffmpeg.probe(path)
    if facts["format"] == "avi" and (cut := _avi_cut(path)) and not remark:
        remark = refuse(path, tolerant, cut)
    tags = {**facts["tags"], "tracknumber": facts["tags"].get("track", "")}
    tags = {name: tags[name] for name in sndfile.TAGS if tags.get(name)}
    mask = layout.from_ffmpeg(facts["layout"], facts["channels"]) if facts["channels"] > 2 else 0
    info = AudioInfo(
        str(path),
        facts["sample_rate"],
        facts["channels"],
        facts["frames"],
        tags,
        "ffmpeg",
        layout=mask,
        remarks=(remark,) if remark else (),
    )
    if facts["format"] == "mp3" and not remark and (source := _mpeg(path, info, tolerant)):
        return source
    source = Source(info, lambda block_len, begin: ffmpeg.decode(path, facts, block_len, tolerant, complain))
    complain = source.complain
    return source


def _avi_cut(path: str | Path) -> str:
    """What the header of an AVI file says of a missing end."""
    with open(path, "rb") as file:
        promised, size = int.from_bytes(file.read(8)[4:], "little") + 8, file.seek(0, 2)
    return f"is truncated: its header promises {promised} bytes and there are {size}" if size < promised < 2**31 else ""
