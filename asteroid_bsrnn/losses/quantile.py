"""Loss masking: the worst of a batch does not count, since it is likely to be mislabelled."""

import math

import torch
from torch import nn

from ..common.errors import UserError
from ..common.registry import check_known
from .signals import waveforms_of

UNITS = ("item", "sample")


class QuantileMSELoss(nn.Module):
    """Mean squared error without what lies at or above a quantile of it, for each source by itself [1]_.

    What is left out counts as zero in the mean. The best is always kept, so that a batch of one item still trains.
    In evaluation mode nothing is left out.

    Args:
        quantile: between 0 and 1 (linear interpolation); 0.4 of items and 0.93 of samples are published.
        unit: what is left out: an ``"item"`` of the batch (all its channels and samples), or single ``"sample"``\\ s.

    Shape:
        - est_targets: waveforms ``(batch, n_src, channels, time)``; of a tuple, its first entry
        - targets: likewise

    Raises:
        ValueError: a quantile outside 0 to 1, an unknown unit, or shapes that do not agree.

    References
        [1] M. Kim, J. H. Lee and S. Jung, "Sound Demixing Challenge 2023 Music Demixing Track Technical Report:
        TFC-TDF-UNet v3", arXiv 2306.09382.

    Examples
        >>> errors = torch.tensor([1.0, 2.0, 9.0]).reshape(3, 1, 1, 1)
        >>> QuantileMSELoss(0.9)(errors, torch.zeros(3, 1, 1, 1)) * 3
        tensor(5.)
    """

    def __init__(self, quantile: float = 0.95, unit: str = "item") -> None:
        super().__init__()
        if not 0 <= quantile <= 1:
            raise UserError(f"quantile must lie between 0 and 1, got {quantile}")
        check_known("unit", unit, UNITS)
        self.quantile, self.unit = quantile, unit

    def forward(self, est_targets: torch.Tensor | tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
        error_SBCL = (waveforms_of(est_targets, targets) - targets).square().transpose(0, 1)
        if not self.training:
            return error_SBCL.mean()
        error_SN = error_SBCL.mean((-2, -1)) if self.unit == "item" else error_SBCL.flatten(1)
        return (error_SN * self.kept(error_SN.detach())).mean()

    def kept(self, error_SN: torch.Tensor) -> torch.Tensor:
        """What counts, for each source."""
        position = self.quantile * (error_SN.shape[1] - 1)
        ranks = 1 + math.floor(position), 1 + math.ceil(position)
        below, above = (error_SN.kthvalue(rank, dim=1, keepdim=True).values for rank in ranks)
        limit = torch.lerp(below, above, position % 1)
        return (error_SN < limit) | (error_SN == error_SN.amin(1, keepdim=True))
