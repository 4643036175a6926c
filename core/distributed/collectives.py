"""A step that several workers take together, through `core.distributed.job`.

``dist_sync``: each worker has a share of the batch. Rows are ranked over the shares (`GlobalKeys`) or in each share,
counts are summed before the losses are normalised, gradients and figures are summed as one vector (`SharedGradients`),
and every worker then makes the same update: that of one worker with the whole batch.

``dist_async``: no worker waits for another. Each makes its own update from its share, normalised on its own; a part of
it, 1/workers, is added to the weights on the servers (`SharedWeights`), so that what all workers add in turn is about
one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.distributed.job import Cluster


class Flat:
    """Arrays of one device as one vector: joined, and spread back, by one operator each."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._parts = [array.reshape(-1) for array in arrays]  # of the same memory
        self._starts = np.cumsum([0, *(part.size for part in self._parts)]).tolist()
        self.size, self.context = self._starts.pop(), arrays[0].context

    def join(self, *more: Any) -> Any:
        """Return all values, followed by those of other vectors."""
        return mx.nd.concat(*self._parts, *more, dim=0)

    def spread(self, vector: Any) -> None:
        """Write values from the beginning of a vector back into the arrays."""
        if len(self._parts) == 1:
            self._parts[0][:] = vector[: self.size]
            return
        mx.nd._internal._split_v2(vector[: self.size], tuple(self._starts), 0, out=self._parts)


class SharedGradients:
    """Sums the gradients of all devices and workers.

    Parameters
    ----------
    cluster : Cluster
    gradients : list of list of arrays
        By device, in place.
    extra : int
        How many figures are summed along with them.
    """

    def __init__(self, cluster: Cluster, gradients: Sequence[Sequence[Any]], extra: int) -> None:
        self._cluster = cluster
        self._flats = [Flat(arrays) for arrays in gradients]
        self._none = [mx.nd.zeros(extra, arrays[0].context) for arrays in gradients[1:]]
        self._key = cluster.new_key(self._flats[0].size + extra)

    def __call__(self, figures: Any) -> Any:
        """Sum the gradients in place; return the sum of the figures (extra,), which lie on the first device."""
        vectors = [flat.join(more) for flat, more in zip(self._flats, [figures, *self._none])]
        self._cluster.sum(self._key, vectors)
        for flat, vector in zip(self._flats, vectors):
            flat.spread(vector)
        return vectors[0][self._flats[0].size :]


class SharedWeights:
    """Adds this worker's updates to the weights on the servers, and takes what they have then.

    Parameters
    ----------
    cluster : Cluster
    weights : list of list of arrays
        By device, in place; worker 0's become everybody's.
    """

    def __init__(self, cluster: Cluster, weights: Sequence[Sequence[Any]]) -> None:
        self._cluster = cluster
        self._flats = [Flat(arrays) for arrays in weights]
        self._key = cluster.new_key(self._flats[0].size)
        self._last = mx.nd.zeros(self._flats[0].size, weights[0][0].context)  # what the servers had
        self._exchange(self._flats[0].join() * float(cluster.rank == 0))
        cluster.barrier()
        self.take()

    def __call__(self) -> None:
        """Hand over the update since the last exchange."""
        self._exchange((self._flats[0].join() - self._last) / self._cluster.workers)

    def take(self) -> None:
        """Take what the servers have."""
        self._exchange(mx.nd.zeros_like(self._last))

    def _exchange(self, change: Any) -> None:
        self._cluster.sum(self._key, [change])
        self._last = change
        for flat in self._flats:
            flat.spread(change.as_in_context(flat.context))


class GlobalKeys:
    """Gathers what rows are ranked by from all workers; each has a part of one vector, and the parts are summed.

    Parameters
    ----------
    cluster : Cluster
    rows : int
        The most that a worker may have.
    context : Context
    """

    def __init__(self, cluster: Cluster, rows: int, context: Any) -> None:
        self._cluster, self._context, self._size = cluster, context, rows * cluster.workers
        self.start, self._stop = cluster.rank * rows, (cluster.rank + 1) * rows
        self._key = cluster.new_key(self._size)

    def __call__(self, keys: Any) -> Any:
        """Return everyone's keys (rows * workers,), where this worker's (n,) begin at `start`; -1 where nobody has."""
        shared = mx.nd.zeros(self._size, self._context)
        shared[self.start : self._stop] = -1
        shared[self.start : self.start + len(keys)] = keys
        self._cluster.sum(self._key, [shared])
        return shared
