"""The built-in data set: exact truth, the layouts of real data, the same bytes from the same seed."""

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.core.ops.image import read
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.synthetic.canvas import Canvas
from gluon_mtcnn.prepare_data.synthetic.dataset import (
    PARTS,
    SyntheticPaths,
    SyntheticSpec,
    fddb_rows,
    landmark_row,
    photo_rng,
    wider_rows,
    write_dataset,
)
from gluon_mtcnn.prepare_data.synthetic.head import DISTRACTORS, FACE
from gluon_mtcnn.prepare_data.synthetic.scene import MAX_TILT, Scene, SceneSpec, ellipse_bounds, paint_scene
from gluon_mtcnn.prepare_data.synthetic.sprite import Pose, paint_head

SMALL = SyntheticSpec(
    train_photos=4,
    val_photos=2,
    landmark_photos=3,
    landmark_test_photos=1,
    test_photos=3,
    distractor_photos=2,
    empty_every=4,
    folds=2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, SyntheticPaths]:
    root = tmp_path_factory.mktemp("synthetic")
    return root, write_dataset(root, SMALL, seed=5, quiet=True)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    spec = SceneSpec((1, 4), (1, 4), (24, 110))
    return [paint_scene(np.random.default_rng([3, i]), spec) for i in range(40)]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def hand_made_scene() -> Scene:
    points = np.array([[[10.0, 20], [20, 20.5], [15, 25], [11, 30], [19, 30]]])
    return Scene(
        image=np.zeros((60, 50, 3), np.uint8),
        ellipses=np.array([[16.0, 12, np.pi / 2, 15, 24]]),
        points=points,
        hidden=np.array([0.2]),
        blur=np.array([1]),
        expression=np.array([0]),
        illumination=np.array([1]),
    )


NO_FACE = Scene(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 5)), np.zeros((0, 5, 2)), *[np.zeros(0, int)] * 4)


# Text, by hand


def test_rows_of_a_hand_made_face():
    scene = hand_made_scene()
    # Upright: half-width 12, half-height 16 around (15, 24); both border columns belong to the box.
    assert scene.boxes.tolist() == [[3, 8, 27, 40]]
    assert wider_rows(scene) == ["1", "3 8 25 33 1 0 1 0 1 0"]
    assert landmark_row("images/a.jpg", scene).split()[:7] == [
        "images/a.jpg",
        "3",
        "27",
        "8",
        "40",
        "10.000000",
        "20.000000",
    ]
    assert fddb_rows(scene) == ["1", "16.000000 12.000000 1.570796 15.000000 24.000000  1"]


def test_rows_of_a_photo_without_faces():
    assert wider_rows(NO_FACE) == ["0", "0 0 0 0 0 0 0 0 0 0"]
    assert fddb_rows(NO_FACE) == ["0"]
    assert NO_FACE.boxes.shape == (0, 4)


@pytest.mark.parametrize(("hidden", "occlusion"), [(0.0, 0), (0.05, 0), (0.06, 1), (0.5, 1), (0.51, 2)])
def test_occlusion_attribute(hidden, occlusion):
    scene = Scene(**{**hand_made_scene().__dict__, "hidden": np.array([hidden])})
    assert wider_rows(scene)[1].split()[8] == str(occlusion)


# Geometry


def test_bounds_of_ellipses():
    bounds = ellipse_bounds([[20, 10, 0, 50, 60], [20, 10, np.pi / 2, 50, 60], [20, 10, np.pi / 4, 50, 60]])
    diagonal = np.sqrt((20**2 + 10**2) / 2)
    expected = [[30, 50, 70, 70], [40, 40, 60, 80], [50 - diagonal, 60 - diagonal, 50 + diagonal, 60 + diagonal]]
    np.testing.assert_allclose(bounds, expected, atol=1e-9)


def test_canvas_turns_clockwise_as_seen():
    canvas = Canvas(np.zeros((20, 20, 3), np.uint8), origin=(10, 8), scale=2, angle=90)
    np.testing.assert_allclose(canvas.to_pixels([(1, 0), (0, 1)]), [[10, 10], [8, 8]], atol=1e-12)


def test_box_is_that_of_the_drawn_ellipse(scenes):
    for scene in scenes:
        for (major, minor, angle, x, y), box in zip(scene.ellipses, scene.boxes):
            mask = np.zeros(scene.image.shape[:2], np.uint8)
            centre, axes = np.rint(np.array([(x, y), (major, minor)]) * 16).astype(int).tolist()
            cv2.ellipse(mask, centre, axes, np.rad2deg(angle), 0, 360, 1, -1, shift=4)
            rows, columns = np.nonzero(mask)
            drawn = [columns.min(), rows.min(), columns.max(), rows.max()]
            np.testing.assert_allclose(drawn, box, atol=1)


def test_faces_lie_in_the_photo_and_apart(scenes):
    for scene in scenes:
        height, width = scene.image.shape[:2]
        assert (scene.boxes[:, :2] >= 0).all()
        assert (scene.boxes[:, 2:] < (width, height)).all()
        overlap = iou(scene.boxes, scene.boxes) - np.eye(len(scene.boxes))
        assert overlap.max() < 0.01


def test_points_lie_in_their_boxes_in_order(scenes):
    for scene in scenes:
        assert (scene.points > scene.boxes[:, None, :2]).all()
        assert (scene.points < scene.boxes[:, None, 2:]).all()
        left_eye, right_eye, nose, left_mouth, right_mouth = scene.points.transpose(1, 0, 2)
        assert (left_eye[:, 0] < right_eye[:, 0]).all()
        assert (left_mouth[:, 0] < right_mouth[:, 0]).all()
        assert (np.maximum(left_eye, right_eye)[:, 1] < np.maximum(left_mouth, right_mouth)[:, 1]).all()
        along_face = np.stack([np.cos(scene.ellipses[:, 2]), np.sin(scene.ellipses[:, 2])], axis=1)
        down = [
            (point * along_face).sum(1) for point in ((left_eye + right_eye) / 2, nose, (left_mouth + right_mouth) / 2)
        ]
        assert (down[0] < down[1]).all()
        assert (down[1] < down[2]).all()


@pytest.mark.parametrize("tilt", [-25.0, 0.0, 25.0])
def test_points_are_where_the_features_are_painted(tilt):
    darker = []
    for seed in range(12):
        sprite = paint_head(np.random.default_rng(seed), Pose(FACE, (80.3, 70.8), 110, tilt))
        if sprite.covered.any():
            continue
        grey = cv2.blur(sprite.colour.mean(axis=2), (3, 3))
        at = np.rint(sprite.points - sprite.corner).astype(int)
        darker.append(grey[at[:2, 1], at[:2, 0]] / np.median(grey[sprite.face]))
    assert len(darker) >= 6
    assert np.max(darker) < 0.75


def test_the_mask_of_a_face_is_its_ellipse():
    sprite = paint_head(np.random.default_rng(0), Pose(FACE, (60.5, 50.25), 80, 20))
    rows, columns = np.nonzero(sprite.face)
    found = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) + np.tile(sprite.corner, 2)
    np.testing.assert_allclose(found, ellipse_bounds(sprite.ellipse)[0], atol=1)
    assert sprite.face.sum() == pytest.approx(np.pi * sprite.ellipse[0] * sprite.ellipse[1], rel=0.01)


def test_a_hidden_face_says_so():
    # Alone in the photo, only what the head itself wears can hide a face.
    spec = SceneSpec((1, 1), (0, 0), (80, 90))
    hidden = np.array([paint_scene(np.random.default_rng([9, i]), spec).hidden[0] for i in range(30)])
    assert ((hidden >= 0) & (hidden < 0.75)).all()
    assert 0.5 < (hidden < 1e-6).mean() < 1
    assert hidden.max() > 0.05


@pytest.mark.parametrize("kind", DISTRACTORS)
def test_every_distractor_is_painted_and_differs_from_the_face(kind):
    pose = Pose(FACE, (40.0, 40.0), 60, 0)
    face = paint_head(np.random.default_rng(1), pose)
    other = paint_head(np.random.default_rng(1), Pose(kind, pose.centre, pose.height, pose.tilt))
    assert other.alpha[other.face].mean() > 0.9
    assert face.colour.shape != other.colour.shape or np.abs(face.colour - other.colour)[face.face].mean() > 2


# Distribution


def test_sizes_and_tilts_are_as_specified(scenes):
    ellipses = np.concatenate([scene.ellipses for scene in scenes])
    height, tilt = 2 * ellipses[:, 0], np.rad2deg(ellipses[:, 2]) - 90
    assert height.min() >= 24
    assert height.max() <= 110
    assert np.median(height) == pytest.approx(np.sqrt(24 * 110), rel=0.3)  # log-uniform
    assert np.abs(tilt).max() <= MAX_TILT
    assert np.abs(tilt).max() > 12
    assert all(1 <= len(scene.ellipses) <= 4 for scene in scenes)
    assert len({len(scene.ellipses) for scene in scenes}) == 4
    for scene in scenes:
        short, long = sorted(scene.image.shape[:2])
        assert 210 <= short <= 280 <= long <= 400


def test_a_crowded_photo_leaves_out_what_has_no_room():
    scene = paint_scene(np.random.default_rng(0), SceneSpec((60, 60), (0, 0), (80, 110)))
    assert 1 <= len(scene.boxes) < 20


# The files


def test_same_seed_same_bytes(data, tmp_path):
    root, _ = data
    write_dataset(tmp_path / "again", SMALL, seed=5, quiet=True)
    write_dataset(tmp_path / "other", SMALL, seed=6, quiet=True)
    first, again, other = contents(root), contents(tmp_path / "again"), contents(tmp_path / "other")
    assert first == again
    assert set(first) == set(other)
    photos = [name for name in first if name.endswith(".jpg")]
    assert all(first[name] != other[name] for name in photos)


def test_parts_have_disjoint_random_streams(data):
    root, _ = data
    keys = [(part, number) for part in PARTS for number in range(50)]
    assert len({photo_rng(5, *key).bytes(16) for key in keys}) == len(keys)
    photos = [content for name, content in contents(root).items() if name.endswith(".jpg")]
    assert len(set(photos)) == len(photos) == sum(SMALL.photos(part) for part in PARTS)


def test_a_part_does_not_change_when_another_grows(data, tmp_path):
    root, _ = data
    more = SyntheticSpec(**{**asdict(SMALL), "train_photos": 6, "landmark_photos": 0, "distractor_photos": 0})
    write_dataset(tmp_path, more, seed=5, quiet=True)
    before, after = contents(root / "fddb"), contents(tmp_path / "fddb")
    assert before == after
    assert len(contents(tmp_path / "WIDER_train")) == 6


def test_wider_layout(data):
    _, paths = data
    for images, annotations, count in (
        (paths.wider_images, paths.wider_train_annotations, 4),
        (paths.wider_val_images, paths.wider_val_annotations, 2),
        (paths.fddb_images, paths.test_annotations, 3),
        (paths.distractor_images, paths.distractor_annotations, 2),
    ):
        photos = list(read_wider(annotations, images))
        assert len(photos) == count
        assert len({photo.name for photo in photos}) == count
        for photo in photos:
            height, width = read(photo.image).shape[:2]
            assert (photo.boxes >= 0).all()
            assert (photo.boxes[:, 2:] < (width, height)).all()


def test_photos_without_faces(data):
    _, paths = data
    train = list(read_wider(paths.wider_train_annotations, paths.wider_images))
    assert [len(photo.boxes) == 0 for photo in train] == [False, False, False, True]
    distractors = list(read_wider(paths.distractor_annotations, paths.distractor_images))
    assert [len(photo.boxes) for photo in distractors] == [0, 0]
    assert len(list(paths.distractor_images.rglob("*.jpg"))) == 2


def test_landmark_layout(data):
    _, paths = data
    for annotations, count in ((paths.landmark_annotations, 3), (paths.landmark_test_annotations, 1)):
        photos = list(read_landmarks(annotations, paths.landmark_images))
        assert len(photos) == count
        for photo in photos:
            x1, y1, x2, y2 = photo.boxes[0]
            assert 50 <= y2 - y1 <= 140
            assert 0 < x1 < x2 < read(photo.image).shape[1]
            assert ((photo.landmarks[0] > (x1, y1)) & (photo.landmarks[0] < (x2, y2))).all()


def test_fddb_layout(data):
    _, paths = data
    sizes = dict(line.split(" ", 1) for line in paths.image_sizes.read_text().splitlines())
    boxes = {photo.name: photo.boxes for photo in read_wider(paths.test_annotations, paths.fddb_images)}
    seen = []
    for fold in (1, 2):
        names = (paths.fddb_folds / f"FDDB-fold-{fold:02d}.txt").read_text().splitlines()
        lines = iter((paths.fddb_folds / f"FDDB-fold-{fold:02d}-ellipseList.txt").read_text().splitlines())
        for name in names:
            assert next(lines) == name
            rows = [next(lines).split() for _ in range(int(next(lines)))]
            assert all(len(row) == 6 and row[5] == "1" for row in rows)
            ellipses = np.array(rows, float)[:, :5]
            np.testing.assert_allclose(ellipse_bounds(ellipses), boxes[f"{name}.jpg"], atol=1)
            height, width = read(paths.fddb_images / f"{name}.jpg").shape[:2]
            assert sizes[name] == f"{width} {height}"
        assert next(lines, None) is None
        seen += names
    assert seen == list(sizes)
    assert len(seen) == 3


def test_an_earlier_data_set_is_replaced(tmp_path):
    few = SyntheticSpec(**{part + "_photos": 0 for part in PARTS if part != "train"}, train_photos=2)
    paths = write_dataset(tmp_path, few, 0, quiet=True)
    write_dataset(tmp_path, SyntheticSpec(**{**asdict(few), "train_photos": 1}), 0, quiet=True)
    assert len(list(paths.wider_images.rglob("*.jpg"))) == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_other_files_are_left_alone(tmp_path):
    mine = tmp_path / "landmarks" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"landmarks: is in the way"):
        write_dataset(tmp_path, SMALL, 0, quiet=True)
    assert mine.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [mine.parent]


@pytest.mark.parametrize(
    "change",
    [
        {"train_photos": -1},
        {"faces": (3, 2)},
        {"face_px": (5, 50)},
        {"face_px": (50, 200)},
        {"folds": 0},
        {"distractors": (-1, 2)},
    ],
    ids=str,
)
def test_bad_specs(change):
    with pytest.raises(InputError, match=f"{next(iter(change))} must be from"):
        SyntheticSpec(**change)
