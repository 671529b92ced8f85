"""A user's score: the largest sample of the error against that of the reference; smaller is better."""

import torch

from asteroid_bsrnn.metrics import Metric, register_metric


class Largest:
    def __init__(self, sample_rate):
        self.error = self.signal = torch.zeros(())

    def update(self, est_targets, targets, mixture=None):
        self.error = torch.maximum(self.error, (est_targets - targets).abs().amax((-2, -1)))
        self.signal = torch.maximum(self.signal, targets.abs().amax((-2, -1)))

    def ratio_db(self):
        return 20 * torch.log10(self.error.double() / self.signal)


register_metric(
    Metric(
        "worst", "Worst sample", "dB", "music", Largest.ratio_db, "median", "lower", "max |est - s| / max |s|", Largest
    )
)
