import numpy as np
import pytest

from exomni import arkit
from exomni.head import Head
from exomni.head.base import REQUIRED_REGIONS


def tiny_head():
    neutral = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    deltas = np.zeros((52, 3, 3))
    deltas[arkit.INDEX["jawOpen"], 2] = [0, -2, 0]
    deltas[arkit.INDEX["tongueOut"], 1] = [0, 0, 4]
    regions = {name: np.array([], dtype=int) for name in REQUIRED_REGIONS} | {"lips": np.array([2, 1, 2])}
    return Head(neutral=neutral, triangles=np.array([[0, 1, 2]]), deltas=deltas, regions=regions)


def test_vertices_are_neutral_plus_weighted_deltas():
    coefficients = np.zeros((2, 52))
    coefficients[1, [arkit.INDEX["jawOpen"], arkit.INDEX["tongueOut"]]] = [0.5, 0.25]
    vertices = tiny_head().vertices(coefficients)
    assert vertices.dtype == np.float32
    np.testing.assert_allclose(vertices[0], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(vertices[1], [[0, 0, 0], [1, 0, 1], [0, 0, 0]])


def test_what_a_head_keeps():
    head = tiny_head()
    assert head.deltas.dtype == head.neutral.dtype == np.float32
    assert head.triangles.dtype == np.int32
    assert head.regions["lips"].tolist() == [1, 2]
    assert head.colors is None
    assert set(arkit.NAMES) - set(head.missing) == {"jawOpen", "tongueOut"}
    assert head.vertices(np.zeros((0, 52))).shape == (0, 3, 3)


@pytest.mark.parametrize("shape", [(52,), (3, 51), (2, 3, 52)])
def test_wrong_coefficients_are_named(shape):
    with pytest.raises(ValueError, match=r"\(frames, 52\)"):
        tiny_head().vertices(np.zeros(shape))
