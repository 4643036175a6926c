"""The losses of a batch row by row: cross-entropy, box error and landmark error, each for the labels it is about.

Rows that a term counts: classification labels 1 and 0, box regression labels 1 and -1, landmarks label -2. What each
row weighs is the business of `core.training.loss`.
"""

from __future__ import annotations

from typing import Any

from gluon_mtcnn.core.backend.runtime import HybridBlock
from gluon_mtcnn.core.nets.mtcnn import FromPixels, Net
from gluon_mtcnn.core.training.amp import mixed_precision
from gluon_mtcnn.core.training.config import LossConfig

SIGMA = 3.0  # of the smooth L1: offsets are fractions of a crop, most of them below 1/9 once a net is trained


def classified(F: Any, label: Any) -> Any:
    """Return 1.0 where the row counts for classification."""
    return label >= 0


def boxed(F: Any, label: Any) -> Any:
    """Return 1.0 where the row counts for box regression: labels 1 and -1."""
    return F.abs(label) == 1


def with_landmarks(F: Any, label: Any) -> Any:
    """Return 1.0 where the row counts for landmark regression."""
    return label == -2


def cross_entropy(F: Any, logits: Any, label: Any) -> Any:
    """Return each row's cross-entropy (n,) from logits (n, 2) and labels (n,); 0 for labels below 0."""
    loss = -F.pick(F.log_softmax(logits, axis=1), F.relu(label), axis=1)
    return F.where(classified(F, label), loss, F.zeros_like(loss))


class RowErrors(HybridBlock):
    """The losses row by row of what a net returned.

    Input: label (n,), bbox_target (n, 4), landmark_target (n, 10), then logits (n, 2[, 1, 1]), offsets (n, 4[, 1, 1])
    and, for a net with that head, landmarks (n, 10[, 1, 1]). Output: (n, 3), the columns being cross-entropy, box error
    and landmark error, 0 where the row does not count for the term.
    """

    def __init__(self, config: LossConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config = config

    def hybrid_forward(
        self,
        F: Any,
        label: Any,
        bbox_target: Any,
        landmark_target: Any,
        logits: Any,
        offsets: Any,
        landmarks: Any = None,
    ) -> Any:
        """Return the losses of each row."""
        loss = cross_entropy(F, F.reshape(logits, (-1, 2)), label)
        box = self._row_error(F, F.reshape(offsets, (-1, 4)), bbox_target) * boxed(F, label)
        if landmarks is None:
            return F.stack(loss, box, F.zeros_like(loss), axis=1)
        points = self._row_error(F, F.reshape(landmarks, (-1, 10)), landmark_target) * with_landmarks(F, label)
        return F.stack(loss, box, points, axis=1)

    def _row_error(self, F: Any, output: Any, target: Any) -> Any:
        difference = output - target
        if self._config.regression == "l2":
            error = F.square(difference)
        else:
            error = 2 * F.smooth_l1(difference, scalar=SIGMA)
        return F.sum(error, axis=1) if self._config.reduction == "sum" else 0.5 * F.mean(error, axis=1)


class RowLosses(HybridBlock):
    """A net and its `RowErrors`, from pixels: one graph, so one call forward and one backward.

    Input: pixels (n, 3, S, S) uint8, label (n,), bbox_target (n, 4) and, for a net with that head, landmark_target
    (n, 10). Output: (n, 3). `amp` names the 16-bit type in which the net computes; `from_pixels` remains float32.
    """

    def __init__(self, net: Net, config: LossConfig, amp: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.from_pixels = FromPixels(net)
        self.outputs = mixed_precision(self.from_pixels, amp) if amp else self.from_pixels
        self.errors = RowErrors(config)

    def hybrid_forward(self, F: Any, pixels: Any, label: Any, bbox_target: Any, landmark_target: Any = None) -> Any:
        """Return the losses of each row."""
        outputs = self.outputs(pixels)
        if self.outputs is not self.from_pixels:
            outputs = [F.cast(output, "float32") for output in outputs]
        return self.errors(label, bbox_target, landmark_target, *outputs)
