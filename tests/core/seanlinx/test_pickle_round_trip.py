"""What Python 3 pickles of numbers, in every protocol, type, order and size, is read back; limits at their borders."""

import io
import itertools
import pickle
import struct

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import pickle_scan, safe_pickle
from gluon_mtcnn.core.seanlinx.detection_files import parse_detections
from gluon_mtcnn.core.seanlinx.imdb_cache import parse_cache

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
KINDS = ["b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8"]
DTYPES = sorted({np.dtype(order + kind).str for order in "<>" for kind in KINDS})
ROWS = (0, 1, 3, 50, 400)


def round_trip(value, protocol):
    return safe_pickle.loads(pickle.dumps(value, protocol), "x.pkl")


def layouts(rows: int, dtype: str) -> list[np.ndarray]:
    """The same shape in C order, in Fortran order and as slices; negative values, whose bytes are beyond ASCII."""
    whole = (np.arange(rows * 2 * 10).reshape(rows * 2, 10) * -0.75 - 1).astype(dtype)
    return [whole[:rows, :5].copy(), np.asfortranarray(whole[:rows, :5]), whole[::2, ::2], whole[::-2, 4::-1]]


def assert_same(got: np.ndarray, wanted: np.ndarray) -> None:
    """Compare values, shape and type; of the byte order numpy's own reading, too, makes the machine's."""
    assert (got.dtype.newbyteorder("="), got.shape) == (wanted.dtype.newbyteorder("="), wanted.shape)
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # -1 as an unsigned number
def test_detections_of_every_type_order_and_size_are_read(protocol):
    for dtype, rows in itertools.product(DTYPES, ROWS):
        arrays = layouts(rows, dtype)
        loaded = [*round_trip(arrays, protocol), *(round_trip(array, protocol) for array in arrays)]
        for got, wanted in zip(loaded, arrays * 2):
            assert_same(got, wanted)
        if np.dtype(dtype).kind == "f":
            detections = parse_detections(loaded[: len(arrays)], "x.pkl")
            for got, wanted in zip(detections, arrays):
                np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_roidb_of_every_type_and_size_is_read(protocol):
    for dtype, rows in itertools.product(DTYPES, ROWS):
        targets = np.linspace(-1, 1, 4 * rows).reshape(rows, 4).astype(dtype)
        scalar = targets.dtype.type
        roidb = [
            {"image": f"é/{i}.jpg", "label": -1, "flipped": np.bool_(i % 2), "bbox_target": target, "extra": scalar(1)}
            for i, target in enumerate(targets)
        ]
        loaded = round_trip(roidb, protocol)
        assert len(parse_cache(loaded, "x.pkl")) == rows
        for got, row in zip(loaded, roidb):
            assert got.keys() == row.keys()
            assert got["image"] == row["image"]
            assert_same(got["bbox_target"], row["bbox_target"])
            assert_same(got["extra"], row["extra"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_that_a_file_can_hold_is_within_the_budget(protocol):
    for value in (
        np.full(100_000, 255, np.uint8),  # nearly all of the file is one array's content
        np.full(100_000, -1.5).tobytes(),  # or bytes that belong to no array
        [np.full(1, 255, np.uint8) for _ in range(2000)],  # whose content Python keeps once
        [np.uint8(255)] * 2000,  # one object, often
        [np.zeros((50, 5)) for _ in range(20)],
        [np.zeros((0, 5)), b"", np.zeros((10**6, 0))],
        ["\x80\xff\n\\u0041\0", "é€😀", b"\n\\\x80\xff"],
    ):
        np.testing.assert_equal(round_trip(value, protocol), value)


def test_one_array_that_is_referred_to_often_is_charged_once():
    row = np.full(1000, -1.5)
    loaded = round_trip([row] * 5000, 2)
    assert all(item is loaded[0] for item in loaded)


def test_one_text_is_not_encoded_many_times():
    text = b"X" + (1000).to_bytes(4, "little") + b"a" * 1000
    encode = b"c_codecs\nencode\nq\0"
    names = b"X\6\0\0\0latin1q\1"
    call = b"h\0h\2h\1\x86R"
    once = b"\x80\2(" + encode + b"0" + names + b"0" + text + b"q\2" + b"0" + call
    assert safe_pickle.loads(once + b"t.", "x.pkl") == (b"a" * 1000,)
    with pytest.raises(InputError, match="encoded bytes are larger than the file"):
        safe_pickle.loads(once + call * 50 + b"t.", "x.pkl")


@pytest.mark.parametrize("index", [255, 256, 70_000, 1 << 20])
def test_a_memo_index_after_a_gap_is_read(index):
    binary = b"\x80\2]r" + index.to_bytes(4, "little") + b"j" + index.to_bytes(4, "little") + b"\x86."
    text = b"(lp%d\n0(g%d\ng%d\nt." % (index, index, index)
    for data in (binary, text):
        loaded = safe_pickle.loads(data, "x.pkl")
        assert loaded == pickle.loads(data)  # our own bytes
        assert loaded[0] is loaded[1]


def test_a_memo_index_ends_where_it_costs_memory():
    for put in (b"r%s" % struct.pack("<I", pickle_scan.SMALL_INDEX - 1), b"p%d\n" % (pickle_scan.SMALL_INDEX - 1)):
        pickle_scan.checked(b"]" + put + b".")
    for put in (b"r%s" % struct.pack("<I", pickle_scan.SMALL_INDEX), b"p%d\n" % pickle_scan.SMALL_INDEX):
        with pytest.raises(pickle.UnpicklingError, match="it claims 16777216 items"):
            pickle_scan.checked(b"]" + put + b".")


def test_a_second_pickle_of_one_pickler_is_read():
    """Its memo goes on where the first one's ended, far beyond the length of the second."""
    for protocol in (0, 1, 2):
        file = io.BytesIO()
        pickler = pickle.Pickler(file, protocol)
        pickler.dump([[] for _ in range(1000)])
        file.seek(0)
        file.truncate()
        pickler.dump([{"image": "b.jpg"}])
        assert safe_pickle.loads(file.getvalue(), "x.pkl") == [{"image": "b.jpg"}]
