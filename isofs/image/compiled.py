"""The compiled module, or None: it is an optional part of the package. `ISOFS_PYTHON_DECODER=1` leaves it aside."""

from __future__ import annotations

import os
from typing import Final

try:
    import inspect  # noqa: F401 - Cython's modules load it, and crash where a signal interrupts that

    from . import _decode
except ImportError:  # it takes a C compiler, libdeflate and liblz4 to build
    _decode = None  # type: ignore[assignment]

compiled: Final = None if os.environ.get("ISOFS_PYTHON_DECODER") else _decode


def implementation() -> str:
    """Which decoder serves."""
    return "compiled" if compiled is not None else "Python"
