"""Files as arrays that the operating system pages in."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def map_file(path: Path, dtype: np.dtype) -> np.ndarray:
    """Return the records of a file (n,), read-only, in the file's pages rather than in memory."""
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r").view(np.ndarray)  # a plain array: indexing a memmap costs more
