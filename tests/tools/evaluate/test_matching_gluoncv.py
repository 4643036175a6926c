"""Our average precision beside GluonCV's VOCMApMetric, which matches and integrates by the rules of PASCAL VOC."""

import numpy as np
import pytest

from gluon_mtcnn.core.backend.gluon_cv import gluoncv
from gluon_mtcnn.tools.evaluate.matching import average_precision, match, outcomes, precision_recall

FACES = [
    np.array([[0.0, 0, 9, 9], [100, 0, 109, 9], [0, 100, 9, 109]]),
    np.array([[0.0, 0, 19, 19]]),
]
# A hit, a second box on the same face, a false alarm, a hit moved by three pixels (IoU 70 / 130).
FIRST = [(0, 0, 9, 9, 0.9), (1, 0, 10, 9, 0.8), (50, 50, 59, 59, 0.7), (103, 0, 112, 9, 0.6)]
SECOND = [(0, 0, 19, 17, 0.85), (40, 0, 59, 19, 0.5)]  # a hit and a false alarm
DETECTIONS = [np.array(FIRST), np.array(SECOND)]


def ours(detections, faces, ignore):
    matches = match(detections, faces)
    hits, false = outcomes(matches, np.concatenate(ignore))
    thresholds = np.unique(matches.scores)[::-1]
    return average_precision(
        *precision_recall(matches.scores, hits, false, int(np.sum(~np.concatenate(ignore))), thresholds)
    )


def theirs(detections, faces, ignore):
    metric = gluoncv.utils.metrics.VOCMApMetric(iou_thresh=0.5)
    for rows, boxes, ignored in zip(detections, faces, ignore):
        labels, truth = np.zeros((1, len(rows))), np.zeros((1, len(boxes)))
        difficult = ignored[None].astype(float)
        metric.update(rows[None, :, :4], labels, rows[None, :, 4], boxes[None], truth, difficult)
    return metric.get()[1]


NONE = [np.zeros(3, bool), np.zeros(1, bool)]


def test_average_precision_by_hand_is_that_of_gluoncv():
    # hits in order: .9 yes, .85 yes, .8 no, .7 no, .6 yes, .5 no; four faces, one of them never found
    by_hand = (1 + 1 + 3 / 5) / 4
    assert ours(DETECTIONS, FACES, NONE) == pytest.approx(by_hand)
    assert theirs(DETECTIONS, FACES, NONE) == pytest.approx(by_hand)


def test_ignored_faces_are_vocs_difficult_ones():
    ignore = [np.array([True, False, False]), np.zeros(1, bool)]  # .9 and .8 take no part: 1 at .85, 2 / 3 at .6
    assert ours(DETECTIONS, FACES, ignore) == pytest.approx((1 + 2 / 3) / 3)
    assert theirs(DETECTIONS, FACES, ignore) == pytest.approx((1 + 2 / 3) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_of_random_photos_is_that_of_gluoncv(seed):
    rng = np.random.default_rng(seed)
    faces, detections, ignore = [], [], []
    for _ in range(20):
        corners = 60.0 * np.arange(6)[:, None] + rng.integers(0, 20, (6, 2))
        boxes = np.concatenate([corners, corners + rng.integers(9, 30, (6, 2))], axis=1)
        found = np.repeat(boxes, 3, axis=0) + rng.normal(0, 3, (18, 4))
        faces.append(boxes)
        detections.append(np.column_stack([found, rng.random(18)]))
        ignore.append(rng.random(6) < 0.2)
    expected = theirs(detections, faces, ignore)
    assert 0.1 < expected < 0.9
    assert ours(detections, faces, ignore) == pytest.approx(expected, rel=1e-9)
