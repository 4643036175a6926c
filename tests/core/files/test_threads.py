import threading
import time

import pytest

from gluon_mtcnn.core.files.threads import ClonePool, map_ahead, map_clones


def test_results_come_in_order_and_nothing_runs_too_far_ahead():
    taken = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    def slow_first(i):
        time.sleep(0.02 if i % 5 == 0 else 0)
        return -i

    for i, result in enumerate(map_ahead(slow_first, items(), threads=3, ahead=4)):
        assert result == -i
        assert len(taken) <= i + 5 + 1


def test_an_error_comes_in_its_place_and_ends_the_work():
    begun = []

    def fail(i):
        begun.append(i)
        if i == 2:
            raise ValueError("two")
        return i

    results = map_ahead(fail, range(1000), threads=2, ahead=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert max(begun) < 10


def test_no_thread_is_left_when_the_caller_stops():
    before = threading.active_count()
    results = map_ahead(abs, range(100), threads=2, ahead=2)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert list(map_ahead(abs, [], threads=2, ahead=2)) == []


class Counter:
    """Counts its own calls, and the threads that are in it at once; the first call waits for all clones' first."""

    def __init__(self, all_called):
        self.calls = self.inside = 0
        self.all_called = all_called
        self.clones = []

    def clone(self):
        self.clones.append(Counter(self.all_called))
        return self.clones[-1]

    def square(self, i):
        self.inside += 1
        assert self.inside == 1
        if not self.calls:
            self.all_called.wait(60)
        time.sleep(0.005)
        self.calls += 1
        self.inside -= 1
        return i * i


def test_each_thread_has_a_clone_of_its_own():
    first = Counter(threading.Barrier(3))
    assert list(map_clones(Counter.square, range(30), first, 3)) == [i * i for i in range(30)]
    calls = [first.calls, *(clone.calls for clone in first.clones)]
    assert len(calls) == 3
    assert sum(calls) == 30
    assert min(calls) > 0


def test_one_needs_no_clone():
    assert list(map_clones(lambda worker, i: worker + i, [1, 2], 10, 1)) == [11, 12]


def test_a_pool_gives_each_clone_to_one_thread_at_a_time():
    pool, seen = ClonePool("ab"), []
    with pool.one() as first, pool.one() as second:
        assert {first, second} == {"a", "b"}
        waiting = threading.Thread(target=lambda: seen.append(take(pool)))
        waiting.start()
        waiting.join(0.05)
        assert seen == []
    waiting.join(60)
    assert len(seen) == 1
    with pytest.raises(ValueError, match="given back"), pool.one():
        raise ValueError("given back")
    with pool.one(), pool.one():
        pass


def take(pool):
    with pool.one() as clone:
        return clone
