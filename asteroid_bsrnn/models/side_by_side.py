"""Several streams that hear the same blocks, each with its own delay."""

from collections.abc import Callable, Sequence
from typing import Any

import torch


class SideBySide:
    """Streams of several models; their estimates come out in pieces of equal length, sources one after the other.

    Args:
        streams: each with ``latency`` in samples, ``push`` and ``finish`` as
            :class:`~asteroid_bsrnn.models.bsrnn.stream.CausalStream` has them.
        join: what becomes of the list of their estimates, (batch, n_src, channels, time) each; by default all sources.
    """

    def __init__(
        self, streams: Sequence[Any], join: Callable[[list[torch.Tensor]], torch.Tensor] | None = None
    ) -> None:
        self.streams, self.join = list(streams), join or (lambda parts: torch.cat(parts, dim=1))
        self.latency = max(stream.latency for stream in self.streams)
        self.waiting: list[torch.Tensor] | None = None  # of each stream: what the slower ones have not reached

    def push(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """(batch, channels, any time) -> (batch, sources, channels, other time)."""
        return self._together([stream.push(wav_BCL) for stream in self.streams])

    def finish(self) -> torch.Tensor:
        """The rest of the estimates."""
        return self._together([stream.finish() for stream in self.streams])

    def _together(self, new: list[torch.Tensor]) -> torch.Tensor:
        if self.waiting is not None:
            new = [torch.cat(pair, dim=-1) for pair in zip(self.waiting, new)]
        ready = min(part.shape[-1] for part in new)
        self.waiting = [part[..., ready:] for part in new]
        return self.join([part[..., :ready] for part in new])
