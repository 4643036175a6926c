"""What the readers of COCO, Pascal VOC and YOLO share: which classes are faces, names of photos, files of a folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.ops.boxes import MAX_COORDINATE
from gluon_mtcnn.core.types import Annotation

MAX_NAME = 4096  # characters
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, halves of characters
MAX_FACES = 100_000  # of a photo


class FaceClasses:
    """Tells faces from other objects by their class.

    Parameters
    ----------
    names : sequence of str
        The classes that are faces, in any case. Empty: all objects must be of one class, whatever its name.

    Examples
    --------
    >>> classes = FaceClasses(["face"])
    >>> classes.takes("Face", "a.json"), classes.takes("hand", "a.json")
    (True, False)
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = {name.strip().casefold() for name in names}
        self._only: Optional[str] = None

    def named(self, name: str) -> bool:
        """Return whether this class was named as one of faces."""
        return name.casefold() in self._names

    def takes(self, name: str, where: str) -> bool:
        """Return whether an object of this class is a face; `where` is its file and place.

        Raises
        ------
        InputError
            No classes were named, and this is the second one.
        """
        if self._names:
            return self.named(name)
        if self._only is None:
            self._only = name
        if name != self._only:
            raise InputError(
                f"{where}: expected objects of one class, got {name[:60]!r} after {self._only[:60]!r}: "
                "name those that are faces (--face-class NAME,...)"
            )
        return True


def photo_path(images: str, name: Any, where: str) -> tuple[str, str]:
    """Return the name of a photo with forward slashes, and its path below a folder.

    Raises
    ------
    InputError
        It is no text, too long, has control characters, or leads out of the folder.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or _UNFIT.search(name):
        raise InputError(f"{where}: expected the file name of a photo, got {repr(name)[:80]}")
    name = name.replace("\\", "/")
    root = os.path.abspath(images)
    path = os.path.normpath(os.path.join(root, name))
    if not path.startswith(os.path.join(root, "")):
        raise InputError(f"{where}: expected a photo in {images}, got {name[:80]!r}, which leads out of it")
    return name, os.path.join(images, os.path.relpath(path, root))


def four_numbers(values: Any, expected: str, where: str) -> list[float]:
    """Return four finite numbers.

    Raises
    ------
    InputError
        They are others, or too large.
    """
    four = isinstance(values, (list, tuple)) and len(values) == 4
    if four and all(type(v) in (int, float) and abs(v) <= MAX_COORDINATE for v in values):
        return [float(v) for v in values]
    raise InputError(f"{where}: expected four numbers {expected} up to {MAX_COORDINATE:g}, got {repr(values)[:80]}")


def annotation(name: str, path: str, boxes: np.ndarray, ignore: Sequence[bool]) -> Annotation:
    """Return the annotation of a photo with boxes (n, 4) in inclusive pixels."""
    return Annotation(path, boxes.astype(np.float32).reshape(-1, 4), np.array(ignore, bool), name=name)


def read_small(path: PathLike, limit: int) -> bytes:
    """Return the bytes of an annotation file.

    Raises
    ------
    InputError
        It cannot be read, or has more bytes than `limit`.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise InputError(f"{path}: expected annotations of at most {limit >> 20} MB, got more")
    return data


def digest_of(paths: Iterable[Path], root: Path) -> str:
    """Return a hexadecimal digest of the names and contents of files below a folder, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix().encode(errors="surrogateescape")
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(name + b"\0" + content.encode() + b"\n")
    return digest.hexdigest()
