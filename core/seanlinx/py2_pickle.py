"""Pickles that Python 2 and its numpy read as their own: the caches of Seanlinx/mtcnn.

Python 3 writes text as unicode and bytes as a call, and numpy 2 names its modules anew; Python 2 reads the first as
another type and knows nothing of the last. So this writer emits protocol 2 as cPickle did: byte strings and numpy's old
names.
Opcodes: pickletools of the standard library.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.core.seanlinx.safe_pickle import PLAIN_DTYPE


def dump(value: Any, path: PathLike) -> None:
    """Write plain data as a protocol 2 pickle that Python 2 reads as its own.

    Parameters
    ----------
    value : None, bool, int, float, str, ndarray of numbers, numpy scalar, or a list, tuple or dict of these
        Text becomes a byte string in UTF-8. Keys of dicts are str. An array's type, shape and content are kept. An
        iterator is written as a list, some items of which are in memory at a time.
    path : file to write, atomically

    Raises
    ------
    TypeError
        Something else is in the data.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        _Writer(file).write(value)


class _Writer:
    """Emits opcodes. What comes again (globals, types, keys) is written once and then fetched from the memo."""

    BATCH = 1000  # list items an APPENDS, as cPickle writes them; also what is held in memory

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.parts: list[bytes] = [pickle.PROTO, b"\2"]
        self.fetch: dict[object, bytes] = {}  # memo key -> the opcode that fetches it
        self.array_heads: dict[tuple, bytes] = {}

    def write(self, value: Any) -> None:
        self._save(value)
        self.parts.append(pickle.STOP)
        self._flush()

    def _flush(self) -> None:
        self.file.write(b"".join(self.parts))
        self.parts.clear()

    def _once(self, key: object, opcodes: Callable[[], bytes]) -> bytes:
        """Return the opcodes that make a thing and remember it, or, from the second time on, that fetch it."""
        if key in self.fetch:
            return self.fetch[key]
        made = opcodes()
        index = len(self.fetch)
        short = index < 256
        number = struct.pack("<B" if short else "<I", index)
        self.fetch[key] = (pickle.BINGET if short else pickle.LONG_BINGET) + number
        return made + (pickle.BINPUT if short else pickle.LONG_BINPUT) + number

    def _save(self, value: Any) -> None:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, np.ndarray):
            self.parts += (self._array_head(value), _string(value.tobytes()), pickle.TUPLE, pickle.BUILD)
        elif isinstance(value, dict):
            self._save_dict(value)
        elif isinstance(value, (list, Iterator)):
            self._save_list(value)
        elif isinstance(value, tuple):
            self.parts.append(pickle.MARK)
            for item in value:
                self._save(item)
            self.parts.append(pickle.TUPLE)
        else:
            self.parts.append(_atom(value))

    def _save_list(self, items: Iterable) -> None:
        self.parts.append(pickle.EMPTY_LIST)
        items = iter(items)
        while batch := list(islice(items, self.BATCH)):
            self.parts.append(pickle.MARK)
            for item in batch:
                self._save(item)
            self.parts.append(pickle.APPENDS)
            self._flush()

    def _save_dict(self, items: dict) -> None:
        self.parts += (pickle.EMPTY_DICT, pickle.MARK)
        for key, value in items.items():
            if not isinstance(key, str):
                raise TypeError(f"keys must be str, but got {key!r}")
            self.parts.append(self.fetch.get(key) or self._once(key, partial(_atom, key)))
            self._save(value)
        self.parts.append(pickle.SETITEMS)

    def _array_head(self, array: np.ndarray) -> bytes:
        """Return the opcodes of an array up to its bytes. The second time they hold references only, and are kept."""
        key = (array.dtype.str, array.shape)
        if key not in self.array_heads:
            made = self._make_array_head(array)
            self.array_heads[key] = self._make_array_head(array)
            return made
        return self.array_heads[key]

    def _make_array_head(self, array: np.ndarray) -> bytes:
        # _reconstruct(ndarray, (0,), "b"), then the state (1, shape, dtype, C order, bytes) without its end.
        head = self._global("numpy.core.multiarray", "_reconstruct") + self._global("numpy", "ndarray")
        head += _atoms((0,)) + _atom("b") + pickle.TUPLE3 + pickle.REDUCE + pickle.MARK + _atom(1)
        head += _atoms(array.shape)
        return head + self._once(("dtype", array.dtype.str), lambda: self._make_dtype(array.dtype)) + _atom(False)

    def _make_dtype(self, dtype: np.dtype) -> bytes:
        if not PLAIN_DTYPE.fullmatch(dtype.str):
            raise TypeError(f"arrays must hold numbers, but got {dtype}")
        made = self._global("numpy", "dtype") + _atom(dtype.str[1:]) + _atom(0) + _atom(1) + pickle.TUPLE3
        state = (3, dtype.str[0], None, None, None, -1, -1, 0)
        return made + pickle.REDUCE + _atoms(state) + pickle.BUILD

    def _global(self, module: str, name: str) -> bytes:
        return self._once((module, name), lambda: pickle.GLOBAL + f"{module}\n{name}\n".encode("ascii"))


def _atom(value: Any) -> bytes:
    """Return the opcodes of one value without parts."""
    if isinstance(value, str):
        return _string(value.encode("utf-8", "surrogateescape"))
    if value is None:
        return pickle.NONE
    if isinstance(value, bool):
        return pickle.NEWTRUE if value else pickle.NEWFALSE
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return pickle.BINFLOAT + struct.pack(">d", value)
    raise TypeError(f"expected plain data, but got {type(value).__name__}")


def _atoms(values: tuple) -> bytes:
    """Return the opcodes of a tuple of values without parts."""
    items = b"".join(map(_atom, values))
    short = (pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
    return items + short[len(values)] if len(values) < len(short) else pickle.MARK + items + pickle.TUPLE


def _integer(value: int) -> bytes:
    if 0 <= value < 256:
        return pickle.BININT1 + struct.pack("<B", value)
    if -(2**31) <= value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    raw = pickle.encode_long(value)
    return pickle.LONG1 + struct.pack("<B", len(raw)) + raw


def _string(raw: bytes) -> bytes:
    """Return a byte string as Python 2 writes str."""
    if len(raw) < 256:
        return pickle.SHORT_BINSTRING + struct.pack("<B", len(raw)) + raw
    return pickle.BINSTRING + struct.pack("<i", len(raw)) + raw
