"""Long recordings through a model in segments: cross-faded or overlap-added, batched, in memory or as a stream.

There is one scheduler. It cuts segments from a stream of blocks, gives them to the model in batches of equal length,
adds the weighted results and divides by the sum of the weights, so that whatever the scheme the weights of every
sample sum to one, also at both ends. Nothing is padded: a model that normalises over time would see the padding. Only
the two published schemes (:mod:`.published_schemes`) do as their authors did.
"""
from dataclasses import dataclass

import torch
from scipy.signal import get_window

from .published_schemes import ReferenceFader, ReferenceOverlapAdd
from .speakers import SpeakerMemory, best_order

__all__ = ["SCHEMES", "WITH_HOP", "apply_segments", "best_order", "linear_fades", "make_plan", "stream_segments"]
SCHEMES = ("fader", "fader_reference", "ola", "ola_reference", "whole")
WITH_HOP = ("ola", "ola_reference")
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
    batch: int = 1,
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
            what is already there, see :class:`.speakers.SpeakerMemory`.

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
    memory = SpeakerMemory(sample_rate) if match_sources else None
    for part in stream_segments(forward, [wav], plan, batch, memory):
        parts.append(part)
        done += part.shape[-1]
        if progress is not None:
            progress(done, wav.shape[-1])
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def make_plan(
    sample_rate,
    scheme: str = "fader",
    segment: float = 10.0,
    overlap: float = 0.1,
    hop: float | None = None,
    window: str = "rect",
):
    """Where the segments of a scheme lie and how they are weighted.

    Args:
        sample_rate (int): in Hz.
        scheme (str): ``"fader"``: segments of exactly ``segment`` seconds, linear cross-fade over ``overlap``;
            ``"fader_reference"``: the pattern of the published scores, a first segment of (1 + overlap) * segment, then
            segments of (1 + 2 * overlap) * segment, cross-faded over overlap * segment (11 s, then 12 s, 1 s);
            ``"ola"``: overlap-add with ``window`` and ``hop``; ``"ola_reference"``: the published overlap-add, with a
            segment of silence before and after and ``hop / segment`` as the scale; ``"whole"``: the recording in one go.
        segment (float): seconds.
        overlap (float): fraction of ``segment``, in [0, 1).
        hop (float, optional): seconds from segment to segment, of the two overlap-adds; (1 - overlap) * segment if None.
        window (str): ``"rect"`` or a name that ``scipy.signal.get_window`` knows, ``"ola"`` only.

    Raises:
        ValueError: for a value out of range, or one that the scheme does not use.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}: known are {', '.join(SCHEMES)}")
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
    if scheme == "fader_reference":
        return ReferenceFader(int(sample_rate * segment * (1 + overlap)), overlap * segment * sample_rate)
    if hop is not None and not 0 < hop <= segment:
        raise ValueError(f"hop must be more than 0 and at most the segment of {segment} s, not {hop}")
    hop = segment * (1 - overlap) if hop is None else hop
    if scheme == "ola_reference":
        return ReferenceOverlapAdd(max(1, int(sample_rate * segment)), max(1, int(sample_rate * hop)), hop / segment)
    length = max(1, round(segment * sample_rate))
    if scheme == "fader":
        fade = min(round(overlap * length), length - 1)
        return Uniform(length, length - fade, linear_fades(length, fade))
    return Uniform(length, max(1, round(hop * sample_rate)), _window(window, length))


def linear_fades(length, fade):
    """Weights that rise from 0 to 1 over the first ``fade`` samples, both included, and fall likewise at the end."""
    up = torch.ones(length)
    ramp = torch.linspace(0, 1, fade) if fade > 1 else torch.full((fade,), 0.5)
    up[:fade] = ramp[:length]
    return torch.minimum(up, up.flip(0)).clamp(min=_SMALLEST_WEIGHT)


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
    padding = 0  # samples of silence on each side, which are taken off again
    gain = None  # of the sum; None: divided by the sum of the weights

    def span(self, index):
        """First sample of a segment, and the one behind its last."""
        return index * self.hop, index * self.hop + self.length

    def rest(self, index, total):
        """First samples of the segments from ``index`` on that reach the end of ``total`` samples."""
        return [max(0, total - self.length)]

    def weights(self, start, length, last):
        """Weights of a segment that begins at ``start``."""
        return self.window[:length]


@dataclass(frozen=True)
class Whole:
    """One segment, whatever its length."""

    padding = 0
    gain = None

    def span(self, index):
        return 0, float("inf")

    def rest(self, index, total):
        return [0]

    def weights(self, start, length, last):
        return torch.ones(1).expand(length)


def stream_segments(forward, blocks, plan, batch=1, memory=None):
    """Separate a recording that comes in blocks; memory does not grow with its length (except in one go).

    Args:
        forward (callable): (batch, channels, time) -> (batch, n_src, channels, time).
        blocks (iterable of Tensor): consecutive parts of the recording, (channels, time) each, of any lengths.
        plan: from :func:`make_plan`.
        batch (int): segments per call of ``forward``.
        memory (SpeakerMemory, optional): permutes the sources of each segment to fit the previous ones.

    Yields:
        Tensor: consecutive parts of the estimates, (n_src, channels, time); together as long as the recording.

    Raises:
        ValueError: if ``forward`` returns another shape.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    length, position = 0, -plan.padding

    def padded():
        nonlocal length
        for block in blocks:
            silence = block.new_zeros(*block.shape[:-1], plan.padding)
            if not length:
                yield silence
            length += block.shape[-1]
            yield block
        if length:
            yield silence

    for part in _added(forward, padded(), plan, batch, memory):
        inside = part[..., max(0, -position) : max(0, length - position)]
        position += part.shape[-1]
        if inside.shape[-1]:
            yield inside


def _added(forward, blocks, plan, batch, memory):
    """What :func:`stream_segments` yields, with the silence of the plan at both ends."""
    sums = _WeightedSums(memory, plan.gain)
    for group in _groups(_cut(blocks, plan), batch):
        estimates = _apply(forward, torch.stack([view for _, view, _ in group]))
        for (start, view, last), estimate in zip(group, estimates):
            sums.add(start, estimate, plan.weights(start, view.shape[-1], last).to(estimate))
            yield from sums.take(start)
    yield from sums.take(None)


def _cut(blocks, plan):
    """Yield (first sample, segment, whether it reaches the end) for every segment, in order."""
    parts, begin, end, index = [], 0, 0, 0
    for block in blocks:
        parts.append(block)
        end += block.shape[-1]
        while plan.span(index)[1] < end:
            buffer = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
            keep, stop = plan.span(index)
            yield keep, buffer[..., keep - begin : stop - begin], False
            parts, begin, index = [buffer[..., keep - begin :]], keep, index + 1
    for start in plan.rest(index, end) if end else ():
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

    def __init__(self, memory, gain):
        self.memory, self.gain = memory, gain
        self.start, self.total, self.weight = 0, None, None

    def add(self, start, estimate, weights):
        if self.total is None:
            self.total, self.weight = estimate[..., :0], weights[:0]
        begin = start - self.start
        overlap = self.weight.shape[0] - begin
        if self.memory is not None:
            known = self.total[..., begin:] / self.weight[begin:].clamp(min=_SMALLEST_WEIGHT)
            estimate = estimate[self.memory.order(estimate, known)]
        growth = estimate.shape[-1] - overlap
        self.total = torch.nn.functional.pad(self.total, (0, growth))
        self.weight = torch.nn.functional.pad(self.weight, (0, growth))
        self.total[..., begin:] += estimate * weights
        self.weight[begin:] += weights

    def take(self, stop):
        """Yield the estimates before sample ``stop`` (all if None), if there are any."""
        n_ready = self.weight.shape[0] if stop is None else stop - self.start
        if n_ready:
            total = self.total[..., :n_ready]
            yield total / self.weight[:n_ready] if self.gain is None else total * self.gain
            self.total, self.weight = self.total[..., n_ready:], self.weight[n_ready:]
            self.start += n_ready
