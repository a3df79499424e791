"""Makes the head that exomni ships, `head: procedural`: a stylised face from formulas, not from a scan of a person.

    python docs/head/make.py                              writes exomni/head/procedural.npz anew
    python docs/head/make.py --rings 70 --out dense.npz   more vertices: use it with head={name: npz, path: dense.npz}

A skin of blended ellipsoids (surface.py) is cut into triangles (skin.py); teeth, tongue, eyes and brows are added (parts.py);
each ARKit shape displaces the vertices (expressions.py); parts get their colours (colors.py). Lengths are millimetres.
The file is a ZIP of NumPy arrays, compressed by LZMA, in the layout of the head `npz`. The values are not rounded.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import expressions
import parts
import surface
from colors import colors
from exomni import arkit
from mesh import Mesh
from surface import EYE, MOUTH_HALF_WIDTH, MOUTH_Y

SHIPPED = Path(__file__).resolve().parents[2] / "exomni" / "head" / "procedural.npz"
RINGS = range(30, 81)
SHIPPED_RINGS = 48
NO_DATE = (1980, 1, 1, 0, 0, 0)  # the same arrays give the same bytes on any day


def main() -> None:
    """Make a head and write it; the command line is described at the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rings", type=int, default=SHIPPED_RINGS, help="circles of skin vertices, 30 to 80 (default: 48)")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the file to write")
    options = parser.parse_args()
    if options.rings not in RINGS:
        parser.error(f"--rings is {options.rings}; a head has {RINGS[0]} to {RINGS[-1]}")
    made = head(rings=options.rings)
    write(options.out, made)
    vertices, size = len(made["neutral"]), options.out.stat().st_size
    print(f"{options.out}: {vertices} vertices, {len(made['tri'])} triangles, {size / 1000:.0f} kB")


def head(*, rings: int = SHIPPED_RINGS) -> dict[str, np.ndarray]:
    """The arrays of a head, named as the head `npz` reads them; 48 rings make 6,105 vertices."""
    mesh = parts.build(rings=rings)
    return {
        "neutral": mesh.positions.astype(np.float32),
        "tri": mesh.triangles.astype(np.uint16),
        "deltas": expressions.displacements(mesh).astype(np.float32),
        "names": np.array(arkit.NAMES),
        "colors": colors(mesh),
        **{f"region_{name}": ids.astype(np.uint16) for name, ids in regions(mesh).items()},
    }


def regions(mesh: Mesh) -> dict[str, np.ndarray]:
    """Vertex ids of the named parts of the face. The corners of the mouth are in both `seam_upper` and `seam_lower`."""
    x, y, z = mesh.positions.T
    skin, front = mesh.part == "skin", z > 35.0
    upper = mesh.below < 0.5
    gap = np.abs(y - surface.seam_y(x))
    red = skin & front & (np.abs(x) <= MOUTH_HALF_WIDTH + 0.01) & (gap <= surface.lip_height(x, upper) + 0.3)
    seam = mesh.ring == "seam"
    red |= seam
    corner = seam & (mesh.below == 0.5)
    eye = ((np.abs(x) - EYE[0]) / 17.0) ** 2 + (y / np.where(y > 0, 14.0, 11.0)) ** 2 < 1.0
    masks = {
        "lips": red,
        "upper_lip": red & (upper | corner),
        "lower_lip": red & ~upper | corner,
        "seam_upper": seam & (upper | corner),
        "seam_lower": seam & ~upper | corner,
        "upper_face": (skin & front & (y > -14.0) & (y < 68.0)) | (mesh.part == "brow"),
        "eyelids": (skin & front & eye) | (mesh.part == "lid_rim"),
        "brows": mesh.part == "brow",
        "teeth": np.isin(mesh.part, ("upper_teeth", "lower_teeth")),
        "eyes": mesh.part == "eye",
        "tongue": mesh.part == "tongue",
        "cavity": mesh.part == "cavity",
        "jaw": skin & front & (y < MOUTH_Y - 8.0) & (y > surface.NECK_Y + 24.0),
    }
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays as an .npz that `numpy.load` reads."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", NO_DATE), content.getvalue(), zipfile.ZIP_LZMA)


if __name__ == "__main__":
    main()
