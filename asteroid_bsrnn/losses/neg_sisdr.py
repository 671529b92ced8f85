"""Permutation-invariant negative SI-SDR that survives silent targets and stops at good examples."""

import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

from ..common.precision import full_precision

SILENCE = 1e-10
"""Mean square below which a target counts as silent (-100 dB of full scale): SI-SDR says nothing about it."""


class PITNegSISDR(PITLossWrapper):
    """Asteroid's permutation-invariant wrapper around its pairwise negative SI-SDR, with two guards.

    A silent target takes part neither in the choice of the permutation nor in the mean over targets (its pairwise
    loss is a constant +80 dB without useful gradient). An example that is already better than the floor is left
    out, unless all are. "All" are those of the effective batch, however it is split over devices and accumulation:
    see :meth:`totals`, which the training loop uses.

    Args:
        n_src: number of targets.
        floor_db: an example counts only while its loss is above this, dB; None counts all.

    Shape: ``loss(est_targets, targets)``, both (batch, n_src, time) -> scalar.

    Raises:
        ValueError: for another number of targets or estimates than ``n_src``.

    Examples
        >>> import torch
        >>> targets = torch.randn(3, 2, 800)
        >>> loss = PITNegSISDR(n_src=2, floor_db=None)
        >>> bool(loss(targets.flip(1), targets) < -60)
        True
    """

    def __init__(self, n_src: int = 2, floor_db: float | None = -30.0) -> None:
        super().__init__(pairwise_neg_sisdr, pit_from="pw_mtx")
        self.n_src, self.floor_db = n_src, floor_db

    def forward(
        self, est_targets: torch.Tensor, targets: torch.Tensor, return_est: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The loss, dB; with ``return_est`` also the estimates in the order of the targets."""
        per_example, has_speech, order = self._best(est_targets.float(), targets.float())
        total, count = self._totals(per_example, has_speech)
        if not count:
            total, count = self._totals(per_example, has_speech, keep_all=True)
        loss = total / count.clamp(min=1)
        return (loss, self.reorder_source(est_targets, order)) if return_est else loss

    def totals(
        self, est_targets: torch.Tensor, targets: torch.Tensor, keep_all: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the loss over the examples that count, and their number, 0 included.

        Args:
            est_targets, targets: (batch, n_src, time).
            keep_all: count what is better than the floor too.
        """
        return self._totals(*self._best(est_targets.float(), targets.float())[:2], keep_all)

    def _best(
        self, est_targets: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if targets.ndim != 3 or targets.shape[1] != self.n_src or est_targets.shape != targets.shape:
            raise ValueError(
                f"expected estimates and targets of shape (batch, {self.n_src}, time), "
                f"got {tuple(est_targets.shape)} and {tuple(targets.shape)}"
            )
        heard = (targets - targets.mean(-1, keepdim=True)).square().mean(-1) > SILENCE
        with full_precision(targets.device):  # 16 bits would round SI-SDR to steps of 0.06 dB and more
            pairwise = self.loss_func(est_targets, targets).masked_fill(~heard.unsqueeze(1), 0.0)
            mean_over_all, order = self.find_best_perm(pairwise)
        n_heard = heard.sum(-1)
        return mean_over_all * self.n_src / n_heard.clamp(min=1), n_heard > 0, order

    def _totals(
        self, per_example: torch.Tensor, has_speech: torch.Tensor, keep_all: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        counted = has_speech
        if self.floor_db is not None and not keep_all:
            counted = has_speech & (per_example.detach() > self.floor_db)
        return (per_example * counted).sum(), counted.sum()
