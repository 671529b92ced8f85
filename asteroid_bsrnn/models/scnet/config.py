"""Constructor arguments of :class:`~asteroid_bsrnn.models.scnet.network.SCNet`, in the words of the original."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...common.errors import UserError
from ..layers.checks import as_lists, number, numbered, set_plain, source_names, truth, whole, whole_list, whole_numbers

N_BANDS = 3


@dataclass(frozen=True)
class SCNetConfig:
    """Arguments of SCNet; the defaults are the published small network.

    Args:
        sources: names of what is separated, all by one trunk.
        sample_rate: in Hz.
        in_channels: channels that are read together.
        dims: channels before the first and after each encoder stage; the first is twice ``in_channels``.
        nfft: STFT window in samples.
        hop_size: STFT hop in samples.
        win_size: part of the window that is not zero, in samples; None is all of it.
        normalized: whether spectra are divided by the root of ``nfft``.
        band_SR: parts of the frequency axis that the three bands have; they add up to 1.
        band_stride: reduction of the frequency axis in each band.
        band_kernel: taps of that reduction.
        conv_depths: convolution modules in each band.
        compress: reduction of channels within a convolution module.
        conv_kernel: taps of a convolution module, odd.
        num_dplayer: dual-path layers, even.
        expand: hidden features of a recurrent layer per direction, as a multiple of its input.
        standardise: whether each item's spectrum is standardised inside, as the authors' class does since 2024-09-24.
        masked: the variant with a Hann window that estimates masks of the mixture's spectrum.

    Raises:
        UserError: naming the argument, its value and what is allowed.
    """

    sources: Sequence[str] = numbered(4)
    sample_rate: float = 44100
    in_channels: int = 2
    dims: Sequence[int] = (4, 32, 64, 128)
    nfft: int = 4096
    hop_size: int = 1024
    win_size: int | None = None
    normalized: bool = True
    band_SR: Sequence[float] = (0.175, 0.392, 0.433)
    band_stride: Sequence[int] = (1, 4, 16)
    band_kernel: Sequence[int] = (3, 4, 16)
    conv_depths: Sequence[int] = (3, 2, 1)
    compress: float = 4
    conv_kernel: int = 3
    num_dplayer: int = 6
    expand: int = 1
    standardise: bool = False
    masked: bool = False

    def __post_init__(self) -> None:
        set_plain(self, sources=list(source_names(self.sources)), win_size=self.win_size or self.nfft)
        for name in ("dims", "band_SR", "band_stride", "band_kernel", "conv_depths"):
            set_plain(self, **{name: as_lists(getattr(self, name))})
        whole_numbers(self, ("sample_rate", "in_channels", "conv_kernel", "num_dplayer", "expand"))
        whole("nfft", self.nfft, least=4)
        whole("win_size", self.win_size, most=self.nfft)
        whole("hop_size", self.hop_size, most=(self.win_size or self.nfft) - 1)
        number("compress", self.compress, above=0)
        truth(self, "normalized", "standardise", "masked")
        self._check_bands()
        self._check_dims()
        if self.conv_kernel % 2 == 0:
            raise UserError(f"conv_kernel must be odd, got {self.conv_kernel}")
        if self.num_dplayer % 2:
            raise UserError(f"num_dplayer must be even (every other layer sees a transform), got {self.num_dplayer}")
        if self.masked and self.standardise:
            raise UserError("masked and standardise exclude each other: a mask needs the spectrum as it is")

    def _check_bands(self) -> None:
        for name in ("band_SR", "band_stride", "band_kernel", "conv_depths"):
            values = getattr(self, name)
            if not isinstance(values, list) or len(values) != N_BANDS:
                raise UserError(f"{name} must have {N_BANDS} values, one for each band, got {values!r}")
            for value in values:
                if name == "band_SR":
                    number(name, value, above=0)
                else:
                    whole(name, value, least=int(name != "conv_depths"))
        if sum(self.band_SR[:2]) >= 1:
            raise UserError(f"band_SR must leave something to the third band, got {self.band_SR}")

    def _check_dims(self) -> None:
        whole_list("dims", self.dims, "at least two whole numbers", least=2)
        if self.dims[0] != 2 * self.in_channels:
            raise UserError(f"the first of dims must be twice in_channels {self.in_channels}, got {self.dims[0]}")
        if min(self.dims[1:]) < self.compress:
            raise UserError(f"compress {self.compress} leaves no channel of dims {self.dims}")
