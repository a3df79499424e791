"""A head that moves by itself in Blender, three.js, Babylon.js and other readers of glTF: GLB with animated morph targets.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. One mesh in metres (the head's own millimetres / 1000,
same axes), a morph target with position and normal deltas for each ARKit shape that moves something on this head, their
names in `mesh.extras.targetNames`, and an animation of the weights. A target stores the vertices that it moves and no others
(sparse accessor) where that is smaller. glTF has no sound; the WAV lies beside.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

import exomni
from exomni import arkit, files
from exomni.config.registry import register
from exomni.head.base import Head
from exomni.head.gltf import BINARY_CHUNK, JSON_CHUNK, MAGIC, VERSION
from exomni.render.exporters.base import Answer, Exporter, Say
from exomni.types import FaceMotion

METRES = np.float32(0.001)  # in a millimetre
UINT16, UINT32, FLOAT = 5123, 5125, 5126  # component types
VERTICES, INDICES = 34962, 34963  # ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER
SKIN = {"metallicFactor": 0.0, "roughnessFactor": 0.7}


@register("exporter", "glb")
class GlbExporter(Exporter):
    """GLB: the head with a morph target for each shape that it has, and the answer as an animation of their weights."""

    suffix = ".glb"
    needs_head = True

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        head = answer.head()
        if head.missing:
            say(f"{path.name}: no morph target for {', '.join(head.missing)}, under which nothing moves on this head")
        with files.replacing(path) as scratch:
            scratch.write_bytes(glb(head, answer.motion, name=path.stem))


def glb(head: Head, motion: FaceMotion, *, name: str) -> bytes:
    """The whole file: `head` under `motion`, the animation called `name`."""
    store = _Store()
    shapes = [shape for shape in arkit.NAMES if shape not in head.missing]
    normals = unit_normals(head, head.neutral)
    attributes = {"POSITION": store.vertices(head.neutral * METRES, bounds=True), "NORMAL": store.vertices(normals)}
    if head.colors is not None:
        attributes["COLOR_0"] = store.vertices(_linear(head.colors))
    targets = []
    for delta in head.deltas[arkit.indices(shapes)]:
        turned = unit_normals(head, head.neutral + delta) - normals
        targets.append({"POSITION": store.target(delta * METRES, bounds=True), "NORMAL": store.target(turned)})
    small = len(head.neutral) < 2**16  # the largest 16 bit index is reserved
    corners = store.array(head.triangles.ravel(), UINT16 if small else UINT32, "SCALAR", target=INDICES)
    primitive = {"attributes": attributes, "indices": corners, "material": 0, "targets": targets}
    times = np.arange(len(motion.values), dtype=np.float32) / np.float32(motion.fps)
    weights = motion.values[:, arkit.indices(shapes)]
    sampler = {
        "input": store.array(times, FLOAT, "SCALAR", bounds=True),
        "output": store.array(weights.ravel(), FLOAT, "SCALAR"),
        "interpolation": "LINEAR",
    }
    channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
    mesh = {"name": "head", "primitives": [primitive], "weights": [0.0] * len(shapes), "extras": {"targetNames": shapes}}
    return store.file(
        {
            "asset": {"version": f"{VERSION}.0", "generator": f"exomni {exomni.__version__}"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "head", "mesh": 0}],
            "meshes": [mesh],
            "materials": [{"name": "head", "pbrMetallicRoughness": SKIN, "doubleSided": True}],
            "animations": [{"name": name, "samplers": [sampler], "channels": [channel]}],
        }
    )


def unit_normals(head: Head, vertices: np.ndarray) -> np.ndarray:
    """The head's normals (V, 3) at `vertices`; +z where no triangle gives a direction, since glTF has no zero normals."""
    normals = head.normals(vertices)
    normals[~normals.any(axis=1)] = [0.0, 0.0, 1.0]
    return normals


def _linear(colors: np.ndarray) -> np.ndarray:
    """sRGB (V, 3) uint8 as linear light 0..1 float32, which is what COLOR_0 holds."""
    share = colors / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


class _Store:
    """The binary chunk with its views and accessors. Everything begins at a multiple of 4 bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.zeros: int | None = None

    def vertices(self, values: np.ndarray, *, bounds: bool = False) -> int:
        return self.array(values, FLOAT, "VEC3", target=VERTICES, bounds=bounds)

    def array(self, values: np.ndarray, component: int, kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        """A new accessor over all `values`."""
        return self._accessor(values, component, kind, bounds=bounds, bufferView=self._view(values, component, target))

    def target(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """A new accessor over a morph target's (V, 3), zeros left out where that is smaller."""
        moved = np.flatnonzero(values.any(axis=1))
        if not len(moved):
            moved = np.array([0])  # a sparse accessor has at least one row
        component, size = (UINT16, 2) if len(values) <= 2**16 else (UINT32, 4)
        if len(moved) * (size + 12) >= len(values) * 12:
            return self.vertices(values, bounds=bounds)
        sparse = {  # byteOffset is 0 by default, but VTK asks for it
            "count": len(moved),
            "indices": {"bufferView": self._view(moved, component), "byteOffset": 0, "componentType": component},
            "values": {"bufferView": self._view(values[moved], FLOAT), "byteOffset": 0},
        }
        return self._accessor(values, FLOAT, "VEC3", bounds=bounds, bufferView=self._zeros(len(values)), sparse=sparse)

    def _zeros(self, vertices: int) -> int:
        """The view that all sparse accessors start from. One without a view is zeros too, but VTK leaves it undefined."""
        if self.zeros is None:
            self.zeros = self._view(np.zeros((vertices, 3)), FLOAT, VERTICES)
            self.views[self.zeros]["byteStride"] = 12  # must be there where accessors share a view
        return self.zeros

    def file(self, scene: dict[str, Any]) -> bytes:
        """The GLB: header, JSON padded with spaces, binary chunk."""
        tables = {"accessors": self.accessors, "bufferViews": self.views, "buffers": [{"byteLength": len(self.data)}]}
        text = json.dumps(scene | tables, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = [(JSON_CHUNK, text), (BINARY_CHUNK, bytes(self.data))]
        body = b"".join(struct.pack("<II", len(content), kind) + content for kind, content in chunks)
        return MAGIC + struct.pack("<II", VERSION, 12 + len(body)) + body

    def _accessor(self, values: np.ndarray, component: int, kind: str, *, bounds: bool, **content: Any) -> int:
        """The number of a new accessor; `content` are the keys that say where its values lie."""
        made = {"componentType": component, "count": len(values), "type": kind, **content}
        if bounds:  # exactly those of the stored float32
            stored = values.astype(np.float32).reshape(len(values), -1)
            made |= {"min": stored.min(axis=0).tolist(), "max": stored.max(axis=0).tolist()}
        self.accessors.append(made)
        return len(self.accessors) - 1

    def _view(self, values: np.ndarray, component: int, target: int | None = None) -> int:
        content = values.astype({UINT16: "<u2", UINT32: "<u4", FLOAT: "<f4"}[component]).tobytes()
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self.views.append(view)
        self.data += content + b"\0" * (-len(content) % 4)
        return len(self.views) - 1
