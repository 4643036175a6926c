import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.tools.evaluate.matching import (
    average_precision,
    best_faces,
    counts_at,
    match,
    operating_point,
    outcomes,
    precision_recall,
)

FACES = np.array([[0.0, 0, 9, 9], [100, 0, 109, 9]])


def detections(*rows):
    return np.array(rows, np.float64).reshape(-1, 5)


def test_best_faces_takes_overlap_of_exactly_half():
    boxes = np.array([[0.0, 0, 9, 4], [0, 0, 9, 3.9], [100, 0, 109, 9], [50, 0, 59, 9]])
    assert best_faces(boxes, FACES).tolist() == [0, -1, 1, -1]


def test_of_equally_good_faces_the_first_counts():
    assert best_faces(FACES[:1], np.repeat(FACES[:1], 3, axis=0)).tolist() == [0]


def test_best_faces_without_boxes_or_faces():
    assert best_faces(np.zeros((0, 4)), FACES).shape == (0,)
    assert best_faces(FACES, np.zeros((0, 4))).tolist() == [-1, -1]


def test_box_of_negative_size_meets_no_face():
    assert best_faces(np.array([[9.0, 9, 0, 0], [109, 9, 100, 0]]), FACES).tolist() == [-1, -1]


def test_best_faces_equals_the_whole_matrix_over_many_blocks():
    rng = np.random.default_rng(3)
    corner, face_corner = rng.uniform(0, 100, (3000, 2)), rng.uniform(0, 100, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(-5, 40, (3000, 2))], axis=1)
    faces = np.concatenate([face_corner, face_corner + rng.uniform(1, 40, (60, 2))], axis=1)
    overlap = iou(boxes, faces)
    expected = np.where(overlap.max(axis=1) >= 0.5, overlap.argmax(axis=1), -1)
    assert np.sum(expected >= 0) > 50
    np.testing.assert_array_equal(best_faces(boxes, faces), expected)


def test_second_detection_of_a_face_is_false_whatever_the_order():
    for order in ([0, 1], [1, 0]):
        rows = detections([0, 0, 9, 9, 0.6], [0, 0, 9, 8, 0.9])[order]
        hits, false = outcomes(match([rows], [FACES]), np.zeros(2, bool))
        assert hits[order].tolist() == [False, True]
        assert false[order].tolist() == [True, False]


def test_a_detection_looks_at_its_best_face_only():
    # The second box overlaps both faces by more than .5, its best one is taken: it is false though the other is free.
    faces = np.array([[0.0, 0, 9, 9], [0, 2, 9, 11]])
    rows = detections([0, 0, 9, 9, 0.9], [0, 0.5, 9, 9.5, 0.8])
    assert (iou(rows[1:, :4], faces) > 0.5).all()
    hits, false = outcomes(match([rows], [faces]), np.zeros(2, bool))
    assert hits.tolist() == [True, False]
    assert false.tolist() == [False, True]


def test_detections_of_ignored_faces_are_not_counted():
    rows = detections([0, 0, 9, 9, 0.9], [0, 0, 9, 9, 0.8], [100, 0, 109, 9, 0.7])
    hits, false = outcomes(match([rows], [FACES]), np.array([True, False]))
    assert hits.tolist() == [False, False, True]
    assert not false.any()


def test_faces_are_numbered_over_photos():
    rows = detections([0, 0, 9, 9, 0.5])
    matches = match([rows, rows, rows], [FACES, np.zeros((0, 4)), FACES[::-1]])
    assert matches.faces.tolist() == [0, -1, 3]
    assert matches.first.tolist() == [True, False, True]


def test_match_of_nothing():
    matches = match([], [])
    assert len(matches.scores) == len(matches.faces) == len(matches.first) == 0


def test_match_wants_as_many_photos():
    with pytest.raises(ValueError, match="detections of 1 photos but faces of 2"):
        match([detections()], [FACES, FACES])


def test_counts_include_scores_at_the_threshold():
    scores, flags = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, True])
    assert counts_at(scores, flags, np.array([0.95, 0.9, 0.5, 0.0])).tolist() == [0, 1, 2, 3]
    assert counts_at(scores, flags, np.array([0.2])).tolist() == [2]  # .1 is below the last


def test_precision_recall_by_hand():
    scores = np.array([0.9, 0.8, 0.7])
    hits, false = np.array([True, False, True]), np.array([False, True, False])
    precision, recall = precision_recall(scores, hits, false, 4, np.array([0.9, 0.8, 0.7]))
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [1 / 4, 1 / 4, 2 / 4])
    assert average_precision(precision, recall) == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3)


def test_average_precision_of_nothing_is_zero():
    assert average_precision(np.zeros(0), np.zeros(0)) == 0


def test_operating_point_counts_scores_above_it():
    scores = np.array([0.9, 0.7, 0.8])
    hits, false = np.array([True, True, False]), np.array([False, False, True])
    assert operating_point(scores, hits, false, 4, 0.7) == {
        "threshold": 0.7,
        "TP": 1,
        "FP": 1,
        "recall": 0.25,
        "precision": 0.5,
    }
    empty = operating_point(scores, hits, false, 0, 0.95)
    assert (empty["recall"], empty["precision"]) == (None, None)


@given(st.integers(0, 2**32 - 1))
def test_curve_equals_counting_anew_at_every_threshold(seed):
    """The slow reading of the protocol: at each threshold, walk the kept detections in order of score."""
    rng = np.random.default_rng(seed)
    photos, faces, thresholds = [], [], 1 - np.arange(1, 21) / 20
    for _ in range(3):
        corner = rng.integers(0, 12, (rng.integers(0, 6), 2))
        faces.append(np.concatenate([corner, corner + rng.integers(3, 9, corner.shape)], axis=1).astype(float))
        corner = rng.integers(0, 12, (rng.integers(0, 12), 2))
        boxes = np.concatenate([corner, corner + rng.integers(3, 9, corner.shape)], axis=1)
        photos.append(np.concatenate([boxes, rng.integers(0, 21, (len(boxes), 1)) / 20], axis=1))
    ignore = [rng.random(len(boxes)) < 0.3 for boxes in faces]
    matches = match(photos, faces)
    flat = np.concatenate([np.zeros(0, bool), *ignore])
    hits, false = outcomes(matches, flat)
    wanted = int(np.sum(~flat))
    precision, recall = precision_recall(matches.scores, hits, false, wanted, thresholds)
    for k, threshold in enumerate(thresholds):
        found = proposals = 0
        for rows, boxes, ignored in zip(photos, faces, ignore):
            seen = set()
            for row in sorted(rows.tolist(), key=lambda row: -row[4]):
                if row[4] < threshold:
                    continue
                overlap = iou(np.array([row[:4]]), boxes)[0] if len(boxes) else np.zeros(1)
                best = int(overlap.argmax())
                if overlap[best] >= 0.5 and ignored[best]:
                    continue
                proposals += 1
                if overlap[best] >= 0.5:
                    seen.add(best)
            found += len(seen)
        assert recall[k] * max(wanted, 1) == pytest.approx(found)
        assert precision[k] == pytest.approx(found / max(proposals, 1))
