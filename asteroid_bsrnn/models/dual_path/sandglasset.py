"""Sandglasset in the small version of the A-FRCNN supplement, and A-Sandglasset.

References
    [1] : "Sandglasset: A light multi-granularity self-attentive network for time-domain speech separation",
    Lam et al., ICASSP 2021.
    [2] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural
    Network", Hu et al., NeurIPS 2021, section 3.
"""

from typing import Any

import torch
from torch import nn

from ...common.products import Conv1d
from ..base import SpeechModel
from ..layers.chunking import Chunks
from ..layers.codec import LearnedCodec
from ..layers.multi_scale import AsyncFusion, global_layer_norm
from .blocks import AlternatingPaths, MultiScaleIntra
from .config import ASandglassetConfig, SandglassetConfig
from .self_attentive import AttentivePath, SandglassetBlock, SandglassetStack


class _SandglassetFrame(SpeechModel):
    """Encoder, segments, the network inside, masks, decoder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config)
        self.keep_arguments()
        self.codec = LearnedCodec(config.n_filters, config.kernel_size, config.stride)
        self.bottleneck = nn.Sequential(
            global_layer_norm(config.n_filters), Conv1d(config.n_filters, config.bn_chan, 1, bias=False)
        )
        self.chunks = Chunks(config.chunk_size, config.hop_size)
        self.network = nn.Sequential(nn.ReLU(), global_layer_norm(config.bn_chan), self._network())
        self.head_act, self.head_conv = nn.PReLU(), Conv1d(config.bn_chan, config.n_src * config.n_filters, 1)
        self.mask = nn.Sequential(global_layer_norm(config.n_filters), nn.ReLU())

    def _network(self) -> nn.Module:
        raise TypeError(f"{type(self).__name__} does not say what is inside: it needs a method '_network'")

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        encoded = self.codec.encode(mixture)
        deep = self.network(self.chunks.split(self.bottleneck(encoded)))
        joined = self.head_conv(self.chunks.join(self.head_act(deep), encoded.shape[-1]))
        per_source = joined.unflatten(1, (self.n_src, self.config.n_filters)).flatten(0, 1)
        masks = self.mask(per_source).unflatten(0, (-1, self.n_src))
        return self.codec.decode(masks * encoded.unsqueeze(1), mixture.shape[-1])


class Sandglasset(_SandglassetFrame):
    """Sandglasset [1] in the size that [2] uses (2.3 M parameters).

    The granularity of block b of ``n_blocks`` is ``4 ** min(b, n_blocks - 1 - b)``: coarse in the middle.

    Args: those of :class:`~asteroid_bsrnn.models.dual_path.config.SandglassetConfig`.

    References
        - [1] : "Sandglasset: A light multi-granularity self-attentive network for time-domain speech separation",
          Lam et al., ICASSP 2021.
    """

    Config = SandglassetConfig

    def _network(self) -> SandglassetStack:
        config = self.config
        return SandglassetStack(
            lambda granularity: SandglassetBlock(
                config.bn_chan,
                config.hid_size,
                granularity,
                config.resampling,
                config.n_heads,
                config.dropout,
                config.legacy_residual,
            ),
            config.granularities,
        )


class ASandglasset(_SandglassetFrame):
    """A-Sandglasset [2]: the intra-chunk network of A-DualPathRNN with self-attention along the segments.

    Args: those of :class:`~asteroid_bsrnn.models.dual_path.config.ASandglassetConfig`.

    References
        - [2] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional
          Neural Network", Hu et al., NeurIPS 2021, section 3.
    """

    Config = ASandglassetConfig

    def _network(self) -> AlternatingPaths:
        config = self.config
        return AlternatingPaths(
            lambda: MultiScaleIntra(
                config.bn_chan, config.hid_size, AsyncFusion(config.bn_chan, config.n_scales, 2), config.per_stage_proj
            ),
            lambda: AttentivePath(config.bn_chan, config.n_heads, config.dropout, config.legacy_residual),
            config.n_blocks,
            config.tie_intra,
            config.tie_inter,
        )
