import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.seanlinx_anno import read_anno, write_anno


def parsed(tmp_path, text: str) -> list:
    path = tmp_path / "anno.txt"
    path.write_bytes(text.encode())
    return list(read_anno(path, "photos"))


def test_x2_is_one_past_the_last_pixel(tmp_path):
    (photo,) = parsed(tmp_path, "0--Parade/0_Parade_5 10 20 40 60 0.5 1 3.5 5 \n")
    assert photo.name == "0--Parade/0_Parade_5"
    assert photo.image == "photos/0--Parade/0_Parade_5.jpg"
    assert photo.boxes.tolist() == [[10, 20, 39, 59], [0.5, 1, 2.5, 4]]
    assert photo.ignore.tolist() == [False, False]


def test_lines_of_every_spelling(tmp_path):
    photos = parsed(tmp_path, "a/b.jpg 1 2 3 4\r\n\r\na\\c.d  1 2 3 4\t\nmy photo 1 2 3 4\n2020 1 2 3 4\nnobody\n")
    assert [photo.image for photo in photos] == [
        "photos/a/b.jpg",
        "photos/a/c.d.jpg",
        "photos/my photo.jpg",
        "photos/2020.jpg",
        "photos/nobody.jpg",
    ]
    assert [len(photo.boxes) for photo in photos] == [1, 1, 1, 1, 0]


def test_faces_without_size_are_left_out(tmp_path):
    (photo,) = parsed(tmp_path, "a 5 5 5 9 5 5 9 5 9 9 5 5 5 5 6 6\n")
    assert photo.boxes.tolist() == [[5, 5, 5, 5]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg 1 2 3", "expected a path and 4 numbers a face, got 3 numbers"),
        ("a.jpg 1 2 3 4 5", "expected a path and 4 numbers a face, got 5 numbers"),
        ("a.jpg 1 x 3 4", "expected a path and 4 numbers a face, got 'x'"),
        ("a.jpg 1 x 1 2 3 4", "expected a path and 4 numbers a face, got 'x'"),
        ("a.jpg 1 2 3 4,", "expected a path and 4 numbers a face, got '4,'"),
        ("a.jpg 1 2 nan 4", r"expected finite numbers up to 1e\+06, got 'nan'"),
        ("a.jpg 1 2 3 1e30", r"expected finite numbers up to 1e\+06, got '1e30'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"anno\.txt:2: {message}"):
        parsed(tmp_path, f"b 1 2 3 4\n{line}\n")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"anno\.txt: cannot be read"):
        list(read_anno(tmp_path / "anno.txt", "photos"))


def test_what_is_written_is_read_back(tmp_path):
    photos = [
        Annotation("x/e/a.jpg", [[10, 20, 39, 59], [0.25, 1, 2.5, 4]], [False, True], name="e/a.jpg"),
        Annotation("x/e/b.png", np.zeros((0, 4)), [], name="e/b.png"),
        Annotation("x/e/c.png.jpg", [[0, 0, 0, 0]], [False], name="e/c.png.jpg"),
        Annotation("x/e/d.JPG", [[0, 0, 0, 0]], [False], name="e/d.JPG"),
    ]
    assert write_anno(tmp_path / "out" / "anno.txt", iter(photos)) == 4
    assert (tmp_path / "out" / "anno.txt").read_text().split("\n") == [
        "e/a 10 20 40 60 0.25 1 3.5 5",
        "e/b.png",
        "e/c.png.jpg 0 0 1 1",
        "e/d.JPG 0 0 1 1",
        "",
    ]
    back = list(read_anno(tmp_path / "out" / "anno.txt", "x"))
    assert [photo.image for photo in back] == [photo.image for photo in photos]
    for photo, before in zip(back, photos):
        np.testing.assert_array_equal(photo.boxes, before.boxes)


@pytest.mark.parametrize("name", ["my 7", "my 7 photo", "a\nb.jpg", "my nan.jpg"])
def test_a_name_that_would_not_be_read_back_is_refused(tmp_path, name):
    photo = Annotation("x", np.zeros((0, 4)), [], name=name)
    with pytest.raises(InputError, match="cannot be told from the numbers"):
        write_anno(tmp_path / "anno.txt", [photo])
    assert list(tmp_path.iterdir()) == []
