"""Metrics over the right rows only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.training import metrics as metric
from gluon_mtcnn.core.training.config import LossConfig
from gluon_mtcnn.core.training.metrics import CalibratedLogLoss, calibrated_log_loss

# label, face score, box error of the row, landmark error of the row
ROWS = [
    (1, 0.9, 0.1, 9),
    (1, 0.4, 0.3, 9),
    (0, 0.2, 9, 9),
    (0, 0.6, 9, 9),
    (0, 0.1, 9, 9),
    (-1, 0.7, 0.5, 9),
    (-2, 0.7, 9, 0.25),
]


def batch(rows, context=None, spatial=False):
    context = context or mx.cpu()
    label, score, box, points = np.array(rows, np.float32).T
    logits = np.stack([np.zeros(len(rows)), np.log(score / (1 - score))], axis=1)
    outputs = [logits, np.repeat(box[:, None], 4, 1), np.repeat(points[:, None], 10, 1)]
    if spatial:
        outputs = [output[:, :, None, None] for output in outputs]
    targets = [label, np.zeros((len(rows), 4)), np.zeros((len(rows), 10))]
    return tuple([mx.nd.array(a, ctx=context) for a in group] for group in (targets, outputs))


LOG_LOSS = -np.mean(np.log([0.9, 0.4, 0.8, 0.4, 0.9]))


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (metric.Accuracy, 3 / 5),
        (metric.PositiveAccuracy, 1 / 2),
        (metric.NegativeAccuracy, 2 / 3),
        (metric.LogLoss, LOG_LOSS),
        (metric.BoxError, 0.3),
        (metric.LandmarkError, 0.25),
    ],
)
def test_each_metric_by_hand(kind, expected, spatial):
    whole, parts = kind(), kind()
    whole.update(*batch(ROWS, spatial=spatial))
    parts.update(*batch(ROWS[:3], spatial=spatial))
    parts.update(*batch(ROWS[3:], mx.cpu(1), spatial))
    assert whole.get()[1] == pytest.approx(expected, rel=1e-5)
    assert parts.get()[1] == pytest.approx(expected, rel=1e-5)
    whole.reset()
    assert np.isnan(whole.get()[1])


def test_parts_and_landmarks_do_not_dilute_accuracy():
    """A public training diary once read .4638 where the accuracy was .9276: it had divided by all rows."""
    right, wrong = [(0, 0.1, 0, 0)] * 9276, [(0, 0.9, 0, 0)] * 724
    accuracy = metric.Accuracy()
    accuracy.update(*batch(right + wrong + [(-1, 0.5, 0, 0)] * 10000))
    assert accuracy.get() == ("accuracy", pytest.approx(0.9276))


def test_loss_is_the_weighted_sum_of_the_terms_means():
    config = LossConfig((1.0, 0.5, 0.25), ohem=0.7)
    loss = metric.MultiTaskError(config)
    loss.update(*batch(ROWS[:4]))
    loss.update(*batch(ROWS[4:]))
    box = 4 * np.mean(np.square([0.1, 0.3, 0.5]))
    assert loss.get()[1] == pytest.approx(LOG_LOSS + 0.5 * box + 0.25 * 10 * 0.25**2, rel=1e-5)


def test_loss_without_rows_of_a_term_leaves_it_out():
    loss = metric.MultiTaskError(LossConfig())
    targets, outputs = batch(ROWS[2:5])
    loss.update(targets, outputs[:2])
    assert loss.get()[1] == pytest.approx(-np.mean(np.log([0.8, 0.4, 0.9])), rel=1e-5)


def test_landmark_error_without_the_head_is_nan():
    error = metric.LandmarkError()
    targets, outputs = batch(ROWS)
    error.update(targets, outputs[:2])
    assert np.isnan(error.get()[1])


def test_update_leaves_its_sums_on_the_device():
    recall, accuracy = metric.RecallAtPrecision(), metric.Accuracy()
    for m in (recall, accuracy):
        m.update(*batch(ROWS, mx.cpu(1)))
    assert [row.context for row in recall._rows] == [mx.cpu(1)]
    assert [s.context for s in accuracy._sums.values()] == [mx.cpu(1)]


@pytest.mark.parametrize(
    ("labels", "scores", "precision", "expected"),
    [
        ([1, 1, 0, 1], [0.9, 0.8, 0.7, 0.6], 1.0, 2 / 3),
        ([1, 1, 0, 1], [0.9, 0.8, 0.7, 0.6], 0.75, 1.0),
        ([1, 0], [0.5, 0.5], 1.0, 0.0),  # one score: both or none
        ([0, 1], [0.9, 0.8], 0.9, 0.0),
        ([1, -1, -2, 0], [0.4, 0.9, 0.9, 0.3], 1.0, 1.0),
        ([1, 1], [0.1, 0.2], 0.5, 1.0),
    ],
)
def test_recall_at_precision_by_hand(labels, scores, precision, expected):
    assert metric.recall_at_precision(np.array(labels), np.array(scores), precision) == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[], [0, 0], [-1, -2]])
def test_recall_without_positives_is_nan(labels):
    assert np.isnan(metric.recall_at_precision(np.array(labels), np.full(len(labels), 0.5), 0.9))


@given(
    st.lists(st.tuples(st.sampled_from([1, 0, -1]), st.integers(0, 6)), min_size=1, max_size=25),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_recall_equals_trying_every_threshold(rows, precision):
    labels, scores = np.array(rows).T
    positives = (labels == 1).sum()
    found = metric.recall_at_precision(labels, scores, precision)
    if not positives:
        assert np.isnan(found)
        return
    counted = labels >= 0
    best = 0.0
    for threshold in range(7):
        taken = counted & (scores >= threshold)
        hits = (taken & (labels == 1)).sum()
        if taken.any() and hits >= precision * taken.sum():
            best = max(best, hits / positives)
    assert found == pytest.approx(best)


def test_validation_metrics_names():
    metrics = metric.validation_metrics(LossConfig())
    metrics.update(*batch(ROWS))
    figures = dict(zip(*metrics.get()))
    assert list(figures) == [
        "loss",
        "accuracy",
        "accuracy_positive",
        "accuracy_negative",
        "recall_at_precision",
        "log_loss",
        "calibrated_log_loss",
        "box_error",
        "landmark_error",
    ]
    assert np.isfinite(list(figures.values())).all()


def test_the_calibrated_loss_by_hand():
    """Without a difference between rows it is the entropy of a quarter; rows that do not count change nothing."""
    labels, logits = np.array([1, 0, 0, 0, -1, -2]), np.array([7, 7, 7, 7, 99, -99.0])
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert calibrated_log_loss(labels, logits) == pytest.approx(entropy, abs=1e-6)
    assert np.isnan(calibrated_log_loss(np.array([1, -1]), np.zeros(2)))
    assert calibrated_log_loss(np.array([1, 0]), np.array([np.inf, 0])) == np.inf


def test_the_calibrated_loss_sees_order_and_not_level():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-logits))).astype(float)
    right = np.logaddexp(0, (1 - 2 * labels) * logits).mean()
    assert calibrated_log_loss(labels, logits) == pytest.approx(right, abs=1e-3)
    assert calibrated_log_loss(labels, 5 * logits + 3) == pytest.approx(calibrated_log_loss(labels, logits), abs=1e-5)
    worse = logits + rng.normal(size=4000)
    assert calibrated_log_loss(labels, worse) > right + 0.02


def test_calibrated_log_loss_gathers_batches():
    gathered = CalibratedLogLoss()
    assert np.isnan(gathered.get()[1])
    logits = mx.nd.array([[0.0, 1.0], [0.5, 0.0], [2.0, 0.0], [0.0, 0.1]])
    label = mx.nd.array([1, 0, 0, 1])
    for part in (slice(0, 2), slice(2, 4)):
        gathered.update([label[part.start : part.stop]], [logits[part.start : part.stop]])
    expected = calibrated_log_loss(label.asnumpy(), (logits[:, 1] - logits[:, 0]).asnumpy())
    assert gathered.get() == ("calibrated_log_loss", pytest.approx(expected))


def test_the_metric_of_a_hand_written_loop_ignores_other_labels():
    rows = [*ROWS, *[(-1, 0.01, 0.5, 9)] * 3, *[(-2, 0.01, 9, 0.25)] * 3]
    whole = metric.MultiTaskMetric()
    whole.update(*batch(rows[:5]))
    whole.update(*batch(rows[5:], spatial=True))
    expected = {"accuracy": 3 / 5, "log_loss": LOG_LOSS, "box_error": (0.1 + 0.3 + 4 * 0.5) / 6, "landmark_error": 0.25}
    assert dict(whole.get_name_value()) == pytest.approx(expected, rel=1e-5)
    assert isinstance(whole, mx.metric.EvalMetric)
    targets, outputs = batch(rows)
    whole.reset()
    assert np.isnan(whole.get()[1]).all()
    whole.update(tuple(targets), tuple(outputs[:2]))
    assert np.isnan(dict(whole.get_name_value())["landmark_error"])
