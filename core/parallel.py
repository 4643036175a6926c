"""Work on a stream in threads: in order, and never further ahead than asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
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
