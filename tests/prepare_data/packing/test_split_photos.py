import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.prepare_data.annotations.wider import read_wider, write_wider
from gluon_mtcnn.prepare_data.packing.split_photos import split_photos


def points_list(path, people=12):
    """Write a list with two photos a person."""
    rng = np.random.default_rng(0)
    lines = []
    for person in range(people):
        for photo in (1, 2):
            points = " ".join(f"{v:.2f}" for v in rng.uniform(20, 60, 10))
            lines.append(f"faces/{chr(65 + person)}nna_{photo:04d}.jpg 10 70 12 72 {points}")
    path.write_text("\n".join(lines) + "\n")
    return path


def names(photos):
    return [photo.name for photo in photos]


def test_parts_are_whole_disjoint_and_keep_what_is_annotated(small_wider, tmp_path):
    images, annotations = small_wider
    counts = split_photos(tmp_path, 0.2, 0, (annotations, images))
    assert counts == {"training_bbx_gt.txt": 40, "development_bbx_gt.txt": 10}
    parts = [list(read_wider(tmp_path / name, images)) for name in counts]
    whole = {photo.name: photo for photo in read_wider(annotations, images)}
    assert sorted(names(parts[0]) + names(parts[1])) == sorted(whole)
    for photo in parts[0] + parts[1]:
        expected = whole[photo.name]
        np.testing.assert_array_equal(photo.boxes, expected.boxes)
        np.testing.assert_array_equal(photo.ignore, expected.ignore)
        assert photo.image == expected.image


def test_the_split_is_a_function_of_the_seed(small_wider, tmp_path):
    images, annotations = small_wider
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        split_photos(tmp_path / folder, 0.2, seed, (annotations, images))
    a, b, c = ((tmp_path / folder / "development_bbx_gt.txt").read_bytes() for folder in "abc")
    assert a == b != c


def test_a_person_is_not_split(small_wider, tmp_path):
    images, annotations = small_wider
    listed = points_list(tmp_path / "list.txt")
    counts = split_photos(tmp_path / "out", 0.25, 0, (annotations, images), (listed, tmp_path))
    assert counts["training_landmarks.txt"] == 18
    parts = [
        list(read_landmarks(tmp_path / "out" / f"{part}_landmarks.txt", tmp_path))
        for part in ("training", "development")
    ]
    people = [{name.rpartition("_")[0] for name in names(part)} for part in parts]
    assert not people[0] & people[1]
    whole = {photo.name: photo for photo in read_landmarks(listed, tmp_path)}
    for photo in parts[0] + parts[1]:
        np.testing.assert_array_equal(photo.boxes, whole[photo.name].boxes)
        np.testing.assert_array_equal(photo.landmarks, whole[photo.name].landmarks)


def test_attributes_are_written_as_they_were(shared, tmp_path):
    source = shared / "wider" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    photos = list(read_wider(source, tmp_path))
    assert write_wider(tmp_path / "copy.txt", photos) == len(photos)
    for photo, copy in zip(photos, read_wider(tmp_path / "copy.txt", tmp_path)):
        np.testing.assert_array_equal(photo.boxes, copy.boxes)
        assert {k: v.tolist() for k, v in photo.attributes.items()} == {
            k: v.tolist() for k, v in copy.attributes.items()
        }


def test_a_list_too_short_to_be_parted(tmp_path):
    (tmp_path / "one.txt").write_text("a.jpg\n1\n1 2 30 40 0 0 0 0 0 0\n")
    with pytest.raises(InputError, match=r"one\.txt: expected photos for training and development, got 1 photos"):
        split_photos(tmp_path, 0.1, 0, (tmp_path / "one.txt", tmp_path))
