import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.landmark_lists import points_fit, read_landmarks

POINTS = "20 30 40 30.5 30 40 22 50 38 50"
LINE = f"images\\a b_01.jpg 10 59 20 69 {POINTS}"


def write(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_face_points_order_of_columns(tmp_path):
    (photo,) = read_landmarks(write(tmp_path, LINE + " \r\n\n"), tmp_path)
    assert photo.name == "images/a b_01.jpg"
    np.testing.assert_array_equal(photo.boxes, [[10, 20, 59, 69]])  # the list has x1 x2 y1 y2
    np.testing.assert_array_equal(photo.landmarks[0, :2], [[20, 30], [40, 30.5]])
    assert not photo.ignore[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg 1 2 3", "list.txt:1: expected a path and 14 numbers.*got 4 fields"),
        (LINE + " 5", "list.txt:1: expected a path and 14 numbers"),
        (LINE.replace("59", "1e30"), "list.txt:1: expected a path and 14 numbers up to 1e\\+06"),
        (LINE.replace("59", "x"), "list.txt:1: expected a path and 14 numbers"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        list(read_landmarks(write(tmp_path, line), tmp_path))


def test_boxes_that_do_not_suit_their_points_are_ignored(tmp_path):
    boxes = np.array([[10, 20, 59, 69], [100, 20, 149, 69], [0, 0, 199, 199], [10, 20, 9, 69]], np.float32)
    points = np.tile(np.array(POINTS.split(), np.float32).reshape(1, 5, 2), (4, 1, 1))
    np.testing.assert_array_equal(points_fit(boxes, points), [True, False, False, False])
    (photo,) = read_landmarks(write(tmp_path, LINE.replace("10 59 20 69", "110 159 20 69")), tmp_path)
    assert photo.ignore[0]


HEADER = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"


def celeba(tmp_path, boxes):
    write(tmp_path, f"2\nimage_id x_1 y_1 width height\n{boxes}", "list_bbox_celeba.txt")
    return write(tmp_path, f"2\n{HEADER}\na.jpg {POINTS}\nb.jpg {POINTS}\n", "list_landmarks_celeba.txt")


def test_celeba(tmp_path):
    first, second = read_landmarks(celeba(tmp_path, "a.jpg 10 20 50 50\nb.jpg 0 0 400 400\n"), tmp_path)
    np.testing.assert_array_equal(first.boxes, [[10, 20, 59, 69]])
    assert not first.ignore[0]
    assert second.ignore[0]  # oversized, as some of CelebA's are


def test_celeba_lists_must_agree(tmp_path):
    with pytest.raises(InputError, match=r"list_bbox_celeba.txt:3: expected the box of \['a.jpg'\], got \['b.jpg'\]"):
        list(read_landmarks(celeba(tmp_path, "b.jpg 1 2 3 4\n"), tmp_path))
    (tmp_path / "list_bbox_celeba.txt").unlink()
    with pytest.raises(InputError, match=r"needs list_bbox_celeba\.txt beside it"):
        list(read_landmarks(tmp_path / "list_landmarks_celeba.txt", tmp_path))


def test_celeba_lists_of_aligned_crops_have_no_boxes(tmp_path):
    real = celeba(tmp_path, "a.jpg 10 20 50 50\nb.jpg 10 20 50 50\n")
    aligned = tmp_path / "list_landmarks_align_celeba.txt"
    aligned.write_text(real.read_text())
    expected = "expected list_landmarks_celeba.txt"
    start = f"{aligned}: the aligned crops of CelebA (img_align_celeba) have no boxes: {expected}"
    end = "which belong to the photos in img_celeba"
    names = "list_landmarks_celeba.txt and list_bbox_celeba.txt"
    assert message(aligned) == f"{start} and list_bbox_celeba.txt ({names} beside it), {end}"
    real.unlink()
    there = "list_bbox_celeba.txt beside it, list_landmarks_celeba.txt not found"
    assert message(aligned) == f"{start} and list_bbox_celeba.txt ({there}), {end}"


def test_celeba_other_lists_in_its_place(tmp_path):
    real = celeba(tmp_path, "a.jpg 10 20 50 50\nb.jpg 10 20 50 50\n")
    assert message(tmp_path / "list_bbox_celeba.txt").endswith(
        "expected list_landmarks_celeba.txt, got a list of boxes, which is read with it"
    )
    csv = write(tmp_path, f"image_id,{','.join(HEADER.split())}\na.jpg,{','.join(POINTS.split())}\n", "celeba.csv")
    assert "expected CelebA's text lists" in message(csv)
    assert len(list(read_landmarks(real.rename(tmp_path / "first_points.txt"), tmp_path))) == 2  # the boxes are found


def message(path):
    with pytest.raises(InputError) as caught:
        list(read_landmarks(path, path.parent))
    return str(caught.value)


def test_real_lists_fit(shared):
    for name, count in (("trainImageList.txt", 2600), ("testImageList.txt", 404)):
        photos = list(read_landmarks(shared / "landmarks" / name, shared / "landmarks"))
        assert len(photos) == count
        assert not any(photo.ignore[0] for photo in photos)
