"""A head from an .npz file: this project's own layout, or the one that EmoTalk's and Ex-Omni's templates have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from exomni import arkit, files
from exomni.config.registry import register
from exomni.head.base import REQUIRED_REGIONS, Head, warn_of_missing

LAYOUTS: tuple[tuple[str, str, str, str], ...] = (
    ("neutral", "tri", "deltas", "names"),
    ("meanshape", "faces", "blendshape", "bs_names"),
)
REGION_PREFIX = "region_"


@register("head", "npz")
class NpzHead(Head):
    """Head read from `path`.

    Arrays `neutral` (V, 3), `tri` (F, 3), `deltas` (N, V, 3), `names` (N,), or `meanshape`, `faces`, `blendshape`, `bs_names`
    of the same shapes; triangles may count from 1. Optional: `colors` (V, 3) uint8 and vertex ids `region_lips` and so on.
    Shapes are matched to ARKit by name in any letter case; other names are left out, absent ones are warned of. Regions that
    the file lacks are derived from what its shapes move (see `derived_regions`). `millimetres_per_unit` scales the mesh:
    ICT-FaceKit about 6.8.
    FileNotFoundError, or ValueError that says which array is wrong.
    """

    def __init__(self, *, path: str, millimetres_per_unit: float = 1.0) -> None:
        if not millimetres_per_unit > 0:
            raise ValueError(f"millimetres_per_unit is {millimetres_per_unit}; a length above 0 is needed")
        if not Path(path).is_file():
            raise FileNotFoundError(f"no head at {path}")
        arrays = files.read_npz(Path(path))
        layout = _layout(arrays, path)
        neutral, triangles, deltas, names = (arrays[key] for key in layout)
        _check_shapes(path, layout, neutral, triangles, deltas, names)
        triangles = triangles.astype(np.int64) - (1 if triangles.min() == 1 else 0)
        _check_values(path, layout, neutral, triangles, deltas)
        ordered = _in_arkit_order(path, deltas, [_text(name) for name in names]) * np.float32(millimetres_per_unit)
        super().__init__(
            neutral=neutral.astype(np.float32) * np.float32(millimetres_per_unit),
            triangles=triangles,
            deltas=ordered,
            regions=derived_regions(ordered) | _given_regions(path, arrays, len(neutral)),
            colors=_colors(path, arrays, len(neutral)),
            millimetres_per_unit=millimetres_per_unit,
        )
        warn_of_missing(self, path)


def derived_regions(deltas: np.ndarray) -> dict[str, np.ndarray]:
    """Vertex ids of REQUIRED_REGIONS, guessed from `deltas` (52, V, 3) in ARKit order.

    Lips are what roll, upper-up or lower-down, and funnel move most together, lids what blinks move, brows what brow
    shapes move, the upper face what its shapes move more than mouth and jaw do. Teeth are what only the jaw moves, which
    finds the lower row, tongue and gums. A region whose shapes are missing is empty.
    """
    motion = np.linalg.norm(deltas, axis=2)

    def moved(names: Sequence[str], share: float) -> np.ndarray:
        most = motion[arkit.indices(names)].max(axis=0)
        return (most > share * most.max()) & (most > 0)

    relative = motion / np.maximum(motion.max(axis=1, keepdims=True), 1e-12)

    def lip(roll: str, sides: str) -> np.ndarray:
        """What roll, raising or lowering, and funnel move, all of them; those that the mesh lacks do not count."""
        movers = [[roll], [f"{sides}Left", f"{sides}Right"], ["mouthFunnel"]]
        shares = [relative[arkit.indices(names)].max(axis=0) for names in movers]
        score = np.prod([share for share in shares if share.any()] or [np.zeros(motion.shape[1])], axis=0)
        return (score > 0.2 * score.max()) & (score > 0)

    around_eyes = [name for name in arkit.NAMES if name.startswith(("brow", "eyeBlink", "eyeSquint", "eyeWide"))]
    upper = relative[arkit.indices(around_eyes)].max(axis=0)
    mouth = relative[arkit.indices(arkit.MOUTH)].max(axis=0)
    soft = [name for name in arkit.NAMES if name.startswith(("mouth", "cheek", "nose"))]
    rigid = relative[arkit.indices(soft)].max(axis=0) < 1e-3
    upper_lip, lower_lip = lip("mouthRollUpper", "mouthUpperUp"), lip("mouthRollLower", "mouthLowerDown")
    masks = {
        "upper_lip": upper_lip,
        "lower_lip": lower_lip,
        "lips": upper_lip | lower_lip,
        "eyelids": moved(arkit.BLINKS, 0.25),
        "brows": moved([name for name in arkit.NAMES if name.startswith("brow")], 0.5),
        "upper_face": (upper > 0.2) & (upper > 2.0 * mouth),
        "teeth": rigid & moved(["jawOpen"], 0.25),
    }
    assert set(masks) == set(REQUIRED_REGIONS)
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def _layout(arrays: Mapping[str, np.ndarray], path: str) -> tuple[str, str, str, str]:
    for layout in LAYOUTS:
        if all(key in arrays for key in layout):
            return layout
    wanted = " or ".join("(" + ", ".join(layout) + ")" for layout in LAYOUTS)
    nearest = max(LAYOUTS, key=lambda layout: sum(key in arrays for key in layout))
    lacking = ", ".join(key for key in nearest if key not in arrays)
    raise ValueError(f"{path} lacks {lacking}: it has {', '.join(sorted(arrays)) or 'no arrays'}; a head has {wanted}")


def _check_shapes(path: str, layout: Sequence[str], *given: np.ndarray) -> None:
    neutral, triangles, deltas, names = given
    vertices = len(neutral) if neutral.ndim else 0
    shapes = len(names) if names.ndim == 1 else 0
    problems = []
    if neutral.ndim != 2 or neutral.shape[1] != 3 or not vertices:
        problems.append(f"{layout[0]} has shape {neutral.shape}, not (vertices, 3)")
    if triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles) or triangles.dtype.kind not in "iu":
        problems.append(f"{layout[1]} has shape {triangles.shape} of {triangles.dtype}, not (triangles, 3) of integers")
    if names.ndim != 1 or names.dtype.kind not in "US":
        problems.append(f"{layout[3]} has shape {names.shape} of {names.dtype}, not (shapes,) of strings")
    if deltas.shape != (shapes, vertices, 3):
        problems.append(f"{layout[2]} has shape {deltas.shape}, not ({shapes} shapes, {vertices} vertices, 3)")
    if problems:
        raise ValueError(f"{path}: " + "; ".join(problems))


def _check_values(path: str, layout: Sequence[str], neutral: np.ndarray, triangles: np.ndarray, deltas: np.ndarray) -> None:
    if triangles.min() < 0 or triangles.max() >= len(neutral):
        raise ValueError(
            f"{path}: {layout[1]} names vertices {triangles.min()}..{triangles.max()}; the mesh has 0..{len(neutral) - 1}"
        )
    for key, array in ((layout[0], neutral), (layout[2], deltas)):
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {key} holds values that are not finite numbers")


def _text(name: bytes | str) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


def _in_arkit_order(path: str, deltas: np.ndarray, names: Sequence[str]) -> np.ndarray:
    try:
        places = arkit.permutation(names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if max(places) < 0:
        raise ValueError(f"{path} has no ARKit blendshape: its names are {', '.join(names[:5])}, ...")
    ordered = np.zeros((arkit.COUNT, *deltas.shape[1:]), dtype=np.float32)
    for index, place in enumerate(places):
        if place >= 0:
            ordered[index] = deltas[place]
    return ordered


def _given_regions(path: str, arrays: Mapping[str, np.ndarray], vertices: int) -> dict[str, np.ndarray]:
    regions = {key.removeprefix(REGION_PREFIX): ids for key, ids in arrays.items() if key.startswith(REGION_PREFIX)}
    for name, ids in regions.items():
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or (len(ids) and not 0 <= ids.min() <= ids.max() < vertices):
            raise ValueError(f"{path}: {REGION_PREFIX}{name} is not a list of vertex ids in 0..{vertices - 1}")
    return regions


def _colors(path: str, arrays: Mapping[str, np.ndarray], vertices: int) -> np.ndarray | None:
    colors = arrays.get("colors")
    if colors is not None and (colors.shape != (vertices, 3) or colors.dtype != np.uint8):
        raise ValueError(f"{path}: colors has shape {colors.shape} of {colors.dtype}, not ({vertices}, 3) of uint8")
    return colors
