"""Containers and arrays besides lists, dicts and numbers: what is read of them, and hostile ones, which must not hang.

No test has a time limit of its own: what is refused is refused before anything is hashed, and what is not would hang.
"""

import pickle
import pickletools
import struct
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import pickle_containers, pickle_scan, safe_pickle
from gluon_mtcnn.core.seanlinx.detection_files import read_detections
from gluon_mtcnn.core.seanlinx.imdb_cache import parse_cache

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
BOXES = [np.full((n, 5), -0.5) for n in (3, 0, 1)]
OBJECTS = np.empty(3, object)
OBJECTS[:] = BOXES
VALUES = {
    "set": {1, "a", b"\xff", None, 2.5, (1, "b")},
    "empty set": set(),
    "frozenset": frozenset({1, "é", (2, 3)}),
    "empty frozenset": frozenset(),
    "large set": set(range(3000)),
    "ordered dict": OrderedDict([("b", 1), ("a", [OrderedDict()])]),
    "keys of all kinds": {1: "a", (1, 2.5, "c"): {None: {1}}, b"": 2, 2**64: 4, False: 6, np.int64(7): 5},
    "numbers as keys": {i * 2**20: i for i in range(3000)},
    "a tuple of as many items as may be": {tuple(range(pickle_containers.TUPLE_ITEMS)): 1},
    "one long key in many rows": [{"k" * 1000: i} for i in range(300)],
}


def loads(data: bytes):
    return safe_pickle.loads(data, "x.pkl")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_containers_of_every_protocol_are_read(value, protocol):
    loaded = loads(pickle.dumps([value, value], protocol))
    assert loaded == [value, value]
    assert loaded[0] is loaded[1] or not value
    assert type(loaded[0]) is (dict if isinstance(value, dict) else type(value))
    assert not isinstance(value, dict) or list(loaded[0]) == list(value)  # the order


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factory", [list, dict, set, tuple, int, float, bool, str, None])
def test_a_defaultdict_is_read_as_a_dict(factory, protocol):
    loaded = loads(pickle.dumps(defaultdict(factory, {"a": [1], 2: [3]}), protocol))
    assert type(loaded) is dict
    assert loaded == {"a": [1], 2: [3]}


def test_python_2_containers_are_read():
    ordered = b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'a'\naI1\naatR."
    assert loads(ordered) == {"a": 1}
    assert loads(b"ccollections\ndefaultdict\n(c__builtin__\nunicode\ntR(S'a'\nI1\nu.") == {"a": 1}
    assert loads(b"\x80\2c__builtin__\nset\n](K\1K\2e\x85R.") == {1, 2}


ARRAYS = {
    "boxes": OBJECTS,
    "cells": np.array([[1, "a", None], [2.5, np.float32(1), b"c"]], dtype=object),
    "boxes of one shape": np.array([np.zeros((2, 5))] * 3, dtype=object),
    "empty": np.zeros((0, 3), object),
    "text": np.array(["a", "é€😀", ""]),
    "big-endian text": np.array([["a"], ["bc"]], dtype=">U2"),
    "no text": np.zeros(0, "U1000"),
    "bytes": np.array([b"a", b"\xff\xfe"]),
    "Fortran order": np.asfortranarray(np.array([["a", "b", "c"], ["d", "e", "f"]])),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_objects_and_text_are_read(array, protocol):
    loaded = loads(pickle.dumps(array, protocol))
    assert (loaded.dtype.newbyteorder("="), loaded.shape) == (array.dtype.newbyteorder("="), array.shape)
    for got, wanted in zip(loaded.flat, array.flat):
        np.testing.assert_equal(got, wanted)
        assert isinstance(got, type(wanted))
    for scalar in (np.str_("é"), np.bytes_(b"\xff")):
        assert loads(pickle.dumps(scalar, protocol)) == scalar


@pytest.mark.parametrize("boxes", [BOXES, [np.full((2, 5), -0.5)] * 3], ids=["ragged", "one shape"])
def test_detections_in_an_array_of_objects_are_read(boxes, tmp_path):
    array = np.array(boxes, dtype=object) if boxes is not BOXES else OBJECTS
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(array, 2))
    for got, wanted in zip(read_detections(tmp_path / "d.pkl"), boxes):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("target", [np.array(["a"] * 4), np.array([None] * 4), np.array([BOXES[0]] + [1] * 3, object)])
def test_a_target_that_is_no_numbers_is_an_input_error(target):
    rows = [{"image": "a", "label": 1, "bbox_target": target}]
    with pytest.raises(InputError, match="bbox_target of row 0: expected 4 finite numbers"):
        parse_cache(loads(pickle.dumps(rows, 2)), "x.pkl")


def test_a_label_too_long_to_print_is_an_input_error():
    with pytest.raises(InputError, match="row 0: expected label 1, 0, -1 or -2, got "):
        parse_cache(loads(pickle.dumps([{"image": "a", "label": 1 << 20000}], 2)), "x.pkl")


def nested(start: bytes, step: bytes) -> bytes:
    """Put on the stack what has sixty levels, each of which holds the one before twice: 2**60 to hash."""
    levels = b"".join(step % (i, i, i + 1) + b"0" for i in range(60))  # each is remembered, and popped
    return start + b"0" + levels + b"h\x3c"


TUPLES = nested(b")q\0", b"h%ch%c\x86q%c")
FROZEN = nested(b"(\x91q\0", b"(h%ch%c\x91q%c")


def items(count: int, key) -> bytes:
    return b"".join(key(i) + b"N" for i in range(count))


def whole(number: int) -> bytes:
    raw = pickle.encode_long(number)
    return b"\x8a" + bytes([len(raw)]) + raw


COLLIDING = items(5000, lambda i: whole((2**61 - 1) * i + 7))
HANGS = {
    "tuple as key": b"}" + TUPLES + b"Ns.",
    "tuple as key of many": b"}(" + TUPLES + b"Nu.",
    "tuple as key of a new dict": b"(" + TUPLES + b"Nd.",
    "tuple in a set": b"\x8f(" + TUPLES + b"\x90.",
    "tuple in a frozenset": b"(" + TUPLES + b"\x91.",
    "tuple in a set by call": b"c__builtin__\nset\n](" + TUPLES + b"e\x85R.",
    "tuple in an ordered dict": b"ccollections\nOrderedDict\n](" + TUPLES + b"N\x86e\x85R.",
    "tuple in a tuple as key": b"}(K\1" + TUPLES + b"\x86Nu.",
    "frozensets in a frozenset": FROZEN + b".",
    "frozenset as key": b"}(K\1\x91Ns.",
    "a tuple that is too long": b"}(" + b"N" * 101 + b"tNs.",
    "a number that is too long": b"}" + whole(2**1001) + b"Ns.",
    "numbers of one hash": b"}(" + COLLIDING + b"u.",
    "numbers of one hash, one by one": b"}" + b"".join(whole((2**61 - 1) * i) + b"Ns" for i in range(5000)) + b".",
    "numbers of one hash in a set": b"\x8f(" + b"".join(whole((2**61 - 1) * i) for i in range(5000)) + b"\x90.",
    "a set in a set": b"\x8f(\x8f\x90.",
    "an array as key": b"}cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87RNs.",
    "a global as key": b"}cnumpy\nndarray\nNs.",
    "items of a list": b"](K\1Nu.",
    "a key without a value": b"}(K\1u.",
}


@pytest.mark.parametrize("data", HANGS.values(), ids=HANGS)
def test_what_would_hash_for_ever_is_refused(data):
    assert len(data) < 100_000
    with pytest.raises(InputError, match=r"^x\.pkl: expected a pickle of plain data, but ") as caught:
        loads(b"\x80\4" + data)
    assert len(str(caught.value)) < 1000


def test_a_list_does_not_become_many_sets():
    members = b"](" + b"".join(struct.pack("<cH", b"M", i) for i in range(1000)) + b"eq\0"
    for name in (b"c__builtin__\nset\n", b"c__builtin__\nfrozenset\n"):
        call = name + b"h\0\x85R"
        assert len(loads(b"\x80\2" + members + b"(" + call + b"l.")[0]) == 1000
        with pytest.raises(InputError, match="sets and object arrays are larger than the file"):
            loads(b"\x80\2" + members + b"(" + call * 10 + b"l.")


@pytest.mark.parametrize("inner", [np.array([None]), {"a": 1}, [1], (1,), {1}], ids=repr)
def test_arrays_of_objects_hold_plain_values_only(inner):
    array = np.empty(1, object)
    array[0] = inner
    with pytest.raises(InputError, match=r"an array of objects holds a .*, not plain arrays and values"):
        loads(pickle.dumps(array, 2))


def object_array(content: bytes) -> tuple[bytes, bytes]:
    make = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"
    dtype = b"cnumpy\ndtype\nU\2O8K\0K\1\x87R(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    return make, b"(K\1K\1\x85" + dtype + b"\x89" + content + b"tb"


def test_arrays_of_objects_cannot_be_nested_by_an_array_filled_later():
    """A chain of them would overflow the C stack when it is freed."""
    make, state = object_array(b"](Ne")
    assert loads(b"\x80\2" + make + state + b".").tolist() == [None]
    later = make + b"q\1" + object_array(b"](h\1e")[1]
    with pytest.raises(InputError, match="unfinished or nested array"):
        loads(b"\x80\2" + later + b".")
    with pytest.raises(InputError, match="changes an array that is complete"):
        loads(b"\x80\2" + make + state + state + b".")


def test_content_of_objects_must_fill_the_shape():
    make, state = object_array(b"](NNe")
    with pytest.raises(InputError, match=r"shape \(1,\) and type object has 2 items"):
        loads(b"\x80\2" + make + state + b".")
    make, state = object_array(b"U\x08abcdefgh")
    with pytest.raises(InputError, match="content of an array of objects is a str, not a list"):
        loads(b"\x80\2" + make + state + b".")


def test_text_that_is_no_text_is_refused():
    data = pickle.dumps(np.array(["ab"]), 3)
    with pytest.raises(InputError, match="holds what is no text"):
        loads(data.replace(b"a\0\0\0b\0\0\0", b"a\0\0\0\0\0\x11\0"))


def test_other_containers_are_refused_by_name():
    with pytest.raises(InputError, match=r"collections\.Counter, which is refused"):
        loads(pickle.dumps(Counter("ab"), 2))
    with pytest.raises(InputError, match="factory that is no plain type"):
        loads(b"\x80\2ccollections\ndefaultdict\nK\1\x85R.")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_opcode_that_hashes_is_left(protocol):
    data = pickle_scan.checked(pickle.dumps([*VALUES.values(), {"a": {"b": 1}}], protocol))
    hashing = {"SETITEM", "SETITEMS", "DICT", "ADDITEMS", "FROZENSET"}
    assert not hashing & {op.name for op, _, _ in pickletools.genops(data)}
