"""Recordings that are not there yet: blocks in, blocks out, while somebody plays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..common.errors import UserError
from ..models.base import as_model
from ..models.side_by_side import SideBySide


class SeparatorStream:
    """One recording through a :class:`.ensemble.Separator`, block by block.

    What comes out is, sample for sample, what the models give for the whole recording; it is late by at most
    :attr:`latency` samples, and may be empty where a block completes nothing.

    Args:
        separator: the models, with their weights and chosen sources.
        sample_rate: of the blocks, in Hz.

    Attributes:
        sources (tuple of str): names of the estimates.
        latency (int): samples of the mixture after a sample that its estimate waits for, at most.

    Raises:
        UserError: for another rate than that of the models, or a model that needs the whole recording.
    """

    def __init__(self, separator: Any, sample_rate: float) -> None:
        if sample_rate != separator.sample_rate:
            raise UserError(
                f"a stream has the rate of its model, {separator.sample_rate} Hz, not {sample_rate}: resample it before"
            )
        if separator.shifts > 1:
            raise UserError(f"shifts {separator.shifts} need the whole recording: a stream takes 1")
        streams = [as_model(model).open_stream() for model in separator.models]
        if None in streams:
            name = type(separator.models[streams.index(None)]).__name__
            raise UserError(f"{name} hears the whole recording and cannot stream: a CausalBSRNN can")
        self.separator, self.sources = separator, separator.sources
        self.blocks = SideBySide(streams, self._average)
        self.latency, self.ended = self.blocks.latency, False

    def push(self, block: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Take the next block; give what is known of the estimates by now.

        Shape:
            (channels, any time) -> (n_src, channels, other time), or (time,) -> (n_src, time); on the CPU

        Raises:
            UserError: if the block has another shape or other channels than those before, is not finite, or comes after
                the end.
        """
        wav = torch.as_tensor(block)
        if wav.ndim not in (1, 2) or not wav.is_floating_point():
            raise UserError(
                f"a block is floats of shape (channels, time) or (time,), not {wav.dtype} of {tuple(wav.shape)}"
            )
        if not torch.isfinite(wav).all():
            raise UserError("the block has samples that are NaN or infinite")
        if self.ended:
            raise UserError("the stream is finished: open another for the next recording")
        self.flat = wav.ndim == 1
        return self._given(self._run(self.blocks.push, torch.atleast_2d(wav).float()[None].to(self.separator.device)))

    def finish(self) -> torch.Tensor:
        """The rest of the estimates, as if silence followed. All blocks together are as long as what was pushed.

        Raises:
            UserError: if nothing was pushed, or the stream is finished already.
        """
        if self.ended:
            raise UserError("the stream is finished already")
        rest = self._given(self._run(self.blocks.finish))
        self.ended = True
        return rest

    def _run(self, function: Any, *values: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), self.separator.lowered():
            return function(*values)

    def _average(self, estimates: Sequence[torch.Tensor]) -> torch.Tensor:
        """The wanted sources of all models, in their order, averaged by weight."""
        shares = zip(estimates, self.separator.weights, self.separator.orders)
        return sum((weight * est_BSCL[:, order] for est_BSCL, weight, order in shares), torch.zeros(()))

    def _given(self, est_BSCL: torch.Tensor) -> torch.Tensor:
        est_SCL = est_BSCL[0].float().cpu().clone()
        return est_SCL[:, 0] if self.flat else est_SCL
