"""MTCNN's multi-task loss with online hard example mining, on the device (Zhang et al. 2016, sections 2.2 and 2.3).

Which rows a term sees: classification labels 1 and 0, box regression 1 and -1, landmarks -2. A step has two phases, so
that several devices rank and normalise their rows together:

1. ``RowLosses`` on each device gives every row's three losses, (rows, 3); recorded for the backward pass.
2. ``MultiTaskLoss`` gathers those of all devices on the first one and returns the weight of every row in every term:
   the gradient of the total loss with respect to the row's loss. They go back to the devices as head gradients.

Nothing is copied to the host. One device takes the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.backend.runtime import HybridBlock, mx
from gluon_mtcnn.core.nets.mtcnn import FromPixels, Net
from gluon_mtcnn.core.training.amp import mixed_precision
from gluon_mtcnn.core.training.config import LossConfig

HALF = float(np.log(2)) - 1e-5  # cross-entropy at a probability of 1/2, less what oneDNN's logarithm is off
SIGMA = 3.0  # of the smooth L1: offsets are fractions of a crop, most of them below 1/9 once a net is trained


def kept_counts(ratio: float, size: int) -> np.ndarray:
    """Return how many of n rows OHEM keeps, for n = 0 ... size, as (size + 1,) float32.

    ``int(ratio * n)`` in double precision, as Seanlinx computes it: the float32 product is one off for 70 values of n
    below 5000 at ratio 0.7.
    """
    return np.array([int(ratio * n) for n in range(size + 1)], np.float32)


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


class RowKeys(HybridBlock):
    """What mining ranks rows by: the cross-entropy, which is never negative, and -1 where the row has none.

    Input: label (n,), losses (n, 3). Output: (n,).
    """

    def hybrid_forward(self, F: Any, label: Any, losses: Any) -> Any:
        """Return the keys."""
        loss = F.squeeze(F.slice_axis(losses, axis=1, begin=0, end=1), axis=1)
        return F.where(classified(F, label), loss, -F.ones_like(loss))


class SelectRows(HybridBlock):
    """Which rows count for which term, after mining.

    Input: label (n,), losses (n, 3), kept (size + 1,) from `kept_counts`, and, where other workers' rows are ranked
    along, everyone's keys, of which those of these rows begin at `start`. Output: mask (n, 3), its sums (3,), and what
    an epoch's report is made of (`TALLY`), (10,). Without a landmark head no row counts for landmarks.
    """

    def __init__(self, landmarks: bool, start: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._landmarks, self._start = landmarks, start
        self.keys = RowKeys()

    def hybrid_forward(self, F: Any, label: Any, losses: Any, kept: Any, everyone: Any = None) -> Any:
        """Return mask, counts and tally."""
        valid, box = classified(F, label), boxed(F, label)
        points = with_landmarks(F, label) if self._landmarks else F.zeros_like(label)
        loss = F.squeeze(F.slice_axis(losses, axis=1, begin=0, end=1), axis=1)
        key = self.keys(label, losses) if everyone is None else everyone
        rank = F.argsort(F.argsort(key, is_ascend=False), is_ascend=True)
        if everyone is not None:
            rank = F.slice_like(F.slice_axis(rank, axis=0, begin=self._start, end=None), label)
        hard = F.broadcast_lesser(rank, F.take(kept, F.sum(key >= 0, keepdims=True)))
        mask = F.stack(hard * valid, box, points, axis=1)
        return mask, F.sum(mask, axis=0), self._tally(F, label, losses, loss, (valid, box, points))

    @staticmethod
    def _tally(F: Any, label: Any, losses: Any, loss: Any, terms: tuple[Any, ...]) -> Any:
        right = loss < HALF  # the label's own class has a probability above 1/2
        rows = F.stack(label == 1, label == 0, *terms, axis=1)
        hits = F.broadcast_mul(F.slice_axis(rows, axis=1, begin=0, end=2), F.expand_dims(right, 1))
        return F.concat(F.sum(hits, axis=0), F.sum(losses, axis=0), F.sum(rows, axis=0), dim=0)


# `SelectRows` sums these over the rows of a batch: hits and losses, then the rows that each was taken over.
TALLY = ("accuracy_positive", "accuracy_negative", "log_loss", "box_loss", "landmark_loss")


def read_tally(tally: np.ndarray) -> dict[str, float]:
    """Return the means of a sum of tallies, (10,), by the names of `TALLY`; nan where no row counted."""
    sums, rows = np.asarray(tally, np.float64).reshape(2, len(TALLY))
    return {name: float(s / n) if n else float("nan") for name, s, n in zip(TALLY, sums, rows)}


class WeighRows(HybridBlock):
    """The weight of each row in each term, and the loss.

    Input: mask (n, 3), counts (3,) over everything that is normalised together, losses (n, 3), term weights (3,).
    Output: weights (n, 3), loss (1,).
    """

    def hybrid_forward(self, F: Any, mask: Any, counts: Any, losses: Any, term_weights: Any) -> Any:
        """Return weights and loss; a term without rows gives neither gradient nor loss."""
        scale = F.broadcast_div(term_weights, F.maximum(counts, F.ones_like(counts)))
        weights = F.broadcast_mul(mask, F.expand_dims(scale, 0))
        return weights, F.reshape(F.sum(weights * losses), (1,))


class MultiTaskLoss:
    """Phase two: the weights of all devices' rows, ranked and normalised over the whole batch.

    Parameters
    ----------
    config : LossConfig
    landmarks : bool
        The net has the landmark head.
    contexts : list of Context
        The devices; the first one ranks.
    batch_size : int
        The largest batch.
    reduce_counts : callable, optional
        Sums the (3,) counts over the workers of a distributed run; by default this process is alone.
    gather_keys : callable with an attribute start, optional
        Returns everyone's keys for this worker's, so that rows are ranked over all workers (`distributed.collectives`).
    """

    def __init__(
        self,
        config: LossConfig,
        landmarks: bool,
        contexts: Sequence[Any],
        batch_size: int,
        reduce_counts: Optional[Callable[[Any], Any]] = None,
        gather_keys: Any = None,
    ) -> None:
        self._contexts = list(contexts)
        first = self._contexts[0]
        self._kept = mx.nd.array(kept_counts(config.ohem, batch_size + len(self._contexts)), first)
        self._term_weights = mx.nd.array(config.weights, first)
        self._reduce_counts, self._gather_keys = reduce_counts, gather_keys
        self._select = SelectRows(landmarks, gather_keys.start if gather_keys else 0)
        self._weigh = WeighRows()
        self._select.hybridize()
        self._weigh.hybridize()

    def __call__(self, labels: Sequence[Any], losses: Sequence[Any]) -> tuple[list[Any], Any, Any]:
        """Return each device's weights (n_i, 3), the loss (1,) and the tally (10,), the last two on the first device.

        Parameters
        ----------
        labels, losses : lists, one array a device: (n_i,) and (n_i, 3)
        """
        first = self._contexts[0]
        sizes = [len(label) for label in labels]
        if sum(sizes) >= len(self._kept):
            raise ValueError(f"a batch may have {len(self._kept) - 1} rows, but got {sum(sizes)}")
        label, rows = _gather(labels, first), _gather(losses, first)
        keys = () if self._gather_keys is None else (self._gather_keys(self._select.keys(label, rows)),)
        mask, counts, tally = self._select(label, rows, self._kept, *keys)
        if self._reduce_counts is not None:
            counts = self._reduce_counts(counts)
        weights, loss = self._weigh(mask, counts, rows, self._term_weights)
        if len(sizes) == 1:
            return [weights], loss, tally
        ends = np.cumsum(sizes)
        shares = [weights[end - n : end].as_in_context(c) for n, end, c in zip(sizes, ends.tolist(), self._contexts)]
        return shares, loss, tally


def _gather(arrays: Sequence[Any], context: Any) -> Any:
    if len(arrays) == 1:
        return arrays[0]
    return mx.nd.concat(*(array.as_in_context(context) for array in arrays), dim=0)
