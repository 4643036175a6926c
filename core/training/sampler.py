"""In which order an epoch visits the records of a pack: a formula, not a list, so it needs no memory and no replay.

An epoch is a row of slots. Which record stands in a slot follows from (seed, epoch, slot), whatever the batch size
or the number of workers. Classes alternate so that every stretch of slots holds their ratio, and within a class the
records come in the order of a keyed permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

HALF_ROUNDS = 4  # four make a Feistel network of random functions look random (Luby, Rackoff 1988)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTOR1, _FACTOR2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = tuple(np.uint64(n) for n in (30, 27, 31))
_HALF = np.uint64(32)


def _mix(values: np.ndarray) -> np.ndarray:
    """Return a hash (n,) uint64 of each value: the finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    values = (values ^ (values >> _SHIFTS[0])) * _FACTOR1
    values = (values ^ (values >> _SHIFTS[1])) * _FACTOR2
    return values ^ (values >> _SHIFTS[2])


def _shift(values: np.ndarray, key: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return numbers below `limit` (n,) that depend on all of values and key: the hash's upper half, scaled down."""
    return ((_mix(values + key) >> _HALF) * limit) >> _HALF


def permute(positions: np.ndarray, counts: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return where random permutations take positions; each position may belong to another permutation.

    A permutation of 0..count-1 is a Feistel network over a grid of about count cells: the row of a cell moves by a hash
    of its column, then the column by a hash of the row, and so on. Each move can be undone, so no two positions meet.
    The few that land on a cell beyond `count` go on until they do not.

    Parameters
    ----------
    positions, counts : (n,) integers
        0 <= position < count < 2**32.
    keys : (n,) uint64
        Equal counts and keys mean the same permutation.

    Returns
    -------
    (n,) int64
    """
    cells, counts = np.asarray(positions).astype(np.uint64), np.asarray(counts).astype(np.uint64)
    heights = np.ceil(np.sqrt(counts)).astype(np.uint64)
    widths = (counts + heights - np.uint64(1)) // heights
    rows, columns = np.divmod(cells, widths)
    for _ in range(0, HALF_ROUNDS, 2):
        rows = rows + _shift(columns, keys, heights)
        rows = np.minimum(
            rows, rows - heights
        )  # below `heights` again: unsigned, a negative number wraps to a huge one
        keys = keys + _GOLDEN
        columns = columns + _shift(rows, keys, widths)
        columns = np.minimum(columns, columns - widths)
        keys = keys + _GOLDEN
    cells = (rows * widths + columns).astype(np.int64)
    beyond = np.flatnonzero(cells >= counts.astype(np.int64))
    if len(beyond):
        first_keys = keys[beyond] - np.uint64(HALF_ROUNDS) * _GOLDEN.reshape(1)
        cells[beyond] = permute(cells[beyond], counts[beyond], first_keys)
    return cells


def apportion(total: int, weights: Sequence[float]) -> np.ndarray:
    """Return whole numbers (n,) int64 that sum to `total` in the ratio of the weights (largest remainders)."""
    exact = total * np.asarray(weights, np.float64) / np.sum(weights)
    parts = np.floor(exact).astype(np.int64)
    parts[np.argsort(parts - exact, kind="stable")[: total - parts.sum()]] += 1
    return parts


class EpochOrder:
    """Maps slots of an epoch to records.

    Parameters
    ----------
    sizes : (classes,) integers
        How many records each class has.
    per_epoch : (classes,) integers
        How many slots an epoch gives each class. With fewer slots than records the next epoch goes on where this one
        stopped, so that every record is used once before any is used again; with more, some are used twice.
    seed : int
    members : (sum of sizes,) integers, or None
        The record numbers of all classes, one class after another; None: 0, 1, 2, ...
    shuffle : bool
        False: the records of each class in their order in `members`.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        per_epoch: Sequence[int],
        seed: int,
        members: Optional[np.ndarray] = None,
        shuffle: bool = True,
    ) -> None:
        used = np.flatnonzero(per_epoch)
        self._classes = used.astype(np.uint64)
        self._starts = (np.cumsum(sizes) - sizes)[used]
        self._sizes, self._slots = np.asarray(sizes, np.int64)[used], np.asarray(per_epoch, np.int64)[used]
        self._members, self._shuffle = members, shuffle
        self._key = np.random.SeedSequence(seed).generate_state(1, np.uint64)

    def __len__(self) -> int:
        return int(self._slots.sum())

    def filled(self, slots: np.ndarray) -> np.ndarray:
        """Return how many of the first `slots` (n,) slots belong to each class that has any, (n, classes).

        Each class in turn takes its share, rounded down, of the slots that those before it left. One slot more thus
        gives one class one more: any stretch of slots holds the ratio, give or take a few records.
        """
        rest, total = np.asarray(slots, np.int64), len(self)
        columns = []
        for share in self._slots.tolist():
            columns.append(rest * share // total)
            rest, total = rest - columns[-1], total - share
        return np.stack(columns, axis=1)

    def records(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Return the record numbers (stop - start,) int64 in slots start..stop-1 of an epoch."""
        filled = self.filled(np.arange(start, stop + 1))
        classes = np.diff(filled, axis=0).argmax(axis=1)
        earlier = np.take_along_axis(filled[:-1], classes[:, None], axis=1)[:, 0]
        sizes = self._sizes[classes]
        turns, places = np.divmod(epoch * self._slots[classes] + earlier, sizes)
        if self._shuffle:
            keys = _mix(_mix(self._key + turns.astype(np.uint64)) + self._classes[classes])
            places = permute(places, sizes, keys)
        places = places + self._starts[classes]
        return places if self._members is None else self._members[places].astype(np.int64)


def split_slots(total: int, batch_size: int, shards: int, step: int) -> np.ndarray:
    """Return the bounds (shards + 1,) of the slots that the shards get in a step of an epoch.

    A step takes batch_size slots in a row, or what is left of them, and the shards share them as evenly as can be.
    """
    start = step * batch_size
    return start + np.arange(shards + 1) * min(total - start, batch_size) // shards
