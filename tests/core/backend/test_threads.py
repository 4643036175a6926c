import os
import sys

import pytest

from gluon_mtcnn.core.backend.threads import PARALLEL_CPUS, set_threads, threads
from gluon_mtcnn.core.errors import InputError


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert threads() == os.cpu_count()


def test_threads_are_set_before_mxnet_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "mxnet", raising=False)
    for name in PARALLEL_CPUS:
        monkeypatch.delenv(name, raising=False)
    for asked, found, devices, expected in ((3, "2", "cpu", "3"), (None, "2", "cpu", "2")):
        monkeypatch.setenv("OMP_NUM_THREADS", found)
        set_threads(asked, devices)
        assert os.environ["OMP_NUM_THREADS"] == expected
    assert not any(name in os.environ for name in PARALLEL_CPUS)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for devices, expected in (("cpu", cores), ("cpu:0,cpu:1", max(1, cores // 2)), ("gpu:0", cores)):
        monkeypatch.delenv("OMP_NUM_THREADS")
        set_threads(None, devices)
        assert os.environ["OMP_NUM_THREADS"] == str(expected)
    assert {name: os.environ[name] for name in PARALLEL_CPUS} == PARALLEL_CPUS


def test_where_mxnet_runs_the_number_stays(monkeypatch):
    """A notebook trains after it has detected: nothing is asked for, and nothing changes."""
    monkeypatch.setitem(sys.modules, "mxnet", sys)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    set_threads(None)
    set_threads(2)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    with pytest.raises(InputError, match="MXNet already runs with 2 threads, cannot change to 3"):
        set_threads(3)
