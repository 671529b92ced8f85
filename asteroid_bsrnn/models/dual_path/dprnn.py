"""A-DualPathRNN and S-DualPathRNN: dual-path RNN with multi-scale fusion inside the chunk.

References
    [1] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural
    Network", Hu et al., NeurIPS 2021, section 3.
    [2] : "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech separation",
    Luo et al., ICASSP 2020.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..base import SpeechModel
from ..layers.checks import check_at_least, check_one_of
from ..layers.chunking import Chunks
from ..layers.codec import LearnedCodec
from ..layers.multi_scale import AsyncFusion, SyncFusion, global_layer_norm
from .blocks import INTER, AlternatingPaths, MultiScaleIntra, RecurrentPath

PRESETS = {
    "paper_count": {"n_blocks": 7, "tie_intra": True, "tie_inter": False, "per_stage_proj": True},
    "literal": {"n_blocks": 6, "tie_intra": True, "tie_inter": True, "per_stage_proj": False},
}


def resolve_preset(preset: str, **given: Any) -> dict[str, Any]:
    """The preset's values, with those that are given (not None) in their place.

    Raises:
        ValueError: for an unknown preset or no block at all.
    """
    check_one_of(tuple(PRESETS), preset=preset)
    chosen = {name: PRESETS[preset][name] if value is None else value for name, value in given.items()}
    check_at_least(1, n_blocks=chosen["n_blocks"])
    return chosen


class GatedMaskHead(nn.Module):
    """PReLU, chunks back to frames, 1x1 convolution to one feature map per source, gated mask in (0, 1) [2]."""

    def __init__(self, n_src: int, chan: int, n_filters: int) -> None:
        super().__init__()
        self.n_src = n_src
        self.act, self.per_source = nn.PReLU(), nn.Conv1d(chan, n_src * chan, 1)
        self.value = nn.Sequential(nn.Conv1d(chan, chan, 1), nn.Tanh())
        self.gate = nn.Sequential(nn.Conv1d(chan, chan, 1), nn.Sigmoid())
        self.mask = nn.Sequential(nn.Conv1d(chan, n_filters, 1, bias=False), nn.Sigmoid())

    def forward(self, x_BNKL: torch.Tensor, chunks: Chunks, n_frames: int) -> torch.Tensor:
        """(B, N, K, L) -> masks (B, S, C, F). Joining first is exact and halves the work of the convolution."""
        joined = self.per_source(chunks.join(self.act(x_BNKL), n_frames))
        joined = joined.unflatten(1, (self.n_src, -1)).flatten(0, 1)
        return self.mask(self.value(joined) * self.gate(joined)).unflatten(0, (-1, self.n_src))


class _MultiScaleDualPath(SpeechModel):
    """Encoder, alternating paths, gated mask, decoder; a subclass chooses the fusion inside the chunk."""

    def _build(self, make_fusion: Callable[[], AsyncFusion | SyncFusion]) -> None:
        check_at_least(1, n_src=self.n_src, bn_chan=self.bn_chan, hid_size=self.hid_size)
        self.codec = LearnedCodec(self.n_filters, self.kernel_size, self.stride)
        self.bottleneck = nn.Sequential(global_layer_norm(self.n_filters), nn.Conv1d(self.n_filters, self.bn_chan, 1))
        self.chunks = Chunks(self.chunk_size, self.hop_size)
        self.paths = AlternatingPaths(
            lambda: MultiScaleIntra(self.bn_chan, self.hid_size, make_fusion(), self.per_stage_proj),
            lambda: RecurrentPath(self.bn_chan, self.hid_size, INTER),
            self.n_blocks,
            self.tie_intra,
            self.tie_inter,
        )
        self.mask_head = GatedMaskHead(self.n_src, self.bn_chan, self.n_filters)

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        encoded = self.codec.encode(mixture)
        deep = self.paths(self.chunks.split(self.bottleneck(encoded)))
        masks = self.mask_head(deep, self.chunks, encoded.shape[-1])
        return self.codec.decode(masks * encoded.unsqueeze(1), mixture.shape[-1])


class ADPRNNTasNet(_MultiScaleDualPath):
    """A-DualPathRNN of [1]: dual-path RNN whose intra-chunk RNN runs on several scales, fused asynchronously.

    Args:
        n_src: number of speakers.
        preset: which weights are tied. "paper_count" (7 blocks, inter-chunk modules of their own, projections
            per scale) has the published size; "literal" (6 blocks, everything tied) follows the text to the letter.
        n_blocks: blocks, if not the preset's.
        tie_intra: one intra-chunk module for all blocks, if not the preset's.
        tie_inter: one inter-chunk module for all blocks, if not the preset's.
        per_stage_proj: a projection for every scale, if not the preset's.
        n_filters: channels of the learned encoder.
        kernel_size: samples of an encoder filter.
        stride: samples between frames.
        bn_chan: features in the chunks.
        hid_size: units of each LSTM per direction.
        chunk_size: frames of a chunk.
        hop_size: frames between chunks; divides ``chunk_size``.
        n_scales: scales inside the chunk, at least 2.
        sample_rate: Hz.

    References
        - [1] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional
          Neural Network", Hu et al., NeurIPS 2021, section 3.
    """

    def __init__(
        self,
        n_src: int = 2,
        preset: str = "paper_count",
        n_blocks: int | None = None,
        tie_intra: bool | None = None,
        tie_inter: bool | None = None,
        per_stage_proj: bool | None = None,
        n_filters: int = 64,
        kernel_size: int = 18,
        stride: int = 8,
        bn_chan: int = 128,
        hid_size: int = 128,
        chunk_size: int = 100,
        hop_size: int = 50,
        n_scales: int = 5,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        tying = dict(n_blocks=n_blocks, tie_intra=tie_intra, tie_inter=tie_inter, per_stage_proj=per_stage_proj)
        self.preset = preset
        for name, value in resolve_preset(preset, **tying).items():
            setattr(self, name, value)
        self.n_src, self.n_filters, self.kernel_size, self.stride = n_src, n_filters, kernel_size, stride
        self.bn_chan, self.hid_size, self.chunk_size, self.hop_size = bn_chan, hid_size, chunk_size, hop_size
        self.n_scales = n_scales
        self._build(lambda: AsyncFusion(bn_chan, n_scales, n_axes=2))


class SDPRNNTasNet(_MultiScaleDualPath):
    """S-DualPathRNN of [1]: as :class:`ADPRNNTasNet`, but the scales are fused synchronously, step by step.

    Args:
        n_src, preset, n_blocks, tie_intra, tie_inter, per_stage_proj, n_filters, kernel_size, stride, bn_chan,
            hid_size, chunk_size, hop_size, n_scales, sample_rate: as in :class:`ADPRNNTasNet`.
        sync_steps: steps, each with its own weights; ``n_scales - 1`` if None.
        prune_dead: leave out updates that cannot reach the output; False gives the published size.

    References
        - [1] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional
          Neural Network", Hu et al., NeurIPS 2021, section 3.
    """

    def __init__(
        self,
        n_src: int = 2,
        preset: str = "paper_count",
        n_blocks: int | None = None,
        tie_intra: bool | None = None,
        tie_inter: bool | None = None,
        per_stage_proj: bool | None = None,
        n_filters: int = 64,
        kernel_size: int = 18,
        stride: int = 8,
        bn_chan: int = 128,
        hid_size: int = 128,
        chunk_size: int = 100,
        hop_size: int = 50,
        n_scales: int = 5,
        sync_steps: int | None = None,
        prune_dead: bool = True,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        tying = dict(n_blocks=n_blocks, tie_intra=tie_intra, tie_inter=tie_inter, per_stage_proj=per_stage_proj)
        self.preset = preset
        for name, value in resolve_preset(preset, **tying).items():
            setattr(self, name, value)
        check_at_least(2, n_scales=n_scales)
        self.n_src, self.n_filters, self.kernel_size, self.stride = n_src, n_filters, kernel_size, stride
        self.bn_chan, self.hid_size, self.chunk_size, self.hop_size = bn_chan, hid_size, chunk_size, hop_size
        self.n_scales, self.prune_dead = n_scales, prune_dead
        self.sync_steps = steps = n_scales - 1 if sync_steps is None else sync_steps
        self._build(lambda: SyncFusion(bn_chan, n_scales, steps, n_axes=2, prune_dead=prune_dead))
