"""Reading records by number: BMP records of one length as a mapped array, all others through an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Union

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.mapped import map_file
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.packs.layout import HEAD_DTYPE, ROW_WIDTH, payload_length, record_dtype

CHUNK = 1 << 14  # records whose heads are looked at together
# Label widths that are understood: label alone (flag 0 or 1), with offsets, with landmarks too.
WIDTHS = (1, 5, ROW_WIDTH)
IR_HEADER_BYTES = HEAD_DTYPE.fields["row"][1]  # type: ignore[index]
_ROW_WORD = (recordio.HEAD_BYTES + IR_HEADER_BYTES) // 4


class Records(Protocol):
    """Records that are read by number."""

    @property
    def size(self) -> int:
        """Return the side of the images in pixels."""

    def __len__(self) -> int:
        """Return how many there are."""

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Return label rows (n, 15) float32."""

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, size, size, 3) uint8 BGR and label rows (n, 15) float32."""


class StridedRecords:
    """The BMP records of one file, which all have one length: an array of structures, mapped."""

    def __init__(self, path: Path, data: np.ndarray, size: int) -> None:
        self.size, self._path = size, path
        self._records = data.view(record_dtype(size))
        ends = np.array([0, len(self) - 1] if len(self) else [], np.int64)
        self._check(self._records[ends], ends)

    def __len__(self) -> int:
        return len(self._records)

    def rows(self, indices: Union[np.ndarray, slice]) -> np.ndarray:
        """Return label rows (n, 15) float32."""
        return np.array(self._records["row"][indices])

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, size, size, 3) uint8 BGR and label rows (n, 15) float32."""
        records = self._records.take(indices)
        self._check(records, indices)
        lines = np.ascontiguousarray(records["pixels"][:, ::-1, : 3 * self.size])
        return lines.reshape(len(records), self.size, self.size, 3), np.array(records["row"])

    def _check(self, records: np.ndarray, indices: np.ndarray) -> None:
        stride = self._records.itemsize
        for field, expected in (
            ("magic", recordio.MAGIC),
            ("length", payload_length(records.dtype)),
            ("flag", ROW_WIDTH),
        ):
            for i in np.flatnonzero(records[field] != expected)[:1]:
                where = f"{self._path}: record {indices[i]}, byte {indices[i] * stride}"
                raise InputError(f"{where}: expected {field} {expected:#x}, got {records[field][i]:#x}")


def open_records(path: Path, size: int) -> StridedRecords:
    """Return the BMP records of a pack that has no manifest yet; `size` is the side of its images in pixels."""
    return StridedRecords(path, map_file(path, np.dtype("u1")), size)


class IndexedRecords:
    """Records that lie anywhere in a file: JPEG, PNG or BMP, of any length, of our own packs or of other programs.

    Parameters
    ----------
    path : Path
        The .rec file.
    index : Path
        Its .idx, which may be missing.
    data : (bytes of the file,) uint8
        Mapped.

    Attributes
    ----------
    size : int
        Side in pixels of the first image, which all must have; 0 when there is no record.

    Raises
    ------
    InputError
        From every method: names the file, the record and the byte where it lies.
    """

    def __init__(self, path: Path, index: Path, data: np.ndarray) -> None:
        self._path, self._data = path, data
        if index.is_file():
            self._offsets = recordio.read_index(index, len(data))
        else:
            self._offsets = recordio.scan(data, path)
        self.size = 0
        if len(self):
            list(recordio.pieces(data, int(self._offsets.max()), f"{path}: record {int(self._offsets.argmax())}"))
            self.size = len(self._image(0))

    def __len__(self) -> int:
        return len(self._offsets)

    def name(self, record: int) -> str:
        """Return how messages call a record."""
        return f"{self._path}: record {record}"

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Return label rows (n, 15) float32; what a narrower label does not say is 0."""
        chunks = [self._rows(indices[i : i + CHUNK]) for i in range(0, len(indices), CHUNK)]
        return np.concatenate([np.zeros((0, ROW_WIDTH), np.float32), *chunks])

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return decoded images (n, size, size, 3) uint8 BGR and label rows (n, 15) float32."""
        images = np.zeros((len(indices), self.size, self.size, 3), np.uint8)
        for image, record in zip(images, indices):
            image[...] = self._image(int(record))
        return images, self.rows(indices)

    def _rows(self, indices: np.ndarray) -> np.ndarray:
        """Read the labels of one chunk, all together: as 4-byte words, since every record begins on a multiple of 4."""
        words = self._data[: len(self._data) // 4 * 4].view("<u4")
        places = self._offsets[indices][:, None] // 4 + np.arange(_ROW_WORD + ROW_WIDTH)
        heads = words[np.minimum(places, len(words) - 1)]
        flags = heads[:, 2]
        widths = np.maximum(flags, 1)
        room = (heads[:, 1] & recordio.MAX_LENGTH) // 4 - IR_HEADER_BYTES // 4
        for record, _ in self._first(indices, heads[:, 0] != recordio.MAGIC):
            recordio.read_piece(self._data, int(self._offsets[record]), self.name(record))
        for record, i in self._first(indices, ~np.isin(widths, WIDTHS) | (flags > room)):
            raise InputError(f"{self.name(record)}: expected a label of 1, 5 or {ROW_WIDTH} numbers, got {widths[i]}")
        row = heads[:, _ROW_WORD:].view(np.float32).copy()
        row[np.arange(ROW_WIDTH) >= widths[:, None]] = 0
        row[:, 0] = np.where(flags == 0, heads[:, 3].copy().view(np.float32), row[:, 0])
        return row

    @staticmethod
    def _first(indices: np.ndarray, bad: np.ndarray) -> Iterator[tuple[int, int]]:
        for i in np.flatnonzero(bad)[:1]:
            yield int(indices[i]), int(i)

    def _image(self, record: int) -> np.ndarray:
        payload = recordio.read_record(self._data, int(self._offsets[record]), self.name(record))
        flag = int.from_bytes(payload[:4], "little")
        coded = np.frombuffer(payload, np.uint8)[IR_HEADER_BYTES + 4 * flag :]
        try:
            image = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
        except cv2.error:
            image = None
        if image is None:
            raise InputError(
                f"{self.name(record)}: expected an image, got {coded.size} bytes that do not decode as one"
            )
        size = self.size or len(image)
        if image.shape != (size, size, 3):
            raise InputError(f"{self.name(record)}: expected {size}x{size} px, got {image.shape[1]}x{image.shape[0]}")
        return image
