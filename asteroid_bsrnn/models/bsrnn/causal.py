"""A BSRNN that looks one hop ahead and no further, for whole recordings and for blocks as they come.

Legend: K band, P positions on the other axis, Q mask network, B batch (channels folded in), C channel, S sequence of
frames, T frame, F bin, N feature, M hidden, L sample, G band of a group of equal width, I inputs of a band.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from ...common.errors import UserError
from ...dsp.low_delay import LowDelaySTFT
from ..layers.cumulative import Remembering, cumulative_norm
from .band_sequence import BandSequenceBlock, build_block
from .band_split import BandSplit
from .config import BSRNNConfig, norm_groups
from .mask_estimation import MaskEstimation
from .network import BSRNN
from .sequence import RECURRENT, ResidualNet
from .stream import CausalStream


@dataclass(frozen=True)
class CausalBSRNNConfig(BSRNNConfig):
    """Constructor arguments of :class:`CausalBSRNN`: those of :class:`.config.BSRNNConfig`.

    ``bidirectional`` is of the nets along the bands; nets along time run forwards. ``n_fft`` and ``n_hop`` are those of
    :class:`~asteroid_bsrnn.dsp.low_delay.LowDelaySTFT`.

    Raises:
        UserError: for arguments that contradict each other, and for parts that hear the future.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.time_layer not in (*RECURRENT, "none"):
            allowed = ", ".join([*RECURRENT, "none"])
            raise UserError(f"time_layer {self.time_layer!r} hears the future: a causal network takes {allowed}")
        if self.n_attn_heads:
            raise UserError(f"n_attn_heads {self.n_attn_heads}: attention over frames hears the future; 0 is allowed")


class CausalNet(ResidualNet, Remembering):
    """:class:`.sequence.ResidualNet` along time: a cumulative norm, and a recurrent layer that runs forwards."""

    def forward(self, x_PBSN: torch.Tensor) -> torch.Tensor:
        """Shape: (positions, batch, frames, features) -> (frames, batch, positions, features)."""
        y_PBSN = cumulative_norm(x_PBSN, self.norm.n_groups, self.norm.eps, self.memory, self.norm)
        y_SBPN = torch.addcmul(self.norm.bias, y_PBSN, self.norm.weight).transpose(0, 2)
        y_SQN, state = self.layer(y_SBPN.flatten(1, 2), None if self.memory is None else self.memory.get(self.layer))
        if self.memory is not None:
            self.memory[self.layer] = state
        return self.proj(y_SQN).view(y_SBPN.shape) + x_PBSN.transpose(0, 2)


class CausalBandSplit(BandSplit, Remembering):
    """:class:`.band_split.BandSplit` with cumulative norms."""

    def _normed(self, x_GBTI: torch.Tensor) -> torch.Tensor:
        return cumulative_norm(x_GBTI, 1, self.eps, self.memory, (self, x_GBTI.shape[0], x_GBTI.shape[3]))


class CausalMaskEstimation(MaskEstimation, Remembering):
    """:class:`.mask_estimation.MaskEstimation` with cumulative norms."""

    def _normed(self, x_KBTN: torch.Tensor) -> torch.Tensor:
        return cumulative_norm(x_KBTN, 1, self.eps, self.memory, self)


def causal_block(args: CausalBSRNNConfig, n_bands: int) -> BandSequenceBlock:
    """A block whose net along time is a :class:`CausalNet`; arguments as of :func:`.band_sequence.build_block`."""
    block = build_block(args, n_bands)
    if args.time_layer in RECURRENT:
        n_feat = args.feature_dim // args.n_heads
        groups = norm_groups(args.group_num, n_feat)
        block.time_net = CausalNet(args.time_layer, n_feat, args.hid_ratio, False, groups, args.eps)
    return block


class CausalBSRNN(BSRNN):
    """Band-Split RNN for streams: nets along time run forwards, norms know the past only, the transform has short delay.

    An estimate of a sample depends on the mixture up to the end of the next hop: 2 * n_hop - 1 samples ahead at most. No
    training of it has been published.

    Args:
        *arguments, **keywords: those of :class:`CausalBSRNNConfig`.

    Raises:
        UserError: for arguments that contradict each other or hear the future, with what is allowed.
    """

    Config = CausalBSRNNConfig
    stft: Any
    parts = (LowDelaySTFT, CausalBandSplit, causal_block, CausalMaskEstimation)

    def estimates(self, wav: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # BSRNN gives spectra too
        """Waveforms: a loss on spectra has a transform of its own, of its own windows."""
        return self(wav)

    def shared_key(self) -> Hashable:
        """Models of one transform share it."""
        return "low delay", self.n_fft, self.n_hop

    def spectral_core(self) -> None:
        """Its transform is none that other programs have."""
        return None

    def open_stream(self) -> CausalStream:
        """The model for blocks of one recording as they come."""
        return CausalStream(self)
