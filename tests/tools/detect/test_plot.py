import doctest

import numpy as np
import pytest
from matplotlib.figure import Figure

from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.detect import plot
from gluon_mtcnn.tools.detect.plot import plot_faces

IMAGE = np.dstack([np.full((40, 60), value, np.uint8) for value in (10, 20, 30)])
LANDMARKS = np.arange(20.0).reshape(2, 5, 2)
FACES = Detections(np.array([[9.6, 10.4, 29.5, 28], [-3, 2, 8, 12]]), np.array([0.9, 0.0]), LANDMARKS)


def draw(faces, **options):
    return plot_faces(IMAGE, faces, Figure().subplots(), **options)


def test_every_face_is_drawn_at_the_nearest_pixel():
    boxes = [patch.get_bbox().extents.tolist() for patch in draw(FACES).patches]
    assert boxes == [[10, 10, 30, 28], [-3, 2, 8, 12]]  # plot_bbox alone: 9, 10, 29, 28
    assert [text.get_text().strip() for text in draw(FACES).texts] == ["0.900", "0.000"]


def test_landmarks_are_dots_where_there_are_some():
    np.testing.assert_array_equal(draw(FACES).collections[0].get_offsets(), LANDMARKS.reshape(-1, 2))
    assert not draw(Detections(FACES.boxes, FACES.scores)).collections


@pytest.mark.parametrize(("color", "shown"), [("bgr", [30, 20, 10]), ("rgb", [10, 20, 30])])
def test_matplotlib_is_shown_rgb(color, shown):
    assert draw(FACES, color=color).images[0].get_array()[0, 0].tolist() == shown
    assert IMAGE[0, 0].tolist() == [10, 20, 30]


def test_no_face_is_the_image_alone():
    ax = draw(Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))))
    assert len(ax.images) == 1
    assert not ax.patches


def test_an_unknown_order_of_channels():
    with pytest.raises(ValueError, match="color must be bgr or rgb, but got 'gray'"):
        draw(FACES, color="gray")


def test_the_example():
    assert doctest.testmod(plot).failed == 0
