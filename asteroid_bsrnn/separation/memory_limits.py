"""Batches that do not fit the memory: halved, then cut into shorter segments, for all recordings to come.

A tensor's suffix names its axes: B batch, S sources, C channels, L samples.
"""

import math
import sys
from collections.abc import Callable, Sequence

import torch

from ..models.base import as_model
from .plans import Uniform, linear_fades
from .segments import stream_segments
from .speakers import SpeakerMemory

_SHORTEST = 1.0  # s; a model that was made for longer segments gets no shorter ones than those
_OVERLAP = 0.1  # of the shorter segments, as that of the default scheme
_SIGNS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # CUDA and MPS, processors, cuBLAS and cuDNN

Forward = Callable[[torch.Tensor], torch.Tensor]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class MemoryLimits:
    """What fits at once. It begins with everything and shrinks when memory is short; it never grows again.

    The batch is halved first. The estimates then are those of the whole batch, as each item is computed by itself:
    the same bits where the model's arithmetic does not depend on the batch, else within its rounding. A single item is
    cut into segments of half its length, cross-faded over a tenth: other estimates, as with a smaller ``segment``.

    Args:
        models: their ``segment`` and ``multiple`` say how short segments may become: no shorter than the longest native
            one, nor than a second.
        sample_rate: in Hz.
        ordered: whether the order of the sources means something; else those of the pieces are matched.

    Attributes:
        batch (int or None): items at once, None while everything has fitted.
        length (int or None): samples at once, None while everything has fitted.
    """

    def __init__(self, models: Sequence[torch.nn.Module], sample_rate: int, ordered: bool) -> None:
        self.sample_rate, self.ordered = sample_rate, ordered
        views = [as_model(model) for model in models]
        self.multiple = math.lcm(*(view.multiple or 1 for view in views))
        self.shortest = max(round(_SHORTEST * sample_rate), *(view.segment or 0 for view in views))
        self.batch: int | None = None
        self.length: int | None = None

    def run(self, forward: Forward, wav_BCL: torch.Tensor) -> torch.Tensor:
        """``forward`` on as much at once as fits.

        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)

        Raises:
            Exception: that of ``forward``, if it is another one or nothing smaller is allowed.
        """
        estimates: list[torch.Tensor] = []
        before, start = (self.batch, self.length), 0
        while start < len(wav_BCL):
            part = wav_BCL[start : start + (self.batch or len(wav_BCL))]
            try:
                estimates.append(self._in_pieces(forward, part))
                start += len(part)
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._shrink(len(part), part.shape[-1]):
                    raise
            give_back()  # outside: the error, and with it what the failed pass held, is gone
        if (self.batch, self.length) != before:
            self._tell()
        return estimates[0] if len(estimates) == 1 else torch.cat(estimates)

    def _in_pieces(self, forward: Forward, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Estimates of items as they are, or each cut into segments that fit."""
        if self.length is None or wav_BCL.shape[-1] <= self.length:
            return forward(wav_BCL)
        fade = round(_OVERLAP * self.length)
        plan = Uniform(self.length, self.length - fade, linear_fades(self.length, fade))

        def cut(wav_CL: torch.Tensor) -> torch.Tensor:
            memory = None if self.ordered else SpeakerMemory(self.sample_rate)
            return torch.cat(list(stream_segments(forward, [wav_CL], plan, memory=memory)), dim=-1)

        return torch.stack([cut(item) for item in wav_BCL])

    def _shrink(self, batch: int, length: int) -> bool:
        """Half the batch, or half the length of one item; whether that is allowed."""
        if batch > 1:
            self.batch = batch // 2
            return True
        length = min(length, self.length or length)
        half = math.ceil(max(length // 2, self.shortest) / self.multiple) * self.multiple
        if half >= length:
            return False
        self.batch, self.length = 1, half
        return True

    def _tell(self) -> None:
        what = "segment" if self.batch == 1 else "segments"
        said = f"note: not enough memory: from here on {self.batch} {what} at once"
        if self.length is not None:
            said += f", of {self.length / self.sample_rate:.3g} s, which changes the stems a little"
        print(said, file=sys.stderr)


def give_back() -> None:
    """Return what the allocator of a GPU keeps but does not use; a processor's keeps it for the next tensor."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
