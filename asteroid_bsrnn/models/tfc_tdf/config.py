"""Constructor arguments of the networks, as plain values, and their checks."""

from dataclasses import dataclass
from typing import Any

from ...common.errors import UserError
from ..layers.checks import (
    as_lists,
    check_known,
    divides,
    number,
    numbered,
    set_plain,
    source_names,
    truth,
    whole,
    whole_list,
    whole_numbers,
)
from .norms import check_norm

BLOCK_TYPES = ("TFC_TDF", "TFC_TDF_Res1", "TFC_TDF_Res2")


@dataclass(frozen=True)
class SpectrogramConfig:
    """What every network of the family is told.

    Args:
        sources: names of what is estimated.
        sample_rate: in Hz.
        in_channels: channels that are read at once.
        n_fft: STFT window in samples, even.
        n_hop: STFT hop in samples, at most half the window.
        dim_f: how many of the lowest bins are kept.
        dim_t: frames of a native segment, which has ``n_hop * (dim_t - 1)`` samples.

    Raises:
        UserError: for an argument out of range or arguments that contradict each other.
    """

    sources: Any = ("vocals",)
    sample_rate: float = 44100
    in_channels: int = 2
    n_fft: int = 6144
    n_hop: int = 1024
    dim_f: int = 2048
    dim_t: int = 256

    def __post_init__(self) -> None:
        set_plain(self, sources=source_names(as_lists(self.sources)))
        number("sample_rate", self.sample_rate, above=0)
        whole_numbers(self, ("in_channels", "dim_f"))
        whole("dim_t", self.dim_t, least=2)
        whole("n_fft", self.n_fft, least=4)
        if self.n_fft % 2:
            raise UserError(f"n_fft must be even, got {self.n_fft}")
        whole("n_hop", self.n_hop, most=self.n_fft // 2)
        whole("dim_f", self.dim_f, most=self.n_fft // 2 + 1)

    @property
    def min_frames(self) -> int:
        """The network needs at least so many frames."""
        return 1


@dataclass(frozen=True)
class ConvTDFNetConfig(SpectrogramConfig):
    """As :class:`SpectrogramConfig`, for one source, and:

    Args:
        n_levels: halvings of frames and bins.
        n_convs: convolutions of a block.
        growth: channels of the first level, and how many each further level has more.
        kernel_size: of those convolutions, odd.
        bottleneck: the two linear layers of a TDF have ``bins // bottleneck`` features between them; 0: it is one layer
            from bins to bins; None: there is no TDF, and no residual connection around it.
        bias: whether the linear layers have one.
        norm_type: see :func:`~asteroid_bsrnn.models.tfc_tdf.norms.norm`.
    """

    n_levels: int = 5
    n_convs: int = 3
    growth: int = 32
    kernel_size: int = 3
    bottleneck: int | None = 8
    bias: bool = False
    norm_type: str = "BatchNorm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sources) != 1:
            raise UserError(f"sources must be one name, got {', '.join(self.sources)}: join several in a StemSeparator")
        whole("n_levels", self.n_levels, least=0)
        whole_numbers(self, ("n_convs", "growth", "kernel_size"))
        truth(self, "bias")
        if self.kernel_size % 2 == 0:
            raise UserError(f"kernel_size must be odd, got {self.kernel_size}")
        bottom = _bins_below(self.dim_f, 2, self.n_levels)
        if self.bottleneck is not None:
            whole("bottleneck", self.bottleneck, least=0, most=bottom)
        check_norm(self.norm_type, self.widths)

    @property
    def widths(self) -> list[int]:
        """Channels of each level, the bottleneck last."""
        return [self.growth * (level + 1) for level in range(self.n_levels + 1)]

    @property
    def frame_multiple(self) -> int:
        """Frames come in multiples of this."""
        return 2**self.n_levels


@dataclass(frozen=True)
class DTTNetConfig(ConvTDFNetConfig):
    """As :class:`ConvTDFNetConfig`, and:

    Args:
        block_type: "TFC_TDF" (no residual connection), "TFC_TDF_Res1" (around the convolutions) or "TFC_TDF_Res2"
            (around all, with convolutions on both sides of the TDF).
        rnn_type: "LSTM" or "GRU", of the dual-path modules.
        bidirectional: whether it runs both ways.
        n_repeats: dual-path modules.
        n_heads: parts of the channels that share their weights.
    """

    n_levels: int = 2
    block_type: str = "TFC_TDF_Res2"
    rnn_type: str = "LSTM"
    bidirectional: bool = True
    n_repeats: int = 4
    n_heads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("block_type", self.block_type, BLOCK_TYPES)
        check_known("rnn_type", self.rnn_type, ("LSTM", "GRU"))
        truth(self, "bidirectional")
        whole("n_repeats", self.n_repeats, least=0)
        whole("n_heads", self.n_heads)
        width = self.widths[-1]
        if width % self.n_heads or width // self.n_heads < 16 or width // self.n_heads % (width // self.n_heads // 16):
            raise UserError(
                f"n_heads {self.n_heads} leaves {width / self.n_heads:g} of {width} channels for a head: "
                "they must be a whole number n of at least 16 that n // 16 divides"
            )


@dataclass(frozen=True)
class TFCTDFv3Config(SpectrogramConfig):
    """As :class:`SpectrogramConfig`, for any number of sources, and:

    Args:
        n_scales: levels.
        n_blocks: blocks at each level.
        n_chan: channels of the first level.
        growth: how many each further level has more.
        bottleneck: a TDF has ``bins // bottleneck`` features between its two linear layers.
        n_subbands: the bins are cut into so many bands, which are read as channels.
        scale: (frames, bins) that a level takes together.
        norm_type: see :func:`~asteroid_bsrnn.models.tfc_tdf.norms.norm`.
        act: "gelu", "relu" or "elu" with its alpha ("elu1.0").
    """

    sources: Any = numbered(4)
    n_fft: int = 8192
    dim_f: int = 4096
    n_scales: int = 5
    n_blocks: int = 2
    n_chan: int = 64
    growth: int = 64
    bottleneck: int = 4
    n_subbands: int = 4
    scale: Any = (2, 2)
    norm_type: str = "InstanceNorm"
    act: str = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        set_plain(self, scale=tuple(as_lists(self.scale)) if isinstance(as_lists(self.scale), list) else self.scale)
        whole_list("scale", self.scale, "two whole numbers (frames, bins)", 2, 2)
        whole_numbers(self, ("n_scales", "growth"), least=0)
        whole_numbers(self, ("n_blocks", "n_chan", "n_subbands"))
        divides("dim_f", self.dim_f, "n_subbands", self.n_subbands)
        whole("bottleneck", self.bottleneck, most=self.bins_at_the_bottom)
        check_norm(self.norm_type, self.widths)
        check_norm(self.norm_type, [2 * width for width in self.widths[:-1]])
        _check_act(self.act)

    @property
    def widths(self) -> list[int]:
        """Channels of each level, the bottleneck last."""
        return [self.n_chan + self.growth * level for level in range(self.n_scales + 1)]

    @property
    def bins_at_the_bottom(self) -> int:
        """Bins of a band at the bottleneck."""
        return _bins_below(self.dim_f // self.n_subbands, self.scale[1], self.n_scales)

    @property
    def frame_multiple(self) -> int:
        """Frames come in multiples of this."""
        return self.scale[0] ** self.n_scales

    @property
    def min_frames(self) -> int:
        """A norm of single maps needs two values in each: two frames where the bottleneck's TDF has one feature."""
        single = self.norm_type == "InstanceNorm" and self.bins_at_the_bottom // self.bottleneck == 1
        return self.frame_multiple + 1 if single else 1


def _bins_below(n_bins: int, factor: int, n_levels: int) -> int:
    if n_bins % factor**n_levels:
        raise UserError(f"{n_bins} bins cannot be divided by {factor} {n_levels} times")
    return n_bins // factor**n_levels


def _check_act(act: str) -> None:
    try:
        known = act in ("gelu", "relu") or act.startswith("elu") and float(act[3:]) >= 0
    except (AttributeError, ValueError):
        known = False
    if not known:
        raise UserError(f"unknown act {act!r}: known are gelu, relu and elu with its alpha (elu1.0)")
