import numpy as np
import pytest

from exomni import arkit
from exomni.config import registry
from exomni.head.npz import NpzHead, derived_regions
from exomni.head.procedural import ProceduralHead

NEUTRAL = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])
pytestmark = pytest.mark.filterwarnings("ignore:.*nothing moves under")


def arrays(**changes):
    deltas = np.zeros((3, 4, 3), dtype=np.float16)
    deltas[0, 1], deltas[1, 2], deltas[2, 3] = [0, 0, 9], [0, -2, 0], [1, 0, 0]
    names = np.array(["_neutral", "JawOpen", "mouthSmileLeft"])
    return {"neutral": NEUTRAL, "tri": TRIANGLES, "deltas": deltas, "names": names} | changes


def saved(tmp_path, **content):
    np.savez(tmp_path / "head.npz", **content)
    return str(tmp_path / "head.npz")


def test_names_are_matched_in_any_order_and_case(tmp_path):
    with pytest.warns(UserWarning, match="head.npz: nothing moves under browDownLeft, .* and 42 more of 52"):
        head = NpzHead(path=saved(tmp_path, **arrays()), millimetres_per_unit=10.0)
    np.testing.assert_allclose(head.neutral, 10 * NEUTRAL)
    np.testing.assert_allclose(head.deltas[arkit.INDEX["jawOpen"], 2], [0, -20, 0])
    np.testing.assert_allclose(head.deltas[arkit.INDEX["mouthSmileLeft"], 3], [10, 0, 0])
    assert len(head.missing) == 50 and "jawOpen" not in head.missing
    assert np.abs(head.deltas).sum() == 30  # the shape that is not ARKit's is left out


def test_emotalk_layout_with_bytes_and_triangles_from_one(tmp_path):
    own = arrays()
    path = saved(
        tmp_path,
        meanshape=own["neutral"],
        faces=own["tri"] + 1,
        blendshape=own["deltas"].astype(np.float32),
        bs_names=own["names"].astype("S"),
    )
    head = registry.build("head", {"name": "npz", "path": path})
    np.testing.assert_array_equal(head.triangles, TRIANGLES)
    np.testing.assert_allclose(head.deltas[arkit.INDEX["jawOpen"], 2], [0, -2, 0])


def test_regions_and_colors_of_the_file_win(tmp_path):
    colors = np.full((4, 3), 7, dtype=np.uint8)
    head = NpzHead(path=saved(tmp_path, **arrays(colors=colors, region_lips=np.array([3, 1]), region_nose=np.array([0]))))
    assert head.regions["lips"].tolist() == [1, 3]
    assert head.regions["nose"].tolist() == [0]
    assert head.regions["upper_lip"].size == 0  # nothing in the file moves it
    np.testing.assert_array_equal(head.colors, colors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neutral": NEUTRAL[:, :2]}, r"neutral has shape \(4, 2\), not \(vertices, 3\)"),
        ({"tri": TRIANGLES + 0.5}, "tri has shape .* of float64, not .* integers"),
        ({"tri": TRIANGLES + 2}, r"tri names vertices 2\.\.5; the mesh has 0\.\.3"),
        ({"deltas": np.zeros((2, 4, 3))}, r"deltas has shape \(2, 4, 3\), not \(3 shapes, 4 vertices, 3\)"),
        ({"names": np.array(["a", "b", "c"])}, "no ARKit blendshape: its names are a, b, c"),
        ({"names": np.array(["jawOpen", "JawOpen", "c"])}, "twice"),
        ({"neutral": NEUTRAL * np.nan}, "neutral holds values that are not finite"),
        ({"colors": np.zeros((4, 3))}, "colors has shape"),
        ({"region_lips": np.array([4])}, r"region_lips is not a list of vertex ids in 0\.\.3"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        NpzHead(path=saved(tmp_path, **arrays(**changes)))


def test_missing_file_arrays_and_wrong_scale(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        NpzHead(path=str(tmp_path / "nowhere.npz"))
    with pytest.raises(ValueError, match=r"lacks deltas, names: it has neutral, tri; a head has \(neutral, .* or \(meanshape"):
        NpzHead(path=saved(tmp_path, neutral=NEUTRAL, tri=TRIANGLES))
    with pytest.raises(ValueError, match="millimetres_per_unit is 0"):
        NpzHead(path=saved(tmp_path, **arrays()), millimetres_per_unit=0)
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(ValueError, match="not an .npz of plain arrays"):
        NpzHead(path=str(tmp_path / "text.npz"))
    with pytest.raises(ValueError, match="names must be strings, not objects"):
        NpzHead(path=saved(tmp_path, **arrays(names=np.array(["a", "b", "c"], dtype=object))))


def test_derived_regions_agree_with_the_regions_of_the_procedural_head():
    head = ProceduralHead()
    guessed = derived_regions(head.deltas)
    for name in ("upper_lip", "lower_lip"):
        own = set(head.regions[name].tolist())
        assert len(own & set(guessed[name].tolist())) > 0.6 * len(own), name
    skin = np.concatenate([head.regions["lips"], head.regions["jaw"]])
    assert not np.isin(guessed["upper_face"], skin).any()
    brows = head.regions["brows"]
    assert np.isin(brows, guessed["upper_face"]).mean() > 0.9
    assert np.isin(guessed["eyelids"], head.regions["eyelids"]).mean() > 0.9


def test_real_head(shared):
    path = shared / "assets" / "faces" / "ict_arkit52_face.npz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the shared material")
    head = NpzHead(path=str(path), millimetres_per_unit=6.8)
    assert head.missing == ("tongueOut",)
    assert head.neutral.shape == (9409, 3) and head.neutral.flags.c_contiguous
    low, high = head.neutral.min(axis=0), head.neutral.max(axis=0)
    lips = head.neutral[head.regions["lips"]]
    assert np.abs(lips[:, 0].mean()) < 5 and low[1] < lips[:, 1].mean() < high[1]
    assert head.neutral[head.regions["upper_lip"], 1].mean() > head.neutral[head.regions["lower_lip"], 1].mean() + 3
    assert head.neutral[head.regions["brows"], 1].mean() > head.neutral[head.regions["eyelids"], 1].mean() > lips[:, 1].max()
