"""Constructor arguments of A-FRCNN and S-FRCNN, checked before anything is built."""

from dataclasses import dataclass
from typing import Any

from ...common.errors import UserError
from ..layers.checks import check_known, number, truth, whole, whole_numbers
from ..layers.multi_scale import FUSIONS, check_sync_steps

DECODERS = ("joint", "shared")


@dataclass(frozen=True)
class FRCNNConfig:
    """What both networks have.

    Args:
        n_src: number of speakers.
        n_filters: channels of the learned encoder.
        kernel_size: samples of an encoder filter, odd; the hop is ``kernel_size // 2``.
        bn_chan: channels of the trunk (O of the paper); A-FRCNN (sum) has 128.
        hid_chan: channels inside the block (I of the paper).
        n_scales: stages S, at least 2.
        num_iters: iterations; weights are shared, so ``forward`` takes another number as well.
        decoder: "joint" (as published: every output sees the masked features of all speakers) or "shared" (one decoder,
            speaker by speaker).
        checkpointing: compute each iteration again for the gradient instead of keeping its activations.
        sample_rate: in Hz.

    Raises:
        ValueError: naming the argument and what is allowed.
    """

    n_src: int = 2
    n_filters: int = 512
    kernel_size: int = 21
    bn_chan: int = 512
    hid_chan: int = 512
    n_scales: int = 5
    num_iters: int = 16


@dataclass(frozen=True)
class AFRCNNConfig(FRCNNConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.AFRCNN`: those of :class:`FRCNNConfig`, and

    Args:
        fusion: neighbouring scales are joined by "concat" or "sum".
    """

    fusion: str = "concat"
    decoder: str = "joint"
    checkpointing: bool = False
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        _check(self)
        check_known("fusion", self.fusion, FUSIONS)


@dataclass(frozen=True)
class SFRCNNConfig(FRCNNConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.SFRCNN`: those of :class:`FRCNNConfig`, and

    Args:
        sync_steps: steps, each with its own weights; ``n_scales - 1``, just enough for the coarsest scale to reach the
            finest one, if None.
        prune_dead: leave out updates that cannot reach the output; False gives the published size.
    """

    sync_steps: int | None = None
    prune_dead: bool = True
    decoder: str = "joint"
    checkpointing: bool = False
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        _check(self)
        check_sync_steps(self)


def _check(config: Any) -> None:
    """What holds for both networks."""
    whole_numbers(config, ("n_src", "n_filters", "kernel_size", "bn_chan", "hid_chan", "num_iters"))
    whole("n_scales", config.n_scales, least=2)
    check_known("decoder", config.decoder, DECODERS)
    truth(config, "checkpointing")
    number("sample_rate", config.sample_rate, above=0)
    if config.kernel_size < 3 or config.kernel_size % 2 == 0:
        raise UserError(f"kernel_size must be odd and at least 3, got {config.kernel_size}")
