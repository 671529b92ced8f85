"""The mixer of KUIELab-MDX-Net: one matrix on samples, applied to the estimates and the mixture together."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...common.products import Linear
from ..base import SeparationModel
from ..layers.checks import as_lists, number, numbered, set_plain, source_names, whole


@dataclass(frozen=True)
class MixerConfig:
    """Constructor arguments of :class:`Mixer`.

    Args:
        sources: names of the estimates, in the order in which they are read and given.
        sample_rate: in Hz; the matrix does not depend on it.
        in_channels: channels of each estimate and of the mixture.

    Raises:
        ValueError: for an argument out of range.
    """

    sources: Any = numbered(4)
    sample_rate: float = 44100
    in_channels: int = 2

    def __post_init__(self) -> None:
        set_plain(self, sources=source_names(as_lists(self.sources)))
        number("sample_rate", self.sample_rate, above=0)
        whole("in_channels", self.in_channels)


class Mixer(SeparationModel):
    """Estimates made of all estimates and the mixture, sample by sample. It separates nothing by itself.

    Args:
        See :class:`MixerConfig`. It begins as the identity on the estimates.

    References:
        Kim et al., "KUIELab-MDX-Net: A Two-Stream Neural Network for Music Demixing", MDX Workshop 2021.
    """

    Config = MixerConfig
    level_equivariant = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = self.Config(*args, **kwargs)
        super().__init__(config.sample_rate, config.in_channels)
        self.config, self.sources, self.n_src = config, config.sources, len(config.sources)
        rows = self.n_src * config.in_channels
        self.mixing_layer = Linear(rows + config.in_channels, rows, bias=False)
        nn.init.eye_(self.mixing_layer.weight)

    @property
    def channels(self) -> int:
        """Channels that :meth:`forward` reads at once: those of all estimates and of the mixture."""
        return (self.n_src + 1) * self.in_channels

    def forward(self, stacked_BKL: torch.Tensor) -> torch.Tensor:
        """Mix.

        Shape:
            (batch, (n_src + 1) * in_channels, time), the mixture last -> (batch, n_src * in_channels, time)
        """
        return self.mixing_layer(stacked_BKL.transpose(1, 2)).transpose(1, 2)

    def mix(self, est_BSCL: torch.Tensor, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Mix estimates in the order of ``sources``.

        Shape:
            - est_BSCL: (batch, n_src, in_channels, time)
            - wav_BCL: (batch, in_channels, time), the mixture
            - returns: (batch, n_src, in_channels, time)
        """
        return self(torch.cat([est_BSCL.flatten(1, 2), wav_BCL], 1)).view_as(est_BSCL)
