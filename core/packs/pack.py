"""Training packs: files of records, and the manifest that says what is in them (docs/packs.md).

A pack is ``SET.rec`` (RecordIO), ``SET.idx`` and an entry in the folder's ``manifest.json``; SET is ``train`` or
``val``. A record holds MXNet's image header with 15 float32 (label, 4 offsets, 10 landmarks) and an image. The default
image is an uncompressed 24-bit BMP: every program that reads RecordIO opens it, and as all records have one length the
file is also an array that can be memory-mapped, and that workers can fill from several places at once. No MXNet here,
so that those start fast.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing, scratch_array, sha256
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.packs.layout import (
    HEAD_DTYPE,
    ROW_LAYOUT,
    ROW_WIDTH,
    check_images,
    check_rows,
    encode_records,
    record_bytes,
)
from gluon_mtcnn.core.packs.manifest import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST_NAME,
    PAYLOADS,
    count_labels,
    manifest_entry,
    read_manifest,
    set_entry,
    write_manifest,
)
from gluon_mtcnn.core.packs.readers import IndexedRecords, Records, StridedRecords
from gluon_mtcnn.core.types import LABEL_NAMES

__all__ = [
    "ROW_LAYOUT",
    "ROW_WIDTH",
    "Pack",
    "PackWriter",
    "count_labels",
    "describe",
    "encode_records",
    "idx_path",
    "preallocate",
    "read_manifest",
    "rec_path",
    "record_bytes",
    "set_entry",
    "write_at",
    "write_index",
    "write_manifest",
]

CHUNK = 1 << 14  # records that are looked at together where a whole pack is read


def rec_path(folder: PathLike, set_name: str) -> Path:
    """Return the path of a set's records."""
    return Path(folder) / f"{set_name}.rec"


def idx_path(folder: PathLike, set_name: str) -> Path:
    """Return the path of a set's index."""
    return Path(folder) / f"{set_name}.idx"


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


class Pack:
    """Reads one set of a pack. Opening costs the same for ten records and ten million when all have one length.

    Otherwise (JPEG or PNG records, or a file that another program wrote) the index says where records lie, and without
    an index the file is scanned. Labels of other programs may have 1 (label), 5 (and offsets) or 15 values. Pickles as
    its path: a worker process opens the file anew.

    Attributes
    ----------
    path : Path of the .rec file
    count : int
        Number of records, as `len`.
    size : int
        Side of the images in pixels; 0 when another program wrote no record.
    manifest : dict
        The set's entry in manifest.json; empty when there is none.

    Raises
    ------
    InputError
        A file is missing, truncated, no RecordIO file, or contradicts its manifest; from every method: a bad record.

    Examples
    --------
    >>> pack = Pack("packs/12")
    >>> images, rows = pack.read([0, 1])
    >>> images.shape, images.dtype, rows.shape
    ((2, 12, 12, 3), dtype('uint8'), (2, 15))
    >>> sum(pack.class_counts().values()) == len(pack)
    True
    """

    def __init__(self, folder: PathLike, set_name: str = "train") -> None:
        self.folder, self.set_name = Path(folder), set_name
        self.path = rec_path(folder, set_name)
        if not self.path.is_file():
            raise InputError(f"{self.path}: pack not found")
        self.manifest = manifest_entry(folder, set_name)
        self._records: Records = self._open()
        self.count, self.size = len(self._records), self._records.size
        for name in ("count", "size"):
            expected, got = self.manifest.get(name), getattr(self, name)
            if self.manifest and expected != got and (name == "count" or self.count):
                raise InputError(f"{self.path}: expected {name} {expected} as in {MANIFEST_NAME}, got {got}")
        self._labels: Optional[np.ndarray] = None

    @property
    def parts(self) -> tuple[Pack, ...]:
        """The packs on disk, each with a manifest, that this one is made of: itself."""
        return (self,)

    def digest(self) -> str:
        """Return the sha256 of the records: what the manifest says, or where it says nothing, of the file."""
        return self.manifest.get("sha256") or sha256(self.path)

    def _open(self) -> Union[StridedRecords, IndexedRecords]:
        bytes_ = self.path.stat().st_size  # an empty file cannot be mapped
        data = np.memmap(self.path, np.uint8, "r").view(np.ndarray) if bytes_ else np.zeros(0, np.uint8)
        if self.manifest.get("payload") == "bmp":
            size, count = self.manifest["size"], self.manifest["count"]
            if bytes_ == count * record_bytes(size):
                return StridedRecords(self.path, data, size)
        return IndexedRecords(self.path, idx_path(self.folder, self.set_name), data)

    def __len__(self) -> int:
        return self.count

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "set_name": self.set_name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _checked(self, indices: Any) -> np.ndarray:
        indices = np.asarray(indices, np.int64).reshape(-1)
        outside = indices[(indices < 0) | (indices >= self.count)]
        if len(outside):
            raise IndexError(f"{self.path}: expected record numbers 0..{self.count - 1}, got {outside[0]}")
        return indices

    def read(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, S, S, 3) uint8 BGR and label rows (n, 15) float32 of the records with these numbers."""
        return self._records.read(self._checked(indices))

    def images(self, indices: Any) -> np.ndarray:
        """Return the images (n, S, S, 3) uint8 BGR of the records with these numbers, in any order."""
        return self.read(indices)[0]

    def rows(self, indices: Any = None) -> np.ndarray:
        """Return the label rows (n, 15) float32 of the records with these numbers, or of all."""
        return self._records.rows(self._checked(np.arange(self.count) if indices is None else indices))

    def labels(self) -> np.ndarray:
        """Return the labels (n,) int8 of all records, read-only; read once, in pieces, and kept."""
        if self._labels is None:
            labels = scratch_array(self.count, np.int8)
            for start in range(0, self.count, CHUNK):
                values = self.rows(np.arange(start, min(start + CHUNK, self.count)))[:, 0]
                for i in np.flatnonzero(~np.isin(values, list(LABEL_NAMES)))[:1]:
                    where = f"{self.path}: record {start + i}"
                    raise InputError(f"{where}: expected label 1, 0, -1 or -2, got {values[i]:g}")
                labels[start : start + CHUNK] = values
            labels.flags.writeable = False
            self._labels = labels
        return self._labels

    def class_counts(self) -> dict[str, int]:
        """Return how many records are of each class, counted in the file itself: ``{"positive": 12, ...}``."""
        return count_labels(self.labels())


def describe(folder: PathLike) -> dict[str, Any]:
    """Return what `gluon-mtcnn inspect` shows of a pack: per set its shapes, class counts, digest and metadata.

    Counts and digests come from the files; ``sha256_matches`` and ``classes_match`` say whether the manifest agrees,
    None where it says nothing; ``index_matches`` whether the index, if there is one, lists all records: MXNet's readers
    see no others.

    Raises
    ------
    InputError
        There is no set in the folder, or one cannot be read.
    """
    names = sorted(path.stem for path in Path(folder).glob("*.rec"))
    if (Path(folder) / MANIFEST_NAME).exists():
        names = sorted({*names, *read_manifest(folder)["sets"]})
    if not names:
        raise InputError(f"{folder}: expected a pack (train.rec, train.idx, {MANIFEST_NAME}), found none")
    return {"format": FORMAT, "version": FORMAT_VERSION, "sets": {name: _describe_set(folder, name) for name in names}}


def _describe_set(folder: PathLike, name: str) -> dict[str, Any]:
    pack = Pack(folder, name)
    digest, classes = sha256(pack.path), pack.class_counts()
    said = pack.manifest
    return {
        "count": len(pack),
        "image_shape": [pack.size, pack.size, 3],
        "payload": said.get("payload"),
        "stride": said.get("stride"),
        "bytes": pack.path.stat().st_size,
        "classes": classes,
        "classes_match": said["classes"] == classes if "classes" in said else None,
        "sha256": digest,
        "sha256_matches": said["sha256"] == digest if "sha256" in said else None,
        "index_matches": _index_matches(pack),
        "metadata": said.get("metadata", {}),
    }


def _index_matches(pack: Pack) -> Optional[bool]:
    index, size = idx_path(pack.folder, pack.set_name), pack.path.stat().st_size
    if not index.is_file():
        return None
    offsets, stride = recordio.read_index(index, size), record_bytes(pack.size)
    if size != len(pack) * stride:  # read through the index
        return len(offsets) == len(pack)
    return np.array_equal(np.sort(offsets), np.arange(0, size, stride))
