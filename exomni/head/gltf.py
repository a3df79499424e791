"""glTF 2.0 from a .glb or .gltf file: its JSON, its accessors as arrays, its nodes in world space.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html (sections 3.5 nodes, 3.6 binary data, 4.4 GLB).
Read are buffers inside the file (GLB chunk or data: URI) and beside it; sparse, normalized and interleaved accessors.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from scipy.spatial.transform import Rotation

MAGIC, VERSION = b"glTF", 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
COMPONENTS: dict[int, np.dtype] = {
    5120: np.dtype("<i1"), 5121: np.dtype("<u1"), 5122: np.dtype("<i2"), 5123: np.dtype("<u2"),
    5125: np.dtype("<u4"), 5126: np.dtype("<f4"),
}  # fmt: skip
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
UNREADABLE = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh where a node puts it."""

    mesh: dict[str, Any]
    names: tuple[str, ...]  # of the node and of the mesh, as far as they have one
    world: np.ndarray  # (4, 4) float64, columns are applied to (x, y, z, 1)


class Gltf:
    """One file in memory. ValueError says what is broken or compressed, FileNotFoundError which file is absent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"no glTF file at {path}")
        self.json, self._chunk = _parse(path)
        compressed = [name for name in UNREADABLE if name in self.json.get("extensionsRequired", [])]
        if compressed:
            raise ValueError(f"{path} is compressed ({', '.join(compressed)}); export it again without compression")
        self._buffers: dict[int, bytes] = {}

    def accessor(self, index: int) -> np.ndarray:
        """Accessor `index` as (count,) or (count, width); normalized integers as float32 in -1..1, the rest as stored."""
        item = self._item("accessors", index)
        try:
            dtype, width, count = COMPONENTS[item["componentType"]], WIDTHS[item["type"]], item["count"]
            offset = item.get("byteOffset", 0)
            if "bufferView" in item:
                values = self._view(item["bufferView"], dtype, width, count, offset).copy()
            else:
                values = np.zeros((count, width), dtype=dtype)
            if sparse := item.get("sparse"):
                places, changed, rows = sparse["indices"], sparse["values"], sparse["count"]
                kind = COMPONENTS[places["componentType"]]
                ids = self._view(places["bufferView"], kind, 1, rows, places.get("byteOffset", 0))[:, 0]
                values[ids] = self._view(changed["bufferView"], dtype, width, rows, changed.get("byteOffset", 0))
        except (KeyError, IndexError, TypeError, ValueError) as error:  # NumPy: TypeError for a buffer that is too small
            raise ValueError(f"{self.path}: accessor {index} is broken ({type(error).__name__}: {error})") from None
        if item.get("normalized") and dtype.kind in "iu":
            values = np.maximum(values.astype(np.float32) / np.iinfo(dtype).max, np.float32(-1))
        return values[:, 0] if width == 1 else values

    def placed_meshes(self) -> Iterator[PlacedMesh]:
        """Every mesh of the scene, as often as a node shows it.

        A skinned mesh stands as it is stored: its node's place does not count (section 3.7.3.3), nor does its skeleton here.
        """
        nodes = self.json.get("nodes", [])
        scenes = self.json.get("scenes")
        if scenes:
            roots = self._item("scenes", self.json.get("scene", 0)).get("nodes", [])
        else:
            below = {child for node in nodes for child in node.get("children", [])}
            roots = [index for index in range(len(nodes)) if index not in below]
        waiting = [(index, np.eye(4)) for index in roots]
        shown = 0
        while waiting:
            index, parent = waiting.pop(0)
            node = self._item("nodes", index)
            shown += 1
            if shown > len(nodes):
                raise ValueError(f"{self.path}: its nodes form no tree; node {index} is reached twice")
            world = parent @ _local(node)
            waiting += [(child, world) for child in node.get("children", [])]
            if "mesh" in node:
                mesh = self._item("meshes", node["mesh"])
                names = tuple(item["name"] for item in (node, mesh) if item.get("name"))
                yield PlacedMesh(mesh, names, np.eye(4) if "skin" in node else world)

    def material(self, primitive: dict[str, Any]) -> dict[str, Any]:
        """The metallic-roughness description of a primitive's material; empty for the default one."""
        if "material" not in primitive:
            return {}
        return self._item("materials", primitive["material"]).get("pbrMetallicRoughness", {})

    def _item(self, kind: str, index: int) -> dict[str, Any]:
        items = self.json.get(kind, [])
        if not 0 <= index < len(items):
            raise ValueError(f"{self.path}: it refers to {kind}[{index}] and has {len(items)}")
        return items[index]

    def _view(self, index: int, dtype: np.dtype, width: int, count: int, offset: int) -> np.ndarray:
        """(count, width) of `dtype`, rows `byteStride` apart, over the buffer's bytes."""
        view = self._item("bufferViews", index)
        start, stride = view.get("byteOffset", 0), view.get("byteStride", width * dtype.itemsize)
        data = self._buffer(view["buffer"])[start : start + view["byteLength"]]
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            uri = self._item("buffers", index).get("uri")
            if uri is None:
                self._buffers[index] = self._chunk
            elif uri.startswith("data:"):
                self._buffers[index] = base64.b64decode(uri.partition(",")[2])
            else:
                beside = self.path.parent / unquote(uri)
                if not beside.resolve().is_relative_to(self.path.parent.resolve()):
                    raise ValueError(f"{self.path}: its buffer {uri!r} lies outside its folder")
                self._buffers[index] = beside.read_bytes()
        return self._buffers[index]


def _parse(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk (empty where there is none)."""
    data = path.read_bytes()
    try:
        if data[:4] != MAGIC:
            return _checked(json.loads(data)), b""
        version, length = struct.unpack_from("<II", data, 4)
        if version != VERSION or length > len(data):
            raise ValueError(f"version {version}, {length} bytes announced, {len(data)} there")
        chunks: dict[int, bytes] = {}
        place = 12
        while place + 8 <= length:
            size, kind = struct.unpack_from("<II", data, place)
            chunks.setdefault(kind, data[place + 8 : place + 8 + size])
            place += 8 + size
        return _checked(json.loads(chunks[JSON_CHUNK])), chunks.get(BINARY_CHUNK, b"")
    except (ValueError, KeyError, struct.error) as error:  # a JSONDecodeError and a UnicodeDecodeError are ValueErrors
        raise ValueError(f"{path} is not a glTF 2.0 file ({error}); give a .glb, or a .gltf with its .bin beside it") from None


def _checked(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or not str(found.get("asset", {}).get("version", "")).startswith("2"):
        raise ValueError("asset.version is not 2")
    return found


def _local(node: dict[str, Any]) -> np.ndarray:
    """(4, 4) transform of a node: its matrix (stored by columns), or translation @ rotation @ scale."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    made = np.eye(4)
    rotation = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
    made[:3, :3] = rotation * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)
    made[:3, 3] = node.get("translation", (0, 0, 0))
    return made
