import numpy as np
import pytest

from gluon_mtcnn.core.ops.image import crop_and_resize
from gluon_mtcnn.core.types import Crops
from gluon_mtcnn.prepare_data.sampling.candidates import ROW, Samples, cut, plan_rows


def rows_of(boxes, angle=0.0, mirror=False):
    count = len(boxes)
    crops = Crops(boxes, np.zeros(count), np.zeros((count, 4)), np.zeros((count, 10)))
    samples = Samples(crops, np.full(count, angle, np.float32), np.full(count, mirror))
    return plan_rows(7, samples, np.random.default_rng(0))


def test_rows():
    rows = rows_of([[0, 0, 11, 11], [1, 2, 30, 31]], 5, True)
    assert rows.dtype == ROW
    assert (rows["photo"] == 7).all()
    assert (rows["key"] >= 0).all()
    np.testing.assert_array_equal(rows["box"][1], [1, 2, 30, 31])


def test_upright_crops_are_those_of_the_detector():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    boxes = np.array([[5, 6, 30, 31], [-5, -5, 14, 14], [70, 50, 93, 73]])
    np.testing.assert_array_equal(cut(image, rows_of(boxes), 12), crop_and_resize(image, boxes, 12))
    np.testing.assert_array_equal(
        cut(image, rows_of(boxes, mirror=True), 12), crop_and_resize(image, boxes, 12)[:, :, ::-1]
    )


@pytest.mark.parametrize("size", [12, 24])
def test_a_hardly_turned_crop_samples_the_same_places_as_an_upright_one(size):
    ramp = np.add.outer(np.arange(60) * 2, np.arange(80)).astype(np.uint8)
    image = np.repeat(ramp[..., None], 3, axis=2)
    boxes = np.array([[10, 12, 39, 41]])
    upright, turned = cut(image, rows_of(boxes), size), cut(image, rows_of(boxes, 1e-4), size)
    assert np.abs(upright.astype(int) - turned).max() <= 1


def test_a_quarter_turn():
    image = np.zeros((24, 24, 3), np.uint8)
    image[12, 20] = 255  # right of the centre
    (crop,) = cut(image, rows_of([[0, 0, 24, 24]], 90.0), 25)
    # turned clockwise, what was right is on top: as test_turning_by_a_quarter says of points
    y, x = np.unravel_index(crop[..., 0].argmax(), (25, 25))
    assert (x, y) == (12, 4)
