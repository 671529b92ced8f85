"""L1-SNR: the ratio of absolute values of reference and error over a whole song, in dB.

References
    [1] K. N. Watcharasupat et al., "A Generalized Bandsplit Neural Network for Cinematic Audio Source Separation",
        IEEE OJSP, 2023: the distance D_p with p = 1, whose negative this is.
"""

import torch

from .energies import check_finite, check_signals, in_float64
from .metric import Metric, register_metric

SHAPE = "(batch, n_src, channels, time)"
EPS = 1e-3  # added to both sums, as in [1]; of a song that sounds, it is nothing
_BLOCK = 8192  # samples at a time: fits the cache


class AbsoluteSums:
    """Sums of absolute values of references and errors of a song, from blocks.

    Args:
        sample_rate: Hz; of no meaning here.
    """

    def __init__(self, sample_rate: int = 0) -> None:
        self.signal: torch.Tensor | float = 0.0
        self.error: torch.Tensor | float = 0.0

    def update(self, est_targets: torch.Tensor, targets: torch.Tensor, mixture: torch.Tensor | None = None) -> None:
        """Add a block.

        Shape:
            - est_targets, targets: (..., channels, time)
        """
        for est, target in zip(est_targets.split(_BLOCK, -1), targets.split(_BLOCK, -1)):
            self.signal = self.signal + _sum(target)
            self.error = self.error + _sum(est - target)

    def scores(self) -> torch.Tensor:
        """L1-SNR in dB, (...)."""
        return 10 * torch.log10((torch.as_tensor(self.signal) + EPS) / (torch.as_tensor(self.error) + EPS))


def _sum(wav: torch.Tensor) -> torch.Tensor:
    """Sum of absolute values over channels and time, in float64."""
    return in_float64(wav.abs().sum(-1)).sum(-1).cpu()


def l1_snr(est_targets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``10 log10((sum |s| + 1e-3) / (sum |est - s| + 1e-3))`` over channels and time of the whole song, in dB.

    The sums are those of whole songs, where the loss of [1] takes training segments. A silent reference gives a low but
    finite score; an estimate of zeros has 0 dB. Over songs it is averaged by the mean.

    Shape:
        - est_targets, targets: (batch, n_src, channels, time)
        - output: (batch, n_src), float64

    Raises:
        TypeError: if an input is not a floating-point tensor.
        ValueError: for wrong or different shapes, NaN or infinite samples.

    Examples
        >>> import torch
        >>> targets = torch.ones(1, 1, 2, 1000)
        >>> l1_snr(0.9 * targets, targets).round(decimals=3)
        tensor([[10.]], dtype=torch.float64)
    """
    check_signals(est_targets, targets, SHAPE)
    sums = AbsoluteSums()
    sums.update(est_targets, targets)
    check_finite(torch.stack([torch.as_tensor(sums.signal), torch.as_tensor(sums.error)]))
    return sums.scores()


register_metric(
    Metric(
        "l1_snr",
        "L1-SNR",
        "dB",
        "music",
        AbsoluteSums.scores,
        "mean",
        "higher",
        "10 log10((sum |s| + 1e-3) / (sum |est - s| + 1e-3)) over the whole track; mean over tracks",
        collect=AbsoluteSums,
        silence=0.0,
    )
)
