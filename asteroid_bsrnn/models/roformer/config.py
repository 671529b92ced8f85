"""Constructor arguments of the RoFormers, with their checks. Defaults: the published networks of one source [1, 2].

References
    [1] W.-T. Lu et al., "Music Source Separation with Band-Split RoPE Transformer", ICASSP 2024.
    [2] J.-C. Wang, W.-T. Lu and M. Won, "Mel-Band RoFormer for Music Source Separation", arXiv 2310.01809.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...common.errors import UserError
from ..layers.checks import (
    as_lists,
    check_known,
    fraction,
    number,
    set_plain,
    source_names,
    truth,
    whole,
    whole_list,
    whole_numbers,
)
from .bands import BANDS, mel_bands

FINAL_NORMS = ("per_band", "shared")


@dataclass(frozen=True)
class RoFormerConfig:
    """What both networks share.

    Args:
        sources: names of what is estimated; several share the trunk, each has a mask estimator of its own.
        sample_rate: in Hz.
        in_channels: channels that are read together.
        n_fft, n_hop: STFT in samples.
        win_length: of the Hann window, samples; None is ``n_fft``.
        normalized: STFT divided by the root of ``n_fft``.
        feature_dim: features per band and frame.
        n_repeats: blocks (L in the papers).
        n_time_layers, n_band_layers: transformer layers over time and over bands in each block.
        n_linear_layers: layers of linear attention, over all frames and bands at once, that begin each block.
        n_heads, dim_head: attention heads and the features of each, an even number (pairs are rotated).
        gate: each head's output times a sigmoid of the layer's input (the public weights; not the papers).
        mask_depth: hidden layers of the mask estimation.
        mask_ratio: their features as a multiple of ``feature_dim``.
        attn_dropout, ff_dropout: probabilities in training: of attention weights and outputs, in the feed-forward nets.
        skip: each block also reads the sum of all earlier blocks' outputs.
        zero_dc: estimates have no bin of 0 Hz.
        segment: length of the segments that it is made for, in seconds.

    Raises:
        UserError: for arguments out of range, with what is allowed.
    """

    sources: Sequence[str] = ("vocals",)
    sample_rate: int = 44100
    in_channels: int = 2
    n_fft: int = 2048
    n_hop: int = 441
    win_length: int | None = None
    normalized: bool = False
    feature_dim: int = 384
    n_repeats: int = 6
    n_time_layers: int = 1
    n_band_layers: int = 1
    n_linear_layers: int = 0
    n_heads: int = 8
    dim_head: int = 48
    gate: bool = False
    mask_depth: int = 1
    mask_ratio: int = 4
    attn_dropout: float = 0.1
    ff_dropout: float = 0.1
    skip: bool = False
    zero_dc: bool = False
    segment: float = 8.0

    def __post_init__(self) -> None:
        set_plain(self, sources=source_names(as_lists(self.sources)))
        counts = ("sample_rate", "in_channels", "feature_dim", "n_repeats", "n_heads", "mask_ratio")
        whole_numbers(self, counts)
        whole_numbers(self, ("n_time_layers", "n_band_layers", "n_linear_layers", "mask_depth"), least=0)
        truth(self, "normalized", "gate", "skip", "zero_dc")
        number("segment", self.segment, above=0)
        self._check_stft()
        for name in ("attn_dropout", "ff_dropout"):
            fraction(name, getattr(self, name))
        if (
            isinstance(self.dim_head, bool)
            or not isinstance(self.dim_head, int)
            or self.dim_head < 2
            or self.dim_head % 2
        ):
            raise UserError(f"dim_head must be an even number of at least 2, got {self.dim_head!r}")

    def _check_stft(self) -> None:
        whole("n_fft", self.n_fft, 4)
        if self.n_fft % 2:
            raise UserError(f"n_fft must be even, got {self.n_fft}")
        if self.win_length is not None:
            whole("win_length", self.win_length, 2, self.n_fft)
        whole("n_hop", self.n_hop, 1, (self.win_length or self.n_fft) // 2)


@dataclass(frozen=True)
class BSRoFormerConfig(RoFormerConfig):
    """:class:`RoFormerConfig` and the bands.

    Args:
        bands: bins of each band from 0 Hz on; None is the published split of 1025 bins into 62 bands.
        final_norm: before the mask estimation: ``"per_band"`` (the paper) or ``"shared"`` (the public weights).
    """

    bands: Sequence[int] | None = None
    final_norm: str = "per_band"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("final_norm", self.final_norm, FINAL_NORMS)
        if self.bands is not None:
            set_plain(self, bands=as_lists(self.bands))
            whole_list("bands", self.bands, "a list of whole numbers")
        if sum(self.widths) != self.n_fft // 2 + 1:
            raise UserError(f"bands must sum to n_fft / 2 + 1 = {self.n_fft // 2 + 1} bins, got {sum(self.widths)}")

    @property
    def widths(self) -> list[int]:
        """Bins of each band."""
        return list(BANDS if self.bands is None else self.bands)

    @property
    def bins(self) -> list[list[int]]:
        """Bins of each band."""
        starts = [sum(self.widths[:band]) for band in range(len(self.widths))]
        return [list(range(start, start + width)) for start, width in zip(starts, self.widths)]


@dataclass(frozen=True)
class MelBandRoFormerConfig(RoFormerConfig):
    """:class:`RoFormerConfig` and the number of bands.

    Args:
        n_bands: overlapping bands that are equally wide in mel.
    """

    n_bands: int = 60

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("n_bands", self.n_bands)
        mel_bands(self.n_bands, self.n_fft, self.sample_rate)

    @property
    def bins(self) -> list[list[int]]:
        """Bins of each band."""
        return mel_bands(self.n_bands, self.n_fft, self.sample_rate)
