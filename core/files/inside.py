"""Paths of output files whose names come from data: none leads out of the output folder. Imports no MXNet."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike

SHOWN = 80  # characters of a refused name in a message


def path_inside(folder: PathLike, name: str) -> Path:
    """Return the path of an output file below a folder.

    Parameters
    ----------
    folder : path
    name : str
        Relative, with forward slashes, as annotations and ground truths give it: ``event/name.txt``.

    Raises
    ------
    InputError
        The name is empty, absolute, has a part ``..`` or a NUL, or on Windows a drive or a backslash.
    """
    parts = PurePosixPath(name).parts
    foreign = os.name == "nt" and ("\\" in name or ":" in name)
    if not parts or parts[0].startswith("/") or ".." in parts or "\0" in name or foreign:
        shown = repr(name if len(name) <= SHOWN else name[:SHOWN] + "...")
        raise InputError(f"{folder}: expected a name of a file below this folder, got {shown}")
    return Path(folder, *parts)
