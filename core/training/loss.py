"""MTCNN's multi-task loss with online hard example mining, on the device (Zhang et al. 2016, sections 2.2 and 2.3).

Rows that a term counts: classification labels 1 and 0, box regression labels 1 and -1, landmarks label -2.

`MultiTaskLoss` is the loss for a training loop of one's own: outputs and targets in, one number out.

The trainer takes a step in two phases, and several devices rank and normalise their rows together:

1. `RowLosses` on each device gives every row's three losses, (rows, 3); recorded for the backward pass.
2. `RowWeights` gathers those of all devices on the first one and returns the weight of every row in every term: the
   gradient of the total loss with respect to the row's loss. They go back to the devices as head gradients.

Nothing is copied to the host. One device takes the same path. `MultiTaskLoss` is made of the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.backend.runtime import Block, HybridBlock, mx
from gluon_mtcnn.core.training.config import LossConfig
from gluon_mtcnn.core.training.row_errors import RowErrors, boxed, classified, with_landmarks

HALF = float(np.log(2)) - 1e-5  # cross-entropy at a probability of 1/2, less what oneDNN's logarithm is off


def kept_counts(ratio: float, size: int) -> np.ndarray:
    """Return how many of n rows OHEM keeps, for n = 0 ... size, as (size + 1,) float32.

    ``int(ratio * n)`` in double precision, as Seanlinx computes it: the float32 product is one off for 70 values of n
    below 5000 at ratio 0.7.
    """
    return np.array([int(ratio * n) for n in range(size + 1)], np.float32)


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


class RowWeights:
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


class MultiTaskLoss(Block):
    """The multi-task loss of a batch with online hard example mining, for a training loop of one's own.

    The gradient is that of the trainer's two phases. Rows are ranked and normalised in the batch that is given, on its
    device. The result is a mean already: call ``trainer.step(1)``.

    Parameters
    ----------
    config : LossConfig, optional
        Weights of the terms, share of the rows that mining keeps, kind of the regression error.

    Examples
    --------
    >>> loss = MultiTaskLoss()
    >>> outputs = mx.nd.array([[0, 3], [1, 0]]), mx.nd.zeros((2, 4))
    >>> loss(outputs, mx.nd.array([1, 0]), mx.nd.zeros((2, 4))).shape
    (1,)
    """

    def __init__(self, config: Optional[LossConfig] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config = LossConfig() if config is None else config
        self._errors = RowErrors(self._config)
        self._weights: dict[Any, tuple[int, RowWeights]] = {}  # by device: the largest batch that they serve

    def forward(self, outputs: Sequence[Any], label: Any, bbox_target: Any, landmark_target: Any = None) -> Any:
        """Return the loss (1,).

        Parameters
        ----------
        outputs : what a net returned
            Logits (n, 2[, 1, 1]), offsets (n, 4[, 1, 1]) and, of a net with that head, landmarks (n, 10[, 1, 1]).
        label : (n,) float32
            1 positive, 0 negative, -1 part, -2 landmark.
        bbox_target : (n, 4) float32
            Offsets as fractions of the crop's side; rows of other labels than 1 and -1 do not count.
        landmark_target : (n, 10) float32
            ``x1 y1 .. x5 y5`` as fractions of the crop's side; rows of other labels than -2 do not count. A net without
            the head needs none.

        Raises
        ------
        ValueError
            The net returned landmarks and there is no `landmark_target`.
        """
        if len(outputs) == 3 and landmark_target is None:
            raise ValueError("landmark_target is missing, but the net returned landmarks")
        losses = self._errors(label, bbox_target, landmark_target, *outputs)
        with mx.autograd.pause():
            weights = self._row_weights(losses)([label], [losses.detach()])[0][0]
        return mx.nd.sum(weights * losses).reshape(1)

    def _row_weights(self, losses: Any) -> RowWeights:
        """Return phase two for as many rows as there are, on their device."""
        context, rows = losses.context, len(losses)
        size, weights = self._weights.get(context, (-1, None))
        if weights is None or rows > size:
            weights = RowWeights(self._config, True, [context], rows)  # without the head all landmark losses are 0
            self._weights[context] = rows, weights
        return weights


def _gather(arrays: Sequence[Any], context: Any) -> Any:
    if len(arrays) == 1:
        return arrays[0]
    return mx.nd.concat(*(array.as_in_context(context) for array in arrays), dim=0)
