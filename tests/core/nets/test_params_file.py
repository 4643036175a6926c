import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.nets.params_file import (
    BFLOAT16,
    DTYPES,
    V1,
    V2,
    V3,
    load_arrays,
    write_params,
    write_params_of_2016,
)
from gluon_mtcnn.core.types import NETS

ARRAYS = {
    "arg:weight": np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 2, 2),
    "aux:mean": np.array([1e-40, np.inf, -0.0], np.float32),
    "größe": np.arange(5, dtype=np.float32),
}
TYPES = [np.float32, np.float64, np.float16, np.uint8, np.int32, np.int8, np.int64, np.bool_]  # of mx.nd in 1.9.1


def same(got, wanted):
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(got[name], array)


def file_of(record, names=(b"x",)):
    """A file of one array."""
    tail = b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return struct.pack("<QQQ", 0x112, 0, 1) + record + struct.pack("<Q", len(names)) + tail


def record(kind, shape, flag, numbers, storage=0):
    head = {None: struct.pack("<I", len(shape)), V1: struct.pack("<Ii", V1, len(shape))}
    head.update({k: struct.pack("<Iii", k, storage, len(shape)) for k in (V2, V3)})
    sides = struct.pack(f"<{len(shape)}{'I' if kind is None else 'q'}", *shape)
    return head[kind] + sides + struct.pack("<iii", 1, 0, flag) + numbers


def test_mxnet_reads_what_we_write_and_writes_the_same_bytes(tmp_path):
    write_params(tmp_path / "ours", ARRAYS)
    mx.nd.save(str(tmp_path / "theirs"), {name: mx.nd.array(array) for name, array in ARRAYS.items()})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    same({name: array.asnumpy() for name, array in mx.nd.load(str(tmp_path / "ours")).items()}, ARRAYS)
    same(load_arrays(tmp_path / "theirs"), ARRAYS)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_mxnet_both_ways(tmp_path, dtype):
    arrays = {"x": np.array([[0, 1, 2], [100, 3, 1]]).astype(dtype)}
    write_params(tmp_path / "ours", arrays)
    mx.nd.save(str(tmp_path / "theirs"), {"x": mx.nd.array(arrays["x"], dtype=dtype)})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    same(load_arrays(tmp_path / "theirs"), arrays)


def test_bfloat16_becomes_float32(tmp_path):
    """It is the upper half of a float32. MXNet's Python cannot make such an array."""
    values = np.array([1, -2.5, 2**100], np.float32)
    (tmp_path / "x").write_bytes(
        file_of(record(V2, (3,), BFLOAT16, (values.view(np.uint32) >> 16).astype("<u2").tobytes()))
    )
    same(load_arrays(tmp_path / "x"), {"x": values})


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("landmarks", [False, True])
def test_a_net_is_written_as_gluon_saves_it(tmp_path, kind, landmarks):
    net = build(NetSpec(kind, landmarks))
    initialise(net)
    net.save_parameters(str(tmp_path / "gluon"))
    write_params(tmp_path / "ours", net.weights().arrays)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "gluon").read_bytes()
    net.collect_params().reset_ctx([mx.cpu(0), mx.cpu(1), mx.cpu(2)])
    net.save_parameters(str(tmp_path / "gluon"))
    write_params(tmp_path / "ours", net.weights().arrays)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "gluon").read_bytes()


@pytest.mark.parametrize("kind", [None, V1, V2, V3])
def test_records_of_every_age_as_mxnet_reads_them(tmp_path, kind):
    wanted = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "x").write_bytes(file_of(record(kind, (2, 3), 0, wanted.tobytes())))
    same(load_arrays(tmp_path / "x"), {"x": wanted})
    if kind != V3:  # which wants MXNet's NumPy mode
        same({name: array.asnumpy() for name, array in mx.nd.load(str(tmp_path / "x")).items()}, {"x": wanted})


def test_records_of_2016_are_written_as_float32(tmp_path):
    arrays = {"arg:a": np.array([[1, -2]], np.float64), "arg:b": np.arange(3, dtype=np.float32)}
    write_params_of_2016(tmp_path / "x", arrays)
    same(load_arrays(tmp_path / "x"), {name: array.astype(np.float32) for name, array in arrays.items()})


def test_types_that_no_net_of_1_9_1_has_are_read_too(tmp_path):
    for flag, dtype in DTYPES.items():
        values = np.array([0, 1, 1], dtype)
        (tmp_path / "x").write_bytes(file_of(record(V2, (3,), flag, values.tobytes())))
        got = load_arrays(tmp_path / "x")["x"]
        if flag != BFLOAT16:
            same({"x": got}, {"x": values})


WHOLE = file_of(record(V2, (2,), 0, bytes(8)))
DAMAGED = {
    "empty": (b"", "cut off: the magic number needs 8 bytes, 0 are left"),
    "text": (b"no parameters at all", "does not begin with 0x112"),
    "huge count": (struct.pack("<QQQ", 0x112, 0, 1 << 60), "number of arrays: 1152921504606846976, which 0 bytes"),
    "huge rank": (file_of(record(V2, (2,), 0, bytes(8))[:8] + struct.pack("<i", 2**31 - 1)), "2147483647 axes"),
    "huge old rank": (file_of(struct.pack("<I", 0xF993FACB) + bytes(64)), "4187224779 axes"),
    "negative rank": (file_of(struct.pack("<Iii", V2, 0, -1) + bytes(64)), "array 0: -1 axes, expected 1 to 32"),
    "no axes": (file_of(record(V2, (), 0, b"")), "array 0: 0 axes, expected 1 to 32"),
    "huge side": (file_of(record(V2, (1 << 62, 4), 0, bytes(8))), r"cut off: array 0 of shape \(46116860184273879"),
    "huge old side": (file_of(record(None, (2**32 - 1,) * 3, 0, bytes(8))), "cut off: array 0 of shape"),
    "negative side": (file_of(record(V2, (-1, 2), 0, bytes(8))), r"array 0: shape \(-1, 2\), expected sides"),
    "empty side": (file_of(record(V2, (0, 1 << 62), 0, bytes(8))), "expected sides of at least 1"),
    "sparse": (file_of(record(V2, (2,), 0, bytes(8), storage=1)), "storage type 1, only dense"),
    "undefined storage": (file_of(record(V2, (2,), 0, bytes(8), storage=-1)), "storage type -1, only dense"),
    "unknown type": (file_of(record(V2, (2,), 99, bytes(8))), "element type 99, expected one of 0 to 12"),
    "cut off": (WHOLE[:-1], "cut off: name 0 needs 1 bytes, 0 are left"),
    "too long": (WHOLE + b"?", "1 bytes follow its end"),
    "huge name count": (WHOLE[:-17] + struct.pack("<Q", 1 << 50), "number of names: 1125899906842624, which"),
    "too many names": (file_of(record(V2, (2,), 0, bytes(8)), (b"x", b"y")), "1 arrays have 2 names"),
    "huge name": (WHOLE[:-9] + struct.pack("<Q", 1 << 63) + b"x", "cut off: name 0 needs 9223372036854775808 bytes"),
    "name not UTF-8": (file_of(record(V2, (2,), 0, bytes(8)), (b"\xff",)), "'utf-8' codec can't decode"),
    "name of two lines": (file_of(record(V2, (2,), 0, bytes(8)), (b"a\nb",)), r"name 0 is 'a\\nb', expected"),
    "no names": (file_of(record(V2, (2,), 0, bytes(8)), ()), "expected named arrays, got a list of 1 without names"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_file_is_one_line_and_little_memory(tmp_path, data, message):
    """MXNet's own reader allocates 13 to 17 GB for some of these, and ends the process for others."""
    path = tmp_path / "x.params"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as caught:
            load_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_two_arrays_of_one_name_are_refused(tmp_path):
    one = record(V2, (2,), 0, bytes(8))
    data = struct.pack("<QQQ", 0x112, 0, 2) + one + one + struct.pack("<Q", 2) + (struct.pack("<Q", 1) + b"x") * 2
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match="two arrays have the same name"):
        load_arrays(tmp_path / "x")


def test_what_is_no_file_is_not_read(tmp_path):
    with pytest.raises(InputError, match="parameter file not found"):
        load_arrays(tmp_path)
    with pytest.raises(InputError, match="parameter file not found"):
        load_arrays("/dev/zero")


@pytest.mark.parametrize("array", [np.zeros(()), np.zeros((2, 0)), np.zeros(2, complex)])
def test_what_mxnet_cannot_hold_is_not_written(tmp_path, array):
    with pytest.raises(ValueError, match="x: MXNet has no arrays of shape"):
        write_params(tmp_path / "x", {"x": array})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mutated")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_mutated_file_gives_arrays_or_one_line(folder, data):
    """Some bytes changed, cut out or put in."""
    write_params(folder / "whole", {**ARRAYS, "b": np.arange(6, dtype=np.int64).reshape(3, 2)})
    mutated = bytearray((folder / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(mutated) - 1, 0)))
        removed = data.draw(st.integers(0, 8))
        mutated[at : at + removed] = data.draw(st.binary(max_size=8))
    (folder / "mutated").write_bytes(mutated)
    problem = ""
    try:
        arrays = load_arrays(folder / "mutated")
    except InputError as error:
        problem = str(error)
    assert len(problem.splitlines()) <= 1
    if not problem:
        assert sum(array.nbytes for array in arrays.values()) <= len(mutated) * 2  # bfloat16 becomes float32
