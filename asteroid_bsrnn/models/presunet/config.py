"""Constructor arguments of :class:`~asteroid_bsrnn.models.presunet.network.PResUNet`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..layers.checks import as_lists, check_known, set_plain, source_names, whole, whole_list, whole_numbers

N_SUBBANDS = (1, 2, 4, 8)
N_WIDTHS = 5


@dataclass(frozen=True)
class PResUNetConfig:
    """Arguments of PResUNet; the defaults are the published network for vocals.

    Args:
        sources: names of what is separated: one head each on one trunk.
        sample_rate: in Hz.
        in_channels: channels that are read together.
        n_subbands: sub-bands K of the filter bank (1 is no bank).
        n_units: residual units per stage: 8 for vocals, 4 for the joint network, 1 for the light one.
        n_head_units: residual units per head: 4, and 1 in the light network.
        widths: channels of the first five stages; the sixth, and the four in the middle, are as wide as the fifth.
        edge: samples of silence on both sides, which the filters' run-in falls on. 0 for the published weights, whose
            bank has no delay; ours needs 64.

    Raises:
        UserError: naming the argument, its value and what is allowed.
    """

    sources: Sequence[str] = ("vocals",)
    sample_rate: float = 44100
    in_channels: int = 2
    n_subbands: int = 4
    n_units: int = 8
    n_head_units: int = 4
    widths: Sequence[int] = (32, 64, 128, 256, 384)
    edge: int = 64

    def __post_init__(self) -> None:
        set_plain(self, sources=list(source_names(self.sources)), widths=as_lists(self.widths))
        check_known("n_subbands", self.n_subbands, N_SUBBANDS)
        whole_numbers(self, ("sample_rate", "in_channels", "n_units", "n_head_units"))
        whole("edge", self.edge, least=0)
        whole_list("widths", self.widths, f"{N_WIDTHS} whole numbers", N_WIDTHS, N_WIDTHS)

    @property
    def n_maps(self) -> int:
        """Spectra that are read at once: one for each channel and sub-band."""
        return self.in_channels * self.n_subbands
