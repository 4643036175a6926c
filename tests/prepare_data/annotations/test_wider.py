import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.wider import image_root, parse_ignore, read_wider

TEXT = """0--Parade/a b.c.jpg
3
10 20 30 40 0 0 0 0 0 0\x20
5 6 7 8 2 0 0 0 1 0
1 2 3 4 0 1 0 1 2 1
1--Handshaking\\empty.jpg
0
0 0 0 0 0 0 0 0 0 0
2--Demonstration/bad.jpg
3
9 9 0 5 0 0 0 0 0 0
9 9 5 -1 0 0 0 0 0 0
-3 -4 9 9 1 0 0 0 1 0
"""


def write(tmp_path, text):
    path = tmp_path / "gt.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_photos_boxes_and_attributes(tmp_path, newline):
    path = write(tmp_path, TEXT.replace("\n", newline))
    first, empty, bad = read_wider(path, tmp_path / "photos")
    assert first.name == "0--Parade/a b.c.jpg"
    assert first.image == str(tmp_path / "photos" / "0--Parade" / "a b.c.jpg")
    np.testing.assert_array_equal(first.boxes, [[10, 20, 39, 59], [5, 6, 11, 13], [1, 2, 3, 5]])
    np.testing.assert_array_equal(first.ignore, [False, True, True])
    np.testing.assert_array_equal(first.attributes["occlusion"], [0, 1, 2])
    assert empty.name == "1--Handshaking/empty.jpg"
    assert empty.boxes.shape == (0, 4)
    np.testing.assert_array_equal(bad.boxes, [[-3, -4, 5, 4]])  # faces without area are left out
    assert len(bad.attributes["blur"]) == 1


def test_a_photo_without_faces_may_lack_the_dummy_line(tmp_path):
    path = write(tmp_path, "a.jpg\n0\nb.jpg\n0\n\nc.jpg\n1\n1 2 3 4 0 0 0 0 0 0")
    assert [(a.name, len(a.boxes)) for a in read_wider(path, tmp_path)] == [("a.jpg", 0), ("b.jpg", 0), ("c.jpg", 1)]


def test_four_columns_are_boxes_without_attributes(tmp_path):
    (photo,) = read_wider(write(tmp_path, "a.jpg\n1\n1 2 3 4\n"), tmp_path)
    np.testing.assert_array_equal(photo.boxes, [[1, 2, 3, 5]])
    assert photo.attributes == {}
    assert not photo.ignore.any()


def test_the_ignore_rule_is_configurable(tmp_path):
    path = write(tmp_path, TEXT)
    assert not next(read_wider(path, tmp_path, {})).ignore.any()
    np.testing.assert_array_equal(next(read_wider(path, tmp_path, {"occlusion": 1})).ignore, [False, True, True])


def test_images_folder_of_wider_is_found(tmp_path):
    assert image_root(tmp_path) == tmp_path
    (tmp_path / "images").mkdir()
    assert image_root(tmp_path) == tmp_path / "images"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg\n1\n1 2 3 4 5\n", "gt.txt:3: expected 10 numbers.*got 5"),
        ("a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n1 2 3 4 0 0 0 0 0\n", "gt.txt:4: expected 10 numbers.*got 9"),
        ("a.jpg\n1\n1 2 x 4 0 0 0 0 0 0\n", "gt.txt:3: expected 10 finite numbers"),
        ("a.jpg\n1\n1 2 nan 4 0 0 0 0 0 0\n", "gt.txt:3: expected 10 finite numbers"),
        ("a.jpg\n1\n1 2 1e30 4 0 0 0 0 0 0\n", "gt.txt:3: expected 10 finite numbers up to 1e\\+06"),
        ("a.jpg\n\u00b2\n1 2 3 4\n1 2 3 4\n", "gt.txt:2: expected the number of faces, got '\u00b2'"),
        ("a.jpg\nmany\n", "gt.txt:2: expected the number of faces, got 'many'"),
        ("a.jpg\n", "gt.txt:2: expected the number of faces, got ''"),
        (f"a.jpg\n{'9' * 5000}\n", "gt.txt:2: expected the number of faces"),
        ("a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n", "gt.txt:4: expected 10 numbers.*the file's end"),
        ("a.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n5 6 7 8 0 0 0 0 0 0\n", "gt.txt:4: expected the path of a photo"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        list(read_wider(write(tmp_path, text), tmp_path))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.txt: cannot be read: No such file"):
        list(read_wider(tmp_path / "nothing.txt", tmp_path))


def test_parse_ignore():
    assert parse_ignore("blur=2, invalid=1") == {"blur": 2, "invalid": 1}
    assert parse_ignore("none") == {}
    with pytest.raises(InputError, match="ignore rule: expected blur"):
        parse_ignore("blurr=2")
    with pytest.raises(InputError, match="ignore rule: expected blur"):
        parse_ignore("blur=\u00b2")


def test_real_annotations(shared):
    folder = shared / "wider"
    photos = list(read_wider(folder / "wider_face_split" / "wider_face_train_bbx_gt.txt", folder / "WIDER_train"))
    assert len(photos) == 2302
    assert sum(len(photo.boxes) for photo in photos) == 28906 - 9  # nine have no area
    sizes = [photo.boxes[:, 2:] - photo.boxes[:, :2] + 1 for photo in photos]
    usable = [(size.max(axis=1) >= 20) & ~photo.ignore for size, photo in zip(sizes, photos)]
    assert sum(map(np.count_nonzero, usable)) == 7182
