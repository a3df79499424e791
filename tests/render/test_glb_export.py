"""The GLB against the specification, and read by trimesh, by VTK (which moves it) and by our own head."""

import json
import struct

import numpy as np
import pytest

from exomni import arkit
from exomni.head.base import REQUIRED_REGIONS, Head
from exomni.head.glb import GlbHead
from exomni.head.npz import NpzHead
from exomni.head.procedural import ProceduralHead
from exomni.render.exporters.glb import glb, unit_normals
from exomni.types import FaceMotion

FRAMES = 5
COMPONENTS = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@pytest.fixture(scope="module")
def head():
    return ProceduralHead()


@pytest.fixture(scope="module")
def motion():
    return FaceMotion(np.random.default_rng(1).uniform(0, 0.6, (FRAMES, arkit.COUNT)).astype(np.float32))


@pytest.fixture(scope="module")
def path(head, motion, tmp_path_factory):
    file = tmp_path_factory.mktemp("glb") / "answer.glb"
    file.write_bytes(glb(head, motion, name="answer"))
    return file


def chunks(data):
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    rest, binary = struct.unpack_from("<I4s", data, 20 + size)
    assert (kind, binary, 28 + size + rest, size % 4, rest % 4) == (b"JSON", b"BIN\0", length, 0, 0)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def read(document, data, index):
    """An accessor's values by the specification, independent of exomni's reader; every reference is checked on the way."""
    accessor = document["accessors"][index]
    width, dtype = WIDTH[accessor["type"]], np.dtype(COMPONENTS[accessor["componentType"]])

    def view(number, count, kind, columns):
        item = document["bufferViews"][number]
        assert item["byteOffset"] % 4 == 0 and item["byteOffset"] + item["byteLength"] <= document["buffers"][0]["byteLength"]
        assert item["byteLength"] == count * columns * kind.itemsize
        assert item.get("byteStride", 12) == 12  # of the one view that accessors share
        return np.frombuffer(data, kind, count * columns, item["byteOffset"]).reshape(count, columns)

    if "bufferView" in accessor:
        values = view(accessor["bufferView"], accessor["count"], dtype, width).copy()
    else:
        values = np.zeros((accessor["count"], width), dtype)
    if sparse := accessor.get("sparse"):
        rows = view(
            sparse["indices"]["bufferView"], sparse["count"], np.dtype(COMPONENTS[sparse["indices"]["componentType"]]), 1
        )
        assert sparse["count"] >= 1 and (np.diff(rows[:, 0].astype(int)) > 0).all() and rows.max() < accessor["count"]
        for part in ("indices", "values"):
            assert "target" not in document["bufferViews"][sparse[part]["bufferView"]]
        values[rows[:, 0]] = view(sparse["values"]["bufferView"], sparse["count"], dtype, width)
    if "min" in accessor:
        assert np.float32(accessor["min"]).tolist() == accessor["min"] == values.min(axis=0).tolist()
        assert np.float32(accessor["max"]).tolist() == accessor["max"] == values.max(axis=0).tolist()
    return values


def test_the_file_follows_the_specification(path, head, motion):
    document, data = chunks(path.read_bytes())
    assert document["buffers"] == [{"byteLength": len(data)}]
    (node,), (mesh,), (animation,) = document["nodes"], document["meshes"], document["animations"]
    assert document["scenes"][document["scene"]]["nodes"] == [0] and node["mesh"] == 0
    (primitive,) = mesh["primitives"]
    used = {primitive["indices"], *primitive["attributes"].values(), *(a for t in primitive["targets"] for a in t.values())}
    (sampler,), (channel,) = animation["samplers"], animation["channels"]
    used |= {sampler["input"], sampler["output"]}
    assert used == set(range(len(document["accessors"])))  # each one is used
    assert len({view["byteOffset"] for view in document["bufferViews"]}) == len(document["bufferViews"])
    positions = [primitive["attributes"]["POSITION"], *(target["POSITION"] for target in primitive["targets"])]
    for index in [*positions, sampler["input"]]:
        assert {"min", "max"} <= set(document["accessors"][index])
    for index in {*primitive["attributes"].values(), *positions}:
        assert read(document, data, index).shape == head.neutral.shape
    corners = read(document, data, primitive["indices"])
    assert document["bufferViews"][document["accessors"][primitive["indices"]]["bufferView"]]["target"] == 34963
    np.testing.assert_array_equal(corners.reshape(-1, 3), head.triangles)
    normals = read(document, data, primitive["attributes"]["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert mesh["extras"]["targetNames"] == list(arkit.NAMES)  # three.js and Blender take the shapes' names from here
    assert len(mesh["weights"]) == len(primitive["targets"]) == arkit.COUNT
    assert channel["target"] == {"node": 0, "path": "weights"} and sampler["interpolation"] == "LINEAR"
    np.testing.assert_allclose(read(document, data, sampler["input"])[:, 0], np.arange(FRAMES) / 30, rtol=1e-6)
    np.testing.assert_array_equal(read(document, data, sampler["output"]).reshape(FRAMES, arkit.COUNT), motion.values)


def test_what_a_shape_does_not_move_takes_no_room(path, head):
    document, _ = chunks(path.read_bytes())
    blink = document["meshes"][0]["primitives"][0]["targets"][arkit.INDEX["eyeBlinkLeft"]]["POSITION"]
    moved = np.flatnonzero(head.deltas[arkit.INDEX["eyeBlinkLeft"]].any(axis=1))
    assert document["accessors"][blink]["sparse"]["count"] == len(moved) < 0.2 * len(head.neutral)
    assert path.stat().st_size < 2 * head.deltas.nbytes


def test_our_own_head_reads_it_back(path, head):
    back = GlbHead(path=str(path))
    np.testing.assert_array_equal(back.triangles, head.triangles)
    np.testing.assert_allclose(back.deltas, head.deltas, atol=1e-5)
    np.testing.assert_allclose(back.neutral, head.neutral, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(back.colors, head.colors)
    assert back.missing == ()


def test_trimesh_reads_the_geometry_in_metres(path, head):
    trimesh = pytest.importorskip("trimesh", reason="GLB is read back with trimesh (extra `test`)")
    (mesh,) = trimesh.load_scene(path, process=False, maintain_order=True).geometry.values()
    np.testing.assert_array_equal(mesh.faces, head.triangles)
    np.testing.assert_allclose(mesh.vertices, head.neutral / 1000, atol=1e-7)
    assert 0.15 < mesh.extents[1] < 0.4  # metres: a head
    np.testing.assert_allclose(mesh.vertex_normals, unit_normals(head, head.neutral), atol=1e-5)


def test_vtk_moves_it_as_we_do(path, head, motion):
    gltf = pytest.importorskip("vtkmodules.vtkIOGeometry", reason="the animation is played by VTK (extra `render`)")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    reader = gltf.vtkGLTFReader()
    reader.SetFileName(str(path))
    reader.ApplyDeformationsToGeometryOn()
    reader.UpdateInformation()
    assert reader.GetNumberOfAnimations() == 1
    reader.EnableAnimation(0)
    for seconds, expected in ((0, motion.values[0]), (3.5 / 30, (motion.values[3] + motion.values[4]) / 2)):
        reader.UpdateTimeStep(seconds)
        blocks = reader.GetOutput().NewIterator()
        blocks.InitTraversal()
        moved = vtk_to_numpy(blocks.GetCurrentDataObject().GetPoints().GetData())
        np.testing.assert_allclose(moved, head.vertices(expected[None])[0] / 1000, atol=1e-6)


def test_shapes_that_the_head_lacks_are_left_out(tmp_path):
    deltas = np.zeros((52, 3, 3))
    deltas[arkit.INDEX["jawOpen"], 1] = [0, -2, 0]
    regions = {name: [] for name in REQUIRED_REGIONS}
    tiny = Head(neutral=np.eye(3) * 100, triangles=[[0, 1, 2]], deltas=deltas, regions=regions)
    motion = FaceMotion(np.full((1, 52), 0.5, np.float32))
    document, data = chunks(glb(tiny, motion, name="one frame"))
    assert document["meshes"][0]["extras"]["targetNames"] == ["jawOpen"]
    assert "COLOR_0" not in document["meshes"][0]["primitives"][0]["attributes"]
    assert read(document, data, document["animations"][0]["samplers"][0]["output"]).tolist() == [[0.5]]
    (tmp_path / "tiny.glb").write_bytes(glb(tiny, motion, name="one frame"))
    with pytest.warns(UserWarning, match="nothing moves under"):
        back = GlbHead(path=str(tmp_path / "tiny.glb"))
    np.testing.assert_allclose(back.deltas, deltas, atol=1e-5)


def test_normals_are_weighted_by_area_and_face_the_viewer_where_there_is_none():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1], [9, 9, 9]], dtype=np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])  # area 2 along +z, area 1 along +x
    regions = dict.fromkeys(REQUIRED_REGIONS, np.array([], np.int64))
    flat = Head(neutral=vertices, triangles=triangles, deltas=np.zeros((arkit.COUNT, 5, 3)), regions=regions)
    normals = unit_normals(flat, flat.neutral)
    np.testing.assert_allclose(normals[0], np.array([1, 0, 2]) / np.sqrt(5), atol=1e-6)
    np.testing.assert_allclose(normals[[1, 4]], [[0, 0, 1], [0, 0, 1]])


@pytest.mark.filterwarnings("ignore:.*nothing moves under tongueOut")
def test_a_real_head_round_trips(shared, tmp_path):
    source = shared / "assets" / "faces" / "ict_arkit52_face.npz"
    if not source.is_file():
        pytest.skip(f"no {source.name} in the shared material")
    head = NpzHead(path=str(source), millimetres_per_unit=6.8)
    path = tmp_path / "ict.glb"
    path.write_bytes(glb(head, FaceMotion(np.zeros((1, 52), np.float32)), name="still"))
    assert "tongueOut" not in chunks(path.read_bytes())[0]["meshes"][0]["extras"]["targetNames"]
    back = GlbHead(path=str(path))
    np.testing.assert_allclose(back.deltas, head.deltas, atol=1e-5)
    assert back.missing == ("tongueOut",) and back.colors is None
    for name in REQUIRED_REGIONS:
        np.testing.assert_array_equal(back.regions[name], head.regions[name])
