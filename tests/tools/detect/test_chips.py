import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.detect.chips import ARCFACE_POINTS, face_chips, similarity_transforms


def umeyama(points, targets):
    """The general form of the paper, by singular value decomposition, equations 38 to 43."""
    source, target = points - points.mean(axis=0), targets - targets.mean(axis=0)
    u, d, v = np.linalg.svd(target.T @ source / len(points))
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ sign @ v
    scale = np.trace(np.diag(d) @ sign) / (source**2).sum(axis=1).mean()
    shift = targets.mean(axis=0) - scale * rotation @ points.mean(axis=0)
    return np.column_stack([scale * rotation, shift])


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        ([[1, 0, 0], [0, 1, 0]], "nothing"),
        ([[1, 0, 7], [0, 1, -3]], "shift"),
        ([[2.5, 0, 0], [0, 2.5, 0]], "scale"),
        ([[0, -1, 0], [1, 0, 0]], "a quarter turn"),
        ([[-0.5, 0, 4], [0, -0.5, 9]], "half a turn at half the size"),
        ([[0.6, -0.8, 1], [0.8, 0.6, 2]], "the turn of a 3-4-5 triangle, and a shift"),
    ],
)
def test_a_similarity_is_recovered_exactly(matrix, why):
    matrix = np.array(matrix, float)
    points = np.array([[0.0, 0], [4, 0], [2, 3], [1, 5], [3, 5]])
    targets = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(similarity_transforms(points[None], targets)[0], matrix, atol=1e-12, err_msg=why)


def test_the_best_fit_is_umeyamas_even_for_mirrored_points():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 5, 2)) * 30 + 100
    points[10:, :, 0] *= -1
    found = similarity_transforms(points, ARCFACE_POINTS)
    np.testing.assert_allclose(found, [umeyama(p, ARCFACE_POINTS) for p in points], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[:, 0, 0], found[:, 1, 1])  # a rotation times a scale, no mirror
    np.testing.assert_allclose(found[:, 0, 1], -found[:, 1, 0])
    assert similarity_transforms(np.zeros((0, 5, 2)), ARCFACE_POINTS).shape == (0, 2, 3)
    assert np.isnan(similarity_transforms(np.ones((1, 5, 2)), ARCFACE_POINTS)).all()


def marked_face(matrix):
    """A black photo with a white spot at each point of an ArcFace template that lies by the matrix."""
    photo = np.zeros((300, 300, 3), np.uint8)
    points = ARCFACE_POINTS @ np.array(matrix)[:, :2].T + np.array(matrix)[:, 2]
    for x, y in points:
        cv2.circle(photo, (round(x * 16), round(y * 16)), 4 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return photo, points


def centres(chip):
    """The middles of the white spots, from left to right."""
    _, _, _, centroids = cv2.connectedComponentsWithStats((chip[..., 0] > 127).astype(np.uint8))
    return centroids[1:][centroids[1:, 0].argsort()]


@pytest.mark.parametrize("size", [112, 224])
def test_the_points_of_an_aligned_chip_lie_at_the_template(size):
    photo, points = marked_face([[1.2, -0.9, 120], [0.9, 1.2, 20]])
    faces = Detections([[50, 50, 250, 250]], [0.9], points[None])
    chips = face_chips(photo, faces, size)
    assert chips.shape == (1, size, size, 3)
    expected = ARCFACE_POINTS[[0, 3, 2, 4, 1]] * size / 112  # from left to right
    np.testing.assert_allclose(centres(chips[0]), expected, atol=0.6)


def test_a_face_at_the_far_end_of_an_image_that_opencv_cannot_warp():
    photo, points = marked_face([[1.5, 0, 60], [0, 1.5, 60]])
    near = face_chips(photo, Detections([[0, 0, 9, 9]], [1], points[None]))
    wide = np.zeros((300, 40_000, 3), np.uint8)
    wide[:, -300:] = photo
    shifted = Detections([[39_700, 0, 39_709, 9]], [1], points[None] + [39_700, 0])
    far = face_chips(wide, shifted)
    assert np.abs(far.astype(int) - near).max() <= 16  # OpenCV rounds places to 1/32 pixel, from another origin
    assert face_chips(wide, Detections([[0, 0, 9, 9]], [1], points[None] - 5000)).max() == 0  # all of it outside


def test_a_margin_crop():
    photo = np.zeros((100, 100, 3), np.uint8)
    photo[40:60, 30:70] = 200
    faces = Detections([[30, 40, 69, 59]], [1])  # 40 x 20: its square is 30..69, 30..69
    (chip,) = face_chips(photo, faces, 40, margin=0)
    np.testing.assert_array_equal(chip, photo[30:70, 30:70])
    (chip,) = face_chips(photo, faces, 60, margin=0.25)  # ten pixels more on each side
    np.testing.assert_array_equal(chip, photo[20:80, 20:80])
    (chip,) = face_chips(photo, faces, 56)  # no points: .2, eight pixels
    np.testing.assert_array_equal(chip, photo[22:78, 22:78])
    (beyond,) = face_chips(photo, Detections([[90, 90, 109, 109]], [1]), 20, margin=0)
    assert beyond.max() == 0


def test_points_in_one_place_and_no_faces():
    photo = np.full((50, 50, 3), 9, np.uint8)
    faces = Detections([[10, 10, 19, 19]], [1], np.full((1, 5, 2), 15))
    np.testing.assert_array_equal(face_chips(photo, faces), np.full((1, 112, 112, 3), 9))
    assert face_chips(photo, Detections.empty()).shape == (0, 112, 112, 3)
    assert face_chips(photo, Detections.empty(landmarks=True)).shape == (0, 112, 112, 3)
