"""Long recordings through a model in segments: cross-faded or overlap-added, batched, in memory or as a stream.

There is one scheduler. It cuts segments from a stream of blocks, gives them to the model in batches of equal length,
adds the weighted results and divides by the sum of the weights, so that whatever the scheme the weights of every
sample sum to one, also at both ends. Nothing is padded: a model that normalises over time would see the padding.
"""
import numbers
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from scipy.signal import get_window

SCHEMES = ("fader", "fader_reference", "ola", "whole")
_LONGEST = 3600  # s
_SMALLEST_WEIGHT = 1e-8  # instead of a window's zeros: a sample that only one segment covers survives the division


def apply_segments(
    forward,
    wav,
    sample_rate,
    scheme="fader",
    segment=10.0,
    overlap=0.1,
    hop=None,
    window="rect",
    batch=1,
    progress=None,
    match_sources=False,
):
    """Separate a recording of any length in segments.

    Args:
        forward (callable): (batch, channels, time) -> (batch, n_src, channels, time).
        wav (Tensor): the recording, at the rate of the model.
        sample_rate (int): in Hz.
        scheme, segment, overlap, hop, window: see :func:`make_plan`.
        batch (int): segments per call of ``forward``. The result does not depend on it.
        progress (callable, optional): called as ``progress(done, total)``, in samples.
        match_sources (bool): for models without an order of sources (speech): permute those of each segment to fit
            what is already there on the overlap.

    Shape:
        (channels, time) -> (n_src, channels, time), on the device of ``wav``.

    Raises:
        ValueError: for an unknown scheme, a value out of range, a waveform of another shape or a model whose output
            does not fit its input.
    """
    if wav.dim() != 2 or wav.numel() == 0:
        raise ValueError(f"wav must be (channels, time) with at least one sample, not of shape {tuple(wav.shape)}")
    plan = make_plan(sample_rate, scheme, segment, overlap, hop, window)
    parts, done = [], 0
    for part in stream_segments(forward, [wav], plan, batch, match_sources):
        parts.append(part)
        done += part.shape[-1]
        if progress is not None:
            progress(done, wav.shape[-1])
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def make_plan(sample_rate, scheme="fader", segment=10.0, overlap=0.1, hop=None, window="rect"):
    """Where the segments of a scheme lie and how they are weighted.

    Args:
        sample_rate (int): in Hz.
        scheme (str): ``"fader"``: segments of exactly ``segment`` seconds, linear cross-fade over ``overlap``;
            ``"fader_reference"``: the pattern of the published scores, a first segment of (1 + overlap) * segment, then
            segments of (1 + 2 * overlap) * segment, cross-faded over overlap * segment (11 s, then 12 s, 1 s);
            ``"ola"``: overlap-add with ``window`` and ``hop``; ``"whole"``: the recording in one go.
        segment (float): seconds.
        overlap (float): fraction of ``segment``, in [0, 1).
        hop (float, optional): seconds from segment to segment, ``"ola"`` only; (1 - overlap) * segment if None.
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
    if scheme != "ola" and (hop is not None or window != "rect"):
        raise ValueError(f"hop and window belong to scheme 'ola'; scheme {scheme!r} fades linearly over the overlap")
    if scheme == "whole":
        return Whole()
    if segment > _LONGEST:
        raise ValueError(f"segment must be at most {_LONGEST} seconds (scheme 'whole' takes all in one go), not {segment}")
    if hop is not None and not 0 < hop <= segment:
        raise ValueError(f"hop must be more than 0 and at most the segment of {segment} s, not {hop}")
    if scheme == "fader_reference":
        return ReferenceFader(int(sample_rate * segment * (1 + overlap)), int(overlap * segment * sample_rate))
    length = max(1, round(segment * sample_rate))
    if scheme == "fader":
        fade = min(round(overlap * length), length - 1)
        return Uniform(length, length - fade, linear_fades(length, fade))
    step = max(1, round((segment * (1 - overlap) if hop is None else hop) * sample_rate))
    return Uniform(length, min(step, length), _window(window, length))


def linear_fades(length, fade, rise=True, fall=True):
    """Weights that rise from 0 to 1 over the first ``fade`` samples and fall likewise at the end.

    The ramps of two segments that overlap by ``fade`` samples sum to one: both contain their ends, 0 and 1.
    """
    up = torch.ones(length)
    ramp = torch.linspace(0, 1, fade) if fade > 1 else torch.full((fade,), 0.5)
    up[:fade] = ramp[:length]
    down = up.flip(0) if fall else torch.ones(length)
    return torch.minimum(up if rise else torch.ones(length), down).clamp(min=_SMALLEST_WEIGHT)


def _window(name, length):
    try:
        weights = torch.as_tensor(get_window("boxcar" if name == "rect" else name, length, fftbins=True)).float()
    except ValueError as error:
        raise ValueError(f"unknown window {name!r}: {error}") from None
    if weights.min() < -1e-6:  # rounding leaves some of scipy's windows a hair below zero
        raise ValueError(f"window {name!r} has negative weights, which cannot be scaled to sum to one")
    return weights.clamp(min=_SMALLEST_WEIGHT)


@dataclass(frozen=True)
class Uniform:
    """Segments of one length at a constant hop; the last one is moved back so that it is as long as the others."""

    length: int
    hop: int
    window: torch.Tensor

    def span(self, index):
        """First sample of a segment, and the one behind its last."""
        return index * self.hop, index * self.hop + self.length

    def tail(self, index, total):
        """First sample of the segment that covers the end of ``total`` samples."""
        return max(0, total - self.length)

    def weights(self, start, length, last):
        """Weights of a segment that begins at ``start``."""
        return self.window[:length]


@dataclass(frozen=True)
class ReferenceFader:
    """The published pattern: [0, G), then [jG - O, (j + 1)G), the last one cut short, faded over O samples."""

    stride: int
    fade: int

    def span(self, index):
        return max(0, index * self.stride - self.fade), (index + 1) * self.stride

    def tail(self, index, total):
        return self.span(index)[0]

    def weights(self, start, length, last):
        """No rise at the start of the recording, no fall at its end."""
        return linear_fades(length, self.fade, rise=start > 0, fall=not last)


@dataclass(frozen=True)
class Whole:
    """One segment, whatever its length."""

    def span(self, index):
        return 0, float("inf")

    def tail(self, index, total):
        return 0

    def weights(self, start, length, last):
        return torch.ones(1).expand(length)


def stream_segments(forward, blocks, plan, batch=1, match_sources=False):
    """Separate a recording that comes in blocks; memory does not grow with its length (except in one go).

    Args:
        forward (callable): (batch, channels, time) -> (batch, n_src, channels, time).
        blocks (iterable of Tensor): consecutive parts of the recording, (channels, time) each, of any lengths.
        plan: from :func:`make_plan`.
        batch (int): segments per call of ``forward``.
        match_sources (bool): permute the sources of each segment to fit the previous ones on the overlap.

    Yields:
        Tensor: consecutive parts of the estimates, (n_src, channels, time); together as long as the recording.

    Raises:
        ValueError: if ``forward`` returns another shape.
    """
    if not isinstance(batch, numbers.Integral):
        raise ValueError(f"batch is a whole number of segments, not {batch!r}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    sums = _WeightedSums(match_sources)
    for group in _groups(_cut(blocks, plan), batch):
        estimates = _apply(forward, torch.stack([view for _, view, _ in group]))
        for (start, view, last), estimate in zip(group, estimates):
            sums.add(start, estimate, plan.weights(start, view.shape[-1], last).to(estimate))
            yield from sums.take(None if last else start)
    yield from sums.take(None)


def _cut(blocks, plan):
    """Yield (first sample, segment, whether it is surely the last) for every segment, in order."""
    parts, begin, end, index, keep = [], 0, 0, 0, 0
    for block in blocks:
        parts.append(block)
        end += block.shape[-1]
        while plan.span(index)[1] <= end:
            buffer = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
            keep, stop = plan.span(index)
            yield keep, buffer[..., keep - begin : stop - begin], False
            parts, begin, index = [buffer[..., keep - begin :]], keep, index + 1
    covered = plan.span(index - 1)[1] if index else 0
    if end > covered:
        start = plan.tail(index, end)
        yield start, torch.cat(parts, dim=-1)[..., start - begin :], True


def _groups(segments, batch):
    """Collect up to ``batch`` consecutive segments of equal length."""
    group = []
    for segment in segments:
        if group and (len(group) == batch or group[0][1].shape != segment[1].shape):
            yield group
            group = []
        group.append(segment)
    if group:
        yield group


def _apply(forward, segments):
    with torch.no_grad():
        estimates = forward(segments)
    n_items, *rest = segments.shape
    if estimates.dim() != 4 or estimates.shape[0] != n_items or list(estimates.shape[2:]) != rest:
        raise ValueError(
            f"the model returned shape {tuple(estimates.shape)} for an input of shape {tuple(segments.shape)}, "
            "where (batch, n_src, channels, time) was expected"
        )
    return estimates.detach().to(segments)


class _WeightedSums:
    """Sums of weighted segments and of the weights, from ``start`` on; what is finished is taken off the front."""

    def __init__(self, match_sources):
        self.match_sources, self.start, self.total, self.weight = match_sources, 0, None, None

    def add(self, start, estimate, weights):
        if self.total is None:
            self.total, self.weight = estimate[..., :0], weights[:0]
        begin = start - self.start
        overlap = self.weight.shape[0] - begin
        if self.match_sources and overlap > 0:
            known = self.total[..., begin:] / self.weight[begin:]
            estimate = estimate[best_order(estimate[..., :overlap], known)]
        growth = estimate.shape[-1] - overlap
        self.total = torch.nn.functional.pad(self.total, (0, growth))
        self.weight = torch.nn.functional.pad(self.weight, (0, growth))
        self.total[..., begin:] += estimate * weights
        self.weight[begin:] += weights

    def take(self, stop):
        """Yield the estimates before sample ``stop`` (all if None), if there are any."""
        n_ready = self.weight.shape[0] if stop is None else stop - self.start
        if n_ready:
            yield self.total[..., :n_ready] / self.weight[:n_ready]
            self.total, self.weight = self.total[..., n_ready:], self.weight[n_ready:]
            self.start += n_ready


def best_order(estimate, reference):
    """The permutation of ``estimate`` that correlates best with ``reference``; the given order where both are silent.

    Args:
        estimate, reference (Tensor): (n_src, ...) each.

    Returns:
        list of int: indices into ``estimate``, one per source of ``reference``.
    """
    estimate, reference = (wav.flatten(1).double() for wav in (estimate, reference))
    norms = reference.norm(dim=1)[:, None] * estimate.norm(dim=1)[None]
    similarity = (reference @ estimate.T) / norms.clamp(min=1e-12)
    return linear_sum_assignment(similarity.cpu().numpy(), maximize=True)[1].tolist()
