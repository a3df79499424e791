"""Face crops against OpenCV's steps of the original pipeline, and the place of a rendered face."""

from types import SimpleNamespace

import numpy as np
import pytest

from exomni import arkit
from exomni.head.base import REQUIRED_REGIONS, Head
from exomni.head.procedural import ProceduralHead
from exomni.render.crop import FaceSquare, analytic_crops, crop, crops, face_square
from exomni.render.views import Camera


def original(frame: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The pipeline's steps: grey border, corners cut to integers, OpenCV's bilinear resize."""
    cv2 = pytest.importorskip("cv2")
    half = max(box[3] - box[1], box[2] - box[0]) / 2
    border = int(half * 1.8)
    padded = cv2.copyMakeBorder(frame, border, border, border, border, cv2.BORDER_CONSTANT, value=(110, 110, 110))
    y, x = (box[1] + box[3]) / 2 + border, (box[0] + box[2]) / 2 + border
    cut = padded[int(y - half) : int(y + half * 1.8), int(x - half * 1.4) : int(x + half * 1.4)]
    return cv2.resize(cut, (224, 224))


@pytest.mark.parametrize(
    "box", [(60.0, 50.0, 140.0, 160.0), (-10.5, 3.2, 80.7, 90.1), (120.3, 100.9, 210.0, 230.4), (10.0, 20.0, 190.0, 205.0)]
)
def test_crop_equals_the_original_pipeline(box):
    frame = np.random.default_rng(0).integers(0, 256, (200, 220, 3)).astype(np.uint8)
    ours = crop(frame, FaceSquare.of_box(*box))
    assert ours.shape == (224, 224, 3) and ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - original(frame, box)).max() <= 1


def test_geometry_by_hand():
    """Half side 40 around (100, 60): rows 20 ... 132, columns 44 ... 156, each pixel twice."""
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[20:132, 44:156] = 255
    assert (crop(frame, FaceSquare(100, 60, 40)) == 255).all()
    assert (crop(frame, FaceSquare(100, -500, 40)) == 110).all()
    with pytest.raises(ValueError, match="no pixel"):
        crop(frame, FaceSquare(100, 60, 0))


def test_one_square_for_all_or_one_for_each():
    frames = [np.full((300, 300, 3), value, np.uint8) for value in (10, 20)]
    square = FaceSquare(150, 120, 60)
    assert [picture[0, 0, 0] for picture in crops(frames, square)] == [10, 20]
    apart = list(crops(frames, [square, FaceSquare(150, -900, 60)]))
    assert [picture[0, 0, 0] for picture in apart] == [10, 110]


@pytest.fixture(scope="module", params=["fitted", "emotalk", "claire"])
def renderer(request):
    pytest.importorskip("pyvista", reason="rendering needs the extra `render`")
    from exomni.render import Renderer

    with Renderer(ProceduralHead(), size=256, view=request.param) as opened:
        yield opened


def test_vertices_are_projected_where_the_picture_shows_them(renderer):
    picture = renderer.frame(renderer.head.neutral)
    rows, columns = np.flatnonzero(picture.any(axis=(1, 2))), np.flatnonzero(picture.any(axis=(0, 2)))
    points = renderer.camera.project(renderer.head.neutral, renderer.size)
    shown = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], shown, atol=1.5)


def test_rendered_face_is_cropped_to_the_face(renderer):
    square = face_square(renderer)
    head = renderer.head
    lips, brows, jaw = (
        renderer.camera.project(head.neutral[head.regions[name]], renderer.size) for name in ("lips", "brows", "jaw")
    )
    assert abs(lips[:, 0].mean() - square.x) < 2
    assert square.y + 0.3 * square.half < lips[:, 1].mean() < square.y + 0.6 * square.half
    assert square.y - square.half < brows[:, 1].min() < square.y - 0.5 * square.half  # below the upper side
    assert abs(jaw[:, 1].max() - square.y - square.half) < 0.1 * square.half  # the chin is the lower side
    coefficients = np.zeros((3, arkit.COUNT), np.float32)
    coefficients[1, arkit.INDEX["jawOpen"]] = 1
    (piece,) = analytic_crops(renderer, coefficients, fps=25)
    assert piece.shape == (3, 224, 224, 3) and piece.dtype == np.uint8
    closed, opened, again = piece
    np.testing.assert_array_equal(closed, again)
    changed = np.flatnonzero((np.abs(closed.astype(int) - opened).max(axis=2) > 40).any(axis=1))
    assert len(changed) > 20 and changed.min() > 80  # nothing above the mouth moves


@pytest.mark.parametrize("lids", [True, False])
def test_face_square_by_hand(lids):
    """Eyes at 40, chin at -60: 1.5 x 100 high, from -60 to 90. Without lids: what moves, -60 to 40."""
    neutral = np.array([[-30, 40, 0], [30, 40, 0], [0, -20, 0], [0, -60, 0], [0, -160, 0], [0, 160, 0]], np.float32)
    deltas = np.zeros((arkit.COUNT, 6, 3), np.float32)
    deltas[arkit.INDEX["jawOpen"], 2:5, 1] = [-10, -20, -0.5]
    deltas[arkit.INDEX["eyeBlinkLeft"], :2, 1] = -4
    regions = {name: np.zeros(0, int) for name in REQUIRED_REGIONS} | ({"eyelids": np.array([0, 1])} if lids else {})
    head = Head(neutral=neutral, triangles=np.array([[0, 1, 2]]), deltas=deltas, regions=regions)
    camera = Camera(target=(0.0, 0.0, 0.0), distance=10.0, half=200.0, far=100.0, parallel=True)
    square = face_square(SimpleNamespace(head=head, camera=camera, size=400))  # a pixel is 1 mm
    assert square == (FaceSquare(200, 185, 75) if lids else FaceSquare(200, 210, 50))


def test_crops_are_made_at_25_fps_in_pieces(renderer):
    """Frame i of 25 shows what lies at 1.2 i of 30: frame 5 is row 6, frame 1 a mixture."""
    coefficients = np.zeros((42, arkit.COUNT), np.float32)
    coefficients[:, arkit.INDEX["jawOpen"]] = np.linspace(0, 1, 42)
    pieces = list(analytic_crops(renderer, coefficients))
    assert [len(piece) for piece in pieces] == [32, 3]  # 42 frames last 1.4 s
    mixed = np.stack([coefficients[6], 0.8 * coefficients[1] + 0.2 * coefficients[2]])
    exact = np.concatenate(list(crops(renderer.frames(mixed), face_square(renderer)))).reshape(2, 224, 224, 3)
    np.testing.assert_array_equal(pieces[0][5], exact[0])
    assert np.abs(pieces[0][1].astype(int) - exact[1]).max() <= 1
    assert list(analytic_crops(renderer, coefficients[:0])) == []


def test_pieces_are_made_one_by_one(renderer, monkeypatch):
    drawn = []
    frames = renderer.frames
    monkeypatch.setattr(renderer, "frames", lambda values: drawn.append(len(values)) or frames(values))
    pieces = analytic_crops(renderer, np.zeros((200, arkit.COUNT), np.float32), fps=25)
    next(pieces)
    assert drawn == [32]
