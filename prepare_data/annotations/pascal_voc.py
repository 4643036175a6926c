"""Pascal VOC: an XML file a photo, in ``Annotations`` beside ``JPEGImages`` or in one folder with the photos.

Of each ``object`` the ``name`` and the ``bndbox`` (``xmin ymin xmax ymax``, pixels counted from 1, both ends inclusive)
are read; ``difficult`` ones are ignored faces. A ``filename`` without the suffix of an image gets ``.jpg``. A file
without objects is a photo without faces. A file with a document type is refused: entities could make it grow without
bounds, or read other files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional
from xml.parsers import expat

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.seanlinx.imglist import image_file
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import CORNERS, are_fractions, refuse_fractions
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, usable_boxes
from gluon_mtcnn.prepare_data.annotations.listed_objects import (
    MAX_FACES,
    FaceClasses,
    annotation,
    four_numbers,
    photo_path,
    read_small,
)

MAX_BYTES = 1 << 24  # of a file
MAX_DEPTH = 32  # of elements; VOC has 4
EDGES = ("xmin", "ymin", "xmax", "ymax")
_OBJECT = "annotation/object"


def voc_files(folder: PathLike) -> list[Path]:
    """Return the XML files of a folder, or of the ``Annotations`` in it, in the order of their names.

    Raises
    ------
    InputError
        There is none.
    """
    inner = Path(folder) / "Annotations"
    root = inner if inner.is_dir() else Path(folder)
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".xml" and path.is_file())
    if not paths:
        raise InputError(f"{root}: expected XML files of Pascal VOC, found none")
    return paths


def read_voc(
    folder: PathLike,
    images: Optional[PathLike] = None,
    face_classes: Sequence[str] = (),
    left_out: Optional[LeftOut] = None,
) -> Iterator[Annotation]:
    """Yield the photos of a folder of VOC files.

    Parameters
    ----------
    folder : path
        Holds the XML files, or ``Annotations`` with them.
    images : path, optional
        Folder of the photos; default: ``JPEGImages`` beside ``Annotations``, otherwise the folder of the XML files.
    face_classes : sequence of str
        Names of the objects that are faces; empty: all objects must have one name.
    left_out : LeftOut, optional
        Counts the faces; default: one that reports at the end and allows a tenth.

    Raises
    ------
    InputError
        No file, or one that is too large or not of this form; a name leads out of the folder; a box has a negative size
        or is given in fractions; or too many faces are left out. The message names the file and the object's line.
    """
    left_out = LeftOut(folder) if left_out is None else left_out
    classes = FaceClasses(face_classes)
    paths = voc_files(folder)
    inner = Path(folder) / "Annotations"
    root = inner if inner.is_dir() else Path(folder)
    beside = Path(folder) / "JPEGImages"
    photos = os.fspath(images if images is not None else beside if beside.is_dir() else root)
    for path in paths:
        file = _VocFile(path)
        name = (path.relative_to(root).parent / image_file(file.name or path.stem)).as_posix()
        name, image = photo_path(photos, name, str(path))
        yield _annotation(name, image, file, classes, left_out)
    left_out.finish()


def _annotation(name: str, image: str, file: _VocFile, classes: FaceClasses, left_out: LeftOut) -> Annotation:
    faces = [(fields, where) for fields, where in file.objects if classes.takes(fields.get("name", ""), where)]
    boxes = [four_numbers([_number(fields.get(edge)) for edge in EDGES], " ".join(EDGES), w) for fields, w in faces]
    values = np.array(boxes, np.float64).reshape(-1, 4)
    for box, (_, where) in zip(values, faces):
        if are_fractions(box):
            refuse_fractions(box, where)
    sizes = values[:, 2:] - values[:, :2] + 1
    usable = usable_boxes(values, sizes, CORNERS, lambda i: faces[i][1], left_out)
    ignored = [fields.get("difficult", "0").strip() not in ("", "0") for fields, _ in faces]
    return annotation(name, image, values[usable] - 1, np.array(ignored, bool)[usable].tolist())


def _number(text: Optional[str]) -> object:
    try:
        return float(text or "")
    except ValueError:
        return text


class _VocFile:
    """The file name of a photo and its objects: the texts of each by element, and the place where it begins."""

    def __init__(self, path: Path) -> None:
        self.name = ""
        self.objects: list[tuple[dict[str, str], str]] = []
        self._path, self._open, self._text = path, [""][:0], ""
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._document_type
        try:
            self._parser.Parse(read_small(path, MAX_BYTES), True)
        except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
            raise InputError(f"{path}: expected XML of Pascal VOC: {error}") from None

    def _where(self) -> str:
        return f"{self._path}:{self._parser.CurrentLineNumber}"

    def _document_type(self, *_: object) -> None:
        raise InputError(f"{self._where()}: expected XML of Pascal VOC without a document type")

    def _start(self, name: str, _: object) -> None:
        self._open.append(name)
        self._text = ""
        if self._open[0] != "annotation" or len(self._open) > MAX_DEPTH:
            raise InputError(f"{self._where()}: expected XML of Pascal VOC, got the element {name[:60]!r}")
        if "/".join(self._open) == _OBJECT:
            self.objects.append(({}, self._where()))
            if len(self.objects) > MAX_FACES:
                raise InputError(f"{self._where()}: expected at most {MAX_FACES} objects, got more")

    def _characters(self, text: str) -> None:
        self._text += text

    def _end(self, name: str) -> None:
        place, text = "/".join(self._open), self._text.strip()
        self._open.pop()
        self._text = ""
        if place == "annotation/filename":
            self.name = text
        elif place in (f"{_OBJECT}/name", f"{_OBJECT}/difficult", *(f"{_OBJECT}/bndbox/{edge}" for edge in EDGES)):
            self.objects[-1][0][name] = text
