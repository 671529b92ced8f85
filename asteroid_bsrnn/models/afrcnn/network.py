"""A-FRCNN and S-FRCNN: recurrent multi-scale convolution between a learned encoder and decoder.

References
    [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
    NeurIPS 2021, and its supplementary material.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ...common.errors import UserError
from ..base import SpeechModel, as_mixtures
from ..layers.checks import check_at_least, check_one_of
from ..layers.multi_scale import AsyncFusion, SyncFusion, global_layer_norm
from .frcnn import FRCNNBlock, RecurrentTrunk


class _FRCNN(SpeechModel):
    """Encoder, mask from the recurrent trunk, decoder; a subclass chooses the fusion of scales."""

    def _build(self, make_fusion: Callable[[], AsyncFusion | SyncFusion]) -> None:
        sizes = ("n_src", "n_filters", "kernel_size", "bn_chan", "hid_chan", "num_iters")
        check_at_least(1, **{name: getattr(self, name) for name in sizes})
        check_one_of(("joint", "shared"), decoder=self.decoder)
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise UserError(f"kernel_size must be odd and at least 3, got {self.kernel_size}")
        hop = self.kernel_size // 2
        codec = {"kernel_size": self.kernel_size, "stride": hop, "padding": hop, "bias": False}
        self.encoder_conv = nn.Conv1d(1, self.n_filters, **codec)
        nn.init.xavier_uniform_(self.encoder_conv.weight)
        self.bottleneck = nn.Sequential(global_layer_norm(self.n_filters), nn.Conv1d(self.n_filters, self.bn_chan, 1))
        self.trunk = RecurrentTrunk(FRCNNBlock(self.bn_chan, self.hid_chan, make_fusion()), self.bn_chan)
        self.mask_net = nn.Sequential(nn.PReLU(), nn.Conv1d(self.bn_chan, self.n_src * self.n_filters, 1), nn.ReLU())
        n_out = self.n_src if self.decoder == "joint" else 1
        self.decoder_conv = nn.ConvTranspose1d(n_out * self.n_filters, n_out, output_padding=hop - 1, **codec)

    @property
    def activation_checkpointing(self) -> torch.Tensor:
        """The argument ``checkpointing``, under the name that all models share."""
        return self.checkpointing

    @activation_checkpointing.setter
    def activation_checkpointing(self, value: bool) -> None:
        self.checkpointing = value

    def forward(self, wav: torch.Tensor, num_iters: int | None = None) -> torch.Tensor:
        """Separate.

        Args:
            wav: (time,), (batch, time) or (batch, 1, time).
            num_iters: iterations of the trunk, if not as trained.

        Returns:
            (n_src, time) for 1-D input, else (batch, n_src, time).
        """
        num_iters = self.num_iters if num_iters is None else num_iters
        check_at_least(1, num_iters=num_iters)
        return self._as_given(wav, self.estimate(as_mixtures(wav), num_iters))

    def estimate(self, mixture: torch.Tensor, num_iters: int) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time)."""
        length = mixture.shape[-1]
        unit = math.lcm(self.kernel_size // 2, 2**self.n_scales)
        encoded_BCF = self.encoder_conv(F.pad(mixture, (0, -length % unit)).unsqueeze(1))
        trunk_BCF = self.trunk(self.bottleneck(encoded_BCF), num_iters, self.checkpointing)
        mask_BSCF = self.mask_net(trunk_BCF).unflatten(1, (self.n_src, self.n_filters))
        masked_BSCF = mask_BSCF * encoded_BCF.unsqueeze(1)
        if self.decoder == "joint":
            return self.decoder_conv(masked_BSCF.flatten(1, 2))[..., :length]
        return self.decoder_conv(masked_BSCF.flatten(0, 1)).unflatten(0, (-1, self.n_src))[:, :, 0, :length]


class AFRCNN(_FRCNN):
    """A-FRCNN separation model, as described in [1]; the defaults are A-FRCNN-16 (6.1 M parameters).

    Args:
        n_src: number of speakers.
        n_filters: channels of the learned encoder.
        kernel_size: samples of an encoder filter, odd; the hop is ``kernel_size // 2``.
        bn_chan: channels of the trunk (O of [1]); A-FRCNN (sum) has 128.
        hid_chan: channels inside the block (I of [1]).
        n_scales: stages S, at least 2.
        num_iters: iterations; weights are shared, so :meth:`forward` takes another number as well.
        fusion: neighbouring scales are joined by "concat" or "sum".
        decoder: "joint" (as published: every output sees the masked features of all speakers) or "shared"
            (one decoder, speaker by speaker).
        checkpointing: compute each iteration again for the gradient instead of keeping its activations.
        sample_rate: Hz.

    References
        - [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
          NeurIPS 2021.
    """

    def __init__(
        self,
        n_src: int = 2,
        n_filters: int = 512,
        kernel_size: int = 21,
        bn_chan: int = 512,
        hid_chan: int = 512,
        n_scales: int = 5,
        num_iters: int = 16,
        fusion: str = "concat",
        decoder: str = "joint",
        checkpointing: bool = False,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        self.n_src, self.n_filters, self.kernel_size, self.bn_chan = n_src, n_filters, kernel_size, bn_chan
        self.hid_chan, self.n_scales, self.num_iters = hid_chan, n_scales, num_iters
        self.fusion, self.decoder, self.checkpointing = fusion, decoder, checkpointing
        self._build(lambda: AsyncFusion(hid_chan, n_scales, fusion=fusion))


class SFRCNN(_FRCNN):
    """S-FRCNN: as :class:`AFRCNN`, but all scales are updated in parallel, step by step ([1], synchronous scheme).

    Args:
        n_src, n_filters, kernel_size, bn_chan, hid_chan, n_scales, num_iters, decoder, checkpointing, sample_rate:
            as in :class:`AFRCNN`.
        sync_steps: steps, each with its own weights; ``n_scales - 1``, just enough for the coarsest
            scale to reach the finest one, if None.
        prune_dead: leave out updates that cannot reach the output; False gives the published size.

    References
        - [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
          NeurIPS 2021.
    """

    def __init__(
        self,
        n_src: int = 2,
        n_filters: int = 512,
        kernel_size: int = 21,
        bn_chan: int = 512,
        hid_chan: int = 512,
        n_scales: int = 5,
        num_iters: int = 16,
        sync_steps: int | None = None,
        prune_dead: bool = True,
        decoder: str = "joint",
        checkpointing: bool = False,
        sample_rate: float = 8000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        check_at_least(2, n_scales=n_scales)
        self.n_src, self.n_filters, self.kernel_size, self.bn_chan = n_src, n_filters, kernel_size, bn_chan
        self.hid_chan, self.n_scales, self.num_iters = hid_chan, n_scales, num_iters
        self.sync_steps = n_scales - 1 if sync_steps is None else sync_steps
        self.prune_dead, self.decoder, self.checkpointing = prune_dead, decoder, checkpointing
        self._build(lambda: SyncFusion(hid_chan, n_scales, self.sync_steps, prune_dead=prune_dead))
