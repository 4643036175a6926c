"""MXNet's RecordIO container: bytes in, bytes out. What the records mean is `core.packs`' business.

A record is ``magic (4 bytes), length (4), payload, zeros up to a multiple of 4``, little-endian. The top three bits of
the length word tell a whole record (0) from the first (1), a middle (2) and the last (3) piece of one: dmlc-core cuts a
payload wherever a word of it, counted in fours from its start, equals the magic number, and leaves that word out. The
index is a text file with a line ``key<TAB>offset`` a record.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Optional, TextIO

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike

MAGIC = 0xCED7230A
HEAD_BYTES = 8
MAX_LENGTH = (1 << 29) - 1
WHOLE, FIRST, MIDDLE, LAST = range(4)
INDEX_CHUNK = 1 << 12  # index lines that are written at once
OFFSET_DIGITS = 18  # at most: fits 8 bytes

_HEAD = struct.Struct("<II")
_MAGIC_BYTES = struct.pack("<I", MAGIC)


def frame(payload: bytes) -> bytes:
    """Return the payload as one record, cut where it must be: the bytes that MXNet's own writer would write."""
    if len(payload) > MAX_LENGTH:
        raise ValueError(f"a record holds at most {MAX_LENGTH} bytes, but got {len(payload)}")
    words = np.frombuffer(payload, "<u4", count=len(payload) // 4)
    pieces, start = [], 0
    for cut in np.flatnonzero(words == MAGIC) * 4:
        pieces.append(_HEAD.pack(MAGIC, (FIRST if start == 0 else MIDDLE) << 29 | (cut - start)) + payload[start:cut])
        start = int(cut) + 4
    flag = WHOLE if start == 0 else LAST
    pieces.append(_HEAD.pack(MAGIC, flag << 29 | (len(payload) - start)) + payload[start:])
    pieces.append(bytes(-len(payload) % 4))
    return b"".join(pieces)


def read_piece(data: np.ndarray, offset: int, where: str) -> tuple[int, int, int]:
    """Return (flag, start, end) of the payload of the piece at `offset` of a file's bytes.

    Raises
    ------
    InputError
        The magic number is not there, or the file ends first; the message begins with `where`.
    """
    if offset + HEAD_BYTES > len(data):
        raise InputError(f"{where}, byte {offset}: expected {HEAD_BYTES} bytes of a record, got the file's end")
    magic, word = _HEAD.unpack_from(data.data, offset)
    if magic != MAGIC:
        raise InputError(f"{where}, byte {offset}: expected magic 0x{MAGIC:08x}, got 0x{magic:08x}")
    start = offset + HEAD_BYTES
    end = start + (word & MAX_LENGTH)
    padded = end + -(end - start) % 4
    if padded > len(data):
        raise InputError(
            f"{where}, byte {offset}: expected {padded - start} bytes, got {len(data) - start}: truncated?"
        )
    return word >> 29, start, end


def pieces(data: np.ndarray, offset: int, where: str) -> Iterator[tuple[int, int, int]]:
    """Yield (flag, start, end) of each piece of the record at `offset`, checking that they follow one another."""
    expected = (WHOLE, FIRST)
    while True:
        flag, start, end = read_piece(data, offset, where)
        if flag not in expected:
            raise InputError(f"{where}, byte {offset}: expected a piece of kind {expected}, got {flag}")
        yield flag, start, end
        if flag in (WHOLE, LAST):
            return
        expected = (MIDDLE, LAST)
        offset = end + -(end - start) % 4


def read_record(data: np.ndarray, offset: int, where: str) -> bytes:
    """Return the payload of the record at `offset`, its pieces joined."""
    return _MAGIC_BYTES.join(data[start:end].tobytes() for _, start, end in pieces(data, offset, where))


def scan(data: np.ndarray, name: PathLike) -> np.ndarray:
    """Return the offsets (n,) int64 of all records of a file's bytes, for a pack that has no index."""
    offsets, offset = [], 0
    while offset < len(data):
        offsets.append(offset)
        for _, start, end in pieces(data, offset, f"{name}: record {len(offsets) - 1}"):
            offset = end + -(end - start) % 4
    return np.array(offsets, np.int64)


def write_index_lines(file: TextIO, first: int, offsets: Sequence[int]) -> None:
    """Append the lines of the records `first`, first + 1, ... that lie at `offsets`."""
    for start in range(0, len(offsets), INDEX_CHUNK):
        chunk = offsets[start : start + INDEX_CHUNK]
        keys = range(first + start, first + start + len(chunk))
        file.write("".join(map("{}\t{}\n".format, keys, chunk)))


def read_index(path: PathLike, file_size: Optional[int] = None) -> np.ndarray:
    """Return the offsets (n,) int64 that an index lists, in its order.

    Raises
    ------
    InputError
        A line is not ``key<TAB>offset``, or an offset lies outside the file's `file_size` bytes.
    """
    offsets = array("q")  # 8 bytes an entry where a list would take 40
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if len(fields) != 2 or not fields[1].isdigit() or len(fields[1]) > OFFSET_DIGITS or int(fields[1]) % 4:
                got = line.rstrip()[:60].decode("latin1")
                raise InputError(f"{path}:{number}: expected 'key<TAB>offset', the offset a multiple of 4, got {got!r}")
            offsets.append(int(fields[1]))
    result = np.frombuffer(offsets, np.int64) if offsets else np.zeros(0, np.int64)
    for i in np.flatnonzero(result >= (np.inf if file_size is None else file_size))[:1]:
        raise InputError(
            f"{path}:{i + 1}: expected an offset below the pack's {file_size} bytes, got {result[i]}: truncated?"
        )
    return result
