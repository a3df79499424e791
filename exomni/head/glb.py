"""A head from a glTF file whose morph targets carry ARKit names, such as Blender and `exomni generate` write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exomni import arkit
from exomni.config.registry import register
from exomni.head.base import Head, warn_of_missing
from exomni.head.gltf import Gltf, PlacedMesh
from exomni.head.npz import derived_regions

TRIANGLES = 4  # primitive mode; 0..3 are points and lines, 5 and 6 strips and fans
SIDES = {"_l": "left", "_r": "right"}  # Face Cap's and Apple's sample files spell mouthSmile_L


@dataclass
class _Part:
    """Vertices that primitives share."""

    neutral: np.ndarray  # (V, 3) float64, world space
    deltas: np.ndarray  # (52, V, 3) float32, world space
    colors: np.ndarray | None  # (V, 3) float32, linear; None where the file says nothing
    triangles: list[np.ndarray]  # each (F, 3) int64


@register("head", "glb")
class GlbHead(Head):
    """Head read from the .glb or .gltf at `path`.

    All triangles of the scene become one mesh, each node's transform applied; `meshes` names the nodes or meshes to take where
    the file holds more than a head. Morph targets are found by `mesh.extras.targetNames` in any letter case; `mouthSmile_L` and
    names after a last dot (`face.jawOpen`) count too, other targets are left out, absent ones move nothing and are warned of.
    Colours are those of the vertices times the material's; textures and skeletons are not used. Regions are derived (see
    `exomni.head.npz`). glTF counts in metres, hence `millimetres_per_unit`.
    FileNotFoundError, or ValueError for a broken or compressed file, no triangles, or no ARKit name.
    """

    def __init__(self, *, path: str, millimetres_per_unit: float = 1000.0, meshes: list[str] | None = None) -> None:
        if not millimetres_per_unit > 0:
            raise ValueError(f"millimetres_per_unit is {millimetres_per_unit}; a length above 0 is needed")
        file = Gltf(Path(path))
        placed = list(file.placed_meshes())
        chosen = _chosen(file, placed, meshes)
        parts = [part for item in chosen for part in _parts(file, item)]
        if not parts:
            raise ValueError(f"{path} holds no triangles")
        deltas = np.concatenate([part.deltas for part in parts], axis=1) * np.float32(millimetres_per_unit)
        if not deltas.any():
            found = [name for item in chosen for name in _target_names(item.mesh)]
            known = f"its targets are {', '.join(found[:5])}, ..." if found else "its meshes have no extras.targetNames"
            raise ValueError(f"{path} has no morph target with an ARKit name that moves anything: {known}")
        starts = np.cumsum([0, *(len(part.neutral) for part in parts[:-1])])
        super().__init__(
            neutral=np.concatenate([part.neutral for part in parts]) * millimetres_per_unit,
            triangles=np.concatenate([faces + start for part, start in zip(parts, starts) for faces in part.triangles]),
            deltas=deltas,
            regions=derived_regions(deltas),
            colors=_srgb(parts),
            millimetres_per_unit=millimetres_per_unit,
        )
        warn_of_missing(self, path)


def arkit_name(target: str) -> str | None:
    """The ARKit name that a morph target means, or None: `face.MouthSmile_L` -> `mouthSmileLeft`."""
    short = target.rpartition(".")[2].lower()
    spelled = re.sub(r"_[lr]$", lambda side: SIDES[side.group()], short)
    return {name.lower(): name for name in arkit.NAMES}.get(spelled)


def _chosen(file: Gltf, placed: Sequence[PlacedMesh], meshes: Sequence[str] | None) -> list[PlacedMesh]:
    if meshes is None:
        return list(placed)
    known = {name for item in placed for name in item.names}
    if unknown := sorted(set(meshes) - known):
        raise ValueError(f"{file.path} has no mesh {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none with a name'}")
    return [item for item in placed if set(meshes) & set(item.names)]


def _target_names(mesh: dict[str, Any]) -> list[str]:
    names = mesh.get("extras", {}).get("targetNames", [])
    return [str(name) for name in names] if isinstance(names, list) else []


def _parts(file: Gltf, placed: PlacedMesh) -> list[_Part]:
    """The mesh of one node. Primitives that differ in their material alone share vertices, as most exporters write them."""
    parts: dict[int, _Part] = {}
    turned = np.linalg.det(placed.world[:3, :3]) < 0  # a mirroring transform turns triangles inside out
    for primitive in placed.mesh.get("primitives", []):
        mode = primitive.get("mode", TRIANGLES)
        if mode > TRIANGLES:
            raise ValueError(f"{file.path}: a mesh is made of strips or fans (mode {mode}); export it as plain triangles")
        if mode < TRIANGLES or "POSITION" not in primitive.get("attributes", {}):
            continue
        position = primitive["attributes"]["POSITION"]
        if position not in parts:
            parts[position] = _part(file, placed, primitive)
        vertices = len(parts[position].neutral)
        indices = file.accessor(primitive["indices"]) if "indices" in primitive else np.arange(vertices)
        if indices.size % 3 or indices.ndim != 1 or not indices.size or indices.max() >= vertices:
            raise ValueError(f"{file.path}: the triangles of a mesh name vertices that it does not have, or are not whole")
        faces = indices.astype(np.int64).reshape(-1, 3)
        parts[position].triangles.append(faces[:, ::-1] if turned else faces)
    return list(parts.values())


def _part(file: Gltf, placed: PlacedMesh, primitive: dict[str, Any]) -> _Part:
    linear, shift = placed.world[:3, :3], placed.world[:3, 3]
    neutral = _points(file, primitive["attributes"]["POSITION"])
    deltas = np.zeros((arkit.COUNT, *neutral.shape), dtype=np.float32)
    seen: dict[str, str] = {}
    for target_name, target in zip(_target_names(placed.mesh), primitive.get("targets", [])):
        name = arkit_name(target_name)
        if name is None or "POSITION" not in target:
            continue
        if name in seen:
            raise ValueError(f"{file.path}: the morph targets {seen[name]!r} and {target_name!r} are both {name}")
        seen[name] = target_name
        moved = _points(file, target["POSITION"])
        if moved.shape != neutral.shape:
            raise ValueError(
                f"{file.path}: the morph target {target_name!r} has {len(moved)} vertices, its mesh {len(neutral)}"
            )
        deltas[arkit.INDEX[name]] = moved @ linear.T
    return _Part(neutral @ linear.T + shift, deltas, _vertex_colors(file, primitive, len(neutral)), [])


def _points(file: Gltf, accessor: int) -> np.ndarray:
    points = file.accessor(accessor).astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise ValueError(f"{file.path}: accessor {accessor} has shape {points.shape}; (vertices, 3) finite numbers are needed")
    return points


def _vertex_colors(file: Gltf, primitive: dict[str, Any], vertices: int) -> np.ndarray | None:
    """COLOR_0 times the material's base colour, linear."""
    factor = file.material(primitive).get("baseColorFactor")
    index = primitive["attributes"].get("COLOR_0")
    if factor is None and index is None:
        return None
    own = np.ones((vertices, 3)) if index is None else file.accessor(index)[:, :3]
    return (own * np.array(factor or (1, 1, 1, 1))[:3]).astype(np.float32)


def _srgb(parts: Sequence[_Part]) -> np.ndarray | None:
    """(V, 3) uint8, white where a part has no colour; None where no part has."""
    if all(part.colors is None for part in parts):
        return None
    linear = np.concatenate([np.ones_like(part.neutral) if part.colors is None else part.colors for part in parts]).clip(0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)
