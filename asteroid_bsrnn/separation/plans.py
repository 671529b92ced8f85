"""Where the segments of a recording lie, and how they are weighted: one plan for each scheme."""

import numbers
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from scipy.signal import get_window

from .published_schemes import ReferenceFader, ReferenceOverlapAdd

SCHEMES = ("fader", "fader_reference", "ola", "ola_reference", "trim", "whole")
WITH_HOP = ("ola", "ola_reference")
_LONGEST = 3600  # s
SMALLEST_WEIGHT = 1e-8  # instead of a window's zeros: a sample that only one segment covers survives the division


class Plan(Protocol):
    """Where segments lie and how they are weighted."""

    @property
    def padding(self) -> int:
        """Samples of silence on each side, which are taken off again."""

    @property
    def gain(self) -> float | None:
        """Of the sum; None: divided by the sum of the weights."""

    def span(self, index: int) -> tuple[int, float]:
        """First sample of a segment, and the one behind its last."""

    def rest(self, index: int, total: int) -> list[int]:
        """First samples of the segments from ``index`` on that reach the end of ``total`` samples."""

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        """Weights of a segment that begins at ``start``."""


def make_plan(
    sample_rate: int,
    scheme: str = "fader",
    segment: float = 10.0,
    overlap: float = 0.1,
    hop: float | None = None,
    window: str = "rect",
) -> Plan:
    """Where the segments of a scheme lie and how they are weighted.

    Args:
        sample_rate (int): in Hz.
        scheme (str): ``"fader"``: segments of exactly ``segment`` seconds, linear cross-fade over ``overlap``;
            ``"fader_reference"``: the pattern of the published scores, a first segment of (1 + overlap) * segment, then
            segments of (1 + 2 * overlap) * segment, cross-faded over overlap * segment (11 s, then 12 s, 1 s);
            ``"ola"``: overlap-add with ``window`` and ``hop``; ``"ola_reference"``: the published overlap-add, with a
            segment of silence before and after and ``hop / segment`` as the scale; ``"trim"``: segments of which half of ``overlap`` is cut off at both
            ends, with silence of that length around the recording; ``"whole"``: the recording in one go.
        segment (float): seconds.
        overlap (float): fraction of ``segment``, in [0, 1).
        hop (float, optional): seconds from segment to segment, of the two overlap-adds; (1 - overlap) * segment if None.
        window (str): ``"rect"`` or a name that ``scipy.signal.get_window`` knows, ``"ola"`` only.

    Raises:
        ValueError: for a value out of range, or one that the scheme does not use.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}: known are {', '.join(SCHEMES)}")
    for name, value in (("segment", segment), ("overlap", overlap), ("hop", hop)):
        if value is not None and not isinstance(value, numbers.Real):
            raise ValueError(f"{name} is a number, not {value!r}")
    if not segment > 0:
        raise ValueError(f"segment must be more than 0 seconds, not {segment}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is a fraction of the segment, at least 0 and below 1, not {overlap}")
    if hop is not None and scheme not in WITH_HOP or window != "rect" and scheme != "ola":
        raise ValueError(
            f"hop and window belong to scheme 'ola', hop to 'ola_reference' too; {scheme!r} fades over the overlap"
        )
    if scheme == "whole":
        return Whole()
    if segment > _LONGEST:
        raise ValueError(
            f"segment must be at most {_LONGEST} seconds (scheme 'whole' takes all in one go), not {segment}"
        )
    if hop is not None and not 0 < hop <= segment:
        raise ValueError(f"hop must be more than 0 and at most the segment of {segment} s, not {hop}")
    if scheme == "fader_reference":
        return ReferenceFader(int(sample_rate * segment * (1 + overlap)), overlap * segment * sample_rate)
    hop = segment * (1 - overlap) if hop is None else hop
    if scheme == "ola_reference":
        return ReferenceOverlapAdd(max(1, int(sample_rate * segment)), max(1, int(sample_rate * hop)), hop / segment)
    length = max(1, round(segment * sample_rate))
    if scheme == "trim":
        cut = min(round(overlap * length / 2), (length - 1) // 2)
        kept = torch.full((length,), SMALLEST_WEIGHT)
        kept[cut : length - cut] = 1
        return Uniform(length, length - 2 * cut, kept, cut)
    if scheme == "fader":
        fade = min(round(overlap * length), length - 1)
        return Uniform(length, length - fade, linear_fades(length, fade))
    return Uniform(length, min(max(1, round(hop * sample_rate)), length), _window(window, length))


def linear_fades(length: int, fade: int) -> torch.Tensor:
    """Weights that rise from 0 to 1 over the first ``fade`` samples, both included, and fall likewise at the end."""
    up = torch.ones(length)
    ramp = torch.linspace(0, 1, fade) if fade > 1 else torch.full((fade,), 0.5)
    up[:fade] = ramp[:length]
    return torch.minimum(up, up.flip(0)).clamp(min=SMALLEST_WEIGHT)


def _window(name: str, length: int) -> torch.Tensor:
    try:
        weights = torch.as_tensor(get_window("boxcar" if name == "rect" else name, length, fftbins=True)).float()
    except ValueError as error:
        raise ValueError(f"unknown window {name!r}: {error}") from None
    if weights.min() < -1e-6:  # rounding leaves some of scipy's windows a hair below zero
        raise ValueError(f"window {name!r} has negative weights, which cannot be scaled to sum to one")
    return weights.clamp(min=SMALLEST_WEIGHT)


@dataclass(frozen=True)
class Uniform:
    """Segments of one length at a constant hop; the last one is moved back so that it is as long as the others."""

    length: int
    hop: int
    window: torch.Tensor
    padding: int = 0  # samples of silence on each side, which are taken off again
    gain: ClassVar[float | None] = None  # of the sum; None: divided by the sum of the weights

    def span(self, index: int) -> tuple[int, float]:
        """First sample of a segment, and the one behind its last."""
        return index * self.hop, index * self.hop + self.length

    def rest(self, index: int, total: int) -> list[int]:
        """First samples of the segments from ``index`` on that reach the end of ``total`` samples."""
        return [max(0, total - self.length)]

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        """Weights of a segment that begins at ``start``."""
        return self.window[:length]


@dataclass(frozen=True)
class Whole:
    """One segment, whatever its length."""

    padding = 0
    gain: ClassVar[float | None] = None

    def span(self, index: int) -> tuple[int, float]:
        return 0, float("inf")

    def rest(self, index: int, total: int) -> list[int]:
        return [0]

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        return torch.ones(1).expand(length)
