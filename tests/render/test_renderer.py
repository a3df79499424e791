import subprocess
import sys

import numpy as np
import pytest

from exomni import arkit
from exomni.head.base import REQUIRED_REGIONS, Head
from exomni.head.glb import GlbHead
from exomni.head.procedural import ProceduralHead
from exomni.types import FaceMotion

pytest.importorskip("pyvista", reason="rendering needs the extra `render`")
from exomni.render import Renderer  # noqa: E402
from exomni.render.exporters.glb import glb  # noqa: E402
from exomni.render.views import CHUNK  # noqa: E402


@pytest.fixture(scope="module")
def head():
    return ProceduralHead()


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


def test_a_still_face_does_not_flicker(renderer):
    frames = np.stack(list(renderer.frames(np.repeat(poses({"jawOpen": 0.4, "mouthClose": 0.3}), CHUNK + 2, axis=0))))
    assert not np.ptp(frames, axis=0).any()


def test_material_is_that_of_the_release():
    """A white plate that faces the viewer: ambient 0.3 + diffuse 0.6 + specular 0.1 in its middle, turned by 60 degrees
    0.3 + 0.6 / 2 + 0.1 * max(cos 120, 0)^15."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)), axis=-1).reshape(-1, 2)
    corner = np.array([row * 9 + column for row in range(8) for column in range(8)])[:, None]
    triangles = np.concatenate([corner + [0, 1, 9], corner + [1, 10, 9]])
    turned = np.radians(60)
    for direction, level in (([1.0, 0.0], 1.0), ([np.cos(turned), -np.sin(turned)], 0.6)):
        neutral = np.column_stack([grid[:, 0] * direction[0], grid[:, 1], grid[:, 0] * direction[1]])
        plate = Head(
            neutral=neutral, triangles=triangles, deltas=np.zeros((arkit.COUNT, 81, 3)),
            regions={name: np.zeros(0) for name in REQUIRED_REGIONS},
        )  # fmt: skip
        with Renderer(plate, size=64, view="emotalk") as opened:
            middle = opened.frame(neutral)[32, 32]
        np.testing.assert_allclose(middle, 255 * level, atol=2)


def test_head_of_a_glb_file_looks_like_its_original(head, tmp_path):
    file = tmp_path / "head.glb"
    file.write_bytes(glb(head, FaceMotion(poses({})), name="head"))
    coefficients = poses({"jawOpen": 0.7, "mouthSmileLeft": 1})
    pictures = []
    for shown in (head, GlbHead(path=str(file))):
        with Renderer(shown, size=96, view="claire") as opened:
            opened.aim(coefficients)
            pictures += opened.frames(coefficients)
    difference = np.abs(pictures[0].astype(int) - pictures[1]).max(axis=2)
    assert pictures[0].any() and (difference > 8).mean() < 0.002


def test_torch_compiles_after_a_window_was_opened():
    """Both load LLVM: in the wrong order the process dies of a segmentation fault."""
    pytest.importorskip("triton", reason="this torch comes without triton")
    words = "from exomni.head.procedural import ProceduralHead; from exomni.render import Renderer; "
    words += "Renderer(ProceduralHead(), size=16); import triton; print('alive')"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout.strip() == "alive", done.stderr


def test_options_and_use_after_close(head):
    with pytest.raises(ValueError, match="'fitted', 'emotalk', 'claire'"):
        Renderer(head, view="side")
    with pytest.raises(ValueError, match="size is 4"):
        Renderer(head, size=4)
    renderer = Renderer(head, size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(ValueError, match="closed"):
        next(renderer.frames(poses({})))
