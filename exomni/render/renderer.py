"""Coefficients -> images, off screen, on the CPU or whatever OpenGL there is. Needs pyvista (extra `render`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from exomni.head.base import Head

AMBIENT, DIFFUSE, SPECULAR, SHININESS = 0.3, 0.6, 0.1, 15.0  # under one white light at the camera
FIELD_OF_VIEW_DEGREES = 14.0  # of the perspective view
CHUNK = 32  # frames whose vertices are in memory at a time


class Renderer:
    """Front views of one head, one reusable off-screen window.

    `size`: side of the square frames, pixels. `view`: parallel rays, or a pinhole with a 14 degree field of view that stands
    as far away as shows the same part. The picture holds the head in its neutral pose and under every shape alone, with
    `padding` times its half size around its middle, and does not move with the frames. Heads without colours are white.
    Use it as a context manager, or call `close`. ValueError for other options, ImportError where pyvista is missing.
    """

    def __init__(
        self,
        head: Head,
        *,
        size: int = 256,
        view: Literal["orthographic", "perspective"] = "orthographic",
        background: str = "black",
        padding: float = 1.08,
    ) -> None:
        if view not in ("orthographic", "perspective"):
            raise ValueError(f"view is {view!r}; a renderer knows 'orthographic' and 'perspective'")
        if size < 16 or padding <= 0:
            raise ValueError(f"size is {size} and padding {padding}; a frame has at least 16 pixels and padding is above 0")
        self.head = head
        self.size = size
        self._triangle_of_vertex = _incidence(head.triangles, len(head.neutral))
        with _quiet_vtk():
            self._plotter, self._mesh = self._open(view, background, padding)
            self._plotter.show(auto_close=False)  # creates the window, with whatever driver works

    def frames(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """One picture for each row of `coefficients` (T, 52): (size, size, 3) uint8 RGB."""
        values = np.asarray(coefficients, dtype=np.float32)
        for start in range(0, len(values), CHUNK):
            for vertices in self.head.vertices(values[start : start + CHUNK]):
                yield self.frame(vertices)

    def frame(self, vertices: np.ndarray) -> np.ndarray:
        """The head's mesh with its vertices at (V, 3), in the head's units: (size, size, 3) uint8 RGB."""
        if self._plotter is None:
            raise ValueError("this renderer is closed; make a new one")
        self._mesh.points[:] = vertices
        self._mesh.point_data["Normals"][:] = self.normals(vertices)
        self._mesh.GetPoints().Modified()
        self._mesh.GetPointData().GetNormals().Modified()
        self._plotter.render()
        return np.ascontiguousarray(self._plotter.screenshot(return_img=True)[..., :3])

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals of the vertices (V, 3), triangles weighted by area: (V, 3) float32."""
        a, b, c = (vertices[self.head.triangles[:, corner]] for corner in range(3))
        total = self._triangle_of_vertex @ np.cross(b - a, c - a)
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    def close(self) -> None:
        """Give the window back; may be called twice."""
        if self._plotter is not None:
            self._plotter.close()
            self._plotter = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self, view: str, background: str, padding: float) -> tuple[Any, Any]:
        pyvista = _pyvista()
        triangles = self.head.triangles
        faces = np.column_stack([np.full(len(triangles), 3, dtype=triangles.dtype), triangles]).ravel()
        mesh = pyvista.PolyData(self.head.neutral.copy(), faces)
        mesh.point_data.active_normals = self.normals(self.head.neutral).astype(np.float32)
        plotter = pyvista.Plotter(off_screen=True, window_size=(self.size, self.size), lighting="none")
        plotter.set_background(background)
        plotter.add_light(pyvista.Light(light_type="headlight"))
        material = {"ambient": AMBIENT, "diffuse": DIFFUSE, "specular": SPECULAR, "specular_power": SHININESS}
        if self.head.colors is None:
            actor = plotter.add_mesh(mesh, color="white", **material)
        else:
            mesh.point_data["colors"] = self.head.colors
            actor = plotter.add_mesh(mesh, scalars="colors", rgb=True, copy_mesh=False, **material)
        actor.prop.interpolation = "Phong"
        self._aim(plotter, view, padding)
        return plotter, mesh

    def _aim(self, plotter: Any, view: str, padding: float) -> None:
        low, high = _bounds(self.head)
        middle = (low + high) / 2
        half = padding * float((high - low)[:2].max()) / 2
        depth = float(high[2] - low[2]) + half
        camera = plotter.camera
        if view == "orthographic":
            plotter.enable_parallel_projection()
            camera.parallel_scale = half
            distance = 2 * depth
        else:
            camera.view_angle = FIELD_OF_VIEW_DEGREES
            distance = half / np.tan(np.radians(FIELD_OF_VIEW_DEGREES / 2))
        front = np.array([middle[0], middle[1], high[2]])
        camera.focal_point = tuple(front)
        camera.position = tuple(front + [0.0, 0.0, distance])
        camera.up = (0.0, 1.0, 0.0)
        camera.clipping_range = (0.05 * distance, distance + 2 * depth)


def _bounds(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box that holds the neutral head and the head under each shape alone, each (3,)."""
    low, high = head.neutral.min(axis=0), head.neutral.max(axis=0)
    for delta in head.deltas:
        moved = head.neutral + delta
        low, high = np.minimum(low, moved.min(axis=0)), np.maximum(high, moved.max(axis=0))
    return low, high


def _incidence(triangles: np.ndarray, vertices: int) -> csr_matrix:
    """(V, F) matrix with 1 where a triangle has the vertex."""
    count = len(triangles)
    columns = np.repeat(np.arange(count), 3)
    return csr_matrix((np.ones(3 * count, dtype=np.float32), (triangles.ravel(), columns)), shape=(vertices, count))


def _pyvista() -> Any:
    try:
        import pyvista
    except ImportError as error:
        raise ImportError("rendering needs pyvista; install the extra: pip install 'exomni[render]'") from error
    return pyvista


@contextlib.contextmanager
def _quiet_vtk() -> Iterator[None]:
    """VTK first tries an X server and warns where there is none, before it goes on without: not worth a line."""
    _pyvista()
    from vtkmodules.vtkCommonCore import vtkLogger

    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_INFO)
