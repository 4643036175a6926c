"""Our intersection over union beside GluonCV's, whose offset of 1 is inclusive pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.backend.gluon_cv import gluoncv
from gluon_mtcnn.core.ops.boxes import iou

corner, side = st.floats(-40, 40), st.floats(0, 30)
boxes = st.lists(st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, side, side), min_size=1, max_size=6)


def shared(a, b):
    """Return how far boxes reach into each other in x and y (n, m, 2), as GluonCV measures it: without the offset."""
    return np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])


@given(boxes, boxes)
def test_iou_is_that_of_gluoncv_where_more_than_one_pixel_is_shared(ours, theirs):
    a, b = np.array(ours), np.array(theirs)
    more = (shared(a, b) > 0).all(axis=2)
    np.testing.assert_allclose(iou(a, b)[more], gluoncv.utils.bbox_iou(a, b, offset=1)[more], rtol=1e-12)


@pytest.mark.parametrize(("other", "expected"), [([9, 0, 18, 9], 10 / 190), ([9, 9, 18, 18], 1 / 199)])
def test_gluoncv_does_not_count_one_shared_column_or_pixel(other, expected):
    """Its test for an overlap, x1 < x2, is that of boxes without an offset."""
    box, other = np.array([[0.0, 0, 9, 9]]), np.array([other], float)
    assert iou(box, other)[0, 0] == pytest.approx(expected)
    assert gluoncv.utils.bbox_iou(box, other, offset=1)[0, 0] == 0
