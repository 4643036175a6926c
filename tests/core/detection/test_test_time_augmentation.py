import numpy as np

from gluon_mtcnn.core.detection.test_time_augmentation import FACE_VIEWS, LANDMARK_VIEWS, View, support, view_squares


def test_squares_by_hand():
    """A box of 20 x 40 px has a square of 40 px around it, from (0, 10): .05 of that are 2 px, .8 are 32 px."""
    boxes = np.array([[10.0, 10, 29, 49]])
    squares, mirrored = view_squares(boxes, FACE_VIEWS)
    np.testing.assert_array_equal(squares[:, 0], [[4, 14, 35, 45], [-2, 8, 41, 51], [2, 12, 41, 51], [-2, 8, 37, 47]])
    np.testing.assert_array_equal(mirrored, [[False], [False], [True], [True]])
    squares, mirrored = view_squares(boxes, LANDMARK_VIEWS)  # .85 are 34 px
    np.testing.assert_array_equal(squares[:, 0], [[3, 13, 36, 46], [5, 15, 38, 48], [1, 15, 34, 48]])
    assert not mirrored.any()


def test_squares_are_square_whole_pixels_and_never_empty():
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(-50, 200, (500, 2)), rng.uniform(0, 90, (500, 2))
    squares, mirrored = view_squares(np.concatenate([corner, corner + size], axis=1), (*FACE_VIEWS, View(0.1)))
    sides = squares[..., 2:] - squares[..., :2] + 1
    assert squares.shape == (5, 500, 4)
    assert mirrored.shape == (5, 500)
    np.testing.assert_array_equal(squares, np.rint(squares))
    np.testing.assert_array_equal(sides[..., 0], sides[..., 1])
    assert sides.min() == 1


def test_no_boxes_give_no_squares():
    squares, mirrored = view_squares(np.zeros((0, 4)), FACE_VIEWS)
    assert squares.shape == (4, 0, 4)
    assert mirrored.shape == (4, 0)


def test_support_by_hand():
    """Twice a box of 12 columns, one 4 further (IoU 8/16: counts for one), one 9 further (3/21: nothing; 7/17)."""
    boxes = np.array([[0.0, 0, 11, 9], [0, 0, 11, 9], [4, 0, 15, 9], [9, 0, 20, 9]])
    weight = (7 / 17 - 0.3) / 0.2  # of the last two for each other
    np.testing.assert_allclose(support(boxes), 0.6 * np.log(np.array([3, 3, 3 + weight, 1 + weight]) / 2), rtol=1e-6)


def test_no_boxes_and_boxes_without_area():
    assert support(np.zeros((0, 4))).shape == (0,)
    np.testing.assert_allclose(support(np.array([[5.0, 5, 4, 4], [5, 5, 4, 4]])), 0.6 * np.log([0.5, 0.5]), rtol=1e-6)
