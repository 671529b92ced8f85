"""Constructor arguments of SepReformer, and the published sizes."""

from dataclasses import dataclass
from typing import Any

from ...common.errors import UserError
from ..layers.checks import divides, fraction, number, truth, whole_numbers

_SIZES = ("n_src", "n_filters", "kernel_size", "stride", "bn_chan", "n_stages", "n_heads", "max_rel")


@dataclass(frozen=True)
class Config:
    """Arguments of :class:`~asteroid_bsrnn.models.SepReformer`; the defaults are SepReformer-B for two speakers.

    Args:
        n_src: number of speakers.
        n_filters: channels N of the learned encoder.
        kernel_size: samples L of an encoder filter.
        stride: samples H between frames.
        bn_chan: features F of the separator.
        n_stages: halvings R of the frame rate.
        n_heads: attention heads; they divide ``bn_chan``.
        max_rel: frames m beyond which relative positions are told apart no more.
        local_kernel: taps K of the local blocks, odd.
        down_kernel: taps D before the frame rate is halved, odd.
        shared_split: one speaker split for all stages (the released B), or one for each (the L of the paper's table).
        dropout: probability, in [0, 1).
        auxiliary: with the heads that give estimates at every stage, for the training loss alone.
        sample_rate: Hz.

    Raises:
        UserError: naming the argument and what is allowed.
    """

    n_src: int = 2
    n_filters: int = 256
    kernel_size: int = 16
    stride: int = 4
    bn_chan: int = 128
    n_stages: int = 4
    n_heads: int = 8
    max_rel: int = 2000
    local_kernel: int = 65
    down_kernel: int = 5
    shared_split: bool = True
    dropout: float = 0.05
    auxiliary: bool = False
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        whole_numbers(self, (*_SIZES, "local_kernel", "down_kernel"))
        truth(self, "shared_split", "auxiliary")
        fraction("dropout", self.dropout)
        number("sample_rate", self.sample_rate, above=0)
        divides("bn_chan", self.bn_chan, "n_heads", self.n_heads)
        for name in ("local_kernel", "down_kernel"):
            if getattr(self, name) % 2 == 0:
                raise UserError(f"{name} must be odd, got {getattr(self, name)}")
        if self.stride > self.kernel_size:
            raise UserError(f"stride {self.stride} leaves gaps between filters of kernel_size {self.kernel_size}")


#: Published sizes. B and L are the authors' configurations; T, S and M give the printed sizes and operations.
SIZES: dict[str, dict[str, Any]] = {
    "T": {"bn_chan": 64},
    "S": {"kernel_size": 8, "stride": 2, "bn_chan": 64, "n_stages": 5},
    "B": {},
    "M": {"kernel_size": 8, "stride": 2, "n_stages": 5},
    "L": {"bn_chan": 256, "shared_split": False, "dropout": 0.1},
}
