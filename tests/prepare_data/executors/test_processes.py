import os
import signal

import cv2
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.executors.processes import WorkerError, Workers, show_progress


def add(a, b):
    return a + b, os.getpid(), cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS")


def fail(number):
    raise InputError(f"bad number {number}")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_is_this_process_with_one_thread():
    before = cv2.getNumThreads()
    with Workers(1) as workers:
        results = dict(workers.run(add, [(1, 2), (3, 4)]))
    assert {unit: result[:3] for unit, result in results.items()} == {
        (1, 2): (3, os.getpid(), 1),
        (3, 4): (7, os.getpid(), 1),
    }
    assert cv2.getNumThreads() == before
    with Workers(1) as workers, pytest.raises(InputError, match="bad number 5"):
        list(workers.run(fail, [(5,)]))


def test_other_workers_answer_raise_and_die(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with Workers(2) as workers:
        results = dict(workers.run(add, ((i, 1) for i in range(20))))
        assert {unit: result[0] for unit, result in results.items()} == {(i, 1): i + 1 for i in range(20)}
        assert all(result[1] != os.getpid() and result[2:] == (1, "1") for result in results.values())
        with pytest.raises(InputError, match="bad number 5"):
            list(workers.run(fail, [(5,)]))
        with pytest.raises(WorkerError, match="a worker process died"):
            list(workers.run(die, [()]))
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_progress_counts_photos(capsys):
    assert list(show_progress(iter("abc"), "cut", 70, 3, 32, True)) == ["a", "b", "c"]
    list(show_progress(iter("ab"), "cut", 70, 2, 32, False))
    assert "70/70" in capsys.readouterr().err
