"""Dicts and sets of a pickle, whose keys and members are looked at before they are hashed.

A hash is not always cheap: that of a tuple hashes all items anew, so that forty tuples, each of which holds the one
before twice, take for ever; so does comparing frozensets. Numbers that differ by a multiple of 2**61 - 1 have one hash,
and each is compared with all before it. Numbers of different hashes can still be in each other's way
(`pickle_hash_work`). Text is safe: its hash is kept, and has a seed that no file knows.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from reprlib import repr as short  # of what a pickle holds: its own repr could be endless
from typing import Any, Union

import numpy as np

from gluon_mtcnn.core.seanlinx.pickle_budget import Budget
from gluon_mtcnn.core.seanlinx.pickle_hash_work import SET_NEIGHBOURS, is_cheap

TUPLE_ITEMS = 100  # in a key; hashed anew whenever it is used
KEY_BITS = 1000  # of a whole number
SAME_HASH = 1000  # numbers and tuples in one container
_TEXT = frozenset({str, bytes})
_PLAIN = (str, bytes, int, float, type(None), np.generic)

Container = Union[dict, set]


class Containers:
    """The dicts and sets of one pickle.

    What has other keys than text is filled when all has been read: then all keys of each are known.

    Parameters
    ----------
    size : int
        Bytes of the file. Each item takes one at least, so no list can become many sets.
    """

    def __init__(self, size: int) -> None:
        self._items = Budget(size, "sets and object arrays")
        self._text = Budget(1000 * size, "keys")  # a key that rows share is in the file once
        self._waiting: dict[int, tuple[Container, list]] = {}

    def charge(self, items: Sequence) -> None:
        """Count items that a second container gets."""
        self._items.take(len(items))

    def put(self, container: object, items: Sequence) -> Any:
        """Give a dict keys and values in turn, at once if all keys are text; or a set its members. Return it."""
        if type(container) is dict and id(container) not in self._waiting:
            keys = items[::2]
            if _TEXT.issuperset(map(type, keys)) and len(items) % 2 == 0:
                self._text.take(sum(map(len, keys)))
                container.update(zip(keys, items[1::2]))
                return container
        if type(container) is not dict and type(container) is not set:
            raise pickle.UnpicklingError(f"it puts keys into a {type(container).__name__}")
        self._waiting.setdefault(id(container), (container, []))[1].extend(items)  # type: ignore[arg-type]
        return container

    def frozenset(self, members: Sequence) -> frozenset:
        """Return a frozenset; its members are known."""
        self._check(members, SET_NEIGHBOURS)
        return frozenset(members)

    def fill(self) -> None:
        """Give the containers that wait what was put into them."""
        for container, items in self._waiting.values():
            if isinstance(container, set):
                self._check(items, SET_NEIGHBOURS)
                container.update(items)
                continue
            if len(items) % 2:
                raise pickle.UnpicklingError("a dict has a key without a value")
            keys = items[::2]
            self._check(keys, 0)
            container.update(zip(keys, items[1::2]))
        self._waiting.clear()

    def _check(self, keys: Sequence, neighbours: int) -> None:
        """Refuse keys that are costly to hash, or to put in a dict (0 neighbours) or a set (`SET_NEIGHBOURS`)."""
        if not _TEXT.issuperset(map(type, keys)):
            for key in keys:
                _check_key(key)
            _check_hashes(keys, neighbours)
            keys = [key for key in keys if type(key) in _TEXT]
        self._text.take(sum(map(len, keys)))


def _check_key(key: object) -> None:
    parts = key if type(key) is tuple else (key,)
    plain = len(parts) <= TUPLE_ITEMS and all(isinstance(part, _PLAIN) for part in parts)
    if not plain or any(isinstance(part, int) and part.bit_length() > KEY_BITS for part in parts):
        raise pickle.UnpicklingError(f"a dict or set has the key {short(key)}, which is refused")


def _check_hashes(keys: Sequence, neighbours: int) -> None:
    """Refuse many keys of one hash, or that are in each other's way.

    Hashes are sorted: a set of them would have the trouble that is looked for.
    """
    if len(keys) > SAME_HASH:
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        most = int(np.unique(hashes, return_counts=True)[1].max())
        if most > SAME_HASH:
            raise pickle.UnpicklingError(f"a dict or set has {most} keys of one hash")
        if not is_cheap(hashes, neighbours, SAME_HASH**2 // 2):
            raise pickle.UnpicklingError(f"a dict or set has {len(keys)} keys that are in each other's way")
