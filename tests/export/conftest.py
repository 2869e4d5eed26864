"""A clip of a body of boxes."""

from tests.helpers.box_clip import clip

__all__ = ["clip"]
