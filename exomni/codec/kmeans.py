"""k-means in plain torch: seeded k-means++, Lloyd's iterations, and every centroid in use at the end.

Sources: D. Arthur and S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007; S. Lloyd, Least squares
quantization in PCM, IEEE Transactions on Information Theory 28(2), 1982.
Sizes: N points, D dimensions, K centroids.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SEEDING_POINTS = 8192  # k-means++ looks at so many random points: it costs K passes over them
ROWS = 4096  # points whose distances to all centroids are held at once


def nearest(points_ND: Tensor, centroids_KD: Tensor) -> tuple[Tensor, Tensor]:
    """Index (N,) int64 of the nearest centroid of each point, and the squared distance (N,) to it."""
    norms = centroids_KD.square().sum(1)
    indices = [(norms - 2 * rows @ centroids_KD.T).argmin(1) for rows in points_ND.split(ROWS)]
    index = torch.cat(indices) if indices else torch.zeros(0, dtype=torch.int64)
    return index, (points_ND - centroids_KD[index]).square().sum(1)


def fit_centroids(
    points_ND: Tensor,
    count: int,
    *,
    iterations: int,
    generator: torch.Generator,
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """Centroids (count, D) of `points_ND`, each the nearest one of at least one point; `progress` is called once an iteration.

    ValueError when there are fewer distinct points than centroids.
    """
    if len(points_ND) < count:
        raise ValueError(f"{len(points_ND)} points cannot make {count} clusters; give more data or ask for fewer")
    centroids = _seed_centroids(points_ND, count, generator)
    for _ in range(iterations):
        index, distance = nearest(points_ND, centroids)
        sizes = torch.bincount(index, minlength=count)
        means = torch.zeros_like(centroids).index_add_(0, index, points_ND) / sizes.clamp(min=1)[:, None]
        centroids = _refill_empty(points_ND, means, sizes, distance)
        progress()
    return _without_empty(points_ND, centroids)


def _seed_centroids(points_ND: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """k-means++: each next centroid is a point drawn with probability proportional to its squared distance to the chosen."""
    size = max(count, SEEDING_POINTS)
    sample = points_ND[torch.randperm(len(points_ND), generator=generator)[:size]]
    norms = sample.square().sum(1)
    chosen = [int(torch.randint(len(sample), (1,), generator=generator))]
    distance = torch.full((len(sample),), torch.inf)
    while len(chosen) < count:
        last = sample[chosen[-1]]
        distance = torch.minimum(distance, (norms - 2 * sample @ last + last @ last).clamp(min=0))
        if not distance.any():
            raise ValueError(f"only {len(chosen)} distinct points for {count} clusters; give more data or ask for fewer")
        chosen.append(int(torch.multinomial(distance, 1, generator=generator)))
    return sample[chosen]


def _refill_empty(points_ND: Tensor, centroids_KD: Tensor, sizes_K: Tensor, distance_N: Tensor) -> Tensor:
    """Move each empty cluster's centroid to the point that is farthest from its own centroid, one after the other."""
    centroids, distance = centroids_KD.clone(), distance_N
    for empty in (sizes_K == 0).nonzero().flatten().tolist():
        centroids[empty] = points_ND[int(distance.argmax())]
        distance = torch.minimum(distance, (points_ND - centroids[empty]).square().sum(1))
    return centroids


def _without_empty(points_ND: Tensor, centroids_KD: Tensor) -> Tensor:
    """Refill until no cluster is empty. This ends: each refilled cluster lowers the summed distance."""
    for _ in range(len(centroids_KD)):
        index, distance = nearest(points_ND, centroids_KD)
        sizes = torch.bincount(index, minlength=len(centroids_KD))
        if bool((sizes > 0).all()):
            return centroids_KD
        centroids_KD = _refill_empty(points_ND, centroids_KD, sizes, distance)
    raise ValueError(f"fewer than {len(centroids_KD)} distinct points for as many clusters; give more data or ask for fewer")
