import base64
import json
import struct

import numpy as np
import pytest

from exomni import arkit
from exomni.config import registry
from exomni.head.glb import GlbHead, arkit_name
from exomni.head.gltf import Gltf

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype="<f4")
FACES = np.array([0, 1, 2, 0, 2, 3], dtype="<u1")
TYPES = {"|u1": 5121, "<u2": 5123, "<u4": 5125, "<f4": 5126}
pytestmark = pytest.mark.filterwarnings("ignore:.*nothing moves under")


class Scene:
    """A glTF file by hand: what stands in `json` is written, `put` stores arrays."""

    def __init__(self):
        self.data = b""
        self.json = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "meshes": [], "nodes": []}

    def view(self, content, **fields):
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **fields})
        self.data += content + b"\0" * (-len(content) % 4)
        return len(self.json["bufferViews"]) - 1

    def put(self, values, **fields):
        kind = {1: "SCALAR", 2: f"VEC{values.shape[-1]}"}[values.ndim]
        view = self.view(values.tobytes())
        accessor = {"bufferView": view, "componentType": TYPES[values.dtype.str], "count": len(values), "type": kind, **fields}
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1

    def mesh(self, *targets, name="face", names=("jawOpen",), **fields):
        attributes = {"POSITION": self.put(POINTS)}
        primitive = {
            "attributes": attributes,
            "indices": self.put(FACES),
            "targets": [{"POSITION": self.put(t)} for t in targets],
        }
        self.json["meshes"].append({"name": name, "primitives": [primitive | fields], "extras": {"targetNames": list(names)}})
        return primitive

    def show(self, **fields):
        self.json["nodes"].append({"mesh": 0, **fields})

    def save(self, path):
        self.json["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(self.data), b"BIN\0") + self.data
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
        return str(path)


def delta(vertex, *moved):
    values = np.zeros_like(POINTS)
    values[vertex] = moved
    return values


def jaw_scene(**node):
    scene = Scene()
    scene.mesh(delta(2, 0, -0.5, 0))
    scene.show(**node)
    return scene


def test_metres_become_millimetres_and_every_transform_is_applied(tmp_path):
    scene = jaw_scene()
    quarter = np.sqrt(0.5)  # 90 degrees around y: x -> -z, z -> x
    scene.json["nodes"] = [
        {"children": [1], "translation": [1, 2, 3]},
        {"mesh": 0, "rotation": [0, quarter, 0, quarter], "scale": [2, 1, 1]},
    ]
    head = registry.build("head", {"name": "glb", "path": scene.save(tmp_path / "a.glb")})
    np.testing.assert_allclose(head.neutral, 1000 * np.array([[1, 2, 3], [1, 2, 1], [1, 3, 3], [2, 2, 3]]), atol=1e-3)
    np.testing.assert_allclose(head.deltas[arkit.INDEX["jawOpen"]], 1000 * delta(2, 0, -0.5, 0), atol=1e-3)
    np.testing.assert_array_equal(head.triangles, [[0, 1, 2], [0, 2, 3]])


def test_a_matrix_is_read_by_columns_and_a_mirror_turns_the_triangles(tmp_path):
    matrix = [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0.5, 0, 0, 1]
    head = GlbHead(path=jaw_scene(matrix=matrix).save(tmp_path / "a.glb"), millimetres_per_unit=1.0)
    np.testing.assert_allclose(head.neutral[1], [-0.5, 0, 0])
    np.testing.assert_array_equal(head.triangles, [[2, 1, 0], [3, 2, 0]])


def test_nodes_are_merged_and_shared_vertices_are_kept_once(tmp_path):
    scene = jaw_scene()
    first = scene.json["meshes"][0]["primitives"][0]
    scene.json["meshes"][0]["primitives"].append(first | {"indices": scene.put(np.array([1, 2, 3], dtype="<u2"))})
    scene.mesh(delta(1, 0.25, 0, 0), delta(0, 0, 0, 1), name="tongue", names=("TongueOut", "wink"))
    scene.json["nodes"].append({"mesh": 1, "translation": [5, 0, 0]})
    head = GlbHead(path=scene.save(tmp_path / "a.glb"), millimetres_per_unit=1.0)
    assert len(head.neutral) == 8
    assert head.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [1, 2, 3], [4, 5, 6], [4, 6, 7]]
    np.testing.assert_allclose(head.deltas[arkit.INDEX["tongueOut"], 5], [0.25, 0, 0])
    assert np.abs(head.deltas).sum() == 0.75  # the shape that is not ARKit's is left out
    only = GlbHead(path=str(tmp_path / "a.glb"), millimetres_per_unit=1.0, meshes=["tongue"])
    assert len(only.neutral) == 4 and set(arkit.NAMES) - set(only.missing) == {"tongueOut"}
    with pytest.raises(ValueError, match="no mesh 'tonge'; it has face, tongue"):
        GlbHead(path=str(tmp_path / "a.glb"), meshes=["tonge"])


def test_sparse_interleaved_and_normalized_accessors(tmp_path):
    scene = jaw_scene()
    rows, moved = (
        scene.view(np.array([1, 3], dtype="<u2").tobytes()),
        scene.view(np.array([[1, 2, 3], [4, 5, 6]], "<f4").tobytes()),
    )
    sparse = {"count": 2, "indices": {"bufferView": rows, "componentType": 5123}, "values": {"bufferView": moved}}
    scene.json["accessors"].append({"componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse})
    scene.json["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": len(scene.json["accessors"]) - 1}]
    mixed = np.zeros(4, dtype=[("position", "<f4", 3), ("color", "u1", 4)])
    mixed["position"], mixed["color"] = POINTS, [[255, 51, 0, 255]] * 4
    view = scene.view(mixed.tobytes(), byteStride=16)
    position = {"bufferView": view, "componentType": 5126, "count": 4, "type": "VEC3"}
    color = {"bufferView": view, "byteOffset": 12, "componentType": 5121, "count": 4, "type": "VEC4", "normalized": True}
    scene.json["accessors"] += [position, color]
    last = len(scene.json["accessors"]) - 1
    scene.json["meshes"][0]["primitives"][0]["attributes"] = {"POSITION": last - 1, "COLOR_0": last}
    head = GlbHead(path=scene.save(tmp_path / "a.glb"), millimetres_per_unit=1.0)
    np.testing.assert_allclose(head.neutral, POINTS)
    np.testing.assert_allclose(head.deltas[arkit.INDEX["jawOpen"]], [[0, 0, 0], [1, 2, 3], [0, 0, 0], [4, 5, 6]])
    assert head.colors[0].tolist() == [255, 124, 0]  # linear 0.2 is sRGB 0.4845


def test_a_material_colours_and_a_skin_leaves_the_mesh_where_it_is(tmp_path):
    scene = jaw_scene(translation=[9, 9, 9], skin=0)
    assert GlbHead(path=scene.save(tmp_path / "a.glb")).colors is None
    scene.json["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [0, 1, 0.2, 1]}}]
    scene.json["meshes"][0]["primitives"][0]["material"] = 0
    head = GlbHead(path=scene.save(tmp_path / "a.glb"), millimetres_per_unit=1.0)
    assert head.colors.tolist() == [[0, 255, 124]] * 4
    np.testing.assert_allclose(head.neutral, POINTS)


def test_gltf_with_its_buffer_inside_or_beside(tmp_path):
    scene = jaw_scene()
    scene.save(tmp_path / "a.glb")
    scene.json["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(scene.data).decode()
    (tmp_path / "inside.gltf").write_text(json.dumps(scene.json))
    scene.json["buffers"][0]["uri"] = "my%20head.bin"
    (tmp_path / "my head.bin").write_bytes(scene.data)
    (tmp_path / "beside.gltf").write_text(json.dumps(scene.json))
    for name in ("inside.gltf", "beside.gltf"):
        np.testing.assert_allclose(GlbHead(path=str(tmp_path / name), millimetres_per_unit=1.0).neutral, POINTS)
    scene.json["buffers"][0]["uri"] = "../secret.bin"
    (tmp_path / "out.gltf").write_text(json.dumps(scene.json))
    with pytest.raises(ValueError, match="lies outside its folder"):
        GlbHead(path=str(tmp_path / "out.gltf"))


@pytest.mark.parametrize(
    ("target", "name"),
    [("JawOpen", "jawOpen"), ("mouthSmile_L", "mouthSmileLeft"), ("face.browDown_r", "browDownRight"), ("viseme_PP", None)],
)
def test_spellings_of_arkit_names(target, name):
    assert arkit_name(target) == name


def test_absent_names_are_warned_of_and_none_is_an_error(tmp_path):
    path = jaw_scene().save(tmp_path / "a.glb")
    with pytest.warns(UserWarning, match="a.glb: nothing moves under browDownLeft, .* and 43 more of 52"):
        head = GlbHead(path=path)
    assert len(head.missing) == 51
    scene = Scene()
    scene.mesh(delta(0, 1, 0, 0), names=("viseme_aa",))
    scene.show()
    with pytest.raises(ValueError, match="no morph target with an ARKit name .* its targets are viseme_aa"):
        GlbHead(path=scene.save(tmp_path / "b.glb"))


def broken_scenes():
    def changed(change):
        scene = jaw_scene()
        change(scene.json, scene.json["meshes"][0]["primitives"][0])
        return scene

    yield changed(lambda json, _: json.update(extensionsRequired=["KHR_draco_mesh_compression"])), "without compression"
    yield changed(lambda json, _: json.update(asset={"version": "1.0"})), "asset.version is not 2"
    yield changed(lambda json, _: json["nodes"][0].update(mesh=3)), r"refers to meshes\[3\] and has 1"
    yield changed(lambda json, _: json.update(scenes=[{"nodes": [0]}], nodes=[{"children": [0]}])), "no tree"
    yield changed(lambda json, _: json["accessors"][0].update(count=400)), "accessor 0 is broken"
    yield changed(lambda json, _: json["accessors"][0].update(componentType=1)), "accessor 0 is broken"
    yield changed(lambda json, _: json["accessors"][2].update(count=3)), "'jawOpen' has 3 vertices, its mesh 4"
    yield changed(lambda json, _: json["accessors"][1].update(count=5)), "not whole"
    yield changed(lambda _, primitive: primitive.update(mode=5)), "export it as plain triangles"
    yield changed(lambda _, primitive: primitive.update(mode=1)), "holds no triangles"


@pytest.mark.parametrize(("scene", "message"), list(broken_scenes()))
def test_broken_files_are_clear(tmp_path, scene, message):
    with pytest.raises(ValueError, match=message):
        GlbHead(path=scene.save(tmp_path / "a.glb"))


def test_what_is_no_gltf(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.glb"):
        GlbHead(path=str(tmp_path / "nowhere.glb"))
    path = tmp_path / "a.glb"
    jaw_scene().save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="bytes announced"):
        Gltf(path)
    path.write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match="not a glTF 2.0 file"):
        Gltf(path)
    with pytest.raises(ValueError, match="millimetres_per_unit is -1"):
        GlbHead(path=str(path), millimetres_per_unit=-1)


def test_two_spellings_of_one_name_are_refused(tmp_path):
    scene = Scene()
    scene.mesh(delta(0, 1, 0, 0), delta(1, 1, 0, 0), names=("jawOpen", "face.JawOpen"))
    scene.show()
    with pytest.raises(ValueError, match="'jawOpen' and 'face.JawOpen' are both jawOpen"):
        GlbHead(path=scene.save(tmp_path / "a.glb"))
