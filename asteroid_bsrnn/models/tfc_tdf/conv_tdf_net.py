"""ConvTDFNet, the network of KUIELab-MDX-Net."""

from typing import Any

from torch import nn

from .blocks import TFCTDF
from .config import ConvTDFNetConfig
from .unet import TDFUNet


class ConvTDFNet(TDFUNet):
    """TFC-TDF-U-Net v2 [1]: one source, spectrogram in and out. Output is not proportional to the level.

    The defaults are those published for vocals; drums, bass and other differ in ``n_fft`` only (4096, 16384, 8192).
    Frames come in multiples of 2 to the ``n_levels``.

    Args:
        See :class:`~asteroid_bsrnn.models.tfc_tdf.config.ConvTDFNetConfig`.

    References:
        [1] Kim et al., "KUIELab-MDX-Net: A Two-Stream Neural Network for Music Demixing", MDX Workshop 2021.
    """

    Config = ConvTDFNetConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config, TFCTDF)
        self.bottleneck_block = TFCTDF(config.widths[-1], config.dim_f // 2**config.n_levels, config)

    def bottleneck(self) -> list[nn.Module]:
        """One block."""
        return [self.bottleneck_block]
