import numpy as np
import pytest

from exomni import arkit
from exomni.head.procedural import ProceduralHead

pytest.importorskip("pyvista", reason="rendering needs the extra `render`")
from exomni.render import Renderer  # noqa: E402
from exomni.render.renderer import CHUNK  # noqa: E402


@pytest.fixture(scope="module")
def head():
    return ProceduralHead(rings=30)


@pytest.fixture(scope="module")
def renderer(head):
    with Renderer(head, size=128) as opened:
        yield opened


def poses(*settings):
    coefficients = np.zeros((len(settings), arkit.COUNT), dtype=np.float32)
    for row, setting in enumerate(settings):
        for name, value in setting.items():
            coefficients[row, arkit.INDEX[name]] = value
    return coefficients


def changed_rows(a, b):
    """Rows of pixels, counted from the top, in which two frames differ clearly."""
    return np.flatnonzero((np.abs(a.astype(int) - b).max(axis=2) > 40).any(axis=1))


def test_frames_follow_the_coefficients_and_nothing_else(renderer):
    neutral, opened, blink, again = renderer.frames(poses({}, {"jawOpen": 1}, {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, {}))
    assert neutral.shape == (128, 128, 3) and neutral.dtype == np.uint8
    np.testing.assert_array_equal(neutral, again)
    mouth, eyes = changed_rows(neutral, opened), changed_rows(neutral, blink)
    assert len(mouth) > 8 and len(eyes) > 2
    assert eyes.max() < mouth.min()  # the face stands upright
    middle = opened[mouth[0] + 4 : mouth[0] + 12, 62:66].astype(int)
    assert middle.min() < 40  # the inside of the mouth is dark


def test_left_is_on_the_viewers_right(renderer):
    neutral, wink = renderer.frames(poses({}, {"eyeBlinkLeft": 1}))
    columns = np.flatnonzero((np.abs(neutral.astype(int) - wink).max(axis=2) > 40).any(axis=0))
    assert len(columns) and columns.min() > 64


def test_head_fills_the_picture_and_is_never_cut(renderer):
    widest = {"jawOpen": 1, "jawForward": 1}
    for frame in renderer.frames(poses({}, widest)):
        assert not frame[[0, -1]].any() and not frame[:, [0, -1]].any()  # black all around
        rows = np.flatnonzero(frame.any(axis=(1, 2)))
        assert np.ptp(rows) > 0.85 * 128


def test_long_clips_come_in_pieces_without_a_seam(renderer):
    weights = np.linspace(0, 1, CHUNK + 3)
    frames = list(renderer.frames(poses(*({"jawOpen": weight} for weight in weights))))
    assert len(frames) == CHUNK + 3
    np.testing.assert_array_equal(frames[CHUNK], next(renderer.frames(poses({"jawOpen": weights[CHUNK]}))))


def test_perspective_shows_the_same_face_larger_in_front(head):
    with Renderer(head, size=96, view="perspective") as near, Renderer(head, size=96) as far:
        one, other = next(near.frames(poses({}))), next(far.frames(poses({})))
    assert (one != other).any()
    assert abs(int(one.any(axis=2).sum()) - int(other.any(axis=2).sum())) < 0.2 * other.any(axis=2).sum()


def test_normals_are_those_of_the_triangles(renderer, head):
    normals = renderer.normals(head.neutral)
    total = np.zeros_like(head.neutral)
    for triangle in head.triangles[::97]:
        a, b, c = head.neutral[triangle]
        total[triangle] += np.cross(b - a, c - a)
    touched = np.linalg.norm(total, axis=1) > 0
    np.testing.assert_allclose(np.linalg.norm(normals[touched], axis=1), 1, atol=1e-5)
    vertex = head.triangles[0, 0]
    around = head.triangles[(head.triangles == vertex).any(axis=1)]
    a, b, c = (head.neutral[around[:, corner]] for corner in range(3))
    expected = np.cross(b - a, c - a).sum(axis=0)
    np.testing.assert_allclose(normals[vertex], expected / np.linalg.norm(expected), atol=1e-5)


def test_options_and_use_after_close(head):
    with pytest.raises(ValueError, match="'orthographic' and 'perspective'"):
        Renderer(head, view="side")
    with pytest.raises(ValueError, match="size is 4"):
        Renderer(head, size=4)
    renderer = Renderer(head, size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(ValueError, match="closed"):
        next(renderer.frames(poses({})))
