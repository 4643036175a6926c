"""MXNet's container of named arrays (``.params``), read and written with NumPy alone.

A file is, in little-endian order: the number 0x112 and a reserved 0 (uint64 each); the count of arrays and the arrays;
the count of names and the names (uint64 length, UTF-8). An array is a record of one of four kinds, told apart by its
first uint32:

- rank itself: the record of 2016 (V0). The sides follow as uint32.
- 0xF993FAC8 (V1): rank as uint32, sides as int64.
- 0xF993FAC9 (V2): storage type as int32 (0: dense), then as V1. What MXNet 1.x writes.
- 0xF993FACA (V3): as V2; MXNet's NumPy mode writes it.

Then follow device type, device number and element type (int32 each), and the numbers.

MXNet's own reader believes every count before it has read that much: a damaged file makes it allocate gigabytes, or
ends the process. Here the whole structure is compared with the size of the file before anything is allocated.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
CPU = (1, 0)  # device type and number
MOST_AXES = 32  # NumPy's own limit
MOST_NAME = 1000  # characters; names end up in messages
BFLOAT16 = 12
DTYPES = {
    **{0: np.float32, 1: np.float64, 2: np.float16, 3: np.uint8, 4: np.int32, 5: np.int8, 6: np.int64, 7: np.bool_},
    **{8: np.int16, 9: np.uint16, 10: np.uint32, 11: np.uint64, BFLOAT16: np.uint16},
}
FLAGS = {np.dtype(dtype): flag for flag, dtype in DTYPES.items() if flag != BFLOAT16}


@dataclass(frozen=True)
class _Record:
    """Where the numbers of an array lie."""

    start: int
    shape: tuple[int, ...]
    flag: int  # of its element type


class _Reader:
    """A file of known size; every read and skip is checked against what is left of it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def take(self, form: str, what: str) -> Any:
        """Return one number of a `struct` form."""
        size = struct.calcsize(form)
        self._check(size, what)
        return struct.unpack("<" + form, self._file.read(size))[0]

    def text(self, what: str) -> bytes:
        """Return a string that its length precedes."""
        length = self.take("Q", what)
        self._check(length, what)
        return self._file.read(length)

    def skip(self, size: int, what: str) -> int:
        """Pass over some bytes; return where they begin."""
        self._check(size, what)
        start = self._file.tell()
        self._file.seek(size, os.SEEK_CUR)
        return start

    def count(self, smallest: int, what: str) -> int:
        """Return a count of items that take at least `smallest` bytes each."""
        count = self.take("Q", what)
        if count * smallest > self.left:
            raise ValueError(f"{what}: {count}, which {self.left} bytes cannot hold")
        return count

    @property
    def left(self) -> int:
        """Return how many bytes follow."""
        return self._size - self._file.tell()

    def _check(self, size: int, what: str) -> None:
        if size > self.left:
            raise ValueError(f"cut off: {what} needs {size} bytes, {self.left} are left")


def load_arrays(path: PathLike) -> dict[str, np.ndarray]:
    """Return the named arrays of a ``.params`` file of any MXNet since 2016.

    Names are as they stand in the file: `Module` and `SymbolBlock` put ``arg:`` or ``aux:`` before them. Elements of
    type bfloat16, which NumPy lacks, become float32.

    Raises
    ------
    InputError
        The file is missing, truncated or not such a file, or holds sparse arrays or arrays without names.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: parameter file not found")
    try:
        with open(path, "rb") as file:
            records, names = _structure(_Reader(file, os.fstat(file.fileno()).st_size))
            if not names:
                raise InputError(f"{path}: expected named arrays, got a list of {len(records)} without names")
            return {name: _numbers(file, record) for name, record in zip(names, records)}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: expected an MXNet parameter file: {error}") from None


def _structure(reader: _Reader) -> tuple[list[_Record], list[str]]:
    """Read everything but the numbers.

    Raises
    ------
    ValueError
        The file is not of this structure, or longer or shorter than it says.
    """
    if reader.take("Q", "the magic number") != LIST_MAGIC:
        raise ValueError("it does not begin with 0x112")
    reader.take("Q", "the header")
    records = [_record(reader, f"array {i}") for i in range(reader.count(20, "number of arrays"))]
    count = reader.count(8, "number of names")
    if count not in (0, len(records)):
        raise ValueError(f"{len(records)} arrays have {count} names")
    names = [reader.text(f"name {i}").decode("utf-8") for i in range(count)]
    for i, name in enumerate(names):
        if not name.isprintable() or len(name) > MOST_NAME:
            raise ValueError(f"name {i} is {name[:50]!r}, expected at most {MOST_NAME} printable characters")
    if len(set(names)) != len(names):
        raise ValueError("two arrays have the same name")
    if reader.left:
        raise ValueError(f"{reader.left} bytes follow its end")
    return records, names


def _record(reader: _Reader, what: str) -> _Record:
    kind = reader.take("I", what)
    if kind in (V2, V3):
        storage = reader.take("i", what)
        if storage != DENSE:
            raise ValueError(f"{what}: storage type {storage}, only dense arrays (0) can be read")
    axes, side = (reader.take("i", what), "q") if kind in (V1, V2, V3) else (kind, "I")
    if not 1 <= axes <= MOST_AXES:
        raise ValueError(f"{what}: {axes} axes, expected 1 to {MOST_AXES}")
    shape = tuple(reader.take(side, what) for _ in range(axes))
    if min(shape) < 1:
        raise ValueError(f"{what}: shape {shape}, expected sides of at least 1")
    for _ in CPU:
        reader.take("i", what)
    flag = reader.take("i", what)
    if flag not in DTYPES:
        raise ValueError(f"{what}: element type {flag}, expected one of 0 to {max(DTYPES)}")
    size = math.prod(shape) * np.dtype(DTYPES[flag]).itemsize
    return _Record(reader.skip(size, f"{what} of shape {shape}"), shape, flag)


def _numbers(file: BinaryIO, record: _Record) -> np.ndarray:
    file.seek(record.start)
    dtype = np.dtype(DTYPES[record.flag])
    raw = file.read(math.prod(record.shape) * dtype.itemsize)
    array = np.frombuffer(bytearray(raw), dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(record.shape)
    return (array.astype(np.uint32) << 16).view(np.float32) if record.flag == BFLOAT16 else array


def write_params(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as MXNet 1.9.1 does on a CPU (V2 records), byte for byte; atomically.

    Raises
    ------
    ValueError
        An array is a scalar or empty, or has elements of a type that MXNet lacks.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays)))
        for name, array in arrays.items():
            array = np.asarray(array)
            if array.ndim == 0 or array.size == 0 or array.dtype.newbyteorder("=") not in FLAGS:
                raise ValueError(f"{name}: MXNet has no arrays of shape {array.shape} and type {array.dtype}")
            file.write(struct.pack(f"<Iii{array.ndim}q", V2, DENSE, array.ndim, *array.shape))
            _write_numbers(file, array)
        _write_names(file, list(arrays))


def write_params_of_2016(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, as float32, in V0 records, which every MXNet reads from 2016 to 1.9.1; atomically.

    The versions that Seanlinx/mtcnn was made for refuse newer records.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays)))
        for array in arrays.values():
            file.write(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
            _write_numbers(file, array.astype(np.float32))
        _write_names(file, list(arrays))


def _write_numbers(file: BinaryIO, array: np.ndarray) -> None:
    flag = FLAGS[array.dtype.newbyteorder("=")]
    file.write(struct.pack("<iii", *CPU, flag))
    file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())


def _write_names(file: BinaryIO, names: list[str]) -> None:
    file.write(struct.pack("<Q", len(names)))
    for name in names:
        text = name.encode()
        file.write(struct.pack("<Q", len(text)) + text)
