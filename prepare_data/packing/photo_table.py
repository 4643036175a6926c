"""Annotations of any number of photos as flat files that every process maps, so that none holds them in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Union

import numpy as np

from gluon_mtcnn.core.files.mapped import map_file
from gluon_mtcnn.core.types import Annotation

PathLike = Union[str, os.PathLike]
PHOTO = np.dtype(
    [
        ("source", "u1"),
        ("text_at", "<i8"),  # image path and name in texts.bin
        ("image_bytes", "<i4"),
        ("name_bytes", "<i4"),
        ("face_at", "<i8"),
        ("faces", "<i4"),
        ("has_points", "?"),
        ("file_bytes", "<i8"),  # -1: no such file
        ("file_time", "<i8"),
    ]
)
FACE = np.dtype([("box", "<f4", (4,)), ("ignore", "?"), ("points", "<f4", (5, 2))])
FILES = {"photos": PHOTO, "faces": FACE, "texts": np.dtype("u1")}


@dataclass
class Summary:
    """What `write_table` wrote: counts, and a digest of all annotations and of the photos' sizes and times."""

    photos: int = 0
    faces: int = 0
    missing: int = 0
    digest: str = ""


def write_table(folder: PathLike, sources: Iterable[tuple[int, Iterable[Annotation]]]) -> Summary:
    """Write the annotations of (source, photos) pairs, one photo in memory at a time.

    Raises
    ------
    InputError
        From the readers behind the iterables.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary, digest, text_at = Summary(), hashlib.sha256(), 0
    files: dict[str, BinaryIO] = {name: open(folder / f"{name}.bin", "wb") for name in FILES}  # noqa: SIM115
    try:
        for source, annotations in sources:
            for annotation in annotations:
                photo, faces, text = _pack(source, annotation, text_at, summary.faces)
                for name, data in (("photos", photo.tobytes()), ("faces", faces.tobytes()), ("texts", text)):
                    files[name].write(data)
                    digest.update(data)
                text_at += len(text)
                summary.photos += 1
                summary.faces += len(faces)
                summary.missing += int(photo["file_bytes"] < 0)
    finally:
        for file in files.values():
            file.close()
    summary.digest = digest.hexdigest()
    return summary


def _pack(source: int, annotation: Annotation, text_at: int, face_at: int) -> tuple[np.ndarray, np.ndarray, bytes]:
    path = os.path.abspath(annotation.image)  # workers may have another current folder
    image, name = (text.encode(errors="surrogateescape") for text in (path, annotation.name or annotation.image))
    faces = np.zeros(len(annotation.boxes), FACE)
    faces["box"], faces["ignore"] = annotation.boxes, annotation.ignore
    faces["points"] = np.nan if annotation.landmarks is None else annotation.landmarks
    try:
        status = os.stat(annotation.image)
        size, time = status.st_size, status.st_mtime_ns
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        size, time = -1, 0
    has_points = annotation.landmarks is not None
    values = (source, text_at, len(image), len(name), face_at, len(faces), has_points, size, time)
    return np.array(values, PHOTO), faces, image + name


class PhotoTable:
    """Reads what `write_table` wrote; items are `Annotation`, without WIDER's attributes.

    Attributes
    ----------
    photos : (n,) structured array of `PHOTO`, mapped
    faces : (m,) structured array of `FACE`, mapped
    """

    def __init__(self, folder: PathLike) -> None:
        maps = {name: map_file(Path(folder) / f"{name}.bin", dtype) for name, dtype in FILES.items()}
        self.photos, self.faces, self._texts = maps["photos"], maps["faces"], maps["texts"]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Annotation:
        """Return one photo's annotation."""
        photo = self.photos[index]
        faces = self.faces[photo["face_at"] : photo["face_at"] + photo["faces"]]
        return Annotation(
            image=self._text(photo["text_at"], photo["image_bytes"]),
            boxes=faces["box"].copy(),
            ignore=faces["ignore"].copy(),
            landmarks=faces["points"].copy() if photo["has_points"] else None,
            name=self._text(photo["text_at"] + photo["image_bytes"], photo["name_bytes"]),
        )

    def texts(self, index: int) -> tuple[str, str]:
        """Return the photo's path and its name, the path where it has none."""
        photo = self.photos[index]
        path = self._text(photo["text_at"], photo["image_bytes"])
        return path, self._text(photo["text_at"] + photo["image_bytes"], photo["name_bytes"]) or path

    def _text(self, start: int, length: int) -> str:
        return self._texts[start : start + length].tobytes().decode(errors="surrogateescape")
