"""Teachers: what gives a spoken sentence its face. One file a teacher, over `base.py`."""

from exomni.data.teachers.base import Speech, Teacher

__all__ = ["Speech", "Teacher"]
