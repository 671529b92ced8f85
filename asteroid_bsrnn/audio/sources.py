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
import re
from dataclasses import replace
from functools import partial

import numpy as np
import soundfile

from ..common.errors import AudioError
from . import ffmpeg, layout, mpeg, ogg, sndfile
from .chunks import find_sound
from .info import AudioInfo
from .view import Bytes, View

_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_MPEG_IN_WAV = (0x50, 0x55)
_TAGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright")


class Source:
    """A recording that can be decoded from a sample on.

    Args:
        info (AudioInfo): facts.
        decode (callable): ``decode(block_len, begin)`` yields all blocks from sample ``begin`` on, (time, channels).
        seeks (bool): whether ``decode`` can begin elsewhere than at 0.

    Attributes:
        at (int): samples decoded so far, of the whole recording.
        remarks (list of str): what was wrong though it could be read.
    """

    def __init__(self, info, decode, seeks=False):
        self.info, self.decode, self.seeks = info, decode, seeks
        self.at, self.remarks = 0, list(info.remarks)

    def blocks(self, start, block_len):
        """Yield float32 blocks (time, channels) from sample ``start`` on."""
        self.at = start if self.seeks else 0
        for block in self.decode(block_len, self.at):
            part = block[max(0, start - self.at) :]
            self.at += len(block)
            if len(part):
                yield part

    def complain(self, line):
        """Take down the first complaint of a decoder that goes on."""
        if not self.remarks:
            self.remarks.append(f"is damaged at about {self.at / self.info.sample_rate:.1f} s: {line}")


def open_source(path, tolerant=False):
    """Find out how a file is decoded.

    Raises:
        AudioError: if it is no audio, or surely damaged or truncated. With ``tolerant`` what is there is decoded.
    """
    with open(path, "rb") as file:
        head = file.read(16)
    if head[:4] == b"OggS":
        source = _ogg(path, tolerant)
    elif head[:4] == b"fLaC" or (head[:3] == b"ID3" and _flac_begins(path)):
        source = _flac(path)
    else:
        source = _measured(path, tolerant) or _plain(path, tolerant)
    return source or through_ffmpeg(path, tolerant)


def _refuse(path, tolerant, sentence):
    """Refuse a file, or give what is said of it when it is read nevertheless."""
    if not tolerant:
        raise AudioError(path, sentence)
    return sentence


def _what_is_wrong(found):
    """What a walk over a file found, as a sentence without its subject; empty if nothing is wrong."""
    if found.fault:
        return f"is damaged at {found.fault}"
    return found.cut and f"is truncated: {found.cut}"


def _info(path, stream, **changes):
    order, mask = sndfile.layout_of(stream)
    facts = {"tags": sndfile.tags_of(stream), "subtype": stream.subtype, "layout": mask, **changes}
    return AudioInfo(str(path), stream.samplerate, stream.channels, **{"frames": stream.frames, **facts}), order


def _reordered(blocks, order):
    return blocks if order is None else (np.ascontiguousarray(block[:, order]) for block in blocks)


# -------------------------------------------------------------------------------------------------- plain samples


def _measured(path, tolerant):
    """Containers whose sound can be measured; None for others, and for codecs that libsndfile does not know."""
    sound = find_sound(path)
    if sound is None:
        return None
    remarks = (sound.remark,) if sound.remark else ()
    if sound.cut:
        remarks = (_refuse(path, tolerant, f"is truncated: {sound.cut}"),)
    if sound.tag in _MPEG_IN_WAV:
        return _mpeg_in_wav(path, sound, tolerant)
    if sound.length == 0:
        raise AudioError(path, "holds no samples (its length is zero)")
    return _libsndfile(path, partial(View, path, sound.pieces) if sound.pieces else partial(str, path), remarks)


def _libsndfile(path, make_file, remarks=()):
    stream = sndfile.open_stream(make_file())
    if stream is None:
        return None
    with stream:
        info, order = _info(path, stream, remarks=remarks)
        seeks = stream.format not in ("MP3", "OGG", "FLAC", "XI") and _fixed_width(stream.subtype)

    def decode(block_len, begin):
        done = begin
        with sndfile.open_stream(make_file()) as stream:
            if begin:
                soundfile.SoundFile.seek(stream, begin)
            for block in _reordered(sndfile.read_on(stream, path, block_len, begin), order):
                done += len(block)
                yield block
        if done < info.frames:
            promised = f"its header promises {info.frames} frames and decoding ends after {done}"
            raise AudioError(path, f"is truncated: {promised}")

    return Source(info, decode, seeks)


def _fixed_width(subtype):
    return subtype.startswith("PCM_") or subtype in ("FLOAT", "DOUBLE", "ULAW", "ALAW")


def _plain(path, tolerant):
    """What libsndfile knows beside: MPEG audio is counted first."""
    stream = sndfile.open_stream(path)
    if stream is None:
        return None
    with stream:
        is_mpeg, is_voc, info = stream.format == "MP3", stream.format == "VOC", _info(path, stream)[0]
    if is_mpeg:
        return _mpeg(path, info, tolerant)
    if is_voc and _voc_blocks(path) > 1 and ffmpeg.available():  # libsndfile takes their heads for samples
        return None
    return _libsndfile(path, partial(str, path))


def _voc_blocks(path):
    """Blocks of sound in a Creative Voice file."""
    with Bytes(path) as data:
        at, n_blocks = int.from_bytes(data[20:22], "little"), 0
        while (head := data[at : at + 4]) and head[0]:
            n_blocks += head[0] in (1, 2, 9)
            at += 4 + int.from_bytes(head[1:], "little")
    return n_blocks


# ------------------------------------------------------------------------------------------------------------ FLAC


def _flac_begins(path):
    with Bytes(path) as data:
        length = 10 + mpeg.syncsafe(data[6:10])
        return data[length : length + 4] == b"fLaC"


def _flac(path):
    """FLAC, also several joined: their sample counts are taken out, so that each is decoded to its end."""
    with Bytes(path) as data:
        begins = list(data.search(_FLAC))
        end = len(data) - 128 if data[-128:-125] == b"TAG" else len(data)
        heads = [data[begin : begin + 42] for begin in begins]
    if not begins:
        return None
    parts, infos = [], []
    for head, begin, stop in zip(heads, begins, [*begins[1:], end]):
        pieces = ((begin, begin + 21), bytes([head[21] & 0xF0]) + bytes(4), (begin + 26, stop))
        stated = (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")
        make_file = partial(View, path, pieces)
        stream = sndfile.open_stream(make_file())
        if stream is None:
            return None
        with stream:
            infos.append(_info(path, stream, frames=stated, layout=_flac_layout(path, stream.channels))[0])
        parts.append((make_file, stated, head[26:42]))
    _check_joined(path, infos)
    total = sum(info.frames for info in infos) if all(info.frames for info in infos) else 0
    info = replace(infos[0], frames=total)
    return Source(info, lambda block_len, begin: _decode_flac(path, parts, block_len))


def _decode_flac(path, parts, block_len):
    done = 0
    for make_file, stated, md5 in parts:
        here = 0
        with sndfile.open_stream(make_file()) as stream:
            try:
                for block in sndfile.read_on(stream, path, block_len, done):
                    here += len(block)
                    done += len(block)
                    yield block
            except sndfile.Damaged:
                if not stated or here < stated:  # what no decoder understands behind the last frame is no damage
                    raise
        if here < stated and sndfile.same_sum(make_file, md5) is False:
            promised = f"its header promises {stated} frames and decoding ends after {here}"
            raise AudioError(path, f"is truncated: {promised}")


def _flac_layout(path, channels):
    """Mask of a FLAC file: the usual one unless a tag says otherwise."""
    if channels < 3:
        return 0
    import mutagen

    try:
        return int(mutagen.File(path)["waveformatextensible_channel_mask"][0], 0)
    except (mutagen.MutagenError, KeyError, TypeError, ValueError, IndexError):
        return layout.DEFAULT.get(channels, 0)


def _check_joined(path, infos):
    """Recordings that are joined in one file must be alike."""
    for info in infos[1:]:
        if (info.sample_rate, info.channels) != (infos[0].sample_rate, infos[0].channels):
            kinds = (f"{each.sample_rate} Hz with {each.channels} channel(s)" for each in (infos[0], info))
            raise AudioError(path, "joins recordings of different kinds, {} and {}: split it".format(*kinds))


# ------------------------------------------------------------------------------------------------------------- Ogg


def _ogg(path, tolerant):
    """Vorbis and Opus, also several joined; None for what ffmpeg shall read."""
    found = ogg.walk(path)
    if bad := _what_is_wrong(found):
        return through_ffmpeg(path, tolerant, _refuse(path, tolerant, bad))
    if found.links is None:
        return None
    makers, infos = [partial(View, path, [(link.start, link.stop)]) for link in found.links], []
    for make_file in makers:
        stream = sndfile.open_stream(make_file())
        if stream is None:
            return None
        with stream:
            infos.append(_info(path, stream)[0])
    _check_joined(path, infos)
    first = found.links[0]
    if infos[0].sample_rate < min(48000, first.wanted) and ffmpeg.available():
        return None  # libsndfile decodes Opus of 32 kHz at 24 kHz
    speakers = first.family in (0, 1)
    mask = layout.DEFAULT.get(first.channels, 0) if speakers else 0
    info = replace(infos[0], frames=sum(info.frames for info in infos), layout=mask)
    order = layout.VORBIS_ORDER.get(first.channels) if speakers else None

    def decode(block_len, begin):
        done = 0
        for make_file in makers:
            with sndfile.open_stream(make_file()) as stream:
                for block in sndfile.read_on(stream, path, block_len, done):
                    done += len(block)
                    yield block

    return Source(info, lambda block_len, begin: _reordered(decode(block_len, begin), order))


# ------------------------------------------------------------------------------------------------------------ MPEG


def _mpeg(path, info, tolerant):
    """MP3 and MP2, whose frames are counted."""
    found = mpeg.walk(path)
    if found is None:  # of a free bit rate
        return None
    if bad := _what_is_wrong(found):
        return through_ffmpeg(path, tolerant, _refuse(path, tolerant, bad))
    if len(found.parts) == 1 and (found.stated == found.counted or (found.stated is None and info.frames == found.samples)):
        return _libsndfile(path, partial(str, path))
    remark = ""
    if found.stated is not None:
        remark = f"its header states {found.stated} frames and there are {found.counted}: all of them were read"
    frames = found.samples - found.delay
    return _frames_through_ffmpeg(path, replace(info, frames=frames), found, found.delay, remark)


def _mpeg_in_wav(path, sound, tolerant):
    found = mpeg.walk(path, sound.start)
    if found is None:
        return None
    if bad := _what_is_wrong(replace(found, cut="")):
        return through_ffmpeg(path, tolerant, _refuse(path, tolerant, bad))
    info = AudioInfo(str(path), found.sample_rate, found.channels, found.samples, _tags_of(path), subtype="MPEG")
    return _frames_through_ffmpeg(path, info, found, 0, sound.remark)


def _tags_of(path):
    stream = sndfile.open_stream(path)
    if stream is None:
        return {}
    with stream:
        return sndfile.tags_of(stream)


def _frames_through_ffmpeg(path, info, found, delay, remark):
    if not ffmpeg.available():
        raise AudioError(path, "is an MP3 whose header does not say how long it is; with ffmpeg installed, it is read")
    remarks = (remark,) if remark else ()
    info = replace(info, decoder="ffmpeg", remarks=remarks)

    def decode(block_len, begin):
        done = -delay
        blocks = ffmpeg.decode_frames(path, found, block_len)
        for block in blocks:
            yield block[max(0, -done) :]
            done += len(block)
        if done != info.frames:
            counted = f"its frames hold {info.frames} samples and decoding gives {done}"
            raise AudioError(path, f"is damaged: {counted}")

    return Source(info, decode)


# ---------------------------------------------------------------------------------------------------------- ffmpeg


def through_ffmpeg(path, tolerant=False, remark=""):
    """What ffmpeg makes of a file.

    Args:
        path (str or Path): the file.
        tolerant (bool): go on behind damage, as players do.
        remark (str): what is known to be wrong.

    Raises:
        AudioError: if there is no ffmpeg, or nothing that it understands.
    """
    if not ffmpeg.available():
        raise AudioError(path, "is in no format that libsndfile reads; with ffmpeg installed, more formats are tried")
    facts = ffmpeg.probe(path)
    if facts["format"] == "avi" and (cut := _avi_cut(path)) and not remark:
        remark = _refuse(path, tolerant, cut)
    tags = {**facts["tags"], "tracknumber": facts["tags"].get("track", "")}
    tags = {name: tags[name] for name in _TAGS if tags.get(name)}
    mask = layout.from_ffmpeg(facts["layout"], facts["channels"]) if facts["channels"] > 2 else 0
    info = AudioInfo(str(path), facts["sample_rate"], facts["channels"], facts["frames"], tags, "ffmpeg", layout=mask)
    info = replace(info, remarks=(remark,) if remark else ())
    if facts["format"] == "mp3" and not remark and (source := _mpeg(path, info, tolerant)):
        return source
    source = Source(info, lambda block_len, begin: ffmpeg.decode(path, facts, block_len, tolerant, complain))
    complain = source.complain
    return source


def _avi_cut(path):
    """What the header of an AVI file says of a missing end."""
    with open(path, "rb") as file:
        promised, size = int.from_bytes(file.read(8)[4:], "little") + 8, file.seek(0, 2)
    return f"is truncated: its header promises {promised} bytes and there are {size}" if size < promised < 2**31 else ""
