"""Writing training packs: one set from the first record to the last, or BMP records in any order (docs/packs.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Optional

import cv2
import numpy as np

from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.packs.layout import (
    HEAD_DTYPE,
    ROW_WIDTH,
    check_images,
    check_rows,
    encode_records,
    idx_path,
    rec_path,
    record_bytes,
)
from gluon_mtcnn.core.packs.manifest import PAYLOADS, count_labels, set_entry, write_manifest


def preallocate(path: PathLike, count: int, size: int) -> None:
    """Make a file with room for `count` BMP records, to be filled by `write_at` in any order; OSError: disk full."""
    with open(path, "wb") as file:
        if count and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, count * record_bytes(size))
        file.truncate(count * record_bytes(size))


def write_at(file: BinaryIO, first_index: int, records: np.ndarray) -> None:
    """Write the bytes of `encode_records` where record `first_index` lies in a file opened with ``r+b``."""
    file.seek(first_index * records.shape[1])
    file.write(records.data)


def write_index(path: PathLike, count: int, size: int) -> None:
    """Write the .idx of a pack of BMP records, atomically."""
    stride = record_bytes(size)
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        recordio.write_index_lines(file, 0, range(0, count * stride, stride))


class PackWriter:
    """Writes one set of a pack from the first record to the last; a context manager.

    The set appears, complete, when the block ends; when it raises, nothing is left behind.

    Parameters
    ----------
    folder : path
        Made when missing. Other sets in it stay.
    set_name : str
        ``train`` or ``val``.
    size : int
        Side of the images in pixels.
    payload : {"bmp", "jpg", "png"}
        jpg and png take less room but must be decoded, and only bmp can be memory-mapped.
    metadata : dict or None
        See `set_entry`; may be changed until the block ends.
    quality : int
        Of JPEG, 1..100.
    """

    def __init__(
        self,
        folder: PathLike,
        set_name: str = "train",
        size: int = 12,
        payload: str = "bmp",
        metadata: Optional[dict[str, Any]] = None,
        quality: int = 95,
    ) -> None:
        if payload not in PAYLOADS:
            raise ValueError(f"payload must be one of {', '.join(PAYLOADS)}, but got {payload!r}")
        self.folder, self.set_name, self.size, self.payload = Path(folder), set_name, size, payload
        self.metadata = {} if metadata is None else metadata
        self.count = 0
        self.classes = count_labels(np.zeros(0))
        self._quality = quality
        self._stack = ExitStack()

    def __enter__(self) -> PackWriter:
        """Open the files under temporary names."""
        with ExitStack() as stack:
            paths = (rec_path(self.folder, self.set_name), idx_path(self.folder, self.set_name))
            rec, idx = (stack.enter_context(replacing(path)) for path in paths)
            self._rec = stack.enter_context(open(rec, "wb"))
            self._idx = stack.enter_context(open(idx, "w", newline=""))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Any, trace: Any) -> None:
        """Rename the files and write the manifest, or remove the files when the block raised."""
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            path = rec_path(self.folder, self.set_name)
            entry = set_entry(path, self.size, self.count, self.classes, self.payload, self.metadata)
            write_manifest(self.folder, {self.set_name: entry})

    def append(self, images: np.ndarray, rows: np.ndarray) -> None:
        """Write samples: images (n, size, size, 3) uint8 BGR, rows (n, 15) float32; InputError as `check_rows`."""
        if np.shape(images)[1:3] != (self.size, self.size):
            raise ValueError(f"images must be (_, {self.size}, {self.size}, 3), but got {np.shape(images)}")
        start = self._rec.tell()
        if self.payload == "bmp":
            records = encode_records(images, rows, self.count)
            self._rec.write(records.data)
            offsets: Sequence[int] = range(start, self._rec.tell(), records.shape[1])
        else:
            frames = self._compress(images, rows)
            self._rec.write(b"".join(frames))
            offsets = np.cumsum([start, *map(len, frames)])[:-1].tolist()
        recordio.write_index_lines(self._idx, self.count, offsets)
        self.count += len(offsets)
        for name, number in count_labels(np.asarray(rows)[:, 0]).items():
            self.classes[name] += number

    def _compress(self, images: np.ndarray, rows: np.ndarray) -> list[bytes]:
        rows = check_rows(rows, self.count)
        heads = np.zeros(len(rows), HEAD_DTYPE)
        heads["flag"], heads["row"] = ROW_WIDTH, rows
        heads["id"] = np.arange(self.count, self.count + len(rows))
        options = [cv2.IMWRITE_JPEG_QUALITY, self._quality] if self.payload == "jpg" else []
        coded = (cv2.imencode(f".{self.payload}", image, options)[1] for image in check_images(images, len(rows)))
        return [recordio.frame(head.tobytes() + image.tobytes()) for head, image in zip(heads, coded)]
