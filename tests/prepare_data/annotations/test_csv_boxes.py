import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.csv_boxes import BOX, POINTS, read_csv

HEAD = "image,x1,y1,x2,y2"


def write(tmp_path, text):
    path = tmp_path / "own.csv"
    path.write_text(text)
    return path


def test_photos_in_order_of_their_first_line(tmp_path):
    path = write(tmp_path, f'{HEAD},ignore\n"b, c.jpg",1,2,3,4,1\na.jpg,,,,,\n"b, c.jpg",5,6,7.5,8,\n')
    first, second = read_csv(path)
    assert (first.name, second.name) == ("b, c.jpg", "a.jpg")
    assert first.image == str(tmp_path / "b, c.jpg")
    np.testing.assert_array_equal(first.boxes, [[1, 2, 3, 4], [5, 6, 7.5, 8]])
    np.testing.assert_array_equal(first.ignore, [True, False])
    assert second.boxes.shape == (0, 4)
    assert first.landmarks is None


def test_columns_may_come_in_any_order_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xef\xbb\xbfx1,y1,x2,y2,image\r\n1,2,3,4,sub\\a.jpg\r\n")
    (photo,) = read_csv(path)
    assert photo.name == "sub/a.jpg"
    np.testing.assert_array_equal(photo.boxes, [[1, 2, 3, 4]])


def test_lines_of_blanks_are_no_photos(tmp_path):
    assert [photo.name for photo in read_csv(write(tmp_path, f"{HEAD}\n  \na.jpg,1,2,3,4\n\n\t \n"))] == ["a.jpg"]


def test_landmarks_are_optional_for_each_face(tmp_path):
    head = ",".join(("image", *BOX, *POINTS))
    path = write(tmp_path, f"{head}\na.jpg,1,2,30,40,{','.join(map(str, range(10)))}\na.jpg,1,2,3,4{',' * 10}\n")
    (photo,) = read_csv(path)
    np.testing.assert_array_equal(photo.landmarks[0], np.arange(10).reshape(5, 2))
    assert np.isnan(photo.landmarks[1]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,x1,y1,x2\n", "own.csv:1: expected the columns .* without 'y2'"),
        (f"{HEAD},width\n", "own.csv:1: .* with 'width'"),
        (f"{HEAD},nose_x\n", "own.csv:1: .* without 'left_eye_x'"),
        ("", "own.csv:1: expected the columns"),
        (f"{HEAD}\na.jpg,1,2,3\n", "own.csv:2: expected 5 fields, got 4"),
        (f"{HEAD}\na.jpg,1,2,3,4,5\n", "own.csv:2: expected 5 fields, got 6"),
        (f"{HEAD}\na.jpg,1,2,3,4\na.jpg,1,2,x,4\n", "own.csv:3: x2: expected a number up to 1e\\+06, got 'x'"),
        (f"{HEAD}\na.jpg,1,2,1e30,4\n", "own.csv:2: x2: expected a number up to 1e\\+06, got '1e30'"),
        (f"{HEAD}\n   \na.jpg,1,2,3,4,5\n", "own.csv:3: expected 5 fields, got 6"),
        (f"{HEAD}\na.jpg,1,2,3,\n", "own.csv:2: y2: expected a number up to 1e\\+06, got ''"),
        (f"{HEAD}\na.jpg,50,20,10,40\n", "own.csv:2: expected x1 <= x2 and y1 <= y2, got 50 20 10 40"),
        (f"{HEAD}\n,1,2,3,4\n", "own.csv:2: expected the path of a photo"),
        (f"{HEAD},ignore\na.jpg,1,2,3,4,yes\n", "own.csv:2: ignore: expected 0 or 1, got 'yes'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        list(read_csv(write(tmp_path, text)))


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "own.csv").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="expected CSV text"):
        list(read_csv(tmp_path / "own.csv"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_csv(tmp_path / "none.csv"))
