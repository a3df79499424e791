"""k-means: correct on data with a known answer, no centroid idle, the same from the same seed."""

import numpy as np
import pytest
import torch

from exomni.codec.kmeans import fit_centroids, nearest


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nearest_equals_a_plain_search():
    points, centroids = torch.randn(300, 7, generator=generator(1)), torch.randn(20, 7, generator=generator(2))
    index, distance = nearest(points, centroids)
    table = ((points.numpy()[:, None].astype(np.float64) - centroids.numpy()[None]) ** 2).sum(2)
    np.testing.assert_array_equal(index.numpy(), table.argmin(1))
    np.testing.assert_allclose(distance.numpy(), table.min(1), rtol=1e-4)
    assert nearest(points[:0], centroids)[0].shape == (0,)


def test_finds_separate_clusters():
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = (middles[:, None] + 0.1 * torch.randn(4, 50, 2, generator=generator())).flatten(0, 1)
    found = fit_centroids(points, 4, iterations=5, generator=generator())
    index, _ = nearest(middles, found)
    assert sorted(index.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(found[index], points.unflatten(0, (4, 50)).mean(1))


def test_every_centroid_is_used_even_beside_a_crowd():
    crowd = torch.zeros(5000, 3)
    rest = torch.arange(30.0)[:, None].expand(-1, 3) + 100
    points = torch.cat([crowd, rest])
    centroids = fit_centroids(points, 31, iterations=3, generator=generator())
    assert torch.bincount(nearest(points, centroids)[0], minlength=31).min() > 0


def test_too_few_points():
    with pytest.raises(ValueError, match="3 points cannot make 4 clusters"):
        fit_centroids(torch.randn(3, 2), 4, iterations=1, generator=generator())
    with pytest.raises(ValueError, match="distinct points"):
        fit_centroids(torch.ones(100, 2).cumsum(1), 4, iterations=1, generator=generator())


def test_same_seed_same_centroids():
    points = torch.randn(500, 6, generator=generator(3))
    first, again, other = (fit_centroids(points, 16, iterations=4, generator=generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
