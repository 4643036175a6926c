"""The same units of work on Dask distributed, for more than one machine (the extra ``cluster``).

Workers read photos and write records themselves, so they must see the same files under the same paths. A unit that a
dead worker left is run again by another; units leave the same bytes however often they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import queue
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Callable

import cv2
import numpy as np

from gluon_mtcnn import __version__
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.executors.processes import THREAD_VARIABLES, UNITS_AHEAD, WorkerError

CONNECT_SECONDS, LOST_SECONDS = 20, 60
_ADDRESS = re.compile(r"[a-z]+://\S+:\d+")
_one_unit = threading.Lock()  # OpenCV's settings and a loaded net belong to the process, whatever threads Dask gives it


class ClusterWorkers:
    """The workers of a Dask scheduler for the length of a ``with`` block; takes the place of `workers.Workers`.

    Parameters
    ----------
    address : str
        Of the scheduler, ``tcp://HOST:PORT``.
    folder : path
        The work folder, which every worker must see.

    Raises
    ------
    InputError
        This is no address. From ``with``: Dask is not installed, nobody answers, there are no workers, or one of them
        has other versions or other files.
    """

    def __init__(self, address: str, folder: Path) -> None:
        if not _ADDRESS.fullmatch(address):
            raise InputError(f"--cluster: expected tcp://HOST:PORT, got {address!r}")
        self._address, self._folder = address, folder.absolute()

    def __enter__(self) -> ClusterWorkers:
        try:
            import distributed
        except ImportError:
            raise InputError("--cluster needs Dask: pip install 'gluon-mtcnn[cluster]'") from None
        try:
            self._client = distributed.Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(f"--cluster {self._address}: no Dask scheduler: {reason}") from None
        try:
            self._check_workers()
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _check_workers(self) -> None:
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        try:
            found = self._client.run(describe_worker, self._folder, on_error="return")
        except Exception as error:  # whatever a worker without this package answers
            raise InputError(f"--cluster {self._address}: a worker cannot run gluon-mtcnn: {error!r}") from None
        if not found:
            raise InputError(f"--cluster {self._address}: expected workers, found none")
        own = describe_worker(self._folder)
        for address, there in found.items():
            if not isinstance(there, dict):
                raise InputError(f"--cluster {self._address}: worker {address}: {there!r}")
            for name, value in own.items():
                if there[name] != value:
                    raise InputError(f"worker {address}: {name}: expected {value} as here, got {there[name]}")

    def run(self, function: Callable[..., Any], units: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """Yield (unit, function(*unit)) of every unit, as they finish; see `workers.Workers.run`."""
        import distributed

        units = iter(units)
        waiting: dict[Any, tuple] = {}
        finished: SimpleQueue = SimpleQueue()
        try:
            while True:
                wanted = max(sum(self._client.nthreads().values()), 1) * UNITS_AHEAD
                for unit in islice(units, max(wanted - len(waiting), 0)):
                    future = self._client.submit(run_unit, function, unit, pure=False)
                    waiting[future] = unit
                    future.add_done_callback(finished.put)
                if not waiting:
                    return
                future = self._next(finished)
                yield waiting.pop(future), self._result(future)
        except (distributed.KilledWorker, asyncio.CancelledError, OSError) as error:
            reason = str(error).split("\n")[0] or type(error).__name__
            raise WorkerError(f"the cluster gave up: {reason}; the same command resumes") from None
        finally:
            if waiting:
                self._client.cancel(list(waiting), force=True)

    def _next(self, finished: SimpleQueue) -> Any:
        """Return the next future that is done."""
        while True:
            with contextlib.suppress(queue.Empty):
                return finished.get(timeout=LOST_SECONDS)
            self._check_not_lost()

    def _result(self, future: Any) -> Any:
        """Return what a unit returned. It runs again where the worker that ran it has died meanwhile."""
        while True:
            try:
                return future.result(timeout=LOST_SECONDS)
            except (TimeoutError, asyncio.TimeoutError):  # one type from Python 3.11 on
                if future.status == "error":  # the unit's own
                    raise
            self._check_not_lost()

    def _check_not_lost(self) -> None:
        """Raise WorkerError when no worker is left; Dask would wait for ever for one to come."""
        if not self._client.nthreads():
            raise WorkerError(f"the cluster has had no worker for {LOST_SECONDS} s; the same command resumes")


def describe_worker(folder: Path) -> dict[str, Any]:
    """Return what must be the same on all machines for the same bytes."""
    try:
        mxnet = importlib.metadata.version("mxnet")
    except importlib.metadata.PackageNotFoundError:
        mxnet = "none"
    versions = {"gluon-mtcnn": __version__, "numpy": np.__version__, "OpenCV": cv2.__version__, "mxnet": mxnet}
    return {**versions, f"sees {folder}": folder.is_dir()}


def run_unit(function: Callable[..., Any], unit: tuple) -> Any:
    """Run one unit in a Dask worker: one at a time in a process, and on one thread."""
    with _one_unit:
        cv2.setNumThreads(1)
        if os.environ.get("OMP_NUM_THREADS") != "1":
            if "mxnet" in sys.modules:
                raise InputError("a Dask worker runs MXNet on several threads: start it with OMP_NUM_THREADS=1")
            os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        return function(*unit)
