import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import imglist
from gluon_mtcnn.core.seanlinx.imglist import (
    ImageList,
    image_file,
    read_imglist,
    read_names,
    write_imglist,
    write_names,
)

POINTS = "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0"


def written(tmp_path, text: str):
    path = tmp_path / "train_12.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def test_every_kind_of_line(tmp_path):
    lines = [
        "12/positive/28 1 -0.05 0.11 -0.05 -0.11",
        "12/negative/5 0",
        "12/part/3 -1 1 2 3 4",
        f"12/landmark/1 -2 {POINTS}",
        f"12/landmark/2.png -2 0.5 0.25 -0.5 -0.25 {POINTS}",
        "12/negative/6 0 0 0 0 0",
    ]
    samples = read_imglist(written(tmp_path, "\n".join(lines) + "\n"))
    assert samples.names == [line.split()[0] for line in lines]
    assert samples.labels.tolist() == [1, 0, -1, -2, -2, 0]
    assert samples.offsets.tolist() == [
        [-0.05, 0.11, -0.05, -0.11],
        [0] * 4,
        [1, 2, 3, 4],
        [0] * 4,
        [0.5, 0.25, -0.5, -0.25],
        [0] * 4,
    ]
    points = [float(word) for word in POINTS.split()]
    assert samples.landmarks.tolist() == [[0] * 10] * 3 + [points] * 2 + [[0] * 10]
    assert samples.has_landmarks().tolist() == [False, False, False, True, True, False]
    rows = samples.rows()
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[4], np.float32([-2, 0.5, 0.25, -0.5, -0.25, *points]))


def test_the_list_of_python_2_data(shared):
    samples = read_imglist(shared / "seanlinx/python2/train_12.txt")
    assert len(samples) == 40
    assert samples.offsets[0].tolist() == [-0.34, 0.22, -0.05, 0.18]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("12/positive/28 1 -0.05 0.11 -0.05", "expected 2, 6, 12 or 16 fields, got 5"),
        ("12/positive/28 1 0 0 0", "expected 2, 6, 12 or 16 fields, got 5"),
        ("12/positive/28", "expected 2, 6, 12 or 16 fields, got 1"),
        ("12/positive/28 1 .1 .2 .3 .4 .5", "expected 2, 6, 12 or 16 fields, got 7"),
        ("a 1 " + " ".join("1" * 15), "expected 2, 6, 12 or 16 fields, got 17"),
        ("a 1 0.1 0.2 x 0.4", "expected a number, got 'x'"),
        ("a 1 0.1 0.2 0.3 x", "expected a number, got 'x'"),
        ("a 1 0 0 x 0", "expected a number, got 'x'"),
        ("a 1 nan 0 0 0", "expected a finite number, got 'nan'"),
        ("a 1 0 0 0 -inf", "expected a finite number, got '-inf'"),
        ("a 1 0 0 0 1e39", "expected a finite number, got '1e39'"),
        ("a 2", "expected label 1, 0, -1 or -2, got '2'"),
        ("a 1.0", "expected label 1, 0, -1 or -2, got '1.0'"),
        ("a x", "expected label 1, 0, -1 or -2, got 'x'"),
        ("a nan .1 .2 .3 .4", "expected label 1, 0, -1 or -2, got 'nan'"),
        ("a face 3 .1 .2 .3 .4", "expected label 1, 0, -1 or -2, got '3'"),
        ("face 7 0", "expected 2, 6, 12 or 16 fields, got 3"),
        ("a,1,0,0,0,0", "expected 2, 6, 12 or 16 fields, got 1"),
        ("a -2", "label -2 needs 10 landmark columns"),
        ("a -2 .1 .2 .3 .4", "label -2 needs 10 landmark columns"),
    ],
)
@pytest.mark.parametrize("neighbour", ["12/negative/5 0", "12/my negative 0"], ids=["plain", "spaced"])
def test_a_wrong_line_is_named(tmp_path, line, message, neighbour):
    path = written(tmp_path, f"{neighbour}\n" * 2 + line + f"\n{neighbour}\n")
    with pytest.raises(InputError) as caught:
        read_imglist(path)
    assert str(caught.value).startswith(f"{path}:3: {message}")


def test_the_line_is_named_in_a_later_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(imglist, "CHUNK", 10)
    path = written(tmp_path, "a 0\n" * 87 + "12/positive/28 1 0 0 0\n" + "a 0\n" * 20)
    with pytest.raises(InputError, match=r"train_12\.txt:88: expected 2, 6, 12 or 16 fields, got 5"):
        read_imglist(path)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("12/a.b.c 1 .1 .2 .3 .4", "12/a.b.c"),
        ("./12/..x 1 .1 .2 .3 .4", "./12/..x"),
        ("12/my face.jpg 1 .1 .2 .3 .4", "12/my face.jpg"),
        ("12/two  blanks (1) 1 .1 .2 .3 .4", "12/two  blanks (1)"),
        ("photo 2019 family.jpg 1 .1 .2 .3 .4", "photo 2019 family.jpg"),
        ("3 1 .1 .2 .3 .4", "3"),
        ("12\\positive\\3 1 .1 .2 .3 .4", "12/positive/3"),
        ("12/é€ 1 .1 .2 .3 .4", "12/é€"),
        ("12/\udce9 1 .1 .2 .3 .4", "12/\udce9"),
        ("  12/a\t 1  .1 .2 .3 .4 \t\r", "12/a"),
        ("12/a +1 .1 .2 .3 .4", "12/a"),
        ("12/a 01 .1 .2 .3 .4", "12/a"),
    ],
)
def test_names_and_blanks(tmp_path, line, name):
    samples = read_imglist(written(tmp_path, f"\ufeff\r\n{line}\n\n12/last 0"))
    assert samples.names == [name, "12/last"]
    assert samples.labels.tolist() == [1, 0]
    assert samples.offsets.tolist() == [[0.1, 0.2, 0.3, 0.4], [0] * 4]


def test_an_empty_list_has_typed_columns(tmp_path):
    samples = read_imglist(written(tmp_path, "\n"))
    assert len(samples) == 0
    assert samples.rows().shape == (0, 15)


def test_unreadable_lists(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read: No such file"):
        read_imglist(tmp_path / "none.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_imglist(tmp_path)
    with pytest.raises(InputError, match="expected a text file"):
        read_imglist(written(tmp_path, "a\0 1\n"))


def test_image_file():
    assert image_file("12/positive/28") == "12/positive/28.jpg"
    assert image_file("./a.b/c.d") == "./a.b/c.d.jpg"
    assert image_file("a.JPG") == "a.JPG"
    assert image_file("a.png") == "a.png"


def test_writing_says_each_kind_in_its_columns(tmp_path):
    samples = ImageList(
        ["12/positive/0", "12/negative/0", "12/part/0", "12/landmark/0", "12/landmark/my 1.jpg"],
        np.array([1, 0, -1, -2, -2], np.int8),
        np.array([[0] * 4, [0] * 4, [0.1, -0.2, 0.3, 0.4], [0] * 4, [1, 2, 3, 4]], np.float32),
        np.array([[0] * 10] * 3 + [[0.5] * 10] * 2, np.float32),
    )
    write_imglist(tmp_path / "a" / "train_12.txt", samples)
    assert (tmp_path / "a" / "train_12.txt").read_text().split("\n") == [
        "12/positive/0 1 0 0 0 0",
        "12/negative/0 0",
        "12/part/0 -1 0.100000001 -0.200000003 0.300000012 0.400000006",
        "12/landmark/0 -2" + " 0.5" * 10,
        "12/landmark/my 1.jpg -2 1 2 3 4" + " 0.5" * 10,
        "",
    ]


@pytest.mark.parametrize("name", ["", " a", "a\n", "my 7", "my 1 face", "nan nan", "a\0", "my face inf"])
def test_a_name_that_would_not_be_read_back_is_refused(tmp_path, name):
    samples = ImageList([name], np.zeros(1, np.int8), np.zeros((1, 4)), np.zeros((1, 10)))
    with pytest.raises(InputError, match="cannot be told from the columns"):
        write_imglist(tmp_path / "x.txt", samples)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("label", "value"), [(2, 0.0), (1, np.nan), (1, np.inf)])
def test_wrong_values_are_not_written(tmp_path, label, value):
    samples = ImageList(["a"], np.array([label], np.int8), np.full((1, 4), value), np.zeros((1, 10)))
    with pytest.raises(InputError, match="labels must be 1, 0, -1 or -2 and values finite"):
        write_imglist(tmp_path / "x.txt", samples)


def test_pieces_are_written_as_one_list(tmp_path):
    samples = ImageList(["a", "b", "c"], np.array([0, 1, 0], np.int8), np.full((3, 4), 0.5), np.zeros((3, 10)))
    pieces = [
        ImageList([name], samples.labels[i : i + 1], samples.offsets[i : i + 1], samples.landmarks[i : i + 1])
        for i, name in enumerate(samples.names)
    ]
    write_imglist(tmp_path / "whole", samples)
    write_imglist(tmp_path / "pieces", iter(pieces))
    assert (tmp_path / "whole").read_text() == (tmp_path / "pieces").read_text()
    assert len((tmp_path / "whole").read_text().splitlines()) == 3


def test_test_lists_hold_whole_lines(tmp_path):
    write_names(tmp_path / "fold-01.txt", ["2002/08/11/big/img_591", "my photo 7"])
    assert read_names(tmp_path / "fold-01.txt") == ["2002/08/11/big/img_591", "my photo 7"]
    with pytest.raises(InputError, match="does not fit a line"):
        write_names(tmp_path / "fold-01.txt", ["a\nb"])


FLOATS = st.floats(-1e3, 1e3, width=32)
NAMES = st.text(st.sampled_from("ab1.- é/"), min_size=1, max_size=12)
SAMPLES = st.lists(
    st.tuples(
        NAMES,
        st.sampled_from([1, 0, -1, -2]),
        st.lists(FLOATS, min_size=4, max_size=4),
        st.lists(FLOATS.filter(bool), min_size=10, max_size=10),
    ),
    max_size=8,
)


@given(SAMPLES, st.sampled_from([np.float32, np.float64]))
def test_what_is_written_is_read_back(tmp_path_factory, samples, dtype):
    names, labels, offsets, landmarks = (list(column) for column in zip(*samples)) if samples else ([], [], [], [])
    labels = np.array(labels, np.int8)
    offsets = np.array(offsets, dtype).reshape(-1, 4) * (labels[:, None] != 0)
    landmarks = np.array(landmarks, dtype).reshape(-1, 10) * (labels[:, None] == -2)
    path = tmp_path_factory.mktemp("lists") / "x.txt"
    try:
        write_imglist(path, ImageList(names, labels, offsets, landmarks))
    except InputError as error:
        assert "cannot be told" in str(error)  # noqa: PT017
        return
    back = read_imglist(path)
    assert back.names == names
    np.testing.assert_array_equal(back.labels, labels)
    np.testing.assert_array_equal(back.offsets.astype(dtype), offsets)
    np.testing.assert_array_equal(back.landmarks.astype(dtype), landmarks)


WORDS = st.sampled_from(["a", "b.jpg", "1", "0", "-1", "-2", "0.5", "7", "nan", "x"])


@given(st.lists(WORDS, min_size=1, max_size=17))
def test_the_quick_way_and_the_careful_way_agree(words):
    """A line that is plain to the quick way means the same to the careful one."""
    line = " ".join(words)
    if imglist._regular_columns([words]) is not None:
        assert imglist._parse_line(line, "x:1") == words
