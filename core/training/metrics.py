"""Metrics that each use only the rows with their labels (1 positive, 0 negative, -1 part, -2 landmark).

They take what a net returns: ``update([label, bbox_target, landmark_target], [logits, offsets, landmarks])``. The sums
are kept on the device: `update` only queues work, and `get` waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.training.config import LossConfig
from gluon_mtcnn.core.training.row_errors import RowErrors, boxed, classified, cross_entropy, with_landmarks

PRECISION = 0.95


class RowMetric(mx.metric.EvalMetric):
    """The mean of a value over the rows that count, over all batches; nan when no row counted.

    The running sums are float32: exact counts up to 16 million rows.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        self._sums: dict[Any, Any] = {}
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return a batch's values (n,) and which of its rows count (n,), as 0.0 or 1.0."""
        raise NotImplementedError

    def update(self, labels: Sequence[Any], preds: Sequence[Any]) -> None:
        """Add a batch of one device: [label, bbox_target, landmark_target] and what the net returned."""
        values, counted = self.measure(labels, preds)
        sums = mx.nd.stack(mx.nd.sum(values * counted, axis=0), mx.nd.sum(counted, axis=0))
        context = sums.context
        self._sums[context] = self._sums[context] + sums if context in self._sums else sums

    def reset(self) -> None:
        """Forget all batches."""
        self._sums = {}

    def get(self) -> tuple[str, float]:
        """Return the name and the mean over all batches so far."""
        total, rows = self._total()
        return self.name, float(total[0] / rows[0]) if rows[0] else float("nan")

    def _total(self) -> np.ndarray:
        """Return sums and row counts over all batches and devices, (2, columns) float64."""
        sums = [s.asnumpy().astype(np.float64).reshape(2, -1) for s in self._sums.values()]
        return np.sum(sums, axis=0) if sums else np.zeros((2, 1))


def _face_score(outputs: Sequence[Any]) -> Any:
    return mx.nd.softmax(mx.nd.reshape(outputs[0], (-1, 2)), axis=1)[:, 1]


def _error(output: Any, target: Any) -> Any:
    return mx.nd.mean(mx.nd.abs(mx.nd.reshape(output, (-1, target.shape[1])) - target), axis=1)


class Accuracy(RowMetric):
    """Share of the rows labelled 1 or 0 that are classified right; a score of exactly 0.5 means background."""

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return hits and the rows labelled 1 or 0."""
        label = targets[0]
        return (_face_score(outputs) > 0.5) == (label == 1), classified(mx.nd, label)


class PositiveAccuracy(Accuracy):
    """Share of the positives that are classified as faces."""

    def __init__(self, name: str = "accuracy_positive", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return hits and the rows labelled 1."""
        return super().measure(targets, outputs)[0], targets[0] == 1


class NegativeAccuracy(Accuracy):
    """Share of the negatives that are classified as background."""

    def __init__(self, name: str = "accuracy_negative", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return hits and the rows labelled 0."""
        return super().measure(targets, outputs)[0], targets[0] == 0


class LogLoss(RowMetric):
    """Mean cross-entropy of the rows labelled 1 or 0."""

    def __init__(self, name: str = "log_loss", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return cross-entropies and the rows labelled 1 or 0."""
        label = targets[0]
        return cross_entropy(mx.nd, mx.nd.reshape(outputs[0], (-1, 2)), label), classified(mx.nd, label)


class BoxError(RowMetric):
    """Mean absolute error of the offsets, in sides of the crop, over positives and parts."""

    def __init__(self, name: str = "box_error", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return mean absolute errors and the rows labelled 1 or -1."""
        return _error(outputs[1], targets[1]), boxed(mx.nd, targets[0])


class LandmarkError(RowMetric):
    """Mean absolute error of landmark coordinates, in sides of the crop, over landmark rows; nan without a head."""

    def __init__(self, name: str = "landmark_error", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return mean absolute errors and the rows labelled -2."""
        label = targets[0]
        if len(outputs) < 3:
            return mx.nd.zeros_like(label), mx.nd.zeros_like(label)
        return _error(outputs[2], targets[2]), with_landmarks(mx.nd, label)


class RecallAtPrecision(mx.metric.EvalMetric):
    """The highest recall of positives among the thresholds at which precision is at least `precision`.

    Precision depends on the ratio of negatives to positives, so only figures of the same pack compare. The scores are
    kept, 8 bytes a row.
    """

    def __init__(self, precision: float = PRECISION, name: str = "recall_at_precision", **kwargs: Any) -> None:
        self._rows: list[Any] = []
        self._precision = precision
        super().__init__(name, **kwargs)

    def update(self, labels: Sequence[Any], preds: Sequence[Any]) -> None:
        """Add a batch of one device."""
        self._rows.append(mx.nd.stack(labels[0], _face_score(preds), axis=1))

    def reset(self) -> None:
        """Forget all batches."""
        self._rows = []

    def get(self) -> tuple[str, float]:
        """Return the name and the recall; 0 when no threshold is precise enough, nan without positives."""
        rows = np.concatenate([np.zeros((0, 2), np.float32), *(r.asnumpy() for r in self._rows)])
        return self.name, recall_at_precision(rows[:, 0], rows[:, 1], self._precision)


def recall_at_precision(labels: np.ndarray, scores: np.ndarray, precision: float) -> float:
    """Return the highest recall at a precision; see `RecallAtPrecision`.

    Parameters
    ----------
    labels : (n,)
        Rows other than 1 and 0 do not count.
    scores : (n,)
        Rows with equal scores lie on the same side of a threshold.
    precision : float in [0, 1]
    """
    counted = labels >= 0
    labels, scores = labels[counted], scores[counted]
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order] == 1)
    if not len(hits) or not hits[-1]:
        return float("nan")
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    enough = last_of_score & (hits >= precision * np.arange(1, len(hits) + 1))
    return float(hits[enough].max() / hits[-1]) if enough.any() else 0.0


class CalibratedLogLoss(mx.metric.EvalMetric):
    """Mean cross-entropy of the rows labelled 1 or 0 after the best affine map of their logits; nan without either.

    In a long training the level of the scores becomes overconfident before their order becomes worse. Thresholds are
    chosen after training: the order and the spacing of the scores matter, their level does not. The logits are kept, 8
    bytes a row.
    """

    def __init__(self, name: str = "calibrated_log_loss", **kwargs: Any) -> None:
        self._rows: list[Any] = []
        super().__init__(name, **kwargs)

    def update(self, labels: Sequence[Any], preds: Sequence[Any]) -> None:
        """Add a batch of one device."""
        logits = mx.nd.reshape(preds[0], (-1, 2))
        self._rows.append(mx.nd.stack(labels[0], logits[:, 1] - logits[:, 0], axis=1))

    def reset(self) -> None:
        """Forget all batches."""
        self._rows = []

    def get(self) -> tuple[str, float]:
        """Return the name and the loss."""
        rows = np.concatenate([np.zeros((0, 2), np.float32), *(r.asnumpy() for r in self._rows)])
        return self.name, calibrated_log_loss(rows[:, 0], rows[:, 1])


def calibrated_log_loss(labels: np.ndarray, logits: np.ndarray) -> float:
    """Return the least mean cross-entropy over the scores ``sigmoid(a * logit + b)``; see `CalibratedLogLoss`.

    Parameters
    ----------
    labels : (n,)
        Rows other than 1 and 0 do not count.
    logits : (n,)
        Of face against background.
    """
    counted = labels >= 0
    labels, logits = labels[counted].astype(np.float64), logits[counted].astype(np.float64)
    if not 0 < labels.sum() < len(labels):
        return float("nan")
    if not np.isfinite(logits).all():
        return float("inf")
    signs = 1 - 2 * labels  # +1 where a larger logit increases the loss of the row

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        wrong = signs * (line[0] * logits + line[1])
        slope = signs * expit(wrong)
        return float(np.logaddexp(0, wrong).mean()), np.array([(slope * logits).mean(), slope.mean()])

    return float(minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").fun)


class MultiTaskError(RowMetric):
    """The training loss without mining: each term's mean over its own rows of all batches, weighted and added.

    A term without rows adds nothing; nan when no term has any.
    """

    def __init__(self, config: LossConfig, name: str = "loss", **kwargs: Any) -> None:
        self._errors = RowErrors(config)
        self._weights = np.array(config.weights)
        super().__init__(name, **kwargs)

    def measure(self, targets: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return the losses (n, 3) and which count for which term (n, 3)."""
        label = targets[0]
        points = with_landmarks(mx.nd, label) if len(outputs) == 3 else mx.nd.zeros_like(label)
        counted = mx.nd.stack(classified(mx.nd, label), boxed(mx.nd, label), points, axis=1)
        return self._errors(*targets, *outputs), counted

    def get(self) -> tuple[str, float]:
        """Return the name and the loss over all batches so far."""
        sums, rows = self._total()
        terms = (self._weights * sums)[rows > 0] / rows[rows > 0]
        return self.name, float(terms.sum()) if len(terms) else float("nan")


class MultiTaskMetric(mx.metric.CompositeEvalMetric):
    """Accuracy, cross-entropy and regression errors of a batch, for a training loop of one's own.

    Each figure uses only the rows with its labels: part and landmark samples do not count in the accuracy. `get`
    returns the names ``accuracy, log_loss, box_error, landmark_error`` and their values over all batches since `reset`.
    A value is nan where no row counted, as is the landmark error of a net without that head.

    Examples
    --------
    >>> metric = MultiTaskMetric()
    >>> label, outputs = mx.nd.array([1, 0]), [mx.nd.array([[0, 3], [1, 0]]), mx.nd.zeros((2, 4))]
    >>> metric.update([label, mx.nd.zeros((2, 4)), mx.nd.zeros((2, 10))], outputs)
    >>> dict(metric.get_name_value())["accuracy"]
    1.0
    """

    def __init__(self, name: str = "multi_task", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        for kind in (Accuracy, LogLoss, BoxError, LandmarkError):
            self.add(kind())

    def update(self, labels: Sequence[Any], preds: Sequence[Any]) -> None:
        """Add a batch of one device.

        Parameters
        ----------
        labels : label (n,), bbox_target (n, 4), landmark_target (n, 10)
            As in `core.training.loader.Batch`.
        preds : what the net returned
            Logits (n, 2[, 1, 1]), offsets (n, 4[, 1, 1]) and, of a net with that head, landmarks (n, 10[, 1, 1]).
        """
        super().update(list(labels), list(preds))


def validation_metrics(config: LossConfig) -> mx.metric.CompositeEvalMetric:
    """Return the metrics that a validation pass reports."""
    metrics = mx.metric.CompositeEvalMetric(name="validation")
    metrics.add(MultiTaskError(config))
    for kind in (
        Accuracy,
        PositiveAccuracy,
        NegativeAccuracy,
        RecallAtPrecision,
        LogLoss,
        CalibratedLogLoss,
        BoxError,
        LandmarkError,
    ):
        metrics.add(kind())
    return metrics
