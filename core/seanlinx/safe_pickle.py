"""Pickles of plain data, read without running anything that they ask for.

A pickle is a program: reading one with ``pickle.load`` runs whatever its author chose. `load` admits exact
(module, name) pairs only, and maps them to functions of this file, never to numpy's own: a numpy array is built here,
after its type, shape and bytes were compared. What is refused, is broken, or claims more memory than the file can hold
is an `InputError`.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short  # of what a pickle holds: its own repr could be endless
from typing import Any, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike

SMALL_INDEX = 1 << 24  # a memo index below this takes memory that does no harm
# Booleans, integers and floats; neither objects nor records.
PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")

# How many bytes follow each opcode, or one of pickletools' negative codes for "it depends".
_ARGUMENT = {op.code.encode("latin1"): op.arg.n if op.arg else 0 for op in pickletools.opcodes}
_LENGTH_FORMAT = {
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}


def _fixed_run() -> re.Pattern[bytes]:
    """Return a pattern for many opcodes of fixed length at once. It is bounded, since `re` keeps a stack."""
    codes: dict[int, bytes] = {}
    for code, length in _ARGUMENT.items():
        if length >= 0 and code not in (pickle.STOP, pickle.LONG_BINPUT):
            codes[length] = codes.get(length, b"") + re.escape(code)
    kinds = [b"[%s]" % codes[length] + b"." * length for length in sorted(codes)]
    kinds.append(pickle.LONG_BINPUT + rb"...\0")  # below SMALL_INDEX
    return re.compile(b"(?:%s){0,500}" % b"|".join(kinds), re.DOTALL)


_FIXED_RUN = _fixed_run()


def load(path: PathLike) -> Any:
    """Return the plain data of a pickle file.

    Parameters
    ----------
    path : file of any pickle protocol, by Python 2 or 3

    Returns
    -------
    Lists, tuples, dicts, None, booleans, numbers, str, bytes and arrays. Byte strings of Python 2 are str,
    decoded as latin-1. Arrays are of a subclass of ndarray that pickle can fill in; `numpy.array` drops it.

    Raises
    ------
    InputError
        The file cannot be read, is broken, or asks for anything but plain data; the message names what it asked for.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return loads(data, str(path))


def loads(data: bytes, where: str) -> Any:
    """Return the plain data of a pickle in memory; `where` names it in messages. Otherwise as `load`."""
    try:
        _check_claims(data)
        return _Unpickler(data).load()
    except Exception as error:  # a hostile pickle can make the reader raise anything
        detail = str(error) if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: expected a pickle of plain data, but {' '.join(detail.split())}") from None


def _check_claims(data: bytes) -> None:
    """Refuse lengths and memo indices beyond the file: the reader would allocate them before it looked."""
    at = 0
    while True:
        at = _FIXED_RUN.match(data, at).end()  # type: ignore[union-attr]
        code = data[at : at + 1]
        if code == pickle.STOP:
            return
        if code and code not in _ARGUMENT:
            raise pickle.UnpicklingError(f"byte {at} is {code!r}, which is no pickle opcode")
        at = _skip(data, at + 1, code)


def _skip(data: bytes, at: int, code: bytes) -> int:
    """Return where the argument of an opcode ends that starts at a byte."""
    kind = _ARGUMENT.get(code, 0)
    try:
        if code == pickle.LONG_BINPUT:
            _check_index(struct.unpack_from("<I", data, at)[0], data)
        if kind == pickletools.UP_TO_NEWLINE:
            end = data.index(b"\n", at) + 1
            if code == pickle.PUT:
                _check_index(int(data[at:end]), data)
            return data.index(b"\n", end) + 1 if code in (pickle.GLOBAL, pickle.INST) else end
        if kind < 0:
            length = struct.unpack_from(_LENGTH_FORMAT[kind], data, at)[0]
            kind = struct.calcsize(_LENGTH_FORMAT[kind]) + length if length >= 0 else len(data)
    except (struct.error, ValueError):
        kind = len(data)
    if not code or kind < 0 or at + kind > len(data):
        raise pickle.UnpicklingError(f"it is cut short: it ends at byte {len(data)}, inside an item")
    return at + kind


def _check_index(index: int, data: bytes) -> None:
    """Refuse a memo index beyond the file. Small ones pass: who drops PUTs or goes on with a memo leaves gaps."""
    if not 0 <= index < max(SMALL_INDEX, len(data)):
        raise pickle.UnpicklingError(f"it claims {index} items in {len(data)} bytes")


class _Budget:
    """Bytes that things of one kind may still take: those of the file, so that one string cannot become a thousand.

    Each kind has a budget of its own. What a sound file makes of one kind, it holds: but the same byte can be text,
    then the bytes that the text is encoded to, then the content of an array.
    """

    def __init__(self, left: int, kind: str) -> None:
        self.left = left
        self.kind = kind

    def bytes_of(self, raw: Union[str, bytes, bytearray]) -> bytes:
        """Return a copy of the bytes of a str (Python 2's), bytes or bytearray."""
        if not isinstance(raw, (str, bytes, bytearray)):
            raise pickle.UnpicklingError(f"the content of its {self.kind} is a {type(raw).__name__}, not bytes")
        self.left -= len(raw)
        if self.left < 0:
            raise pickle.UnpicklingError(f"its {self.kind} are larger than the file")
        return raw.encode("latin1") if isinstance(raw, str) else bytes(memoryview(raw))


class _Dtype:
    """``numpy.dtype`` of a pickle: a type of plain numbers and, as its state, the byte order."""

    __slots__ = ("dtype",)

    def __init__(self, spec: str, align: object = False, copy: object = True) -> None:
        if not isinstance(spec, str) or not PLAIN_DTYPE.fullmatch(spec):
            raise pickle.UnpicklingError(f"it holds an array of type {short(spec)}, not of numbers")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        order, *record = state[1:5]
        if order not in ("<", ">", "|", "=") or record != [None, None, None]:
            raise pickle.UnpicklingError("it holds an array of records, not of numbers")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that comes into being empty and gets shape, type and content as its state, compared beforehand."""

    __slots__ = ("budget",)
    budget: _Budget

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        content = self.budget.bytes_of(raw)
        _check_shape(shape, dtype.dtype, content)
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), content))


def _check_shape(shape: tuple, dtype: np.dtype, content: bytes) -> None:
    if len(shape) > 32 or any(type(side) is not int or side < 0 for side in shape):
        raise pickle.UnpicklingError(f"an array has the shape {short(shape)}")
    size = math.prod(shape) * dtype.itemsize
    if size != len(content):
        raise pickle.UnpicklingError(f"an array of shape {short(shape)} and type {dtype} has {len(content)} bytes")


class _Admitted:
    """What a pickle gets for a global: it can be called, and nothing else can be done to it."""

    __slots__ = ("function",)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args: object) -> object:
        return self.function(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to change a global")


class _Unpickler(pickle.Unpickler):
    """Reads plain data. Every global is an exact pair of `self.globals` or refused."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.arrays = _Budget(len(data), "arrays")
        self.encoded = _Budget(len(data), "encoded bytes")
        self.ndarray = _Admitted(self._no_call)
        self.globals = {
            ("numpy", "ndarray"): self.ndarray,
            ("numpy", "dtype"): _Admitted(_Dtype),
            ("_codecs", "encode"): _Admitted(self._encode),
            ("__builtin__", "bytes"): _Admitted(self._empty_bytes),  # an empty one, by Python 3 in protocol 2
            ("builtins", "bytes"): _Admitted(self._empty_bytes),
        }
        for core in ("numpy.core", "numpy._core"):  # the names before and since numpy 2
            self.globals[core + ".multiarray", "_reconstruct"] = _Admitted(self._reconstruct)
            self.globals[core + ".multiarray", "scalar"] = _Admitted(self._scalar)
            self.globals[core + ".numeric", "_frombuffer"] = _Admitted(self._frombuffer)  # protocol 5

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an admitted global."""
        if (module, name) not in self.globals:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return self.globals[module, name]

    @staticmethod
    def _no_call(*args: object) -> None:
        raise pickle.UnpicklingError("it calls numpy.ndarray, which is refused")

    @staticmethod
    def _empty_bytes() -> bytes:
        return b""

    def _reconstruct(self, subtype: object, shape: object, code: object) -> _Array:
        if subtype is not self.ndarray:
            raise pickle.UnpicklingError("it builds an array of a type that is not numpy.ndarray")
        array = np.ndarray.__new__(_Array, (0,), np.int8)
        array.budget = self.arrays
        return array

    def _scalar(self, dtype: _Dtype, raw: Union[str, bytes] = b"") -> np.generic:
        content = self.arrays.bytes_of(raw)
        _check_shape((), dtype.dtype, content)
        return np.frombuffer(content, dtype.dtype)[0]

    def _frombuffer(self, raw: Union[bytes, bytearray], dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
        array = self._reconstruct(self.ndarray, (0,), b"b")
        array.__setstate__((1, shape, dtype, order == "F", raw))
        return array

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"it encodes text as {short(encoding)}, not as latin1")
        return self.encoded.bytes_of(text)
