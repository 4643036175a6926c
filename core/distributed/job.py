"""The workers of a parameter-server job, as one of them sees it: sums, gathers and broadcasts through MXNet's kvstore.

Two habits of that store (1.9.1) shape this file. It has one value for a key: without an optimizer on the servers that
is first the initial value and then the sum of what was last pushed, so a pull that is still under way when a sum is
complete gets the sum. Gluon's Trainer asks for the initial weights in its first step and, without waiting, pushes their
gradients under the same keys, and now and then a worker began with a gradient as its weight. Here every kind of value
has its own key, and every call waits for its result. And it reads into the very array that was pushed, so `sum` works
in place and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.distributed.heartbeat import CONNECTING, FINISHED, WORKING, Activity
from gluon_mtcnn.core.distributed.kvstores import DIST_KVSTORES
from gluon_mtcnn.core.errors import InputError

_DIGEST_BITS = 24  # a float32 holds such a number exactly


def in_job() -> bool:
    """Whether this process is a worker of a parameter-server job."""
    return os.environ.get("DMLC_ROLE") == "worker"


def serve(activity: Activity) -> None:
    """Be the scheduler or a server, as the environment says, until the job is done; `activity` is told the phase."""
    activity.enter(CONNECTING)
    mx.kvstore.kvstore_server.KVStoreServer(mx.kv.create("dist")).run()


class Cluster:
    """One worker's connection; made once in a process, as soon as MXNet is there, by all workers.

    All workers make the same calls in the same order.

    Parameters
    ----------
    kind : {"dist_sync", "dist_async", "dist_sync_device"}
    activity : Activity, optional
        Is told the phases of this worker. Default: one that nobody reads.

    Attributes
    ----------
    activity : Activity
    rank, workers : int
        This worker's number, and how many there are. The number is the environment's DMLC_WORKER_ID where there is one:
        MXNet gives its own by the order of addresses.
    asynchronous : bool
        The servers add what a worker sends to what they have, whatever the other workers do.

    Raises
    ------
    InputError
        This process was not started as a worker of a job.
    """

    def __init__(self, kind: str, activity: Optional[Activity] = None) -> None:
        if kind not in DIST_KVSTORES:
            raise InputError(f"kvstore: expected one of {', '.join(DIST_KVSTORES)}, got {kind!r}")
        if not in_job():
            raise InputError(f"kvstore: {kind} needs gluon-mtcnn launch, which starts scheduler, servers and workers")
        self.activity = activity or Activity()
        self.activity.enter(CONNECTING)
        self._store = mx.kv.create(kind)
        self.asynchronous, self.workers = "async" in kind, self._store.num_workers
        self.rank = int(os.environ.get("DMLC_WORKER_ID", self._store.rank))
        if self.asynchronous:
            self._store.set_optimizer(mx.optimizer.Test())  # MXNet's name for: add what is pushed
        self._keys = 0
        self.activity.enter(WORKING)

    def new_key(self, size: int) -> int:
        """Return a key for arrays (size,) float32, zero on the servers."""
        self._keys += 1
        with self.activity.waiting():
            self._store.init(self._keys, mx.nd.zeros(size))
        return self._keys

    def sum(self, key: int, arrays: Sequence[Any]) -> None:
        """Replace arrays, one a device, by their sum over all devices and workers.

        Asynchronous: by the servers' value, to which they were added.
        """
        for array in arrays:
            array.wait_to_read()
        with self.activity.waiting():
            self._store.pushpull(key, list(arrays))
            for array in arrays:
                array.wait_to_read()

    def sum_once(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values over the workers, float32; the servers keep it, so not for every step."""
        values = np.asarray(values, np.float32)
        key = self.new_key(values.size)
        array = mx.nd.array(values.ravel())
        self.sum(key, [array])
        if self.asynchronous:
            self.barrier()
            with self.activity.waiting():
                self._store.pull(key, out=array)
                array.wait_to_read()
        return array.asnumpy().reshape(values.shape)

    def barrier(self) -> None:
        """Wait until all workers are here."""
        with self.activity.waiting():
            self._store._barrier()

    def broadcast(self, data: bytes) -> bytes:
        """Return worker 0's bytes on every worker."""
        mine = np.frombuffer(data if self.rank == 0 else b"", np.uint8)
        high, low = self.sum_once(np.array(divmod(len(mine), 1 << 12))).tolist()
        size = int(high) * (1 << 12) + int(low)
        if not size:
            return b""
        values = np.zeros(size, np.float32)
        values[: len(mine)] = mine
        return self.sum_once(values).astype(np.uint8).tobytes()

    def check_same(self, values: Mapping[str, Any]) -> None:
        """Compare JSON values with those of the other workers.

        Raises
        ------
        InputError
            Names the first worker and value that differ from worker 0's; raised on all workers.
        """
        digests = np.zeros((self.workers, len(values)))
        digests[self.rank] = [_digest(value) for value in values.values()]
        digests = self.sum_once(digests)
        for worker, field in np.argwhere(digests != digests[0]):
            name = list(values)[field]
            mine = f": worker {self.rank} has {json.dumps(values[name])[:200]}"
            raise InputError(f"worker {worker} and worker 0 must have the same {name}{mine}")

    def close(self) -> None:
        """Wait until all workers have come to this call, then end the connection; the servers end as well."""
        self.activity.enter(FINISHED)
        del self._store

    def leave(self) -> None:
        """Do not wait for the other workers when this process ends, which it does by default: it failed."""
        mx.base.check_call(mx.base._LIB.MXKVStoreSetBarrierBeforeExit(self._store.handle, 0))


def _digest(value: Any) -> int:
    text = json.dumps(value, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(text).digest(), "big") % (1 << _DIGEST_BITS)
