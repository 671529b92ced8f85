"""Constructor arguments of uPIT-BLSTM, deep clustering and Chimera++, checked before anything is built."""

from dataclasses import dataclass
from typing import Any

from ...common.errors import UserError
from ..layers.checks import check_known, divides, fraction, number, truth, whole, whole_numbers

ACTIVATIONS = ("relu", "sigmoid")
SEPARATORS = ("mask", "clustering")


@dataclass(frozen=True)
class SpectralConfig:
    """What the networks on spectrograms have.

    Args:
        n_src: number of speakers.
        n_fft: samples of a frame.
        n_hop: samples between frames; divides ``n_fft``, at most half of it.
        hid_size: units of each LSTM per direction.
        n_layers: layers of each BiLSTM.
        dropout: between layers and before the masks or embeddings, in [0, 1).
        sample_rate: in Hz.

    Raises:
        ValueError: naming the argument and what is allowed.
    """

    n_src: int = 2
    n_fft: int = 256
    n_hop: int = 64
    hid_size: int = 300
    n_layers: int = 4


@dataclass(frozen=True)
class UPITConfig(SpectralConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.UPITBLSTM`: those of :class:`SpectralConfig`, and

    Args:
        mask_act: "relu" or "sigmoid".
        stacked: add the second stage.
        stack_estimates: the second stage sees the magnitudes that the first one estimates beside the mixture; without, it
            sees the mixture alone, which gives the published size.
    """

    n_hop: int = 128
    hid_size: int = 896
    n_layers: int = 3
    dropout: float = 0.5
    mask_act: str = "relu"
    stacked: bool = False
    stack_estimates: bool = False
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        _check(self)
        check_known("mask_act", self.mask_act, ACTIVATIONS)
        truth(self, "stacked", "stack_estimates")
        if self.stack_estimates and not self.stacked:
            raise UserError("stack_estimates needs stacked=True: there is no second stage to see the estimates")


@dataclass(frozen=True)
class DPCLConfig(SpectralConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.DPCL`: those of :class:`SpectralConfig`, and

    Args:
        embedding_dim: size of the embedding of a bin.
        kmeans_starts: restarts of the clustering.
        kmeans_seed: seed of the clustering; the same input gives the same output.
    """

    embedding_dim: int = 40
    dropout: float = 0.5
    kmeans_starts: int = 10
    kmeans_seed: int = 0
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        _check(self)
        whole_numbers(self, ("embedding_dim", "kmeans_starts"))


@dataclass(frozen=True)
class ChimeraConfig(SpectralConfig):
    """Arguments of :class:`~asteroid_bsrnn.models.Chimera`: those of :class:`DPCLConfig`, and

    Args:
        mask_act: "relu" or "sigmoid".
        alpha: weight of the clustering loss, in [0, 1].
        separate_by: "mask" (mask head) or "clustering" (k-means of the embeddings).
    """

    hid_size: int = 600
    embedding_dim: int = 20
    dropout: float = 0.3
    mask_act: str = "sigmoid"
    alpha: float = 0.975
    separate_by: str = "mask"
    kmeans_starts: int = 10
    kmeans_seed: int = 0
    sample_rate: float = 8000

    def __post_init__(self) -> None:
        _check(self)
        whole_numbers(self, ("embedding_dim", "kmeans_starts"))
        check_known("mask_act", self.mask_act, ACTIVATIONS)
        check_known("separate_by", self.separate_by, SEPARATORS)
        number("alpha", self.alpha)
        if not 0 <= self.alpha <= 1:
            raise UserError(f"alpha must be in [0, 1], got {self.alpha!r}")


def _check(config: Any) -> None:
    """What holds for all networks of this family."""
    whole("n_fft", config.n_fft, least=2)
    whole_numbers(config, ("n_src", "n_hop", "hid_size", "n_layers"))
    fraction("dropout", config.dropout)
    number("sample_rate", config.sample_rate, above=0)
    divides("n_fft", config.n_fft, "n_hop", config.n_hop)
    if 2 * config.n_hop > config.n_fft:
        raise UserError(f"n_hop must be at most half of n_fft ({config.n_fft}), got {config.n_hop}")
