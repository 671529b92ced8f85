"""Segments as the authors of the replication cut and add them: nothing is scaled afterwards, so oddities stay.

Weights that do not sum to one (a hop that does not divide the segment, a fade that is no whole number of samples) show
in the published scores, and therefore here.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ReferenceFader:
    """The published pattern: [0, G), then [jG - O, (j + 1)G), the last one cut short, faded over O samples.

    G = ``sample_rate * segment * (1 + overlap)`` rounded down, O = ``overlap * segment * sample_rate``. Where O is no
    whole number, segments begin a sample earlier (G - O rounded down) than their fades are long (O rounded down).

    Args:
        stride: G, samples.
        overlap: O, samples; need not be whole.
    """

    stride: int
    overlap: float
    padding = 0
    gain = 1.0

    def span(self, index: int) -> tuple[int, int]:
        """First sample of a segment, and the one behind its last."""
        return max(0, (index - 1) * self.stride + int(self.stride - self.overlap)), (index + 1) * self.stride

    def rest(self, index: int, total: int) -> list[int]:
        """First samples of the segments from ``index`` on that reach the end of ``total`` samples.

        There are two where the recording ends with a stride and O is no whole number: the last fades in on a
        segment that does not fade out.
        """
        starts = [self.span(index)[0]]
        if index and self.span(index + 1)[0] < total - self.overlap:
            starts.append(self.span(index + 1)[0])
        return starts

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        """No rise at the start of the recording, no fall at its end. Shape: (length,)."""
        fade, weights = int(self.overlap), torch.ones(length)
        ramp = torch.linspace(0, 1, fade)
        if start > 0:
            weights[:fade] *= ramp[:length]
        if not last and fade:
            weights[-fade:] *= 1 - ramp[-length:]
        return weights


@dataclass(frozen=True)
class ReferenceOverlapAdd:
    """The published overlap-add: a segment of silence before and after, every segment weighted by hop / segment.

    Args:
        length: of a segment, samples.
        hop: from segment to segment, samples.
        gain: factor of the sum of all segments, hop / segment in seconds; they add up to the whole only where the hop
            divides the segment.
    """

    length: int
    hop: int
    gain: float

    @property
    def padding(self) -> int:
        """Samples of silence on each side, of which nothing is kept."""
        return self.length

    def span(self, index: int) -> tuple[int, int]:
        """First sample of a segment, in the recording with its silence, and the one behind its last."""
        return index * self.hop, index * self.hop + self.length

    def rest(self, index: int, total: int) -> list[int]:
        """There are none: what is left over lies in the silence."""
        return []

    def weights(self, start: int, length: int, last: bool) -> torch.Tensor:
        """Shape: (length,)."""
        return torch.ones(1).expand(length)
