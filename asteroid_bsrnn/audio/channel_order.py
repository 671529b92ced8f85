"""Channel layouts: which loudspeaker each channel is for, in the order and with the mask of WAVE_FORMAT_EXTENSIBLE."""

from collections.abc import Iterable, Sequence

SPEAKERS = (
    "FL",
    "FR",
    "FC",
    "LFE",
    "BL",
    "BR",
    "FLC",
    "FRC",
    "BC",
    "SL",
    "SR",
    "TC",
    "TFL",
    "TFC",
    "TFR",
    "TBL",
    "TBC",
    "TBR",
)

#: Usual masks by the number of channels, as FLAC, Vorbis and Opus define them.
DEFAULT = {3: 0x007, 4: 0x033, 5: 0x037, 6: 0x03F, 7: 0x70F, 8: 0x63F}

# channels of Vorbis and Opus in the order of WAVE: L C R -> L R C, ...
VORBIS_ORDER = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}

# libsndfile's numbers of loudspeakers -> position in SPEAKERS
_SNDFILE = {
    1: 2, 2: 0, 3: 1, 4: 2, 5: 0, 6: 1, 7: 2, 8: 8, 9: 4, 10: 5, 11: 3, 12: 6, 13: 7, 14: 9, 15: 10,
    16: 11, 17: 12, 18: 14, 19: 13, 20: 15, 21: 17, 22: 16,
}  # fmt: skip

_FFMPEG = {
    "2.1": "FL FR LFE", "3.0": "FL FR FC", "3.0(back)": "FL FR BC", "4.0": "FL FR FC BC", "quad": "FL FR BL BR",
    "quad(side)": "FL FR SL SR", "3.1": "FL FR FC LFE", "5.0": "FL FR FC BL BR", "5.0(side)": "FL FR FC SL SR",
    "4.1": "FL FR FC LFE BC", "5.1": "FL FR FC LFE BL BR", "5.1(side)": "FL FR FC LFE SL SR",
    "6.0": "FL FR FC BC SL SR", "6.0(front)": "FL FR FLC FRC SL SR", "hexagonal": "FL FR FC BL BR BC",
    "6.1": "FL FR FC LFE BC SL SR", "6.1(back)": "FL FR FC LFE BL BR BC", "6.1(front)": "FL FR LFE FLC FRC SL SR",
    "7.0": "FL FR FC BL BR SL SR", "7.0(front)": "FL FR FC FLC FRC SL SR", "7.1": "FL FR FC LFE BL BR SL SR",
    "7.1(wide)": "FL FR FC LFE BL BR FLC FRC", "7.1(wide-side)": "FL FR FC LFE FLC FRC SL SR",
    "octagonal": "FL FR FC BL BR BC SL SR",
}  # fmt: skip
_PAIRS = (("FL", "FR"), ("SL", "SR"), ("BL", "BR"), ("FLC", "FRC"), ("TFL", "TFR"), ("TBL", "TBR"))


def mask_of(speakers: Iterable[str]) -> int:
    """The mask of loudspeakers given by name."""
    return sum(1 << SPEAKERS.index(name) for name in speakers)


def speakers_of(mask: int) -> list[str]:
    """Names of the loudspeakers in a mask, in the order of channels."""
    return [name for bit, name in enumerate(SPEAKERS) if mask >> bit & 1]


def from_sndfile(numbers: Sequence[int]) -> tuple[list[int] | None, int]:
    """libsndfile's channel map -> (order of channels or None, mask); mask 0 where it says nothing useful."""
    bits = [_SNDFILE.get(number, -1) for number in numbers]
    if min(bits) < 0 or len(set(bits)) < len(bits):
        return None, 0
    order = sorted(range(len(bits)), key=bits.__getitem__)
    return order if order != list(range(len(bits))) else None, sum(1 << bit for bit in bits)


def from_ffmpeg(name: str, channels: int) -> int:
    """ffmpeg's name of a layout -> mask; 0 if it is unknown."""
    speakers = _FFMPEG.get(name, name.replace("+", " ")).split()
    known = len(speakers) == channels and all(speaker in SPEAKERS for speaker in speakers)
    return mask_of(speakers) if known else 0


def groups(channels: int, mask: int = 0) -> list[list[int]]:
    """Channels that a stereo model hears together: left and right of front, side and back as pairs, others alone.

    Without a mask channels are paired as they come.

    Returns:
        The groups; each channel is in one.
    """
    names = speakers_of(mask)
    if channels < 3 or len(names) != channels:
        return [list(range(first, min(first + 2, channels))) for first in range(0, channels, 2)]
    pairs = [[names.index(left), names.index(right)] for left, right in _PAIRS if left in names and right in names]
    paired = {index for pair in pairs for index in pair}
    return sorted([*pairs, *([index] for index in range(channels) if index not in paired)])
