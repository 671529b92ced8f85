"""DTTNet: TFC-TDF U-Net with a dual-path bottleneck."""

from typing import Any

from torch import nn

from .blocks import BLOCKS
from .config import DTTNetConfig
from .dual_path import DualPath
from .unet import TDFUNet


class DTTNet(TDFUNet):
    """Dual-path TFC-TDF U-Net [1]: one source, spectrogram in and out. Output is not proportional to the level.

    The defaults are those published for vocals, drums and other; bass has ``dim_f`` 864 and ``bottleneck`` 2.

    Args:
        See :class:`~asteroid_bsrnn.models.tfc_tdf.config.DTTNetConfig`.

    References:
        [1] Chen, Vekkot and Shukla, "Music Source Separation Based on a Lightweight Deep Learning Framework (DTTNet)",
        ICASSP 2024.
    """

    Config = DTTNetConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        block = BLOCKS[config.block_type]
        super().__init__(config, block)
        self.bottleneck_block1 = block(config.widths[-1], config.dim_f // 2**config.n_levels, config)
        self.bottleneck_block2 = DualPath(config.widths[-1], config)

    def bottleneck(self) -> list[nn.Module]:
        """A block, and paths along frames and bins."""
        return [self.bottleneck_block1, self.bottleneck_block2]
