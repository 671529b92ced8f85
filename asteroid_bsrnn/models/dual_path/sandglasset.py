"""Sandglasset in the small version of the A-FRCNN supplement, and A-Sandglasset.

References
    [1] : "Sandglasset: A light multi-granularity self-attentive network for time-domain speech separation",
    Lam et al., ICASSP 2021.
    [2] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural
    Network", Hu et al., NeurIPS 2021, section 3.
"""

from collections.abc import Callable

import torch
from torch import nn

from ..base import SpeechModel
from ..layers.checks import check_at_least, check_divides
from ..layers.chunking import Chunks
from ..layers.codec import LearnedCodec
from ..layers.multi_scale import AsyncFusion, global_layer_norm
from .blocks import AlternatingPaths, MultiScaleIntra
from .dprnn import resolve_preset
from .self_attentive import AttentivePath, SandglassetBlock, SandglassetStack


class _SandglassetFrame(SpeechModel):
    """Encoder, segments, the network inside, masks, decoder."""

    def _build(self, make_network: Callable[[], nn.Module]) -> None:
        check_at_least(1, n_src=self.n_src, bn_chan=self.bn_chan, hid_size=self.hid_size, n_heads=self.n_heads)
        self.codec = LearnedCodec(self.n_filters, self.kernel_size, self.stride)
        self.bottleneck = nn.Sequential(
            global_layer_norm(self.n_filters), nn.Conv1d(self.n_filters, self.bn_chan, 1, bias=False)
        )
        self.chunks = Chunks(self.chunk_size, self.hop_size)
        self.network = nn.Sequential(nn.ReLU(), global_layer_norm(self.bn_chan), make_network())
        self.head_act, self.head_conv = nn.PReLU(), nn.Conv1d(self.bn_chan, self.n_src * self.n_filters, 1)
        self.mask = nn.Sequential(global_layer_norm(self.n_filters), nn.ReLU())

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        encoded = self.codec.encode(mixture)
        deep = self.network(self.chunks.split(self.bottleneck(encoded)))
        joined = self.head_conv(self.chunks.join(self.head_act(deep), encoded.shape[-1]))
        per_source = joined.unflatten(1, (self.n_src, self.n_filters)).flatten(0, 1)
        masks = self.mask(per_source).unflatten(0, (-1, self.n_src))
        return self.codec.decode(masks * encoded.unsqueeze(1), mixture.shape[-1])


class Sandglasset(_SandglassetFrame):
    """Sandglasset [1] in the size that [2] uses (2.3 M parameters).

    The granularity of block b of ``n_blocks`` is ``4 ** min(b, n_blocks - 1 - b)``: coarse in the middle.

    Args:
        n_src: number of speakers.
        n_filters: channels of the learned encoder.
        kernel_size: samples of an encoder filter.
        stride: samples between frames.
        bn_chan: features in the segments.
        hid_size: units of each LSTM per direction.
        chunk_size: frames of a segment; the coarsest granularity divides it.
        hop_size: frames between segments; divides ``chunk_size``.
        n_blocks: blocks, even.
        n_heads: attention heads; divides ``bn_chan``.
        dropout: in the self-attention.
        resampling: "avg" or "dwconv", how granularity is changed.
        legacy_residual: leave out the input of the attention, as public code does.
        sample_rate: Hz.

    References
        - [1] : "Sandglasset: A light multi-granularity self-attentive network for time-domain speech separation",
          Lam et al., ICASSP 2021.
    """

    def __init__(
        self,
        n_src: int = 2,
        n_filters: int = 256,
        kernel_size: int = 16,
        stride: int = 8,
        bn_chan: int = 128,
        hid_size: int = 128,
        chunk_size: int = 64,
        hop_size: int = 32,
        n_blocks: int = 6,
        n_heads: int = 8,
        dropout: float = 0.1,
        resampling: str = "avg",
        legacy_residual: bool = False,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        check_at_least(2, n_blocks=n_blocks)
        check_divides("2", 2, "n_blocks", n_blocks)
        granularities = [4 ** min(b, n_blocks - 1 - b) for b in range(n_blocks)]
        check_divides("the coarsest granularity", max(granularities), "chunk_size", chunk_size)
        self.n_src, self.n_filters, self.kernel_size, self.stride = n_src, n_filters, kernel_size, stride
        self.bn_chan, self.hid_size, self.chunk_size, self.hop_size = bn_chan, hid_size, chunk_size, hop_size
        self.n_blocks, self.n_heads, self.dropout = n_blocks, n_heads, dropout
        self.resampling, self.legacy_residual = resampling, legacy_residual
        attention = {"n_heads": n_heads, "dropout": dropout, "legacy_residual": legacy_residual}
        self._build(
            lambda: SandglassetStack(
                lambda q: SandglassetBlock(bn_chan, hid_size, q, resampling, **attention), granularities
            )
        )


class ASandglasset(_SandglassetFrame):
    """A-Sandglasset [2]: the intra-chunk network of A-DualPathRNN with self-attention along the segments.

    Args:
        preset, n_blocks, tie_intra, tie_inter, per_stage_proj, n_scales: as in
            :class:`~asteroid_bsrnn.models.ADPRNNTasNet`.
        n_src, n_filters, kernel_size, stride, bn_chan, hid_size, chunk_size, hop_size, n_heads, dropout,
            legacy_residual, sample_rate: as in :class:`Sandglasset`.

    References
        - [2] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional
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
        n_filters: int = 256,
        kernel_size: int = 16,
        stride: int = 8,
        bn_chan: int = 128,
        hid_size: int = 128,
        chunk_size: int = 64,
        hop_size: int = 32,
        n_scales: int = 5,
        n_heads: int = 8,
        dropout: float = 0.1,
        legacy_residual: bool = False,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        tying = dict(n_blocks=n_blocks, tie_intra=tie_intra, tie_inter=tie_inter, per_stage_proj=per_stage_proj)
        self.preset = preset
        for name, value in resolve_preset(preset, **tying).items():
            setattr(self, name, value)
        self.n_src, self.n_filters, self.kernel_size, self.stride = n_src, n_filters, kernel_size, stride
        self.bn_chan, self.hid_size, self.chunk_size, self.hop_size = bn_chan, hid_size, chunk_size, hop_size
        self.n_scales, self.n_heads, self.dropout = n_scales, n_heads, dropout
        self.legacy_residual = legacy_residual
        self._build(
            lambda: AlternatingPaths(
                lambda: MultiScaleIntra(bn_chan, hid_size, AsyncFusion(bn_chan, n_scales, 2), self.per_stage_proj),
                lambda: AttentivePath(bn_chan, n_heads, dropout, legacy_residual),
                self.n_blocks,
                self.tie_intra,
                self.tie_inter,
            )
        )
