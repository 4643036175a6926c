import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.detection.official_cascade import OfficialCascade, crop, resample, squares
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.core.types import NETS

OFFSETS = (0.1, -0.2, 0.3, 0.4)
FRACTIONS = (0.2, 0.3, 0.7, 0.4, 0.5, 0.5, 0.3, 0.8, 0.6, 0.9)


def constant_net(kind):
    """A net that sees a face of probability .88 everywhere, with the same offsets and points."""
    net = build(NetSpec(kind, landmarks=kind == "onet", order="prelu_first"))
    net.initialize(mx.init.Zero())
    net.face_head.bias.set_data(mx.nd.array([0, 2]))
    net.box_head.bias.set_data(mx.nd.array(OFFSETS))
    if kind == "onet":
        net.landmark_head.bias.set_data(mx.nd.array(FRACTIONS))
    return net


@pytest.fixture(scope="module")
def cascade():
    return OfficialCascade({kind: constant_net(kind) for kind in NETS}, 20, 0.5, (0.6, 0.7, 0.7))


def test_resampling_averages_areas_and_enlarges_bilinearly():
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    np.testing.assert_allclose(resample(image, 2, 2).squeeze(), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_allclose(resample(np.float32([[0, 4]])[..., None], 1, 4).squeeze(), [0, 1, 3, 4])


def test_squares_are_truncated_from_one():
    boxes = [[1.5, 2.5, 11.9, 6.5], [-9, -9, 0.9, 0.9], [-3.9, 0, 2, 1], [50, 50, 60, 60], [101, 1, 105, 5]]
    # sides 10.4, 9.9, 5.9, 10, 4; the second ends before the first pixel, the last begins after the last column
    np.testing.assert_allclose(
        squares(np.array(boxes), (80, 100, 3)), [[1, 0, 11, 9], [-3, -2, 2, 3], [50, 50, 60, 60]]
    )


def test_boxes_are_single_precision_where_they_are_truncated():
    """The square around this box ends at 178.99999 in double precision and at 179 in single."""
    box = np.array([[145.6, 11.64, 174.9, 49.14]], np.float32)
    assert squares(box, (500, 500, 3)).tolist() == [[141, 11, 179, 49]]
    assert squares(box.astype(np.float64), (500, 500, 3)).tolist() == [[141, 11, 178, 49]]


def test_scales_are_powers_of_the_factor(cascade, monkeypatch):
    scales = []
    monkeypatch.setattr(cascade, "_level", lambda image, scale: scales.append(scale) or np.zeros((0, 9), np.float32))
    monkeypatch.setattr(cascade, "_factor", 0.709)
    monkeypatch.setattr(cascade, "_min_face", 20)
    cascade.propose(np.zeros((1200, 1600, 3), np.uint8))
    assert scales == [0.6 * 0.709**level for level in range(12)]


def test_crops_are_zero_beyond_the_image():
    image = np.full((4, 6, 3), 200, np.uint8)
    found = crop(image, np.array([[-4, 0, 3, 3], [2, 2, 3, 3]]), 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, :, :, 0], [[0, 0, 200, 200]] * 4)
    np.testing.assert_array_equal(found[1], np.full((4, 4, 3), 200))


def test_cells_of_the_pyramid(cascade):
    """A photo of 30 x 23 has two levels, of 18 x 14 at scale .6 and none at .3: 4 x 2 cells, 3 of them left by NMS."""
    found = cascade.propose(np.zeros((23, 30, 3), np.uint8))
    before, after = found.before, found.after
    assert found.landmarks is None
    cells = [
        [np.trunc(v / 0.6) - 1 for v in (2 * x + 1, 2 * y + 1, 2 * x + 12, 2 * y + 12)]
        for x in range(4)
        for y in (0, 1)
    ]
    kept = before[:, :4].tolist()
    assert all(box in cells for box in kept)
    assert kept[-1] == cells[-1]  # first of its level, being the last of equal scores; then last of all, likewise
    overlaps = iou(before[:, :4], before[:, :4])
    assert (overlaps[~np.eye(len(kept), dtype=bool)] <= 0.5).all()
    sides = np.tile(before[:, 2:4] - before[:, :2], 2)
    np.testing.assert_allclose(after[:, :4], before[:, :4] + sides * OFFSETS, rtol=1e-6)
    np.testing.assert_allclose(after[:, 4], 1 / (1 + np.exp(-2)), rtol=1e-6)


def test_refining_by_hand(cascade):
    image = np.zeros((200, 200, 3), np.uint8)
    found = cascade.refine("rnet", image, np.array([[9.5, 19.5, 29.5, 39.5]]))
    before, after = found.before, found.after
    np.testing.assert_allclose(before[0, :4], [9, 19, 29, 39])  # 10.5 .. 30.5 from one, truncated
    np.testing.assert_allclose(after[0, :4], before[0, :4] + 21 * np.array(OFFSETS), rtol=1e-6)
    assert found.landmarks is None
    found = cascade.refine("onet", image, np.array([[9.5, 19.5, 29.5, 39.5]]))
    before, after = found.before, found.after
    np.testing.assert_allclose(after[0, :4], before[0, :4] + 21 * np.array(OFFSETS), rtol=1e-6)
    # Mean of l and of the mirrored l: eyes .2 and 1 - .7, at heights .3 and .4; the nose stays; mouth .3 and 1 - .6.
    mean = np.array([[0.25, 0.35], [0.75, 0.35], [0.5, 0.5], [0.35, 0.85], [0.65, 0.85]])
    np.testing.assert_allclose(found.landmarks[0], [9, 19] + 21 * mean, rtol=1e-6)
