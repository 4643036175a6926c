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
import re
import sys
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short  # of what a pickle holds: its own repr could be endless
from typing import Any, Optional, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.seanlinx.pickle_budget import Budget
from gluon_mtcnn.core.seanlinx.pickle_containers import Containers
from gluon_mtcnn.core.seanlinx.pickle_scan import checked

# Booleans, integers and floats; neither objects nor records.
PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")

# Text of a fixed length, and references.
_TEXT_DTYPE = re.compile(r"[<>|=]?[US][1-9][0-9]*")
_OBJECT_DTYPE = re.compile(r"\|?O[48]?")
_CELLS = (type(None), bool, int, float, str, bytes, np.generic)  # what an array of objects may hold besides arrays
# What a defaultdict may make; it is read as a dict and makes nothing.
_FACTORIES = ("list", "dict", "set", "tuple", "int", "long", "float", "bool", "str", "unicode")


def load(path: PathLike) -> Any:
    """Return the plain data of a pickle file.

    Parameters
    ----------
    path : file of any pickle protocol, by Python 2 or 3

    Returns
    -------
    Lists, tuples, dicts, sets, frozensets, None, booleans, numbers, str, bytes and arrays of numbers, of text, or of
    these and arrays of these. An OrderedDict or defaultdict is a dict. Byte strings of Python 2 are str, decoded as
    latin-1. Arrays are of a subclass of ndarray that pickle can fill in; `numpy.array` drops it.

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
        reader = _Unpickler(checked(data), len(data))
        value = reader.load()
        reader.containers.fill()
        return value
    except Exception as error:  # a hostile pickle can make the reader raise anything
        detail = str(error) if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: expected a pickle of plain data, but {' '.join(detail.split())}") from None


class _Dtype:
    """``numpy.dtype`` of a pickle: a type of plain numbers, text or objects and, as its state, the byte order."""

    __slots__ = ("dtype",)

    def __init__(self, spec: str, align: object = False, copy: object = True) -> None:
        known = (PLAIN_DTYPE, _TEXT_DTYPE, _OBJECT_DTYPE)
        if not isinstance(spec, str) or not any(pattern.fullmatch(spec) for pattern in known):
            raise pickle.UnpicklingError(f"it holds an array of type {short(spec)}, not of numbers or text")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        order, *record = state[1:5]
        if order not in ("<", ">", "|", "=") or record != [None, None, None]:
            raise pickle.UnpicklingError("it holds an array of records, not of numbers or text")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that comes into being empty and gets shape, type and content as its state, once, compared beforehand."""

    __slots__ = ("reader",)
    reader: Optional[_Unpickler]  # None from the state on

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        if self.reader is None:
            raise pickle.UnpicklingError("it changes an array that is complete")
        content = self._cells(raw) if dtype.dtype == object else self.reader.arrays.bytes_of(raw)
        _check_content(shape, dtype.dtype, content)
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), content))
        self.reader = None

    def _cells(self, items: object) -> list:
        """Return a copy of the content of an array of objects: plain values and complete arrays, so none in another."""
        if type(items) is not list:
            raise pickle.UnpicklingError(f"the content of an array of objects is a {type(items).__name__}, not a list")
        self.reader.containers.charge(items)  # type: ignore[union-attr]
        for item in items:
            inner = isinstance(item, _Array) and item.reader is None and item.dtype != object
            if not inner and not isinstance(item, _CELLS):
                kind = "unfinished or nested array" if isinstance(item, _Array) else type(item).__name__
                raise pickle.UnpicklingError(f"an array of objects holds a {kind}, not plain arrays and values")
        return list(items)


def _check_content(shape: tuple, dtype: np.dtype, content: Union[bytes, list]) -> None:
    """Refuse content that does not fill the shape, or text with numbers that are no characters."""
    if len(shape) > 32 or any(type(side) is not int or side < 0 for side in shape):
        raise pickle.UnpicklingError(f"an array has the shape {short(shape)}")
    unit, name = (1, "items") if isinstance(content, list) else (dtype.itemsize, "bytes")
    if math.prod(shape) * unit != len(content):
        raise pickle.UnpicklingError(f"an array of shape {short(shape)} and type {dtype} has {len(content)} {name}")
    if dtype.kind == "U" and content:
        codes = np.frombuffer(content, np.dtype(np.uint32).newbyteorder(dtype.byteorder))  # type: ignore[arg-type]
        if codes.max() > sys.maxunicode:
            raise pickle.UnpicklingError("an array of text holds what is no text")


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
    """Reads what `pickle_scan.checked` went over. Every global is an exact pair of `self.globals`, or refused.

    Parameters
    ----------
    data : what `checked` returned
    size : int
        Bytes of the file, which limit what is made of it.
    """

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.arrays = Budget(size, "arrays")
        self.encoded = Budget(size, "encoded bytes")
        self.containers = Containers(size)
        self.ndarray = self._argument("numpy.ndarray")
        self.globals = {
            ("numpy", "ndarray"): self.ndarray,
            ("numpy", "dtype"): _Admitted(_Dtype),
            ("_codecs", "encode"): _Admitted(self._encode),
            ("collections", "OrderedDict"): _Admitted(self._ordered_dict),
            ("collections", "defaultdict"): _Admitted(self._defaultdict),
        }
        for builtins in ("__builtin__", "builtins"):
            self.globals.update(((builtins, name), self._argument(name)) for name in _FACTORIES)
            self.globals[builtins, "set"] = _Admitted(self._set)
            self.globals[builtins, "frozenset"] = _Admitted(self._frozenset)
            self.globals[builtins, "bytes"] = _Admitted(self._empty_bytes)  # by Python 3 in protocol 2
        for core in ("numpy.core", "numpy._core"):  # the names before and since numpy 2
            self.globals[core + ".multiarray", "_reconstruct"] = _Admitted(self._reconstruct)
            self.globals[core + ".multiarray", "scalar"] = _Admitted(self._scalar)
            self.globals[core + ".numeric", "_frombuffer"] = _Admitted(self._frombuffer)  # protocol 5

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an admitted global."""
        if (module, name) not in self.globals:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return self.globals[module, name]

    def persistent_load(self, request: Any) -> Any:
        """Do what an opcode that hashes was to do; `pickle_scan` says what the request is."""
        if type(request) is list:
            return self.containers.put({}, request)
        if len(request) == 1:
            return self.containers.frozenset(request[0])
        return self.containers.put(*request)

    @staticmethod
    def _argument(name: str) -> _Admitted:
        """Return the stand-in of a type that is named as an argument, not called."""

        def refuse(*args: object) -> None:
            raise pickle.UnpicklingError(f"it calls {name}, which is refused")

        return _Admitted(refuse)

    @staticmethod
    def _empty_bytes() -> bytes:
        return b""

    def _members(self, members: object) -> list:
        if type(members) is not list:
            raise pickle.UnpicklingError(f"it makes a set or dict of a {type(members).__name__}, not of a list")
        self.containers.charge(members)
        return list(members)

    def _set(self, members: object = ()) -> set:
        return self.containers.put(set(), self._members(members))

    def _frozenset(self, members: object = ()) -> frozenset:
        return self.containers.frozenset(self._members(members))

    def _ordered_dict(self, pairs: object = None) -> dict:
        """Return a dict, which keeps its order, too; Python 2 gives the items as a list of lists."""
        items: list = []
        for pair in self._members([] if pairs is None else pairs):
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise pickle.UnpicklingError("an OrderedDict has an item that is no pair")
            items += pair
        return self.containers.put({}, items)

    @staticmethod
    def _defaultdict(factory: object = None) -> dict:
        """Return a dict, without the factory."""
        if factory is not None and not isinstance(factory, _Admitted):
            raise pickle.UnpicklingError("a defaultdict has a factory that is no plain type")
        return {}

    def _reconstruct(self, subtype: object, shape: object, code: object) -> _Array:
        if subtype is not self.ndarray:
            raise pickle.UnpicklingError("it builds an array of a type that is not numpy.ndarray")
        array = np.ndarray.__new__(_Array, (0,), np.int8)
        array.reader = self
        return array

    def _scalar(self, dtype: _Dtype, raw: Union[str, bytes] = b"") -> np.generic:
        content = self.arrays.bytes_of(raw)
        _check_content((), dtype.dtype, content)
        return np.frombuffer(content, dtype.dtype)[0]

    def _frombuffer(self, raw: Union[bytes, bytearray], dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
        array = self._reconstruct(self.ndarray, (0,), b"b")
        array.__setstate__((1, shape, dtype, order == "F", raw))
        return array

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"it encodes text as {short(encoding)}, not as latin1")
        return self.encoded.bytes_of(text)
