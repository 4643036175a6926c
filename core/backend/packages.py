"""Which packages are there. Imports none of them."""

from __future__ import annotations

import importlib.util


def is_installed(module: str) -> bool:
    """Return whether a module is there to be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # from a finder that refuses it
        return False
