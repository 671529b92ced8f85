"""Blocks of a recording through a causal BSRNN as they come. B batch, S source, C channel, T frame, L sample."""

from typing import TYPE_CHECKING

import torch

from ...common.errors import UserError
from ..layers.cumulative import Memory, remembering

if TYPE_CHECKING:
    from .causal import CausalBSRNN


class CausalStream:
    """One recording, block by block; what comes out is what the model gives for the whole.

    Args:
        model: a :class:`.causal.CausalBSRNN` in evaluation mode.

    Attributes:
        latency: samples that an estimate waits for beyond its own, at most.
    """

    def __init__(self, model: "CausalBSRNN") -> None:
        self.model, self.memory = model, Memory()
        self.latency = 2 * model.config.n_hop - 1
        self.received = self.given = 0
        self.history: torch.Tensor | None = None  # the samples that the next frame reaches back to, and those since
        self.pending: torch.Tensor | None = None  # what the last frame adds to its last block

    def push(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Take a block; give what is known of the estimates by now.

        Shape:
            (batch, channels, any time) -> (batch, n_src, channels, other time); together as long as the recording

        Raises:
            UserError: for a number of channels that the model cannot read, or another than before.
        """
        hop, length = self.model.config.n_hop, wav_BCL.shape[-1]
        if self.history is None:
            self._check_channels(wav_BCL.shape[1])
            self.history = wav_BCL.new_zeros(*wav_BCL.shape[:-1], self.model.config.n_fft - hop)
        if wav_BCL.shape[:-1] != self.history.shape[:-1]:
            raise UserError(
                "every block of a stream has the same batch and channels: "
                f"{tuple(self.history.shape[:-1])}, not {tuple(wav_BCL.shape[:-1])}"
            )
        self.received += length
        self.history = torch.cat([self.history, wav_BCL], dim=-1)
        n_frames = (self.history.shape[-1] - self.model.config.n_fft) // hop + 1
        if n_frames < 1:
            return wav_BCL.new_zeros(wav_BCL.shape[0], self.model.n_src, wav_BCL.shape[1], 0)
        reach = self.model.config.n_fft + (n_frames - 1) * hop
        est_BSCL = self._separated(self.history[..., :reach])
        self.history = self.history[..., n_frames * hop :]
        self.given += est_BSCL.shape[-1]
        return est_BSCL.to(wav_BCL.dtype)

    def finish(self) -> torch.Tensor:
        """The rest of the estimates, as if silence followed; the stream is then at its end.

        Raises:
            UserError: if nothing was pushed.
        """
        if self.history is None:
            raise UserError("nothing was pushed into the stream")
        missing = self.received - self.given
        behind = self.model.stft.n_frames(self.received) * self.model.config.n_hop - self.received
        silence = self.history.new_zeros(*self.history.shape[:-1], behind if self.received else 0)
        return self.push(silence)[..., :missing]

    def _separated(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """The blocks that these frames complete: one for each, but none for the first of all."""
        stft = self.model.stft
        with torch.inference_mode(), remembering(self.model, self.memory):
            halves = stft.synthesise(self.model.separate_spectrum(stft.analyse(wav_BCL)))
        earlier, self.pending = self.pending, halves[..., -1:, 1, :]
        if earlier is None:
            return (halves[..., 1:, 0, :] + halves[..., :-1, 1, :]).flatten(-2)
        return (halves[..., 0, :] + torch.cat([earlier, halves[..., :-1, 1, :]], dim=-2)).flatten(-2)

    def _check_channels(self, n_chan: int) -> None:
        if self.model.config.stereo == "naive" and n_chan != self.model.config.in_channels:
            raise UserError(f"a naive stereo model streams {self.model.config.in_channels} channels, not {n_chan}")
