"""What a BSRNN is made of: its constructor arguments, checked before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...common.errors import UserError
from ..layers.checks import as_lists, check_known, divides, number, set_plain, source_names, truth, whole, whole_numbers
from .bands import band_widths, choose_scheme
from .sequence import LAYERS
from .tac import ACTIVATIONS

STEREO = ("naive", "tac")
_COUNTS = ("sample_rate", "in_channels", "n_fft", "n_hop", "feature_dim", "n_repeats", "hid_ratio", "mask_ratio", "n_heads",
           "attn_dim", "tac_ratio")  # fmt: skip
PerNet = int | Sequence[int]


@dataclass(frozen=True)
class BSRNNConfig:
    """Constructor arguments of :class:`~asteroid_bsrnn.models.BSRNN`.

    Args:
        sources: names of what is separated; several share everything but the mask estimation.
        bands: band scheme: None is the single source's own (joint for several sources or an
            unknown one), a name of :data:`~asteroid_bsrnn.models.bsrnn.bands.SCHEMES`, or a list of (count, Hz).
        sample_rate: in Hz.
        in_channels: channels that a naive stereo model reads together.
        n_fft: STFT window in samples.
        n_hop: STFT hop in samples.
        feature_dim: N, features per band.
        n_repeats: R, blocks of time net and band net.
        hid_ratio: hidden features of a recurrent layer per direction, as a multiple of its input.
        time_layer, band_layer: "lstm", "gru", "conv", "dilated" (BSCNN) or "none" (also None).
        bidirectional: whether recurrent layers run both ways (conv layers have half the width otherwise).
        mask_ratio: hidden features of the mask estimation as a multiple of N.
        mask_context: box sum over this many neighbouring bins on both sides of each estimate.
        residual_source: the last source is the mixture less the others (ignored for a single one).
        n_heads: parallel heads that share the weights of the nets.
        n_attn_heads: attention heads; 0 is no attention.
        attn_dim: features per band of queries and keys.
        stereo: "naive" or "tac".
        tac_ratio: hidden features of TAC as a multiple of N.
        tac_act: "tanh" or "prelu".
        group_num: groups of the nets' norms; None is one per 16 features.
        n_dilated, dilated_kernel, dilated_ratio: dilated layers, taps and hidden channels (as a
            multiple of the features) of "dilated" nets; a pair is (time net, band net).
        eps: added to the variance in norms, except those of the attention (always 1e-7, as in the reference).

    Raises:
        UserError: for arguments that contradict each other, with what is allowed.
    """

    sources: Sequence[str] = ("vocals",)
    bands: Any = None
    sample_rate: int = 44100
    in_channels: int = 2
    n_fft: int = 2048
    n_hop: int = 512
    feature_dim: int = 64
    n_repeats: int = 8
    hid_ratio: int = 2
    time_layer: str | None = "lstm"
    band_layer: str | None = "lstm"
    bidirectional: bool = True
    mask_ratio: int = 4
    mask_context: int = 0
    residual_source: bool = False
    n_heads: int = 1
    n_attn_heads: int = 0
    attn_dim: int = 16
    stereo: str | None = None
    tac_ratio: int = 3
    tac_act: str = "prelu"
    group_num: int | None = 1
    n_dilated: PerNet = 3
    dilated_kernel: PerNet = 3
    dilated_ratio: PerNet = 1
    eps: float = 1e-7

    def __post_init__(self) -> None:
        set_plain(self, sources=source_names(self.sources), bands=as_lists(self.bands))
        set_plain(self, time_layer=self.time_layer or "none", band_layer=self.band_layer or "none")
        pairs = ("n_dilated", "dilated_kernel", "dilated_ratio")
        set_plain(self, **{name: as_lists(getattr(self, name)) for name in pairs})
        whole_numbers(self, _COUNTS)
        whole_numbers(self, ("mask_context", "n_attn_heads"), least=0)
        check_known("time_layer", self.time_layer, LAYERS)
        check_known("band_layer", self.band_layer, LAYERS)
        check_known("tac_act", self.tac_act, ACTIVATIONS)
        if self.stereo is not None:
            check_known("stereo", self.stereo, STEREO)
        truth(self, "bidirectional", "residual_source")
        for name, least in zip(pairs, (0, 1, 1)):
            _whole_or_pair(name, getattr(self, name), least)
        number("eps", self.eps, above=0)
        self._check_divisions()

    def _check_divisions(self) -> None:
        for name in ("n_heads", "n_attn_heads"):
            heads = getattr(self, name)
            if heads:
                divides("feature_dim", self.feature_dim, name, heads)
        if self.group_num is not None:
            whole("group_num", self.group_num)
        n_feat = self.feature_dim // self.n_heads
        groups = norm_groups(self.group_num, n_feat)
        if n_feat % groups:
            raise UserError(
                f"feature_dim / n_heads = {n_feat} is not divisible into {groups} groups (group_num {self.group_num})"
            )

    @property
    def widths(self) -> list[int]:
        """Bins of each band."""
        return band_widths(choose_scheme(self.sources, self.bands), self.n_fft, self.sample_rate)

    @property
    def n_masks(self) -> int:
        """Sources with a mask: all, or all but the last where that is the residual."""
        return len(self.sources) - (self.residual_source and len(self.sources) > 1)

    @property
    def mask_channels(self) -> int:
        """Channels of one band split and mask: those of naive stereo, else 1."""
        return self.in_channels if self.stereo == "naive" else 1


def norm_groups(group_num: int | None, n_feat: int) -> int:
    """Groups of the norms: as given, or one per 16 features where None."""
    return max(n_feat // 16, 1) if group_num is None else group_num


def _whole_or_pair(name: str, value: Any, least: int) -> None:
    if isinstance(value, list) and len(value) == 2:
        for entry in value:
            whole(f"{name} (time net, band net)", entry, least)
    else:
        whole(name, value, least)
