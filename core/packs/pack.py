"""Training packs: files of records, and the manifest that says what is in them (docs/packs.md).

A pack is ``SET.rec`` (RecordIO), ``SET.idx`` and an entry in the folder's ``manifest.json``; SET is ``train`` or
``val``. A record holds MXNet's image header with 15 float32 (label, 4 offsets, 10 landmarks) and an image. The default
image is an uncompressed 24-bit BMP: every program that reads RecordIO opens it, and as all records have one length the
file is also an array that can be memory-mapped, and that workers can fill from several places at once. No MXNet here,
so that those start fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, scratch_array, sha256
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.packs.layout import encode_records, idx_path, rec_path, record_bytes
from gluon_mtcnn.core.packs.manifest import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST_NAME,
    count_labels,
    manifest_entry,
    read_manifest,
)
from gluon_mtcnn.core.packs.readers import IndexedRecords, Records, StridedRecords
from gluon_mtcnn.core.packs.writer import PackWriter
from gluon_mtcnn.core.types import LABEL_NAMES

# What a user of packs needs, from one place.
__all__ = ["Pack", "PackWriter", "describe", "encode_records", "read_manifest", "rec_path"]

CHUNK = 1 << 14  # records that are looked at together where a whole pack is read


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
