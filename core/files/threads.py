"""Work on a stream in threads: in order, and never further ahead than asked."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Callable, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for each item in order, computed in threads.

    Parameters
    ----------
    function : called in the threads
    items : iterated in the caller's thread, one item for each result that is taken
    threads : int
    ahead : int
        How many items may be in work beyond the one whose result is next; bounds the memory.

    Raises
    ------
    Exception
        What the function raised, in its place. Then, and when the caller stops early, items not begun are dropped.
    """
    pool = ThreadPoolExecutor(threads)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class ClonePool:
    """Clones of an object, of which each thread that asks has one to itself.

    Parameters
    ----------
    clones : iterable
        At least one.
    """

    def __init__(self, clones: Iterable[Any]) -> None:
        self._idle: queue.SimpleQueue = queue.SimpleQueue()
        for clone in clones:
            self._idle.put(clone)

    @contextmanager
    def one(self) -> Iterator[Any]:
        """Give a clone that no other thread has; wait for one where all are taken."""
        clone = self._idle.get()
        try:
            yield clone
        finally:
            self._idle.put(clone)


def map_clones(
    function: Callable[[Any, Item], Result], items: Iterable[Item], first: Any, count: int
) -> Generator[Result, None, None]:
    """Yield ``function(clone, item)`` for each item in order; no two threads have the same clone at a time.

    Parameters
    ----------
    function : called in `count` threads; in the caller's if that is 1
    items : as of `map_ahead`; at most as many are in work as there are threads, and one more
    first : object with a method ``clone``, not called for a `count` of 1; the first of the clones is itself
    """
    if count == 1:
        yield from (function(first, item) for item in items)
        return
    pool = ClonePool((first, *(first.clone() for _ in range(count - 1))))

    def run(item: Item) -> Result:
        with pool.one() as clone:
            return function(clone, item)

    with closing(map_ahead(run, items, threads=count, ahead=count)) as results:
        yield from results
