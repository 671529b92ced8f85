"""Deep clustering loss with a label width that does not depend on which labels occur.

Asteroid's ``deep_clustering_loss`` sizes the indicators by the number of distinct labels in the batch and fails
on labels {0, 2}; otherwise the values agree.

Legend: B batch, N time-frequency bin, D embedding, C class.

References
    [1] : "Deep clustering: discriminative embeddings for segmentation and separation", Hershey et al., ICASSP 2016.
"""

import torch
from torch import nn
from torch.nn import functional as F


def affinity_distance(embeddings_BND, labels_BN, n_src, weights_BN=None):
    """Mean squared difference of the affinities of all pairs of bins: |W^.5 (VV' - YY') W^.5|^2 / (sum W)^2.

    Computed as |V'WV|^2 - 2 |V'WY|^2 + |Y'WY|^2, without any N x N matrix.

    Args:
        embeddings_BND (torch.Tensor): V, unit vectors.
        labels_BN (torch.Tensor): index of the loudest source in each bin, in [0, n_src).
        n_src (int): width of the indicators Y.
        weights_BN (torch.Tensor, optional): W, 0 for bins that do not count; all 1 if None.

    Returns:
        torch.Tensor, torch.Tensor: the distance (B,) and the sum of the weights (B,).

    Raises:
        ValueError: for a label outside [0, n_src). On a GPU, which is not waited for, CUDA refuses it later.
    """
    if (
        labels_BN.device.type == "cpu"
        and labels_BN.numel()
        and not 0 <= int(labels_BN.min()) <= int(labels_BN.max()) < n_src
    ):
        raise ValueError(f"labels must be in [0, {n_src}), got {int(labels_BN.min())} to {int(labels_BN.max())}")
    weights = torch.ones_like(labels_BN) if weights_BN is None else weights_BN
    weights = weights.to(torch.float32)
    total = weights.sum(-1)
    root = (weights / total.clamp(min=1e-8).unsqueeze(-1)).sqrt().unsqueeze(-1)
    with torch.autocast(embeddings_BND.device.type, enabled=False):
        v, y = embeddings_BND.float() * root, F.one_hot(labels_BN, n_src) * root
        own, across, ideal = v.mT @ v, v.mT @ y, y.mT @ y
        distance = _square_norm(own) - 2 * _square_norm(across) + _square_norm(ideal)
    return distance, total


def _square_norm(matrix):
    return matrix.square().sum((-2, -1))


class ClusteringLoss(nn.Module):
    """Deep clustering loss [1] divided by the number of bins that count, mean over the batch.

    Args:
        n_src (int): number of classes.

    Shape: ``loss(est_targets, targets, weights=None)``: embeddings (B, N, D), labels (B, N), weights (B, N) -> scalar.
    """

    def __init__(self, n_src=2):
        super().__init__()
        self.n_src = n_src

    def forward(self, est_targets, targets, weights=None):
        distance, total = affinity_distance(est_targets, targets, self.n_src, weights)
        return (distance * total).mean()
