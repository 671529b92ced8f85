"""Permutation-invariant negative SI-SDR that survives silent targets and stops at good examples."""
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

SILENCE = 1e-10
"""Mean square below which a target counts as silent (-100 dB of full scale): SI-SDR says nothing about it."""


class PITNegSISDR(PITLossWrapper):
    """Asteroid's permutation-invariant wrapper around its pairwise negative SI-SDR, with two guards.

    A silent target takes part neither in the choice of the permutation nor in the mean over targets (its pairwise
    loss is a constant +80 dB without useful gradient). An example that is already better than the floor is left
    out, unless all are.

    Args:
        n_src (int): number of targets.
        floor_db (float, optional): an example counts only while its loss is above this, dB; None counts all.

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

    def __init__(self, n_src=2, floor_db=-30.0):
        super().__init__(pairwise_neg_sisdr, pit_from="pw_mtx")
        self.n_src, self.floor_db = n_src, floor_db

    def forward(self, est_targets, targets, return_est=False):
        """The loss, dB; with ``return_est`` also the estimates in the order of the targets."""
        per_example, has_speech, order = self._best(est_targets.float(), targets.float())
        loss = self._mean(per_example, has_speech)
        return (loss, self.reorder_source(est_targets, order)) if return_est else loss

    def _best(self, est_targets, targets):
        if targets.ndim != 3 or targets.shape[1] != self.n_src or est_targets.shape != targets.shape:
            raise ValueError(
                f"expected estimates and targets of shape (batch, {self.n_src}, time), "
                f"got {tuple(est_targets.shape)} and {tuple(targets.shape)}"
            )
        heard = (targets - targets.mean(-1, keepdim=True)).square().mean(-1) > SILENCE
        pairwise = self.loss_func(est_targets, targets).masked_fill(~heard.unsqueeze(1), 0.0)
        mean_over_all, order = self.find_best_perm(pairwise)
        n_heard = heard.sum(-1)
        return mean_over_all * self.n_src / n_heard.clamp(min=1), n_heard > 0, order

    def _mean(self, per_example, has_speech):
        counted = has_speech
        if self.floor_db is not None:
            unfinished = has_speech & (per_example.detach() > self.floor_db)
            counted = unfinished if unfinished.any() else has_speech
        return (per_example * counted).sum() / counted.sum().clamp(min=1)
