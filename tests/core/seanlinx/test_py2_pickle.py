import io
import json
import os
import pickle
import pickletools
import shutil
import subprocess
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gluon_mtcnn.core.seanlinx import py2_pickle, safe_pickle
from gluon_mtcnn.core.seanlinx.imdb import IMDB

ROW = {"image": "data/a.jpg", "flipped": False, "bbox_target": np.array([0.25, -0.5, 0.125, 1.0]), "label": -1}


def dumped(value, tmp_path) -> bytes:
    py2_pickle.dump(value, tmp_path / "x.pkl")
    return (tmp_path / "x.pkl").read_bytes()


def test_writes_the_opcodes_of_python_2(tmp_path):
    data = dumped([ROW, dict(ROW, image="data/b.jpg")], tmp_path)
    opcodes = [(op.name, arg) for op, arg, _ in pickletools.genops(data)]
    names = {name for name, _ in opcodes}
    assert opcodes[0] == ("PROTO", 2)
    assert not names & {"BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "STACK_GLOBAL", "MEMOIZE"}
    assert [arg for name, arg in opcodes if name == "GLOBAL"] == [
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    ]
    # Python 2's own file spells the state of a float64 type thus.
    assert [arg for name, arg in opcodes if name == "SHORT_BINSTRING" and arg in ("f8", "<")] == ["f8", "<"]


def opcodes_but_memo(data: bytes) -> list:
    """Opcodes and arguments; what is put into the memo is left out, and where in it something lies."""
    opcodes = [(op.name, arg) for op, arg, _ in pickletools.genops(data)]
    return [(name, None if "GET" in name else arg) for name, arg in opcodes if "PUT" not in name]


def test_writes_opcode_for_opcode_what_python_2_wrote(shared, tmp_path):
    original = (shared / "seanlinx/python2/mtcnn_train_12_gt_roidb.pkl").read_bytes()
    rows = pickle.loads(original, encoding="latin1")  # our own data: a golden file of known origin
    assert opcodes_but_memo(dumped(rows, tmp_path)) == opcodes_but_memo(original)


def test_writes_the_detections_that_python_2_wrote(shared, tmp_path):
    original = (shared / "seanlinx/python2/detections.pkl").read_bytes()
    items = pickle.loads(original, encoding="latin1")
    assert opcodes_but_memo(dumped(items, tmp_path)) == opcodes_but_memo(original)


def test_keys_and_types_are_written_once(tmp_path):
    data = dumped([ROW] * 5000, tmp_path)
    assert data.count(b"bbox_target") == 1
    assert data.count(b"multiarray") == 1
    assert len(data) < 5000 * 100


def test_an_iterator_is_written_as_a_list(tmp_path):
    rows = [{"image": f"{i}.jpg", "bbox_target": np.full(4, i / 7)} for i in range(2500)]
    for count in (0, 1000, 2500):
        py2_pickle.dump(rows[:count], tmp_path / "list")
        py2_pickle.dump((row for row in rows[:count]), tmp_path / "iterator")
        assert (tmp_path / "list").read_bytes() == (tmp_path / "iterator").read_bytes()


def test_lists_longer_than_a_batch_and_memos_beyond_a_byte(tmp_path):
    value = [{f"key{i}": i, "a": np.zeros(i % 7)} for i in range(1500)] + [np.zeros(300), "a" * 300, 2**40, -(2**40)]
    np.testing.assert_equal(pickle.loads(dumped(value, tmp_path), encoding="latin1"), value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        {1: 2},
        [np.array([None])],
        np.array(["a"]),
        np.zeros(2, "f4,i4"),
        {1, 2},
        b"bytes",
    ],
    ids=repr,
)
def test_other_data_is_a_type_error_and_leaves_no_file(value, tmp_path):
    with pytest.raises(TypeError):
        py2_pickle.dump(value, tmp_path / "x.pkl")
    assert list(tmp_path.iterdir()) == []


NUMBERS = hnp.arrays(st.sampled_from(["<f8", ">f4", "<i4", "u1", "?"]), hnp.array_shapes(min_side=0, max_side=3))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("aé€\n", max_size=20) | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(VALUES)
def test_pickle_and_safe_pickle_read_it_back(value):
    file = io.BytesIO()
    py2_pickle._Writer(file).write(value)
    np.testing.assert_equal(pickle.loads(file.getvalue(), encoding="latin1"), as_latin1(value))
    np.testing.assert_equal(safe_pickle.loads(file.getvalue(), "x"), as_latin1(value))


def as_latin1(value):
    """What Python 3 makes of Python 2's byte strings."""
    if isinstance(value, str):
        return value.encode("utf-8").decode("latin1")
    if isinstance(value, dict):
        return {as_latin1(key): as_latin1(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(as_latin1, value))
    return value


def python2() -> tuple:
    """Command and environment of a Python 2.7, which pyenv may have without having it active."""
    command, environment = shutil.which("python2.7"), dict(os.environ)
    if command and shutil.which("pyenv"):
        found = subprocess.run(["pyenv", "whence", "python2.7"], capture_output=True, text=True, check=False)
        environment["PYENV_VERSION"] = found.stdout.split("\n")[0].strip()
    if (
        not command
        or subprocess.run([command, "-c", "0"], capture_output=True, env=environment, check=False).returncode
    ):
        pytest.skip("no python2.7 here")
    return command, environment


NUMPY_OF_PYTHON2 = {
    "numpy/__init__.py": """
        class dtype(object):
            def __init__(self, code, align, copy):
                assert (type(code), align, copy) == (str, 0, 1), (code, align, copy)
                self.code = code
            def __setstate__(self, state):
                assert state[0] == 3 and state[2:] == (None, None, None, -1, -1, 0), state
                self.code = state[1] + self.code
        class ndarray(object):
            def __setstate__(self, state):
                version, self.shape, self.dtype, fortran, self.raw = state
                assert version == 1 and fortran is False and type(self.raw) is str, state
            def tolist(self):
                import struct
                n = 1
                for side in self.shape:
                    n *= side
                return list(struct.unpack(self.dtype.code[0] + str(n) + {"f8": "d"}[self.dtype.code[1:]], self.raw))
        """,
    "numpy/core/__init__.py": "",
    "numpy/core/multiarray.py": """
        import numpy
        def _reconstruct(kind, shape, code):
            assert kind is numpy.ndarray and shape == (0,) and code == "b" and type(code) is str
            return kind()
        """,
}
READER = """
import cPickle, json, sys
sys.path.insert(0, {folder!r})
with open({path!r}, "rb") as f:
    rows = cPickle.load(f)
print json.dumps([[[type(k).__name__, k, type(v).__name__, v.tolist() if hasattr(v, "tolist") else v]
                   for k, v in sorted(row.items())] for row in rows])
"""


def read_with_python2(path, tmp_path):
    """What cPickle of a real Python 2.7 reads; numpy, where that Python has none, is a stand-in of the same names."""
    command, environment = python2()
    for name, text in NUMPY_OF_PYTHON2.items():
        file = tmp_path / "python2" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    script = READER.format(folder=str(tmp_path / "python2"), path=str(path))
    ran = subprocess.run([command, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_real_python_2_reads_it(tmp_path):
    rows = [ROW, dict(ROW, image="data/é.jpg", label=1, bbox_target=np.zeros(4))]
    py2_pickle.dump(rows, tmp_path / "x.pkl")
    assert read_with_python2(tmp_path / "x.pkl", tmp_path) == [
        [
            ["str", "bbox_target", "ndarray", list(row["bbox_target"])],
            ["str", "flipped", "bool", False],
            ["str", "image", "str", row["image"]],
            ["str", "label", "int", row["label"]],
        ]
        for row in rows
    ]


def test_a_real_python_2_reads_its_own_file_through_the_stand_in(shared, tmp_path):
    """The stand-in is no kinder than numpy: it takes the file that Python 2's numpy wrote."""
    rows = read_with_python2(shared / "seanlinx/python2/mtcnn_train_12_gt_roidb.pkl", tmp_path)
    assert rows[0][0] == ["str", "bbox_target", "ndarray", [-0.34, 0.22, -0.05, 0.18]]


def test_a_real_python_2_reads_the_cache_of_an_imdb(tmp_path):
    (tmp_path / "mtcnn/imglists").mkdir(parents=True)
    (tmp_path / "mtcnn/images/12").mkdir(parents=True)
    (tmp_path / "mtcnn/imglists/train_12.txt").write_text("12/a 1 0.25 -0.5 0.125 1\n12/b 0\n")
    for name in "ab":
        (tmp_path / f"mtcnn/images/12/{name}.jpg").touch()
    imdb = IMDB("mtcnn", "train_12", tmp_path, tmp_path / "mtcnn")
    imdb.gt_imdb()
    assert read_with_python2(imdb.cache_file, tmp_path) == [
        [
            ["str", "bbox_target", "ndarray", target],
            ["str", "flipped", "bool", False],
            ["str", "image", "str", f"{tmp_path}/mtcnn/images/12/{name}.jpg"],
            ["str", "label", "int", label],
        ]
        for name, label, target in [("a", 1, [0.25, -0.5, 0.125, 1]), ("b", 0, [0, 0, 0, 0])]
    ]
