"""k-means of a batch of point sets at once, on the device of the points, the same for the same seed.

Legend: B batch, N point, D coordinate, R restart, K cluster.

References
    [1] : "k-means++: the advantages of careful seeding", Arthur and Vassilvitskii, SODA 2007.
"""

from typing import Any

import torch

from ..layers.checks import whole

_MOST_ITERATIONS = 50


@torch.no_grad()
def kmeans(
    points_BND: torch.Tensor,
    n_clusters: int,
    weights_BN: torch.Tensor | None = None,
    n_init: int = 10,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cluster each point set by itself; the best of ``n_init`` k-means++ [1] starts is kept.

    The random draws depend on the seed alone, never on global random state, the device or the batch.

    Args:
        points_BND: points.
        n_clusters: K.
        weights_BN: points of weight 0 do not move centres, but get the nearest one.
        n_init: restarts.
        seed: of the starts.

    Returns:
        Labels (B, N) and centres (B, K, D).
    """
    for name, value in (("n_clusters", n_clusters), ("n_init", n_init)):
        whole(name, value)
    points = points_BND.float()
    weights = torch.ones_like(points[..., 0]) if weights_BN is None else weights_BN.to(points.dtype)
    with torch.autocast(points.device.type, enabled=False):
        return _best_of(points, weights, n_clusters, n_init, seed)


def _best_of(
    points: torch.Tensor, weights: torch.Tensor, n_clusters: int, n_init: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    centres = _plus_plus(points, weights, n_clusters, n_init, seed)
    labels = None
    for _ in range(_MOST_ITERATIONS):
        previous, labels = labels, _square_distances(points, centres).argmin(-1)
        if previous is not None and torch.equal(previous, labels):
            break
        centres = _means(points, weights, labels, centres)
    inertia = (_square_distances(points, centres).amin(-1) * weights.unsqueeze(1)).sum(-1)
    best = inertia.argmin(-1)
    centres = centres[torch.arange(len(points), device=points.device), best]
    return _square_distances(points, centres.unsqueeze(1))[:, 0].argmin(-1), centres


def _square_distances(points_BND: torch.Tensor, centres_BRKD: torch.Tensor) -> torch.Tensor:
    """(B, R, N, K), up to rounding not below zero."""
    centres = centres_BRKD.flatten(1, 2)
    squares = points_BND.square().sum(-1, keepdim=True) + centres.square().sum(-1).unsqueeze(1)
    distances = (squares - 2 * points_BND @ centres.mT).clamp(min=0)
    return distances.unflatten(-1, centres_BRKD.shape[1:3]).permute(0, 2, 1, 3)


def _plus_plus(points: torch.Tensor, weights: torch.Tensor, n_clusters: int, n_init: int, seed: int) -> torch.Tensor:
    """First centre by weight, each further one by weight times squared distance to the nearest so far: (B, R, K, D)."""
    draws = torch.rand(n_clusters, n_init, 1, generator=torch.Generator().manual_seed(seed)).to(points.device)
    chances = weights.unsqueeze(1).expand(-1, n_init, -1)
    batch = torch.arange(len(points), device=points.device).unsqueeze(1)
    centres: Any = None
    for draw in draws:
        cumulated = chances.cumsum(-1)
        target = draw * cumulated[..., -1:]
        index = torch.searchsorted(cumulated, target).clamp(max=points.shape[1] - 1)[..., 0]
        chosen = points[batch, index].unsqueeze(2)
        centres = chosen if centres is None else torch.cat([centres, chosen], dim=2)
        chances = _square_distances(points, centres).amin(-1) * weights.unsqueeze(1)
    return centres


def _means(
    points: torch.Tensor, weights: torch.Tensor, labels_BRN: torch.Tensor, centres_BRKD: torch.Tensor
) -> torch.Tensor:
    """Weighted mean of each cluster; a cluster that lost all its points stays where it is."""
    member = torch.nn.functional.one_hot(labels_BRN, centres_BRKD.shape[2]).to(points.dtype)
    member = member * weights[:, None, :, None]
    count = member.sum(2).unsqueeze(-1)
    sums = torch.einsum("brnk,bnd->brkd", member, points)
    return torch.where(count > 0, sums / count.clamp(min=1e-8), centres_BRKD)
