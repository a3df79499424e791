"""Pictures and videos of a head that coefficients move."""

from exomni.render.renderer import Renderer

__all__ = ["Renderer"]
