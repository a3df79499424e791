"""A stylised human head that comes with the package: made from formulas, no download, the same on every machine."""

from __future__ import annotations

from pathlib import Path

from exomni.config.registry import register
from exomni.head.npz import NpzHead


@register("head", "procedural")
class ProceduralHead(NpzHead):
    """Head of 6,105 vertices with lips, jaw, teeth, tongue, eyes, lids and brows; all 52 ARKit shapes move it.

    Further regions: seam_upper and seam_lower (where the lips meet; the corners of the mouth are in both), eyes, tongue,
    cavity, jaw.
    """

    shipped = "procedural.npz"  # docs/head/make.py of the project's repository makes it

    def __init__(self) -> None:
        super().__init__(path=str(Path(__file__).with_name(self.shipped)))
