"""Where the segments of a recording lie, and how they are weighted: one plan for each scheme.

The two published schemes cut and add as the authors of the replication did, and nothing is scaled afterwards: weights
that do not sum to one (a hop that does not divide the segment, a fade that is no whole number of samples) show in the
published scores, and therefore here.
"""

import numbers
from dataclasses import dataclass

import torch
from scipy.signal import get_window

from ..common.errors import UserError
from ..common.registry import check_known

SCHEMES = ("fader", "fader_reference", "ola", "ola_reference", "trim", "whole")
WITH_HOP = ("ola", "ola_reference")
_LONGEST = 3600  # s
SMALLEST_WEIGHT = 1e-8  # instead of a window's zeros: a sample that only one segment covers survives the division


class Plan:
    """Where segments lie and how they are weighted. This one is a single segment, whatever its length.

    Attributes:
        padding: samples of silence on each side, which are taken off again.
        gain: of the sum; None: divided by the sum of the weights.
    """

    padding: int = 0
    gain: float | None = None

    def span(self, index: int) -> tuple[int, float]:
        """First sample of a segment, and the one behind its last."""
        return 0, float("inf")

    def rest(self, index: int, total: int) -> list[int]:
        """First samples of the segments from ``index`` on that reach the end of ``total`` samples."""
        return [0]

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        """Weights of a segment that begins at ``start``. Shape: (length,)."""
        return torch.ones(1).expand(length)


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
        window (str): ``"rect"``, ``"tenths"`` (linear fades over a tenth of the segment at both ends, the rest 1) or a name
            that ``scipy.signal.get_window`` knows, ``"ola"`` only.

    Raises:
        UserError: for a value out of range, or one that the scheme does not use.
    """
    check_known("scheme", scheme, SCHEMES)
    for name, value in (("segment", segment), ("overlap", overlap), ("hop", hop)):
        if value is not None and not isinstance(value, numbers.Real):
            raise UserError(f"{name} is a number, not {value!r}")
    if not segment > 0:
        raise UserError(f"segment must be more than 0 seconds, not {segment}")
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is a fraction of the segment, at least 0 and below 1, not {overlap}")
    if hop is not None and scheme not in WITH_HOP or window != "rect" and scheme != "ola":
        raise UserError(
            f"hop and window belong to scheme 'ola', hop to 'ola_reference' too; {scheme!r} fades over the overlap"
        )
    if scheme == "whole":
        return Plan()
    if segment > _LONGEST:
        raise UserError(
            f"segment must be at most {_LONGEST} seconds (scheme 'whole' takes all in one go), not {segment}"
        )
    if hop is not None and not 0 < hop <= segment:
        raise UserError(f"hop must be more than 0 and at most the segment of {segment} s, not {hop}")
    if scheme == "fader_reference":
        return ReferenceFader(int(sample_rate * segment * (1 + overlap)), overlap * segment * sample_rate)
    hop = segment * (1 - overlap) if hop is None else hop
    if scheme == "ola_reference":
        length, ones = max(1, int(sample_rate * segment)), torch.ones(1)
        return ReferenceOverlapAdd(
            length, max(1, int(sample_rate * hop)), ones.expand(length), padding=length, gain=hop / segment
        )
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
    if name == "tenths":
        return linear_fades(length, length // 10)
    try:
        weights = torch.as_tensor(get_window("boxcar" if name == "rect" else name, length, fftbins=True)).float()
    except ValueError as error:
        raise UserError(f"unknown window {name!r}: {error}") from None
    if weights.min() < -1e-6:  # rounding leaves some of scipy's windows a hair below zero
        raise UserError(f"window {name!r} has negative weights, which cannot be scaled to sum to one")
    return weights.clamp(min=SMALLEST_WEIGHT)


@dataclass
class Uniform(Plan):
    """Segments of one length at a constant hop; the last one is moved back so that it is as long as the others."""

    length: int
    hop: int
    window: torch.Tensor
    padding: int = 0
    gain: float | None = None

    def span(self, index: int) -> tuple[int, float]:
        return index * self.hop, index * self.hop + self.length

    def rest(self, index: int, total: int) -> list[int]:
        return [max(0, total - self.length)]

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        return self.window[:length]


class ReferenceOverlapAdd(Uniform):
    """The published overlap-add: a segment of silence before and after, every segment weighted by hop / segment.

    That is the gain of the sum; they add up to the whole only where the hop divides the segment.
    """

    def rest(self, index: int, total: int) -> list[int]:
        """There are none: what is left over lies in the silence."""
        return []


@dataclass
class ReferenceFader(Plan):
    """The published pattern: [0, G), then [jG - O, (j + 1)G), the last one cut short, faded over O samples.

    G = ``sample_rate * segment * (1 + overlap)`` rounded down, O = ``overlap * segment * sample_rate``. Where O is no
    whole number, segments begin a sample earlier (G - O rounded down) than their fades are long (O rounded down).

    Args:
        stride: G, samples.
        overlap: O, samples; need not be whole.
    """

    stride: int
    overlap: float
    gain = 1.0

    def span(self, index: int) -> tuple[int, float]:
        return max(0, (index - 1) * self.stride + int(self.stride - self.overlap)), (index + 1) * self.stride

    def rest(self, index: int, total: int) -> list[int]:
        """There are two where the recording ends with a stride and O is no whole number.

        Then the last fades in on a segment that does not fade out.
        """
        starts = [self.span(index)[0]]
        if index and self.span(index + 1)[0] < total - self.overlap:
            starts.append(self.span(index + 1)[0])
        return starts

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        """No rise at the start of the recording, no fall at its end."""
        fade, weights = int(self.overlap), torch.ones(length)
        ramp = torch.linspace(0, 1, fade)
        if start > 0:
            weights[:fade] *= ramp[:length]
        if not last and fade:
            weights[-fade:] *= 1 - ramp[-length:]
        return weights
