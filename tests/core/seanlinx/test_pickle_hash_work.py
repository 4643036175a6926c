"""The steps that it takes to fill a table, counted: against keys put in one by one, and of hostile keys. No clock."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import safe_pickle
from gluon_mtcnn.core.seanlinx.pickle_containers import SAME_HASH
from gluon_mtcnn.core.seanlinx.pickle_hash_work import FULL, LONGEST_PATH, SET_NEIGHBOURS, count_steps, is_cheap

FREE = SAME_HASH**2 // 2
BITS = 13
KEYS = 5000


def one_by_one(hashes: list, bits: int, neighbours: int) -> int:
    """Put keys into a table as CPython's source says; return the slots that were looked at."""
    mask, taken, steps = (1 << bits) - 1, set(), 0
    for number in hashes:
        perturb = number % 2**64
        slot = perturb & mask
        while True:
            slots = range(slot, slot + neighbours + 1) if slot + neighbours <= mask else [slot]
            free = next((i for i, s in enumerate(slots) if s not in taken), None)
            steps += len(slots) if free is None else free + 1
            if free is not None:
                taken.add(slots[free])
                break
            perturb >>= 5
            slot = (5 * slot + perturb + 1) & mask
    return steps


NUMBERS = st.one_of(
    st.integers(-(2**60), 2**60),
    st.integers(0, 9),
    st.builds(lambda i, shift: i << shift, st.integers(0, 99), st.sampled_from([3, 20, 50])),
)


@given(st.lists(NUMBERS, max_size=85), st.sampled_from([0, SET_NEIGHBOURS]))
def test_all_at_a_time_takes_the_steps_of_one_by_one(numbers, neighbours):
    hashes = [hash(number) for number in numbers]
    steps = count_steps(np.array(hashes, np.int64), 7, neighbours, 10**6)
    assert steps == one_by_one(hashes, 7, neighbours)


def hostile_numbers() -> list:
    """Return numbers of which the first fill a run of the cycle slot -> 5 * slot + 1, and the others stay in it."""
    slots = 1 << BITS
    cycle, place = [0], np.zeros(slots, np.int64)
    while len(cycle) < slots:
        cycle.append((5 * cycle[-1] + 1) % slots)
    place[cycle] = np.arange(slots)
    run = int(KEYS * 0.9)
    numbers = cycle[:run]
    random = np.random.default_rng(0)
    while len(numbers) < KEYS:
        drawn = random.integers(0, 2**61 - 2, 1 << 17).astype(np.uint64)
        perturb, slot, stays = drawn.copy(), drawn % np.uint64(slots), np.ones(len(drawn), bool)
        for _ in range(14):
            stays &= place[slot.astype(np.int64)] < run
            perturb >>= np.uint64(5)
            slot = (slot * np.uint64(5) + perturb + np.uint64(1)) % np.uint64(slots)
        numbers += drawn[stays].tolist()
    return numbers[:KEYS]


def test_numbers_in_each_others_way_are_refused():
    numbers = hostile_numbers()
    assert len({hash(number) for number in numbers}) == KEYS  # no two have one hash
    assert KEYS <= FULL * 2**BITS  # nor is the table full
    assert one_by_one(numbers, BITS, 0) > 200 * KEYS  # 2 steps a key are usual
    assert not is_cheap(np.array(numbers, np.int64), 0, FREE)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(InputError, match="has 5000 keys that are in each other's way"):
            safe_pickle.loads(pickle.dumps([dict.fromkeys(numbers)], protocol), "x.pkl")


def test_the_count_ends_at_its_limits():
    """What is refused costs no more than what is admitted."""
    same = np.full(KEYS, 7, np.int64)
    assert count_steps(same, BITS, 0, 20_000) == 20_001
    assert count_steps(same, BITS, 0, 10**9) == 10**9 + 1  # a path of more than LONGEST_PATH steps
    assert count_steps(same[:LONGEST_PATH], BITS, 0, 10**9) == LONGEST_PATH * (LONGEST_PATH + 1) // 2
    assert not is_cheap(same, SET_NEIGHBOURS, FREE)


SOUND = {
    "in order": range(20_000),
    "shuffled": np.random.default_rng(0).permutation(20_000).tolist(),
    "negative": range(-20_000, 0),
    "random": np.random.default_rng(0).integers(-(2**60), 2**60, 20_000).tolist(),
    **{f"multiples of 2**{bits}": [i << bits for i in range(20_000)] for bits in (5, 10, 20, 30, 40, 50)},
    "thousandths": [i / 1000 for i in range(20_000)],
    "binary fractions": [i / 2**30 for i in range(20_000)],
    "pairs": [(i % 150, i // 150) for i in range(20_000)],
}


@pytest.mark.parametrize("keys", SOUND.values(), ids=SOUND)
def test_numbers_as_people_write_them_are_read(keys):
    value = [dict.fromkeys(keys), set(keys), frozenset(keys)]
    assert safe_pickle.loads(pickle.dumps(value, 4), "x.pkl") == value


@pytest.mark.parametrize("make", [dict.fromkeys, set])
def test_as_many_keys_of_one_hash_as_may_be_are_read(make):
    value = make((2**61 - 1) * i + 7 for i in range(SAME_HASH))
    assert safe_pickle.loads(pickle.dumps(value, 4), "x.pkl") == value
    with_others = make([*value, *range(-SAME_HASH, 0)])
    assert safe_pickle.loads(pickle.dumps(with_others, 4), "x.pkl") == with_others
