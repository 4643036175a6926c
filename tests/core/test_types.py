import numpy as np
import pytest

from gluon_mtcnn.core.types import Annotation, Crops, Detections


def test_detections_are_typed_and_sliceable():
    empty = Detections.empty(landmarks=True)
    assert (empty.boxes.shape, empty.scores.shape, empty.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))
    assert empty.as_array().shape == (0, 5)
    two = Detections([[0, 0, 9, 9], [5, 5, 8, 8]], [0.5, 0.25])
    assert two.boxes.dtype == np.float32
    assert two[np.array([False, True])].as_array().tolist() == [[5, 5, 8, 8, 0.25]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Detections(np.zeros((2, 5)), np.zeros(2)), r"boxes must be \('_', 4\), but got \(2, 5\)"),
        (lambda: Detections(np.zeros((2, 4)), np.zeros(3)), r"scores must be \(2,\), but got \(3,\)"),
        (lambda: Annotation("a", np.zeros((1, 4)), [False], np.zeros((1, 10))), r"landmarks must be \(1, 5, 2\)"),
    ],
)
def test_shapes_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_crops_rows_and_concatenation():
    crops = Crops([[0, 0, 11, 11]], [1], [[0.1, 0.2, 0.3, 0.4]], [[0] * 10])
    both = Crops.concatenate([crops, crops[:0], crops])
    assert len(both) == 2
    assert both.rows().shape == (2, 15)
    np.testing.assert_allclose(both.rows()[1, :5], [1, 0.1, 0.2, 0.3, 0.4])
    assert len(Crops.concatenate([])) == 0
