import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.ops import boxes as ops

number = st.integers(-40, 40)
side = st.integers(1, 30)
box = st.builds(lambda x, y, w, h: (x, y, x + w - 1, y + h - 1), number, number, side, side)


def pixels(b):
    mask = np.zeros((120, 120), bool)
    x1, y1, x2, y2 = (v + 45 for v in b)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def test_iou_by_hand():
    # 10x10 at 0 and 10x10 shifted by 5: 5 * 10 shared, 150 in all
    got = ops.iou(np.array([[0, 0, 9, 9]]), np.array([[5, 0, 14, 9], [0, 0, 9, 9], [10, 0, 19, 9]]))
    np.testing.assert_allclose(got, [[50 / 150, 1, 0]], rtol=1e-6)


@given(box, box)
def test_iou_counts_pixels(a, b):
    mask_a, mask_b = pixels(a), pixels(b)
    got = ops.iou(np.array([a]), np.array([b]))[0, 0]
    assert got == pytest.approx((mask_a & mask_b).sum() / (mask_a | mask_b).sum(), abs=1e-6)
    inside = ops.containment(np.array([a]), np.array([b]))[0, 0]
    assert inside == pytest.approx((mask_a & mask_b).sum() / mask_b.sum(), abs=1e-6)


def test_rescaled_boxes_cover_the_same_part_of_the_image():
    # Pixels 2..3 and 4..7 of an image made 10 times as wide and half as high: 20..39 and 2..3.
    np.testing.assert_array_equal(ops.rescale(np.array([[2, 4, 3, 7]]), 10, 0.5), [[20, 2, 39, 3]])
    boxes = np.array([[0.25, -3, 7.5, 11]])
    np.testing.assert_allclose(ops.rescale(ops.rescale(boxes, 3, 5), 1 / 3, 1 / 5), boxes)
    assert ops.rescale(np.zeros((0, 4)), 2, 2).shape == (0, 4)


def test_containment_sees_a_small_face_in_a_large_crop():
    crop, face = np.array([[0, 0, 99, 99]]), np.array([[40, 40, 49, 49]])
    assert ops.iou(crop, face)[0, 0] == pytest.approx(0.01)
    assert ops.containment(crop, face)[0, 0] == 1


def test_square_by_hand():
    # 11 wide, 21 high: side 21, centre kept
    np.testing.assert_array_equal(ops.square(np.array([[10, 20, 20, 40]])), [[5, 20, 25, 40]])


@given(box)
def test_square_keeps_centre_and_longer_side(b):
    b = np.array([b], np.float64)
    s = ops.square(b)
    np.testing.assert_allclose(s[:, :2] + s[:, 2:], b[:, :2] + b[:, 2:])
    width, height = ops.sides(s)
    assert width == height == max(np.ravel(ops.sides(b)))


def test_encode_by_hand():
    # crop of side 20 at (10, 10), face 12..31 x 8..27
    got = ops.encode(np.array([[12, 8, 31, 27]]), np.array([[10, 10, 29, 29]]))
    np.testing.assert_allclose(got, [[0.1, -0.1, 0.1, -0.1]], rtol=1e-6)


@given(box, box)
def test_decode_undoes_encode(face, crop):
    face, crop = np.array([face], np.float64), np.array([crop], np.float64)
    np.testing.assert_allclose(ops.decode(crop, ops.encode(face, crop)), face, atol=1e-9)


def test_landmarks_round_trip_and_values():
    crop = np.array([[10, 20, 29, 59]], np.float64)  # 20 x 40
    points = np.array([[[10, 20], [30, 20], [20, 40], [15, 50], [25, 60]]], np.float64)
    fractions = ops.encode_landmarks(points, crop)
    np.testing.assert_allclose(fractions, [[0, 0, 1, 0, 0.5, 0.5, 0.25, 0.75, 0.75, 1]])
    np.testing.assert_allclose(ops.decode_landmarks(crop, fractions), points)


def test_mirror_by_hand_and_twice():
    offsets = np.array([[0.1, 0.2, -0.3, 0.4]])
    np.testing.assert_allclose(ops.mirror_offsets(offsets), [[0.3, 0.2, -0.1, 0.4]])
    np.testing.assert_allclose(ops.mirror_offsets(ops.mirror_offsets(offsets)), offsets)
    points = np.array([[0.3, 0.4, 0.7, 0.45, 0.5, 0.6, 0.35, 0.8, 0.65, 0.85]])
    mirrored = ops.mirror_landmarks(points)
    np.testing.assert_allclose(mirrored, [[0.3, 0.45, 0.7, 0.4, 0.5, 0.6, 0.35, 0.85, 0.65, 0.8]])
    np.testing.assert_allclose(ops.mirror_landmarks(mirrored), points)


@given(box, box)
def test_mirrored_offsets_are_those_of_the_mirrored_boxes(face, crop):
    def mirror(b):
        return np.array([[-b[2], b[1], -b[0], b[3]]], np.float64)

    offsets = ops.encode(np.array([face], np.float64), np.array([crop], np.float64))
    np.testing.assert_allclose(ops.mirror_offsets(offsets), ops.encode(mirror(face), mirror(crop)), atol=1e-12)


def test_nothing_in_nothing_out_and_arguments_untouched():
    empty = np.zeros((0, 4))
    assert ops.iou(empty, empty).shape == (0, 0)
    assert ops.square(empty).shape == ops.decode(empty, empty).shape == (0, 4)
    boxes = np.array([[-5.0, -5, 200, 50]])
    before = boxes.copy()
    np.testing.assert_array_equal(ops.clip(boxes, 40, 100), [[0, 0, 99, 39]])
    ops.square(boxes)
    np.testing.assert_array_equal(boxes, before)


def test_from_xywh_is_inclusive():
    np.testing.assert_array_equal(ops.from_xywh(np.array([[3, 4, 10, 1]])), [[3, 4, 12, 4]])


def test_paired_iou_agrees_with_the_matrix():
    rng = np.random.default_rng(1)
    corner = rng.integers(0, 20, (2, 40, 2)).astype(float)
    a, b = np.concatenate([corner, corner + rng.integers(5, 30, (2, 40, 2))], axis=2)
    np.testing.assert_allclose(ops.paired_iou(a, b), np.diag(ops.iou(a, b)))


def test_centres_and_extents_make_the_box_again():
    boxes = np.array([[0, 0, 9, 19], [-5.5, 3, -2, 3]])
    np.testing.assert_array_equal(ops.centres(boxes), [[5, 10], [-3.25, 3.5]])
    np.testing.assert_array_equal(ops.from_centres(ops.centres(boxes), ops.extents(boxes)), boxes)


def test_a_mirrored_box_holds_the_mirrored_pixels():
    image = np.zeros((8, 10), bool)
    image[2:5, 1:4] = True
    (x1, y1, x2, y2) = ops.mirror(np.array([[1, 2, 3, 4]]), 10)[0].astype(int)
    assert image[:, ::-1][y1 : y2 + 1, x1 : x2 + 1].all()
    assert (x2 - x1, y2 - y1) == (2, 2)
    boxes = np.array([[-2.5, 0, 7, 3]])
    np.testing.assert_array_equal(ops.mirror(ops.mirror(boxes, 31), 31), boxes)


def test_squares_from_corners_by_hand():
    np.testing.assert_array_equal(ops.from_corners(np.array([[3.0, 4]]), 12), [[3, 4, 14, 15]])
    sides = np.array([[1.0], [5]])
    found = ops.from_corners(np.array([[0.0, 0], [-2, 7]]), sides)
    np.testing.assert_array_equal(found, [[0, 0, 0, 0], [-2, 7, 2, 11]])
    np.testing.assert_array_equal(ops.extents(found), np.tile(sides, 2))


def test_touching_needs_one_pixel_in_the_image():
    given = [[-5, -5, 0, 0], [-5, -5, -1, 0], [9, 7, 20, 20], [10, 7, 20, 20], [9, 8, 20, 20], [3, 3, 2, 3]]
    np.testing.assert_array_equal(ops.touching(np.array(given, float), 8, 10), [True, False, True, False, False, False])
