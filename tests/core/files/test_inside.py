from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.inside import path_inside


@pytest.mark.parametrize(
    ("name", "path"),
    [("0--A/a.txt", "out/0--A/a.txt"), ("./a", "out/a"), ("a//b", "out/a/b"), ("..a/b..", "out/..a/b..")],
)
def test_names_below_the_folder(name, path):
    assert path_inside("out", name) == Path(path)


@pytest.mark.parametrize("name", ["", ".", "/", "/x.txt", "//x", "../x", "a/../../x", "a/..", "a\0b", "./../x"])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(InputError, match=r"^out: expected a name of a file below this folder, got '"):
        path_inside("out", name)


def test_a_long_name_is_not_quoted_whole():
    with pytest.raises(InputError) as caught:
        path_inside("out", "/" + "x" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.text(alphabet="./ab\\", max_size=12))
def test_what_is_accepted_lies_below_the_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "root"
    try:
        path = path_inside(root, name)
    except InputError:
        return
    assert root.resolve() in path.resolve().parents
