"""Long recordings through a model in segments: cross-faded or overlap-added, batched, in memory or as a stream.

There is one scheduler. It cuts segments from a stream of blocks, gives them to the model in batches of equal length,
adds the weighted results and divides by the sum of the weights, so that whatever the scheme the weights of every
sample sum to one, also at both ends. Nothing is padded: a model that normalises over time would see the padding. Only
the two published schemes (:mod:`.plans`) do as their authors did.
"""

import numbers
from collections.abc import Callable, Iterable, Iterator

import torch

from ..common.errors import UserError
from .plans import SMALLEST_WEIGHT, Plan, make_plan
from .speakers import SpeakerMemory
from .whole_song import Run, shifted, standardised

Segment = tuple[int, torch.Tensor, bool]  # first sample, (channels, time), whether it reaches the end


def apply_segments(
    forward: Run,
    wav: torch.Tensor,
    sample_rate: int,
    scheme: str = "fader",
    segment: float = 10.0,
    overlap: float = 0.1,
    hop: float | None = None,
    window: str = "rect",
    batch: int = 1,
    progress: Callable[[int, int], object] | None = None,
    match_sources: bool = False,
    standardise: bool | str = False,
    shifts: int = 0,
    shift: float = 0.5,
    shift_seed: int = 0,
) -> torch.Tensor:
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
        standardise (bool): the model is given the recording less the mean of its mono mix, divided by the deviation of that;
            both are undone afterwards. ``"channels"``: mean and deviation of all samples of all channels.
        shifts (int): 0, or how many random delays the result is the mean of.
        shift (float): largest delay, seconds.
        shift_seed (int): of the delays.

    Shape:
        (channels, time) -> (n_src, channels, time), on the device of ``wav``.

    Raises:
        ValueError: for an unknown scheme, a value out of range, a waveform of another shape or a model whose output
            does not fit its input.
    """
    if wav.dim() != 2 or wav.numel() == 0:
        raise ValueError(f"wav must be (channels, time) with at least one sample, not of shape {tuple(wav.shape)}")
    plan = make_plan(sample_rate, scheme, segment, overlap, hop, window)

    def once(song: torch.Tensor) -> torch.Tensor:
        parts, done = [], 0
        memory = SpeakerMemory(sample_rate) if match_sources else None
        for part in stream_segments(forward, [song], plan, batch, memory):
            parts.append(part)
            done += part.shape[-1]
            if progress is not None:
                progress(done, song.shape[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    run: Run = shifted(once, shifts, round(shift * sample_rate), shift_seed) if shifts else once
    return standardised(run, wav, standardise) if standardise else run(wav)


def stream_segments(
    forward: Run, blocks: Iterable[torch.Tensor], plan: Plan, batch: int = 1, memory: SpeakerMemory | None = None
) -> Iterator[torch.Tensor]:
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
    if not isinstance(batch, numbers.Integral) or batch < 1:
        raise UserError(f"batch is a whole number of segments from 1 on, not {batch!r}")
    length, position = 0, -plan.padding

    def padded() -> Iterator[torch.Tensor]:
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


def _added(
    forward: Run, blocks: Iterable[torch.Tensor], plan: Plan, batch: int, memory: SpeakerMemory | None
) -> Iterator[torch.Tensor]:
    """What :func:`stream_segments` yields, with the silence of the plan at both ends."""
    sums = _WeightedSums(memory, plan.gain)
    for group in _groups(_cut(blocks, plan), batch):
        estimates = _apply(forward, torch.stack([view for _, view, _ in group]))
        for (start, view, last), estimate in zip(group, estimates):
            sums.add(start, estimate, plan.weights(start, view.shape[-1], last).to(estimate))
            yield from sums.take(start)
    yield from sums.take(None)


def _cut(blocks: Iterable[torch.Tensor], plan: Plan) -> Iterator[Segment]:
    """Yield (first sample, segment, whether it reaches the end) for every segment, in order."""
    parts: list[torch.Tensor] = []
    begin, end, index = 0, 0, 0
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


def _groups(segments: Iterable[Segment], batch: int) -> Iterator[list[Segment]]:
    """Collect up to ``batch`` consecutive segments of equal length."""
    group: list[Segment] = []
    for segment in segments:
        if group and (len(group) == batch or group[0][1].shape != segment[1].shape):
            yield group
            group = []
        group.append(segment)
    if group:
        yield group


def _apply(forward: Run, segments: torch.Tensor) -> torch.Tensor:
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

    def __init__(self, memory: SpeakerMemory | None, gain: float | None) -> None:
        self.memory, self.gain, self.start = memory, gain, 0
        self.total = self.weight = torch.empty(0)

    def add(self, start: int, estimate: torch.Tensor, weights: torch.Tensor) -> None:
        if not len(self.weight):
            self.total, self.weight = estimate[..., :0], weights[:0]
        begin = start - self.start
        overlap = self.weight.shape[0] - begin
        if self.memory is not None:
            known = self.total[..., begin:] / self.weight[begin:].clamp(min=SMALLEST_WEIGHT)
            estimate = estimate[self.memory.order(estimate, known)]
        growth = estimate.shape[-1] - overlap
        self.total = torch.nn.functional.pad(self.total, (0, growth))
        self.weight = torch.nn.functional.pad(self.weight, (0, growth))
        self.total[..., begin:] += estimate * weights
        self.weight[begin:] += weights

    def take(self, stop: int | None) -> Iterator[torch.Tensor]:
        """Yield the estimates before sample ``stop`` (all if None), if there are any."""
        n_ready = self.weight.shape[0] if stop is None else stop - self.start
        if n_ready:
            total = self.total[..., :n_ready]
            yield total / self.weight[:n_ready] if self.gain is None else total * self.gain
            self.total, self.weight = self.total[..., n_ready:], self.weight[n_ready:]
            self.start += n_ready
