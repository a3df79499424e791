import math

import numpy as np
import pytest

from exomni import arkit
from exomni.config import registry
from exomni.head.npz import NpzHead
from exomni.head.procedural import ProceduralHead

FLIP = np.array([-1, 1, 1], dtype=np.float32)


@pytest.fixture(scope="module")
def head():
    return ProceduralHead()


@pytest.fixture(scope="module")
def mesh(scripts):
    return scripts.parts.build(rings=48)


def pose(head, **values):
    coefficients = np.zeros((1, arkit.COUNT), dtype=np.float32)
    for name, value in values.items():
        coefficients[0, arkit.INDEX[name]] = value
    return head.vertices(coefficients)[0]


def seam_gaps(head, vertices):
    """Distances between opposite points of the upper and the lower lip's edge, mm, corner to corner."""
    upper, lower = (ids[np.argsort(head.neutral[ids, 0])] for ids in (head.regions["seam_upper"], head.regions["seam_lower"]))
    return np.linalg.norm(vertices[upper] - vertices[lower], axis=1)


def edges_of(triangles):
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    return np.unique(edges, axis=0, return_counts=True)


def test_size_and_parts(head):
    assert 3000 <= len(head.neutral) <= 8000
    assert head.triangles.min() == 0 and head.triangles.max() == len(head.neutral) - 1
    height = np.ptp(head.neutral[:, 1])
    assert 205 < height < 255
    assert head.colors.shape == head.neutral.shape
    assert head.missing == ()
    for name, ids in head.regions.items():
        assert len(ids) >= 20, name
    assert set(head.regions["lips"]) == set(head.regions["upper_lip"]) | set(head.regions["lower_lip"])
    assert head.neutral[head.regions["upper_lip"], 1].mean() > head.neutral[head.regions["lower_lip"], 1].mean()
    assert head.neutral[head.regions["brows"], 1].min() > head.neutral[head.regions["lips"], 1].max()


def test_the_skin_is_open_only_at_mouth_eyes_and_neck(mesh):
    skin = mesh.triangles[mesh.part[mesh.triangles[:, 0]] == "skin"]
    edges, counts = edges_of(skin)
    assert counts.max() == 2
    rim = edges[counts == 1]
    on_ring = [(mesh.ring[rim] == ring).all(axis=1) for ring in ("seam", "margin")]
    at_neck = (mesh.positions[rim][:, :, 1] < mesh.positions[:, 1].min() + 0.5).all(axis=1)
    assert np.all(on_ring[0] | on_ring[1] | at_neck)
    assert on_ring[0].sum() == (mesh.ring == "seam").sum()  # one closed loop: both lips, corner to corner


def test_triangles_of_the_face_look_outward(mesh, scripts):
    a, b, c = (mesh.positions[mesh.triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    part = mesh.part[mesh.triangles[:, 0]]
    assert (normal[part == "brow", 2] > 0).all()
    eye = scripts.surface.EYE
    centre = np.where((a + b + c)[:, :1] > 0, eye, eye * FLIP)
    outward = (normal * ((a + b + c) / 3 - centre)).sum(axis=1)
    assert (outward[part == "eye"] > 0).all()


def test_neutral_and_shapes_are_mirror_images(head, mesh):
    mirror = mesh.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    np.testing.assert_array_equal(head.neutral[mirror] * FLIP, head.neutral)
    np.testing.assert_array_equal(head.colors[mirror], head.colors)
    sided = {name for pair in arkit.MIRROR for name in pair}
    for left, right in arkit.MIRROR:
        moved = head.deltas[arkit.INDEX[left]]
        np.testing.assert_array_equal(moved[mirror] * FLIP, head.deltas[arkit.INDEX[right]], err_msg=left)
    for name in set(arkit.NAMES) - sided:
        moved = head.deltas[arkit.INDEX[name]]
        np.testing.assert_allclose(moved[mirror] * FLIP, moved, atol=1e-6, err_msg=name)


def test_left_is_the_subjects_left(head):
    """The subject faces the viewer, so its left is at positive x."""
    for left, _ in arkit.MIRROR:
        delta = head.deltas[arkit.INDEX[left]]
        if left in ("jawLeft", "mouthLeft"):
            assert delta[:, 0].max() > 5 and delta[:, 0].min() > -0.1, left
        else:
            size = np.linalg.norm(delta, axis=1)
            assert size[head.neutral[:, 0] > 0].sum() > 4 * size[head.neutral[:, 0] < 0].sum(), left


def test_lips_touch_at_rest_and_part_with_the_jaw(head):
    np.testing.assert_allclose(seam_gaps(head, head.neutral), 0, atol=1e-5)
    gaps = seam_gaps(head, pose(head, jawOpen=1))
    assert gaps[len(gaps) // 2] > 20
    assert gaps[0] < 1e-4 and gaps[-1] < 1e-4  # the corners hold together
    assert (np.diff(gaps[: len(gaps) // 2]) > 0).all()


def test_jaw_open_turns_the_lower_teeth_about_the_hinge(head, mesh, scripts):
    opened = pose(head, jawOpen=1)
    lower = np.flatnonzero(mesh.part == "lower_teeth")
    hinge, angle = scripts.expressions.HINGE, math.radians(scripts.expressions.JAW_DEGREES)
    _, y, z = (head.neutral[lower] - hinge).T
    np.testing.assert_allclose(opened[lower, 1], hinge[1] + y * math.cos(angle) - z * math.sin(angle), atol=1e-3)
    np.testing.assert_allclose(opened[lower, 2], hinge[2] + y * math.sin(angle) + z * math.cos(angle), atol=1e-3)
    upper = mesh.part == "upper_teeth"
    np.testing.assert_array_equal(opened[upper], head.neutral[upper])


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_mouth_close_closes_the_lips_over_an_open_jaw(head, amount):
    closed = pose(head, jawOpen=amount, mouthClose=amount)
    assert seam_gaps(head, closed).max() < 1e-3
    jaw = head.regions["jaw"]
    lowest = jaw[np.argmin(head.neutral[jaw, 1])]
    assert head.neutral[lowest, 1] - closed[lowest, 1] > 15 * amount


@pytest.mark.parametrize("name", ["mouthPressLeft", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthPucker"])
def test_shapes_that_keep_the_lips_closed(head, name):
    assert seam_gaps(head, pose(head, **{name: 1})).max() < 1e-3


def test_rolled_lips_stay_closed_and_show_less_red(head):
    rolled = pose(head, mouthRollLower=1, mouthRollUpper=1)
    assert seam_gaps(head, rolled).max() < 1e-3
    lips = head.regions["lips"]
    assert np.ptp(rolled[lips, 1]) < 0.7 * np.ptp(head.neutral[lips, 1])


def lid_margin(mesh, upper):
    """Margin of the left eye, inner part of each lid, in order of x."""
    ids = np.flatnonzero((mesh.ring == "margin") & (mesh.positions[:, 0] > 0))
    assert len(ids) % 2 == 0
    half = np.arange(1, len(ids) // 2)
    return ids[half] if upper else ids[-half]


def test_blink_closes_the_eye_without_cutting_the_eyeball(head, mesh, scripts):
    upper, lower = lid_margin(mesh, True), lid_margin(mesh, False)
    assert (head.neutral[upper, 1] - head.neutral[lower, 1]).max() > 9
    shut = pose(head, eyeBlinkLeft=1)
    np.testing.assert_allclose(shut[upper, 1], shut[lower, 1], atol=0.05)
    for amount in np.linspace(0, 1, 6):
        lids = pose(head, eyeBlinkLeft=amount)[np.concatenate([upper, lower])]
        assert np.linalg.norm(lids - scripts.surface.EYE, axis=1).min() > scripts.surface.EYE_RADIUS


@pytest.mark.parametrize(
    ("name", "direction"),
    [("Out", [1, 0, 0]), ("In", [-1, 0, 0]), ("Up", [0, 1, 0]), ("Down", [0, -1, 0])],
)
def test_gaze_turns_only_its_own_eyeball(head, name, direction):
    moved = pose(head, **{f"eyeLook{name}Left": 1}) - head.neutral
    eyes = head.regions["eyes"]
    left, right = eyes[head.neutral[eyes, 0] > 0], eyes[head.neutral[eyes, 0] < 0]
    pupil = left[np.argmax(head.neutral[left, 2])]
    assert moved[pupil] @ np.array(direction) > 5
    assert not moved[right].any()


def test_mouth_shapes_go_where_their_names_say(head):
    lips = head.regions["lips"]
    corner = lips[np.argmax(head.neutral[lips, 0])]
    middle = head.regions["seam_upper"][np.argmin(np.abs(head.neutral[head.regions["seam_upper"], 0]))]

    def shift(name, vertex):
        return head.deltas[arkit.INDEX[name], vertex]

    assert shift("mouthSmileLeft", corner)[0] > 5 and shift("mouthSmileLeft", corner)[1] > 5
    assert shift("mouthFrownLeft", corner)[1] < -5
    assert shift("mouthStretchLeft", corner)[0] > 5
    assert shift("mouthPucker", corner)[0] < -8 and shift("mouthPucker", middle)[2] > 5
    assert shift("mouthFunnel", middle)[2] > 5
    assert shift("jawForward", head.regions["seam_lower"]).max() > 5
    tongue = head.regions["tongue"]
    assert pose(head, tongueOut=1)[tongue, 2].max() > head.neutral[lips, 2].max() + 5
    brows = head.regions["brows"]
    assert shift("browInnerUp", brows)[:, 1].max() > 6 and shift("browDownLeft", brows)[:, 1].min() < -4


def test_the_script_makes_the_shipped_file(head, scripts, tmp_path):
    """To 1e-6 of a millimetre: processors round sines and exponentials differently."""
    made = scripts.make.head()
    scripts.make.write(tmp_path / "head.npz", made)
    again = NpzHead(path=str(tmp_path / "head.npz"))
    for name in ("neutral", "deltas"):
        np.testing.assert_allclose(getattr(again, name), getattr(head, name), rtol=0, atol=1e-6, err_msg=name)
    for name in ("triangles", "colors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(head, name), err_msg=name)
    assert {name: ids.tolist() for name, ids in again.regions.items()} == {
        name: ids.tolist() for name, ids in head.regions.items()
    }
    scripts.make.write(tmp_path / "later.npz", made)
    assert (tmp_path / "later.npz").read_bytes() == (tmp_path / "head.npz").read_bytes()


def test_the_script_makes_denser_heads(scripts, tmp_path, monkeypatch, capsys):
    out = tmp_path / "sparse.npz"
    monkeypatch.setattr("sys.argv", ["make.py", "--rings", "30", "--out", str(out)])
    scripts.make.main()
    assert f"{out}: " in capsys.readouterr().out
    assert 3000 < len(NpzHead(path=str(out)).neutral) < 6105
    monkeypatch.setattr("sys.argv", ["make.py", "--rings", "5", "--out", str(out)])
    with pytest.raises(SystemExit):
        scripts.make.main()
    assert "--rings is 5; a head has 30 to 80" in capsys.readouterr().err


def test_built_by_name():
    assert isinstance(registry.build("head", {"name": "procedural"}), ProceduralHead)


def test_lips_are_one_surface_where_they_meet(head):
    """Every edge between two triangles of the lips is passed once in each direction; else normals cancel and look torn."""
    lips = np.isin(head.triangles, head.regions["lips"]).all(axis=1)
    triangles = head.triangles[lips]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(edges) > 600
    assert np.unique(edges, axis=0, return_counts=True)[1].max() == 1


def test_normals_are_those_of_the_triangles(head):
    normals = head.normals(head.neutral)
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
