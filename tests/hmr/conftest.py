"""The body of sticks and a clip made from it."""

from tests.helpers.stick_body import chain, clip

__all__ = ["chain", "clip"]
