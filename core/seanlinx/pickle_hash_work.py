"""How many steps it takes to fill a dict or set with given keys, counted before the keys are put in.

CPython keeps a key at the first free slot of a path that its hash alone decides. Numbers hash to themselves, hence a
file can hold numbers whose paths run through each other: each new key then passes all before it, though no two hashes
are equal and few share their low bits. Only the paths themselves tell.

The path in a table of 2**bits slots, in CPython 3.6 to 3.13 (Objects/dictobject.c, Objects/setobject.c): slot
``hash mod 2**bits``; then, over and over, ``perturb`` is shifted right by 5, from the hash on, and the next slot is
``5 * slot + perturb + 1``. A set looks at the 9 slots that follow each of these, too, where the table does not end.
"""

from __future__ import annotations

import numpy as np

SMALLEST_BITS = 3  # of a new table
SPARE = 2  # times that a table may be doubled beyond what its keys need
FULL = 2 / 3  # at most, of a dict's table; of a set's, 3 / 5
SET_NEIGHBOURS = 9
LONGEST_PATH = 4000  # steps of one key; the longest of a million random keys takes some dozens
STEPS_PER_KEY = 200  # on average; multiples of a power of two take up to 13 jumps more, of 10 slots each in a set


def is_cheap(hashes: np.ndarray, neighbours: int, free_steps: int) -> bool:
    """Return whether a container is filled in a number of steps that grows as the number of its keys does.

    Parameters
    ----------
    hashes : (n,) int64
        Of the keys, in the order in which they are put in.
    neighbours : int
        0 for a dict, `SET_NEIGHBOURS` for a set.
    free_steps : int
        Steps that are admitted for each table besides `STEPS_PER_KEY`.
    """
    needed = int(np.ceil(np.log2(max(len(hashes) / FULL, 1))))
    for bits in range(SMALLEST_BITS, max(needed, SMALLEST_BITS) + SPARE + 1):  # the table grows while it is filled
        first = hashes[: int(FULL * (1 << bits))]
        most = free_steps + STEPS_PER_KEY * len(first)
        if count_steps(first, bits, neighbours, most) > most:
            return False
    return True


def count_steps(hashes: np.ndarray, bits: int, neighbours: int, most: int) -> int:
    """Return the slots that are looked at while keys are put into one table, or some number beyond `most`.

    Every key that has no slot looks at its next one, all at a time. A slot keeps the earliest key that came; a later
    one moves on. In the end each key has the slot that it gets, and has looked at those that it looks at, when they
    come one after another: earlier keys have the first choice in either case.
    """
    mask = np.uint64((1 << bits) - 1)
    perturb = hashes.view(np.uint64).copy()
    base, step = perturb & mask, np.zeros(len(hashes), np.uint64)
    keeper = np.full(1 << bits, len(hashes))
    left = np.arange(len(hashes))[::-1]  # the latest first: of several values for one slot, numpy keeps the last
    steps = rounds = 0
    while len(left):
        steps, rounds = steps + len(left), rounds + 1
        if steps > most or rounds > LONGEST_PATH:
            return most + 1
        slots = (base[left] + step[left]).astype(np.int64)
        before = keeper[slots]
        earlier = left < before
        keeper[slots[earlier]] = left[earlier]
        won = keeper[slots] == left
        displaced = before[won]
        left = np.sort(np.concatenate([left[~won], displaced[displaced < len(hashes)]]))[::-1]
        _advance(left, base, step, perturb, mask, neighbours)
    return steps


def _advance(
    keys: np.ndarray, base: np.ndarray, step: np.ndarray, perturb: np.ndarray, mask: np.uint64, neighbours: int
) -> None:
    """Move keys to the next slots of their paths, in place."""
    last = np.where(base[keys] + np.uint64(neighbours) <= mask, np.uint64(neighbours), np.uint64(0))
    jump = step[keys] >= last
    step[keys[~jump]] += np.uint64(1)
    jumping = keys[jump]
    step[jumping] = 0
    perturb[jumping] >>= np.uint64(5)
    base[jumping] = (base[jumping] * np.uint64(5) + perturb[jumping] + np.uint64(1)) & mask
