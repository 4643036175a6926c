from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.ops.boxes import containment, decode, iou
from gluon_mtcnn.core.types import ALL_FACES, LANDMARK, NEGATIVE, ONE_FACE, PART, POSITIVE, Annotation
from gluon_mtcnn.prepare_data.sampling.landmarks import landmark_samples, turn_faces
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner, sample_boxes
from gluon_mtcnn.prepare_data.sampling.squares import (
    DEFAULT,
    NEITHER,
    RECIPES,
    Faces,
    around_faces,
    first_of_each,
    jitter,
    label_squares,
    near_faces,
    random_negatives,
    size_class,
)

FACE = [100, 100, 149, 149]  # 50 px


def faces_of(*boxes, usable=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Faces(boxes, np.ones(len(boxes), bool) if usable is None else np.array(usable))


@pytest.mark.parametrize(
    ("square", "label", "why"),
    [
        ([100, 100, 149, 149], POSITIVE, "IoU 1"),
        ([110, 100, 159, 149], POSITIVE, "shifted by 10 of 50: IoU 40/60 = .667"),
        ([111, 100, 160, 149], PART, "by 11: 39/61 = .639"),
        ([121, 100, 170, 149], PART, "by 21: 29/71 = .408"),
        ([122, 100, 171, 149], NEITHER, "by 22: 28/72 = .389"),
        ([126, 100, 175, 149], NEITHER, "by 26: 24/76 = .316"),
        ([128, 100, 177, 149], NEGATIVE, "by 28: 22/78 = .282, and holds 44 % of the face"),
        ([0, 0, 11, 11], NEGATIVE, "far away"),
        ([50, 50, 249, 249], NEITHER, "IoU .0625, but it holds the whole face"),
        ([104, 50, 253, 199], NEITHER, "holds 92 % of it: 46 of 50 columns"),
        ([106, 50, 255, 199], NEGATIVE, "holds 88 % of it: 44 of 50 columns"),
    ],
)
def test_labels_by_hand(square, label, why):
    labels, best = label_squares(np.array([square]), faces_of(FACE))
    assert labels[0] == label, why
    assert best[0] == 0


def test_a_face_that_is_not_usable_makes_no_sample_of_any_kind():
    faces = faces_of(FACE, usable=[False])
    squares = np.array([FACE, [121, 100, 170, 149], [50, 50, 249, 249], [0, 0, 11, 11]])
    np.testing.assert_array_equal(label_squares(squares, faces)[0], [NEITHER, NEITHER, NEITHER, NEGATIVE])


def test_the_best_of_all_faces_decides():
    faces = faces_of(FACE, [104, 100, 153, 149], usable=[True, False])
    squares = np.array([FACE, [105, 100, 154, 149]])  # IoU .667 and .9 with the first; 1 and .96 with the other
    labels, best = label_squares(squares, faces)
    np.testing.assert_array_equal(best, [0, 1])
    np.testing.assert_array_equal(labels, [POSITIVE, NEITHER])


def test_without_faces_all_is_negative():
    labels, best = label_squares(np.array([[0, 0, 11, 11]]), faces_of())
    assert (labels[0], best[0]) == (NEGATIVE, 0)


def test_labels_do_not_depend_on_the_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    faces = faces_of(*jitter(rng, np.array([FACE] * 7)))
    squares = jitter(rng, np.array([FACE] * 50))
    whole = label_squares(squares, faces)
    monkeypatch.setattr("gluon_mtcnn.prepare_data.sampling.squares.PAIRS", 20)
    for a, b in zip(whole, label_squares(squares, faces)):
        np.testing.assert_array_equal(a, b)


def test_first_of_each():
    groups = np.array([0, 0, 0, 2, 2, 3])
    np.testing.assert_array_equal(first_of_each(groups, [2, 9, 1, 0]), [True, True, False, True, False, False])
    assert first_of_each(np.zeros(0, np.int64), [1]).shape == (0,)


def test_size_class_counts_the_longer_side():
    boxes = np.array([[0, 0, 18, 5], [0, 0, 19, 5], [0, 0, 5, 39], [0, 0, 199, 199]])
    np.testing.assert_array_equal(size_class(boxes, (20, 40, 100)), [0, 1, 2, 3])


def test_jitter_sides_and_centres():
    box = np.array([[10, 20, 49, 119]])  # 40 x 100
    squares = jitter(np.random.default_rng(2), np.repeat(box, 3000, axis=0))
    side = squares[:, 2] - squares[:, 0] + 1
    np.testing.assert_array_equal(side, squares[:, 3] - squares[:, 1] + 1)
    assert (side.min(), side.max()) == (32, 124)  # .8 * 40 up to, but not, 1.25 * 100
    centres = (squares[:, :2] + squares[:, 2:] + 1) / 2 - [30, 70]
    assert np.abs(centres).max(axis=0) == pytest.approx([8, 20], abs=1)  # .2 of each side, and rounding


@given(
    st.integers(0, 2**32),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(0, 12),
    st.sampled_from(sorted(RECIPES)),
)
def test_every_sample_is_what_it_says(seed, width, height, count, recipe):
    rng = np.random.default_rng(seed)
    corner = rng.integers(-20, 300, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(-2, 120, (count, 2))], axis=1)
    annotation = Annotation("a", boxes, rng.random(count) < 0.2)
    recipe = RECIPES[recipe]["pnet"]
    faces = Faces.of(annotation, recipe.min_face)
    crops = sample_boxes(rng, faces, width, height, recipe)
    assert set(crops.labels.tolist()) <= {POSITIVE, NEGATIVE, PART}
    if len(crops) == 0:
        return
    side = crops.boxes[:, 2:] - crops.boxes[:, :2] + 1
    assert (side[:, 0] == side[:, 1]).all()
    assert (crops.boxes >= 0).all()
    assert (crops.boxes[:, [0, 2]] < width).all()
    assert (crops.boxes[:, [1, 3]] < height).all()
    negative = crops.labels == NEGATIVE
    assert not crops.offsets[negative].any()
    assert not crops.landmarks.any()
    if len(faces.boxes) == 0:
        assert negative.all()
        return
    overlap = iou(crops.boxes, faces.boxes)
    assert (overlap[negative] < 0.3).all()
    assert (containment(crops.boxes[negative], faces.boxes) <= 0.9 + 1e-6).all()
    with_face = np.flatnonzero(~negative)
    best = overlap[with_face].argmax(axis=1)
    assert faces.usable[best].all()
    highest = overlap[with_face, best]
    np.testing.assert_array_equal(crops.labels[with_face], np.where(highest >= 0.65, POSITIVE, PART))
    assert (highest >= 0.4).all()
    found = decode(crops.boxes[with_face], crops.offsets[with_face])
    np.testing.assert_allclose(found, faces.boxes[best], atol=1e-3)  # the target is that of the square as it is cut


def test_caps_a_face_depend_on_its_size():
    faces = faces_of([10, 10, 31, 31], [100, 100, 249, 249])
    squares = around_faces(np.random.default_rng(0), faces, 400, 400, DEFAULT)
    labels, best = label_squares(squares, faces)
    small, large = (np.count_nonzero((labels == POSITIVE) & (best == face)) for face in (0, 1))
    assert 0 < small <= DEFAULT.positives[1]
    assert small < large <= DEFAULT.positives[3]


def test_what_a_face_has_counts_towards_its_cap():
    faces = faces_of(FACE)
    have = np.array([[1000], [0]])
    squares = around_faces(np.random.default_rng(0), faces, 400, 400, DEFAULT, have=have)
    assert (label_squares(squares, faces)[0] == PART).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (11, 400), (12, 12), (13, 24), (24, 24)])
def test_small_photos(width, height):
    rng = np.random.default_rng(0)
    for recipe in RECIPES.values():
        squares = random_negatives(rng, faces_of(), width, height, recipe["pnet"], 10)
        assert len(squares) == (0 if min(width, height) < 12 else 10)


def test_a_photo_full_of_faces_ends():
    assert len(random_negatives(np.random.default_rng(0), faces_of([0, 0, 12, 12]), 13, 13, DEFAULT, 50)) == 0
    grid = np.stack(np.meshgrid(np.arange(0, 400, 8), np.arange(0, 400, 8)), axis=-1).reshape(-1, 2)
    faces = faces_of(*np.concatenate([grid, grid + 7], axis=1))  # 2,500 faces
    crops = sample_boxes(np.random.default_rng(0), faces, 400, 400, DEFAULT)
    assert len(crops) > 0


def test_near_faces_lie_near():
    faces = faces_of(FACE)
    squares = near_faces(np.random.default_rng(0), faces_of(*[FACE] * 50), 400, 400, DEFAULT)
    side = squares[:, 2] - squares[:, 0] + 1
    assert (side >= 12).all()
    assert (side <= 75).all()
    grown = np.array([[100 - 75, 100 - 75, 150 + 75, 150 + 75]])
    assert (containment(grown, squares) == 1).all()
    assert np.count_nonzero(label_squares(squares, faces)[0] == NEGATIVE) > 20


def test_the_seanlinx_recipe_has_its_constants():
    recipe = RECIPES["seanlinx"]["pnet"]
    assert (recipe.min_face, recipe.negatives, recipe.near_negatives, recipe.tries[0]) == (40, 50, 5, 20)
    squares = random_negatives(np.random.default_rng(0), faces_of(), 200, 100, recipe, 2000)
    side = squares[:, 2] - squares[:, 0] + 1
    assert (side.min(), side.max()) == (12, 49)  # [12, min(w, h) / 2)


def face_with_points():
    points = np.array([[[115, 120], [135, 121], [125, 130], [117, 140], [133, 141]]], np.float32)
    return Annotation("a", [FACE], [False], points)


def test_landmark_samples_hold_all_points_and_match_the_face():
    annotation = face_with_points()
    samples = landmark_samples(np.random.default_rng(0), annotation, 400, 400, DEFAULT)
    crops = samples.crops
    assert 0 < len(crops) <= DEFAULT.landmarks
    assert (crops.labels == LANDMARK).all()
    assert ((crops.landmarks > 0) & (crops.landmarks < 1)).all()
    assert np.abs(samples.angle).max() <= DEFAULT.rotation
    assert 0 < np.count_nonzero(samples.angle) < len(crops)
    assert 0 < np.count_nonzero(samples.mirror) < len(crops)
    x = crops.landmarks[:, 0::2]
    assert (x[:, 0] < x[:, 1]).all()  # the left eye is left, mirrored or not
    assert (x[:, 3] < x[:, 4]).all()
    plain = np.flatnonzero((samples.angle == 0) & ~samples.mirror)[0]
    box = crops.boxes[plain]
    expected = (annotation.landmarks[0] - box[:2]) / (box[2] - box[0] + 1)
    np.testing.assert_allclose(crops.landmarks[plain].reshape(5, 2), expected, atol=1e-6)


def test_a_mirrored_landmark_sample_by_hand():
    samples = landmark_samples(np.random.default_rng(0), face_with_points(), 400, 400, DEFAULT)
    i = np.flatnonzero((samples.angle == 0) & samples.mirror)[0]
    x1, side = samples.crops.boxes[i, 0], samples.crops.boxes[i, 2] - samples.crops.boxes[i, 0] + 1
    assert samples.crops.landmarks[i, 0] == pytest.approx(1 - (135 - x1) / side, abs=1e-6)  # was the right eye
    assert samples.crops.offsets[i, 0] == pytest.approx(-(149 - samples.crops.boxes[i, 2]) / side, abs=1e-6)


def test_the_shift_of_a_list_is_kept_by_mirrored_samples():
    """Points 3 px right of what they mark: what lies at x is listed at x + 3, in a mirror image as in the photo."""
    shifted = replace(DEFAULT, landmark_shift=3.0)
    as_listed, kept = (
        landmark_samples(np.random.default_rng(0), face_with_points(), 400, 400, recipe)
        for recipe in (DEFAULT, shifted)
    )
    side = (kept.crops.boxes[:, 2] - kept.crops.boxes[:, 0] + 1)[:, None]
    moved = kept.crops.landmarks - as_listed.crops.landmarks
    np.testing.assert_allclose(moved[:, ::2], np.where(kept.mirror[:, None], 6 / side, 0) * np.ones(5), atol=1e-6)
    assert not moved[:, 1::2].any()


def test_turning_by_a_quarter():
    square = np.array([[0, 0, 99, 99]])  # centre 50, 50
    boxes, points = turn_faces(np.array([[70.0, 40, 89, 59]]), np.full((1, 5, 2), [90.0, 50]), square, np.array([90]))
    # A square turned clockwise shows what lies to its right (as the photo is seen) at its top.
    np.testing.assert_allclose(points[0], np.full((5, 2), [50, 10]), atol=1e-9)
    np.testing.assert_allclose(boxes[0], [40, 10, 59, 29], atol=1e-9)


@pytest.mark.parametrize("case", ["small", "ignored", "unknown points", "no landmarks"])
def test_faces_without_landmark_samples(case):
    annotation = face_with_points()
    if case == "small":
        annotation.boxes = np.array([[100, 100, 138, 138]], np.float32)
    elif case == "ignored":
        annotation.ignore = np.array([True])
    elif case == "unknown points":
        annotation.landmarks = np.full((1, 5, 2), np.nan, np.float32)
    else:
        annotation.landmarks = None
    assert len(landmark_samples(np.random.default_rng(0), annotation, 400, 400, DEFAULT).crops) == 0


def test_of_a_photo_with_one_listed_face_only_landmarks_are_used():
    planner, rng = PNetPlanner(DEFAULT), np.random.default_rng(0)
    listed = planner.plan(0, ONE_FACE, face_with_points(), 400, 400, rng)
    assert set(listed.crops.labels.tolist()) == {LANDMARK}
    every = planner.plan(0, ALL_FACES, face_with_points(), 400, 400, rng)
    assert set(every.crops.labels.tolist()) == {LANDMARK, POSITIVE, NEGATIVE, PART}
