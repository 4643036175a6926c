"""What a training pack is made of: the names of its files, and a record byte by byte (docs/packs.md).

`core.packs.writer` writes the files, `core.packs.pack` reads them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.types import LABEL_NAMES

ROW_LAYOUT = ("label", "dx1", "dy1", "dx2", "dy2", *(f"{axis}{i}" for i in range(1, 6) for axis in "xy"))
ROW_WIDTH = len(ROW_LAYOUT)
MAX_SIZE = 1024
BMP_HEAD_BYTES = 54

# MXNet's IRHeader and the label vector, as they begin every record's payload.
_HEAD_FIELDS: list[tuple] = [
    ("flag", "<u4"),
    ("unused_label", "<f4"),
    ("id", "<u8"),
    ("id2", "<u8"),
    ("row", "<f4", (ROW_WIDTH,)),
]
HEAD_DTYPE = np.dtype(_HEAD_FIELDS)


def rec_path(folder: PathLike, set_name: str) -> Path:
    """Return the path of a set's records."""
    return Path(folder) / f"{set_name}.rec"


def idx_path(folder: PathLike, set_name: str) -> Path:
    """Return the path of a set's index."""
    return Path(folder) / f"{set_name}.idx"


def record_dtype(size: int) -> np.dtype:
    """Return the fields of a BMP record of `size` px; its itemsize is the stride."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size must be 1..{MAX_SIZE}, but got {size}")
    line = -(-3 * size // 4) * 4  # BMP lines end on a multiple of 4 bytes
    image = [("bmp", "u1", BMP_HEAD_BYTES), ("pixels", "u1", (size, line))]
    fields = [("magic", "<u4"), ("length", "<u4"), *_HEAD_FIELDS, *image]
    return np.dtype([*fields, ("padding", "u1", (-np.dtype(fields).itemsize % 4,))])


def record_bytes(size: int) -> int:
    """Return the bytes from one BMP record of `size` px to the next: 580 at 12."""
    return record_dtype(size).itemsize


def payload_length(dtype: np.dtype) -> int:
    """Return the length word of a BMP record: what follows it, the zeros at the end aside."""
    return dtype.fields["padding"][1] - recordio.HEAD_BYTES  # type: ignore[index]


def _bmp_head(size: int) -> np.ndarray:
    """Return the 54 bytes before the pixels: BITMAPFILEHEADER and BITMAPINFOHEADER, rows from the bottom up."""
    pixels = record_dtype(size).fields["pixels"][0].itemsize  # type: ignore[index]
    fields = "<u2,<u4,<u4,<u4,<u4,<i4,<i4,<u2,<u2,<u4,<u4,<i4,<i4,<u4,<u4"
    magic = int.from_bytes(b"BM", "little")
    values = (magic, BMP_HEAD_BYTES + pixels, 0, BMP_HEAD_BYTES, 40, size, size, 1, 24, 0, pixels, 0, 0, 0, 0)
    return np.frombuffer(np.array(values, np.dtype(fields)).tobytes(), np.uint8)


def check_rows(rows: np.ndarray, first_id: int) -> np.ndarray:
    """Return label rows as (n, 15) float32.

    Raises
    ------
    InputError
        A value is not finite, a label is none of 1, 0, -1, -2, or a value's bits are RecordIO's magic number.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != ROW_WIDTH:
        raise ValueError(f"rows must be (_, {ROW_WIDTH}), but got {rows.shape}")
    bad = ~np.isfinite(rows) | (rows.view(np.uint32) == recordio.MAGIC)
    bad[:, 0] |= ~np.isin(rows[:, 0], list(LABEL_NAMES))
    if bad.any():
        i, column = (int(x) for x in np.argwhere(bad)[0])
        wanted = "1, 0, -1 or -2" if column == 0 else "a finite target"
        raise InputError(f"record {first_id + i}: {ROW_LAYOUT[column]}: expected {wanted}, got {rows[i, column]:g}")
    return rows


def check_images(images: np.ndarray, count: int) -> np.ndarray:
    """Return the images if they are (count, S, S, 3) uint8, else raise ValueError."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (images.shape[1],) * 2 + (3,):
        raise ValueError(f"images must be (_, S, S, 3) uint8, but got {images.shape} {images.dtype}")
    if len(images) != count:
        raise ValueError(f"expected an image a row, but got {len(images)} images and {count} rows")
    return images


def encode_records(images: np.ndarray, rows: np.ndarray, first_id: int) -> np.ndarray:
    """Return samples as the bytes of consecutive BMP records.

    Four bytes of pixels that equal RecordIO's magic number, where a word begins, would make dmlc-core cut the record in
    two and break the stride: one channel of one pixel is changed by 1 there.

    Parameters
    ----------
    images : (n, S, S, 3) uint8, BGR
    rows : (n, 15) float32
        Label, 4 offsets, 10 landmarks (`ROW_LAYOUT`).
    first_id : int
        Number of the first record in its pack.

    Returns
    -------
    (n, stride) uint8

    Raises
    ------
    InputError
        See `check_rows`.
    """
    rows = check_rows(rows, first_id)
    images = check_images(images, len(rows))
    if not 0 <= first_id <= recordio.MAGIC - len(rows):
        raise ValueError(f"record numbers must stay below {recordio.MAGIC}, but got {first_id} and {len(rows)} more")
    size = images.shape[1]
    records = np.zeros(len(rows), record_dtype(size))
    records["magic"], records["length"] = recordio.MAGIC, payload_length(records.dtype)
    records["flag"], records["row"] = ROW_WIDTH, rows
    records["id"] = np.arange(first_id, first_id + len(rows))
    records["bmp"] = _bmp_head(size)
    records["pixels"][:, :, : 3 * size] = images[:, ::-1].reshape(len(rows), size, 3 * size)
    words = records.view("<u4").reshape(len(rows), records.itemsize // 4)[:, 1:]
    words[words == recordio.MAGIC] ^= 1  # only pixels can hold it: the fields before them were checked or are constant
    return records.view(np.uint8).reshape(len(rows), records.itemsize)
