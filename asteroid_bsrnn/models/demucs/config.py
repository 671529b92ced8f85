"""Constructor arguments of the Demucs networks, in the package's words but for ``sample_rate`` and ``in_channels``.

Defaults are the published networks. Arguments of the package that only matter to its own training, its sparse attention
(which needs a library of its own) and its lengths of training segments are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...common.errors import UserError
from ..layers.checks import as_lists, check_known, number, numbered, set_plain, source_names, truth, whole

T_EMBEDDINGS = ("sin", "cape", "scaled")
_FROM_ZERO = ("multi_freqs_depth", "context", "context_enc", "norm_starts", "dconv_mode", "dconv_attn", "dconv_lstm",
              "bottom_channels", "t_layers", "t_sin_random_shift", "lstm_layers")  # fmt: skip
_ANY = ("wiener_iters", "end_iters", "dconv_depth")


def check_fields(config: Any) -> None:
    """Check every field by its annotation.

    Raises:
        UserError: naming the argument, its value and what is allowed.
    """
    set_plain(config, sources=list(source_names(config.sources)))
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "sources" or (value is None and field.default is None):
            continue
        if field.type is bool:
            truth(config, field.name)
        elif field.type in (int, int | None):
            whole(field.name, value, least=-(10**9) if field.name in _ANY else int(field.name not in _FROM_ZERO))
        elif field.type is float:
            number(field.name, value, least=0)
        elif field.type is not str:
            set_plain(config, **{field.name: _numbers(field.name, value)})


def _numbers(name: str, values: Any) -> list[float]:
    values = as_lists(values)
    if not isinstance(values, list):
        raise UserError(f"{name} must be a list of numbers, got {values!r}")
    for value in values:
        number(f"each of {name}", value)
    return values


@dataclass(frozen=True)
class DemucsConfig:
    """Arguments of the time-only Demucs; the meaning of each is in the package's own class.

    Args:
        sources: names of what is separated, in any order.
        sample_rate: in Hz.
        in_channels: channels that are read together (``audio_channels`` there).
        segment: seconds that it is best given.
        channels: width of the first layer; the others (``growth``, ``depth``, ...) are the package's.
        context_padding: whether the decoder pads what it convolves over ``context``. Demucs v2 does not: it is given a longer
            recording, whose ends are cut off.
    """

    sources: Sequence[str] = numbered(4)
    in_channels: int = 2
    channels: int = 64
    growth: float = 2.0
    depth: int = 6
    rewrite: bool = False
    lstm_layers: int = 0
    kernel_size: int = 8
    stride: int = 4
    context: int = 1
    gelu: bool = True
    glu: bool = True
    norm_starts: int = 4
    norm_groups: int = 4
    dconv_mode: int = 1
    dconv_depth: int = 2
    dconv_comp: float = 4
    dconv_attn: int = 4
    dconv_lstm: int = 4
    dconv_init: float = 1e-3
    normalize: bool = True
    resample: bool = True
    rescale: float = 0.1
    sample_rate: float = 44100
    segment: float = 40
    context_padding: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.context_padding and not self.rewrite:
            raise UserError("context_padding false is about the convolutions of rewrite, which must then be true")
        if not self.context_padding and self.normalize:
            raise UserError(
                "context_padding false needs normalize false: Demucs v2 counts the silence around a recording"
            )


@dataclass(frozen=True)
class HybridConfig:
    """What the arguments of both hybrid networks begin with, in the order of the package's own classes."""

    sources: Sequence[str] = numbered(4)
    in_channels: int = 2
    channels: int = 48
    channels_time: int | None = None
    growth: float = 2
    nfft: int = 4096
    wiener_iters: int = 0
    end_iters: int = 0
    wiener_residual: bool = False
    cac: bool = True
    depth: int = 6
    rewrite: bool = True


@dataclass(frozen=True)
class HDemucsConfig(HybridConfig):
    """Arguments of Hybrid Demucs; the meaning of each is in the package's own class.

    Args:
        sources: names of what is separated, in any order.
        sample_rate: in Hz.
        in_channels: channels that are read together (``audio_channels`` there).
        segment: seconds that it is best given.
        channels: width of the first layer; the others (``growth``, ``depth``, ...) are the package's.
        cac: complex spectra; without it a Wiener filter follows, which cannot be trained.
    """

    hybrid: bool = True
    hybrid_old: bool = False
    multi_freqs: Sequence[float] | None = None
    multi_freqs_depth: int = 3
    freq_emb: float = 0.2
    emb_scale: float = 10
    emb_smooth: bool = True
    kernel_size: int = 8
    time_stride: int = 2
    stride: int = 4
    context: int = 1
    context_enc: int = 0
    norm_starts: int = 4
    norm_groups: int = 4
    dconv_mode: int = 1
    dconv_depth: int = 2
    dconv_comp: float = 4
    dconv_attn: int = 4
    dconv_lstm: int = 4
    dconv_init: float = 1e-3
    rescale: float = 0.1
    sample_rate: float = 44100
    segment: float = 44

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hybrid_old and not self.hybrid:
            raise UserError("hybrid_old is a padding of hybrid networks: it needs hybrid to be true")
        check_wiener(self, self.hybrid)
        if self.hybrid:
            self._check_nfft()

    def _check_nfft(self) -> None:
        """Where both branches meet, if the network is that deep, the time branch must have a frame per hop."""
        freqs, reduced = self.nfft // 2, 1
        for _ in range(self.depth):
            if freqs > 1:
                freqs = 1 if freqs <= self.kernel_size else freqs // self.stride
                reduced *= self.stride
        if self.nfft % 4 or (freqs == 1 and reduced != self.nfft // 4):
            raise UserError(
                f"nfft {self.nfft} does not fit a hybrid network of stride {self.stride}: a quarter of it must be what "
                f"the frequency layers shorten the time branch by, here {reduced} (1024 and 4096 do)"
            )


@dataclass(frozen=True)
class HTDemucsConfig(HybridConfig):
    """Arguments of Hybrid Transformer Demucs; the meaning of each is in the package's own class.

    Args:
        sources: names of what is separated, in any order.
        sample_rate: in Hz.
        in_channels: channels that are read together (``audio_channels`` there).
        segment: seconds that it is best given; any length is taken.
        channels: width of the first layer; the others (``growth``, ``depth``, ``t_layers``, ...) are the package's.
    """

    growth: int = 2
    depth: int = 4
    multi_freqs: Sequence[float] | None = None
    multi_freqs_depth: int = 3
    freq_emb: float = 0.2
    emb_scale: float = 10
    emb_smooth: bool = True
    kernel_size: int = 8
    time_stride: int = 2
    stride: int = 4
    context: int = 1
    context_enc: int = 0
    norm_starts: int = 4
    norm_groups: int = 4
    dconv_mode: int = 3
    dconv_depth: int = 2
    dconv_comp: float = 8
    dconv_init: float = 1e-3
    bottom_channels: int = 512
    t_layers: int = 5
    t_emb: str = "sin"
    t_hidden_scale: float = 4.0
    t_heads: int = 8
    t_dropout: float = 0.02
    t_max_positions: int = 10000
    t_norm_in: bool = True
    t_norm_in_group: bool = False
    t_group_norm: bool = False
    t_norm_first: bool = True
    t_norm_out: bool = True
    t_max_period: float = 10000.0
    t_layer_scale: bool = True
    t_gelu: bool = True
    t_weight_pos_embed: float = 1.0
    t_sin_random_shift: int = 0
    t_cape_mean_normalize: bool = True
    t_cape_augment: bool = True
    t_cape_glob_loc_scale: Sequence[float] = (5000.0, 1.0, 1.4)
    t_cross_first: bool = False
    rescale: float = 0.1
    sample_rate: float = 44100
    segment: float = 7.8

    def __post_init__(self) -> None:
        check_fields(self)
        check_known("t_emb", self.t_emb, T_EMBEDDINGS)
        check_wiener(self, True)


def check_wiener(config: Any, hybrid: bool) -> None:
    """Refuse a hybrid network with another number of Wiener iterations in training."""
    if hybrid and config.wiener_iters != config.end_iters:
        raise UserError(
            f"wiener_iters {config.wiener_iters} and end_iters {config.end_iters} of a hybrid network must be equal"
        )
