"""Discs and mounts for the tests of this folder."""

from __future__ import annotations

from writers.fixtures import disc, mounting, place, source

__all__ = ["disc", "mounting", "place", "source"]
