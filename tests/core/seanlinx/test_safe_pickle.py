import contextlib
import io
import pickle
import pickletools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import pickle_scan, safe_pickle


def head(*text: str) -> bytes:
    """A protocol 2 pickle's opcodes, as text in latin-1."""
    return b"\x80\x02" + "".join(text).encode("latin1")


def test_python2_caches_load(shared):
    rows = safe_pickle.load(shared / "seanlinx/python2/mtcnn_train_12_gt_roidb.pkl")
    assert len(rows) == 40
    assert rows[0]["image"] == "data/mtcnn/images/12/positive/150849.jpg"
    assert rows[0]["label"] == 1
    assert rows[0]["flipped"] is False
    assert rows[0]["bbox_target"].tolist() == [-0.34, 0.22, -0.05, 0.18]
    assert rows[1]["bbox_target"].tolist() == [0, 0, 0, 0]


def test_python2_detections_equal_the_expected_ones(shared):
    items = safe_pickle.load(shared / "seanlinx/python2/detections.pkl")
    with np.load(shared / "seanlinx/python2/detections_expected.npz") as expected:
        assert len(items) == len(expected)
        for i, item in enumerate(items):
            assert item.dtype == expected[f"d{i}"].dtype
            np.testing.assert_array_equal(item, expected[f"d{i}"])


PLAIN = [
    np.arange(6.0).reshape(2, 3),
    np.zeros((0, 5), np.float32),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array([True, False]),
    np.array(2.5),
    np.float32(1.5),
    np.int64(-3),
    {"a": [None, True, -1, 2**70, 1.5, "é€", b"", b"\xff\x00"], "b": (1, (2, 3))},
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_loads(protocol):
    loaded = safe_pickle.loads(pickle.dumps(PLAIN, protocol), "x.pkl")
    np.testing.assert_equal(loaded[:-1], PLAIN[:-1])
    assert loaded[-1] == PLAIN[-1]


def test_numpy_2_names_load():
    data = pickle.dumps(np.arange(3.0), 2).replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    assert b"numpy._core" in data
    assert safe_pickle.loads(data, "x.pkl").tolist() == [0, 1, 2]


def test_a_message_about_an_endless_value_is_short():
    lists = b"]" + b"".join(b"q%c0](h%ch%ce" % (i, i, i) for i in range(60))  # each holds the one before twice
    with pytest.raises(InputError, match="not of numbers") as caught:
        safe_pickle.loads(b"\x80\x02cnumpy\ndtype\n" + lists + b"K\0K\x01\x87R.", "x.pkl")
    assert len(str(caught.value)) < 1000


def test_loaded_arrays_can_be_written_to_and_share_nothing():
    data = b"\1\2\3\4\5\6\7\0" * 200
    array = np.frombuffer(data)
    first, second = safe_pickle.loads(pickle.dumps([array.copy(), array.copy()], 4), "x.pkl")
    first[0] = 7
    assert second[0] == array[0]


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def never_called(*args):
    raise AssertionError("the pickle ran code")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_function_is_refused_by_name(protocol, tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps([Evil(never_called, 1)], protocol))
    with pytest.raises(InputError, match=r"evil\.pkl: .*asks for .*never_called, which is refused"):
        safe_pickle.load(path)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("__builtin__", "eval"),
        ("builtins", "getattr"),
        ("numpy", "load"),
        ("numpy", "ndarray.tofile"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
        ("numpy.testing", "rundocs"),
        ("copy_reg", "_reconstructor"),
        ("gluon_mtcnn.core.seanlinx.safe_pickle", "load"),
        ("_codecs", "decode"),
    ],
)
@pytest.mark.parametrize("opcode", ["global", "stack_global", "inst"])
def test_every_other_global_is_refused(module, name, opcode):
    data = {
        "global": head(f"c{module}\n{name}\n."),
        "inst": head(f"(i{module}\n{name}\n."),
        "stack_global": b"\x80\x04"
        + b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
        + b"\x93.",
    }[opcode]
    with pytest.raises(InputError, match=rf"x\.pkl: .*{module}\.{name}, which is refused"):
        safe_pickle.loads(data, "x.pkl")


HOSTILE = {
    "persistent id": head("Phello\n."),
    "extension": head("\x82\x01."),
    "call of ndarray": head("cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x85R."),
    "new ndarray": head("cnumpy\nndarray\n(t\x81."),
    "state for a global": head("cnumpy\nndarray\n}U\x01aK\x01sb."),
    "state for a function": head("cnumpy.core.multiarray\n_reconstruct\n}U\x0c__defaults__K\x01sb."),
    "item of a global": head("cnumpy\nndarray\nK\x01K\x02s."),
    "another encoding": head("c_codecs\nencode\n(X\x01\0\0\0aX\x05\0\0\0rot13t\x85R."),
    "subclass of array": head("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\nK\0\x85U\x01btR."),
    "array without state read": head("cnumpy.core.multiarray\n_reconstruct\n)R."),
    "dtype of objects of no size": head("cnumpy\ndtype\n(U\x02O9K\0K\x01tR."),
    "dtype of text of no size": head("cnumpy\ndtype\n(U\x02S0K\0K\x01tR."),
    "dtype of times": head("cnumpy\ndtype\n(U\x02M8K\0K\x01tR."),
    "call of a factory": head("c__builtin__\nlist\n(J\xff\xff\xff\x7ft\x85R."),
    "persistent id on the stack": head("K\0Q."),
    "dtype from a list": head("cnumpy\ndtype\n(]K\0K\x01tR."),
    "dtype of records": head("cnumpy\ndtype\n(U\x02f8K\0K\x01tR(K\x03U\x01<NU\x01a}NNNtb."),
    "unknown opcode": head("\xff."),
    "nothing": b"",
    "text": b"12/positive/28 1\n",
    "empty stack": head("."),
    "unhashable key": head("}(]Nu."),
    "memo item that is not there": head("h\x07."),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_and_broken_pickles_are_one_input_error(data):
    with pytest.raises(InputError, match=r"^x\.pkl: expected a pickle of plain data, but ") as caught:
        safe_pickle.loads(data, "x.pkl")
    assert "\n" not in str(caught.value)


def test_nothing_of_numpy_can_be_reached_or_changed():
    before = safe_pickle._Unpickler._reconstruct.__defaults__
    with pytest.raises(InputError, match="tries to change a global"):
        safe_pickle.loads(HOSTILE["state for a function"], "x.pkl")
    assert safe_pickle._Unpickler._reconstruct.__defaults__ == before


def test_record_arrays_are_refused():
    with pytest.raises(InputError, match="not of numbers"):
        safe_pickle.loads(pickle.dumps(np.zeros(2, "f4,i4"), 2), "x.pkl")


def test_a_shape_larger_than_its_bytes_is_refused():
    data = pickle.dumps(np.zeros(3, np.uint8), 2)
    assert data.count(b"K\x03\x85") == 1
    huge = data.replace(b"K\x03\x85", b"\x8a\x06\0\0\0\0\0\x7f\x85")  # 2**47 bytes or so
    with pytest.raises(InputError, match=r"shape .* has 3 bytes"):
        safe_pickle.loads(huge, "x.pkl")


def test_a_negative_shape_is_refused():
    data = pickle.dumps(np.zeros((3, 1), np.uint8), 2).replace(
        b"K\x03K\x01\x86", b"J\xfd\xff\xff\xffJ\xff\xff\xff\xff\x86"
    )
    with pytest.raises(InputError, match=r"shape \(-3, -1\)"):
        safe_pickle.loads(data, "x.pkl")


CLAIMS = {
    "memo": b"\x80\x02]r\xff\xff\xff\x7f.",
    "text memo": b"]p4000000000\n.",
    "long text memo": b"]p" + b"9" * 10000 + b"\n.",
    "binstring": b"\x80\x02T\xff\xff\xff\x7fa.",
    "negative binstring": b"\x80\x02T\xff\xff\xff\xffa.",
    "unicode": b"\x80\x02X\xff\xff\xff\xffa.",
    "unicode8": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"a.",
    "bytearray8": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.",
    "bytes8": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"a.",
    "put": b"\x80\x02]r\0\0\0\x7f.",
    "long4": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
}


@pytest.mark.parametrize("data", CLAIMS.values(), ids=CLAIMS)
def test_claims_beyond_the_file_are_refused_before_anything_is_allocated(data):
    with pytest.raises(pickle.UnpicklingError, match=r"it claims|cut short"):
        pickle_scan.checked(data)


def test_a_frame_beyond_the_file_is_an_input_error():
    with pytest.raises(InputError, match="plain data"):
        safe_pickle.loads(b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.", "x.pkl")


def test_one_string_does_not_become_many_arrays():
    array = pickle.dumps(np.zeros(1000, np.uint8), 2)
    # The first array as it is, with its content remembered; then the same content again for fifty more.
    content = b"\0" * 1000
    raw = b"T" + struct.pack("<i", len(content)) + content
    build = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01btR(K\x01M\xe8\x03\x85"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\0K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
    first = build + dtype + raw + b"q\x64tb"
    again = build + dtype + b"h\x64tb"
    assert len(array) > 1000
    assert len(safe_pickle.loads(b"\x80\x02](" + first + b"e.", "x")) == 1
    with pytest.raises(InputError, match="arrays are larger than the file"):
        safe_pickle.loads(b"\x80\x02](" + first + again * 50 + b"e.", "x")


def test_a_pickle_cut_anywhere_is_an_input_error():
    data = pickle.dumps([{"image": "a", "bbox_target": np.arange(4.0)}, np.float64(2)], 2)
    for end in range(len(data)):
        with pytest.raises(InputError, match="expected a pickle of plain data"):
            safe_pickle.loads(data[:end], "x.pkl")


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.pkl: cannot be read: No such file"):
        safe_pickle.load(tmp_path / "none.pkl")
    with pytest.raises(InputError, match="cannot be read"):
        safe_pickle.load(tmp_path)


NUMBERS = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int32, np.uint8, np.bool_]), hnp.array_shapes(max_dims=3, min_side=0)
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_loads_what_pickle_loads(value, protocol):
    loaded = safe_pickle.loads(pickle.dumps(value, protocol), "x")
    np.testing.assert_equal(loaded, value)


@given(st.data())
def test_a_damaged_pickle_loads_or_is_an_input_error(data):
    whole = bytearray(pickle.dumps([{"image": "a/b.jpg", "label": 1, "bbox_target": np.arange(4.0)}], 2))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):  # any other exception fails the test
        safe_pickle.loads(bytes(whole), "x.pkl")


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_the_scan_steps_over_opcodes_as_pickletools_does(value, protocol):
    data = pickle.dumps(value, protocol)
    ends = [position for _, _, position in pickletools.genops(io.BytesIO(data))][1:]
    at = 0
    for end in ends:
        at = pickle_scan.skip(data, at + 1, data[at : at + 1])
        assert at == end
