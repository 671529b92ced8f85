"""A-FRCNN and S-FRCNN: recurrent multi-scale convolution between a learned encoder and decoder.

References
    [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
    NeurIPS 2021, and its supplementary material.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Conv1d
from ..base import SpeechModel, as_mixtures
from ..layers.checks import whole
from ..layers.multi_scale import AsyncFusion, SyncFusion, global_layer_norm
from .config import AFRCNNConfig, SFRCNNConfig
from .frcnn import FRCNNBlock, RecurrentTrunk


class _FRCNN(SpeechModel):
    """Encoder, mask from the recurrent trunk, decoder; a subclass chooses the fusion of scales."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config)
        self.keep_arguments()
        self.activation_checkpointing: bool | float = config.checkpointing
        hop = config.kernel_size // 2
        codec = {"kernel_size": config.kernel_size, "stride": hop, "padding": hop, "bias": False}
        self.encoder_conv = nn.Conv1d(1, config.n_filters, **codec)
        nn.init.xavier_uniform_(self.encoder_conv.weight)
        self.bottleneck = nn.Sequential(
            global_layer_norm(config.n_filters), Conv1d(config.n_filters, config.bn_chan, 1)
        )
        self.trunk = RecurrentTrunk(FRCNNBlock(config.bn_chan, config.hid_chan, self._fusion()), config.bn_chan)
        self.mask_net = nn.Sequential(nn.PReLU(), Conv1d(config.bn_chan, config.n_src * config.n_filters, 1), nn.ReLU())
        n_out = config.n_src if config.decoder == "joint" else 1
        self.decoder_conv = nn.ConvTranspose1d(n_out * config.n_filters, n_out, output_padding=hop - 1, **codec)

    def _fusion(self) -> AsyncFusion | SyncFusion:
        """How scales are joined."""
        raise TypeError(f"{type(self).__name__} does not say how scales are joined: it needs a method '_fusion'")

    def forward(self, wav: torch.Tensor, num_iters: int | None = None) -> torch.Tensor:
        """Separate.

        Args:
            wav: (time,), (batch, time) or (batch, 1, time).
            num_iters: iterations of the trunk, if not as trained.

        Returns:
            (n_src, time) for 1-D input, else (batch, n_src, time).
        """
        num_iters = self.config.num_iters if num_iters is None else num_iters
        whole("num_iters", num_iters)
        return self._as_given(wav, self.estimate(as_mixtures(wav), num_iters))

    def estimate(self, mixture: torch.Tensor, num_iters: int) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        n_src, n_filters, length = self.config.n_src, self.config.n_filters, mixture.shape[-1]
        unit = math.lcm(self.config.kernel_size // 2, 2**self.config.n_scales)
        encoded_BCF = self.encoder_conv(F.pad(mixture, (0, -length % unit)).unsqueeze(1))
        trunk_BCF = self.trunk(self.bottleneck(encoded_BCF), num_iters, self.activation_checkpointing)
        mask_BSCF = self.mask_net(trunk_BCF).unflatten(1, (n_src, n_filters))
        masked_BSCF = mask_BSCF * encoded_BCF.unsqueeze(1)
        if self.config.decoder == "joint":
            return self.decoder_conv(masked_BSCF.flatten(1, 2))[..., :length]
        return self.decoder_conv(masked_BSCF.flatten(0, 1)).unflatten(0, (-1, n_src))[:, :, 0, :length]

    def get_model_args(self) -> dict[str, Any]:
        """Every constructor argument; ``checkpointing`` as it is now."""
        return {**super().get_model_args(), "checkpointing": bool(self.activation_checkpointing)}


class AFRCNN(_FRCNN):
    """A-FRCNN separation model, as described in [1]; the defaults are A-FRCNN-16 (6.1 M parameters).

    Args: those of :class:`~asteroid_bsrnn.models.afrcnn.config.AFRCNNConfig`.

    References
        - [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
          NeurIPS 2021.
    """

    Config = AFRCNNConfig

    def _fusion(self) -> AsyncFusion:
        return AsyncFusion(self.config.hid_chan, self.config.n_scales, fusion=self.config.fusion)


class SFRCNN(_FRCNN):
    """S-FRCNN: as :class:`AFRCNN`, but all scales are updated in parallel, step by step ([1], synchronous scheme).

    Args: those of :class:`~asteroid_bsrnn.models.afrcnn.config.SFRCNNConfig`.

    References
        - [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
          NeurIPS 2021.
    """

    Config = SFRCNNConfig

    def _fusion(self) -> SyncFusion:
        config = self.config
        return SyncFusion(config.hid_chan, config.n_scales, config.sync_steps, prune_dead=config.prune_dead)
