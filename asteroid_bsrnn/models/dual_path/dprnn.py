"""A-DualPathRNN and S-DualPathRNN: dual-path RNN with multi-scale fusion inside the chunk.

References
    [1] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural
    Network", Hu et al., NeurIPS 2021, section 3.
    [2] : "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech separation",
    Luo et al., ICASSP 2020.
"""

from typing import Any

import torch
from torch import nn

from ...common.products import Conv1d
from ..base import SpeechModel
from ..layers.chunking import Chunks
from ..layers.codec import LearnedCodec
from ..layers.multi_scale import AsyncFusion, SyncFusion, global_layer_norm
from .blocks import INTER, AlternatingPaths, MultiScaleIntra, RecurrentPath
from .config import ADPRNNConfig, SDPRNNConfig


class GatedMaskHead(nn.Module):
    """PReLU, chunks back to frames, 1x1 convolution to one feature map per source, gated mask in (0, 1) [2]."""

    def __init__(self, n_src: int, chan: int, n_filters: int) -> None:
        super().__init__()
        self.n_src = n_src
        self.act, self.per_source = nn.PReLU(), Conv1d(chan, n_src * chan, 1)
        self.value = nn.Sequential(Conv1d(chan, chan, 1), nn.Tanh())
        self.gate = nn.Sequential(Conv1d(chan, chan, 1), nn.Sigmoid())
        self.mask = nn.Sequential(Conv1d(chan, n_filters, 1, bias=False), nn.Sigmoid())

    def forward(self, x_BNKL: torch.Tensor, chunks: Chunks, n_frames: int) -> torch.Tensor:
        """(B, N, K, L) -> masks (B, S, C, F). Joining first is exact and halves the work of the convolution."""
        joined = self.per_source(chunks.join(self.act(x_BNKL), n_frames))
        joined = joined.unflatten(1, (self.n_src, -1)).flatten(0, 1)
        return self.mask(self.value(joined) * self.gate(joined)).unflatten(0, (-1, self.n_src))


class _MultiScaleDualPath(SpeechModel):
    """Encoder, alternating paths, gated mask, decoder; a subclass chooses the fusion inside the chunk."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config)
        self.keep_arguments()
        self.codec = LearnedCodec(config.n_filters, config.kernel_size, config.stride)
        self.bottleneck = nn.Sequential(
            global_layer_norm(config.n_filters), Conv1d(config.n_filters, config.bn_chan, 1)
        )
        self.chunks = Chunks(config.chunk_size, config.hop_size)
        self.paths = AlternatingPaths(
            lambda: MultiScaleIntra(config.bn_chan, config.hid_size, self._fusion(), config.per_stage_proj),
            lambda: RecurrentPath(config.bn_chan, config.hid_size, INTER),
            config.n_blocks,
            config.tie_intra,
            config.tie_inter,
        )
        self.mask_head = GatedMaskHead(config.n_src, config.bn_chan, config.n_filters)

    def _fusion(self) -> AsyncFusion | SyncFusion:
        raise TypeError(f"{type(self).__name__} does not say how scales are joined: it needs a method '_fusion'")

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        encoded = self.codec.encode(mixture)
        deep = self.paths(self.chunks.split(self.bottleneck(encoded)))
        masks = self.mask_head(deep, self.chunks, encoded.shape[-1])
        return self.codec.decode(masks * encoded.unsqueeze(1), mixture.shape[-1])


class ADPRNNTasNet(_MultiScaleDualPath):
    """A-DualPathRNN of [1]: dual-path RNN whose intra-chunk RNN runs on several scales, fused asynchronously.

    Args: those of :class:`~asteroid_bsrnn.models.dual_path.config.ADPRNNConfig`.

    References
        - [1] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional
          Neural Network", Hu et al., NeurIPS 2021, section 3.
    """

    Config = ADPRNNConfig

    def _fusion(self) -> AsyncFusion:
        return AsyncFusion(self.config.bn_chan, self.config.n_scales, n_axes=2)


class SDPRNNTasNet(_MultiScaleDualPath):
    """S-DualPathRNN of [1]: as :class:`ADPRNNTasNet`, but the scales are fused synchronously, step by step.

    Args: those of :class:`~asteroid_bsrnn.models.dual_path.config.SDPRNNConfig`.

    References
        - [1] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional
          Neural Network", Hu et al., NeurIPS 2021, section 3.
    """

    Config = SDPRNNConfig

    def _fusion(self) -> SyncFusion:
        config = self.config
        return SyncFusion(config.bn_chan, config.n_scales, config.sync_steps, n_axes=2, prune_dead=config.prune_dead)
