"""Coefficients -> images, off screen, by the OpenGL of a GPU or of the CPU. Needs pyvista (extra `render`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from exomni.render.views import CHUNK, VIEWS, Camera, ViewName, clip_box, joined

if TYPE_CHECKING:
    from exomni.head.base import Head

AMBIENT, DIFFUSE, SPECULAR, SHININESS = 0.3, 0.6, 0.1, 15.0  # under one white light at the camera, as in the release


class Renderer:
    """Front views of one head, one reusable off-screen window.

    `size`: side of the square frames, pixels. `view`: `fitted`, `emotalk` or `claire`, see `exomni.render.views`; the last two
    frame a clip as the release does once `aim` was told the clip, and the neutral head before. The camera never moves within
    a clip. Heads without colours are white. `camera` says where it stands. Use it as a context manager, or call `close`.
    ValueError for other options, ImportError where pyvista is missing.
    """

    camera: Camera

    def __init__(self, head: Head, *, size: int = 256, view: ViewName = "fitted", background: str = "black") -> None:
        if view not in VIEWS:
            raise ValueError(f"view is {view!r}; a renderer knows {', '.join(map(repr, VIEWS))}")
        if size < 16:
            raise ValueError(f"size is {size}; a frame has at least 16 pixels")
        self.head = head
        self.size = size
        self._view = VIEWS[view]
        with _quiet_vtk():
            self._plotter, self._mesh = self._open(background)
            self.aim()
            self._plotter.show(auto_close=False)  # creates the window; VTK takes the first driver that works

    def aim(self, *clips: np.ndarray) -> None:
        """Frame all of `clips`, each (T, 52), by the view; without frames the neutral head."""
        given = [clip for clip in map(np.asarray, clips) if len(clip)] or [np.zeros((1, len(self.head.deltas)), np.float32)]
        box = joined(np.concatenate([clip_box(self.head, clip) for clip in given]))
        self.camera = self._view.camera(self.head, box)
        shown = self._opened().camera
        shown.parallel_projection = self.camera.parallel
        if self.camera.parallel:
            shown.parallel_scale = self.camera.half
        else:
            shown.view_angle = 2 * np.degrees(np.arctan(self.camera.half / self.camera.distance))
        shown.focal_point = self.camera.target
        shown.position = tuple(np.add(self.camera.target, [0.0, 0.0, self.camera.distance]))
        shown.up = (0.0, 1.0, 0.0)
        shown.clipping_range = (0.05 * self.camera.distance, self.camera.far)

    def frames(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """One picture for each row of `coefficients` (T, 52): (size, size, 3) uint8 RGB."""
        values = np.asarray(coefficients, dtype=np.float32)
        for start in range(0, len(values), CHUNK):
            for vertices in self.head.vertices(values[start : start + CHUNK]):
                yield self.frame(vertices)

    def frame(self, vertices: np.ndarray) -> np.ndarray:
        """The head's mesh with its vertices at (V, 3), in the head's units: (size, size, 3) uint8 RGB."""
        plotter = self._opened()
        self._mesh.points[:] = vertices
        self._mesh.point_data["Normals"][:] = self.head.normals(vertices)
        self._mesh.GetPoints().Modified()
        self._mesh.GetPointData().GetNormals().Modified()
        plotter.render()
        return np.ascontiguousarray(plotter.screenshot(return_img=True)[..., :3])

    def close(self) -> None:
        """Give the window back; may be called twice."""
        if self._plotter is not None:
            self._plotter.close()
            self._plotter = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _opened(self) -> Any:
        if self._plotter is None:
            raise ValueError("this renderer is closed; make a new one")
        return self._plotter

    def _open(self, background: str) -> tuple[Any, Any]:
        pyvista = _pyvista()
        triangles = self.head.triangles
        faces = np.column_stack([np.full(len(triangles), 3, dtype=triangles.dtype), triangles]).ravel()
        mesh = pyvista.PolyData(self.head.neutral.copy(), faces)
        mesh.point_data.active_normals = self.head.normals(self.head.neutral).astype(np.float32)
        plotter = pyvista.Plotter(off_screen=True, window_size=(self.size, self.size), lighting="none")
        plotter.set_background(background)
        plotter.add_light(pyvista.Light(light_type="headlight"))
        material = {"ambient": AMBIENT, "diffuse": DIFFUSE, "specular": SPECULAR, "specular_power": SHININESS}
        if self.head.colors is None or not self._view.colored:
            actor = plotter.add_mesh(mesh, color="white", **material)
        else:
            mesh.point_data["colors"] = self.head.colors
            actor = plotter.add_mesh(mesh, scalars="colors", rgb=True, copy_mesh=False, **material)
        actor.prop.interpolation = "Phong"
        return plotter, mesh


def _pyvista() -> Any:
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401  its LLVM must be loaded before that of software OpenGL; the other order ends the process
    try:
        import pyvista
    except ImportError as error:
        raise ImportError("rendering needs pyvista; install the extra: pip install 'exomni[render]'") from error
    return pyvista


@contextlib.contextmanager
def _quiet_vtk() -> Iterator[None]:
    """Hide the warning of VTK that there is no X server: it then renders without one."""
    _pyvista()
    from vtkmodules.vtkCommonCore import vtkLogger

    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_INFO)
