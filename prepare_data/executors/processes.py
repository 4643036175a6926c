"""Units of work on worker processes: spawned, so that no thread or library state is inherited, and watched.

A unit is a call of a module-level function with small picklable arguments that leaves its result in files and returns
a summary. Another executor (a cluster's) can run the same units.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Callable, Optional, Protocol

import cv2
from tqdm import tqdm

from gluon_mtcnn.core.processes.owner import leave, watch_owner

UNITS_AHEAD = 2  # units handed out a worker; bounds what waits in memory
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(RuntimeError):
    """A worker process ended without an answer: killed, or out of memory."""


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        watch_owner(parent.sentinel, leave)


class UnitRunner(Protocol):
    """What runs units: `Workers`, or `cluster.ClusterWorkers`."""

    def run(self, function: Callable[..., Any], units: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """Yield (unit, function(*unit)) of every unit, as they finish."""


class Workers:
    """Worker processes for the length of a ``with`` block.

    Parameters
    ----------
    count : int
        Processes. One means this process, unless `inline` is False.
    inline : bool
        Whether one worker may be this process. Units that compute with MXNet say no, so that every count of workers
        computes with the same number of threads (one).
    """

    def __init__(self, count: int, inline: bool = True) -> None:
        self.count = count
        self._inline = inline and count == 1
        self._pool: Optional[ProcessPoolExecutor] = None

    def __enter__(self) -> Workers:
        self._threads = cv2.getNumThreads()
        self._environment = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        if self._inline:
            cv2.setNumThreads(1)
        else:
            os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # spawned processes read it
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_start_worker)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
            for name, value in self._environment.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        cv2.setNumThreads(self._threads)

    def run(self, function: Callable[..., Any], units: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """Yield (unit, function(*unit)) of every unit, as they finish.

        Raises
        ------
        WorkerError
            A worker process died. What `function` raises is raised here too.
        """
        if self._inline:
            for unit in units:
                yield unit, function(*unit)
            return
        assert self._pool is not None, "Workers.run outside of its with block"
        units = iter(units)
        waiting: dict[Future, tuple] = {}
        try:
            while True:
                for unit in islice(units, self.count * UNITS_AHEAD - len(waiting)):
                    waiting[self._pool.submit(function, *unit)] = unit
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise WorkerError(
                "a worker process died: killed, or out of memory? The same command resumes; try fewer --num-workers"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def show_progress(
    results: Iterable[Any], title: str, total: int, todo: int, size: int, quiet: bool, unit: str = "photo"
) -> Iterator[Any]:
    """Yield the results of `todo` units of `size` things under a bar of `total`; what is not to do has been done."""
    with tqdm(total=total, initial=max(total - todo * size, 0), desc=title, unit=unit, disable=quiet) as bar:
        for result in results:
            yield result
            bar.update(min(size, total - bar.n))
