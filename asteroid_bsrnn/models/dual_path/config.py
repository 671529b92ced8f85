"""Constructor arguments of the dual-path networks, checked before anything is built."""

from dataclasses import dataclass
from typing import Any

from ...common.errors import UserError
from ..layers.checks import check_known, divides, fraction, number, set_plain, truth, whole, whole_numbers
from ..layers.multi_scale import check_sync_steps

PRESETS = {
    "paper_count": {"n_blocks": 7, "tie_intra": True, "tie_inter": False, "per_stage_proj": True},
    "literal": {"n_blocks": 6, "tie_intra": True, "tie_inter": True, "per_stage_proj": False},
}
RESAMPLINGS = ("avg", "dwconv")


@dataclass(frozen=True)
class MultiScaleConfig:
    """What the networks with several scales in the chunk have.

    Args:
        n_src: number of speakers.
        preset: which weights are tied. "paper_count" (7 blocks, inter-chunk modules of their own, projections per scale)
            has the published size; "literal" (6 blocks, everything tied) follows the text to the letter.
        n_blocks: blocks, if not the preset's.
        tie_intra: one intra-chunk module for all blocks, if not the preset's.
        tie_inter: one inter-chunk module for all blocks, if not the preset's.
        per_stage_proj: a projection for every scale, if not the preset's.
        n_filters: channels of the learned encoder.
        kernel_size: samples of an encoder filter.
        stride: samples between frames, at most ``kernel_size``.
        bn_chan: features in the chunks.
        hid_size: units of each LSTM per direction.
        chunk_size: frames of a chunk.
        hop_size: frames between chunks; divides ``chunk_size``.
        n_scales: scales inside the chunk, at least 2.
        sample_rate: in Hz.

    Raises:
        ValueError: naming the argument and what is allowed.
    """

    n_src: int = 2
    preset: str = "paper_count"
    n_blocks: int | None = None
    tie_intra: bool | None = None
    tie_inter: bool | None = None
    per_stage_proj: bool | None = None
    n_filters: int = 64
    kernel_size: int = 18
    stride: int = 8
    bn_chan: int = 128
    hid_size: int = 128
    chunk_size: int = 100
    hop_size: int = 50
    n_scales: int = 5

    def __post_init__(self) -> None:
        check_known("preset", self.preset, PRESETS)
        chosen = PRESETS[self.preset]
        set_plain(self, **{name: chosen[name] for name in chosen if getattr(self, name) is None})
        truth(self, "tie_intra", "tie_inter", "per_stage_proj")
        whole_numbers(self, ("n_blocks",))
        whole("n_scales", self.n_scales, least=2)
        _check(self)


@dataclass(frozen=True)
class ADPRNNConfig(MultiScaleConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.ADPRNNTasNet`: those of :class:`MultiScaleConfig`."""

    sample_rate: float = 8000


@dataclass(frozen=True)
class SDPRNNConfig(MultiScaleConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.SDPRNNTasNet`: those of :class:`MultiScaleConfig`, and

    Args:
        sync_steps: steps, each with its own weights; ``n_scales - 1`` if None.
        prune_dead: leave out updates that cannot reach the output; False gives the published size.
    """

    sync_steps: int | None = None
    prune_dead: bool = True
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sync_steps(self)


@dataclass(frozen=True)
class SandglassetConfig:
    """Arguments of :class:`~asteroid_bsrnn.models.Sandglasset`: of those of :class:`MultiScaleConfig` what it has, and

    Args:
        chunk_size: frames of a segment; the coarsest granularity divides it.
        n_blocks: blocks, even.
        n_heads: attention heads; divides ``bn_chan``.
        dropout: in the self-attention, in [0, 1).
        resampling: "avg" or "dwconv", how granularity is changed.
        legacy_residual: leave out the input of the attention, as public code does.
    """

    n_src: int = 2
    n_filters: int = 256
    kernel_size: int = 16
    stride: int = 8
    bn_chan: int = 128
    hid_size: int = 128
    chunk_size: int = 64
    hop_size: int = 32
    n_blocks: int = 6
    n_heads: int = 8
    dropout: float = 0.1
    resampling: str = "avg"
    legacy_residual: bool = False
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        _check(self)
        _check_attention(self)
        check_known("resampling", self.resampling, RESAMPLINGS)
        whole("n_blocks", self.n_blocks, least=2)
        if self.n_blocks % 2:
            raise UserError(f"n_blocks must be even, got {self.n_blocks}")
        divides("chunk_size", self.chunk_size, "the coarsest granularity", max(self.granularities))

    @property
    def granularities(self) -> list[int]:
        """By how much the chunk axis is reduced for the attention of each block."""
        return [4 ** min(block, self.n_blocks - 1 - block) for block in range(self.n_blocks)]


@dataclass(frozen=True)
class ASandglassetConfig(MultiScaleConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.ASandglasset`: those of :class:`MultiScaleConfig` and, of
    :class:`SandglassetConfig`, ``n_heads``, ``dropout`` and ``legacy_residual``."""

    n_filters: int = 256
    kernel_size: int = 16
    chunk_size: int = 64
    hop_size: int = 32
    n_heads: int = 8
    dropout: float = 0.1
    legacy_residual: bool = False
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_attention(self)


def _check(config: Any) -> None:
    """What holds for all networks of this family."""
    sizes = ("n_filters", "kernel_size", "stride", "bn_chan", "hid_size", "chunk_size", "hop_size")
    whole_numbers(config, ("n_src", *sizes))
    number("sample_rate", config.sample_rate, above=0)
    stride, kernel_size = config.stride, config.kernel_size
    if stride > kernel_size:
        raise UserError(f"stride ({stride}) must not exceed kernel_size ({kernel_size}): samples would be lost")
    divides("chunk_size", config.chunk_size, "hop_size", config.hop_size)


def _check_attention(config: Any) -> None:
    """The arguments of self-attention."""
    whole_numbers(config, ("n_heads",))
    divides("bn_chan", config.bn_chan, "n_heads", config.n_heads)
    fraction("dropout", config.dropout)
    truth(config, "legacy_residual")
