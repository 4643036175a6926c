import hashlib
import itertools
import os
import signal

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import ALL_FACES
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.executors import dask as cluster
from gluon_mtcnn.prepare_data.executors.dask import ClusterWorkers
from gluon_mtcnn.prepare_data.executors.processes import WorkerError
from gluon_mtcnn.prepare_data.mining.hard_examples import HardExamplePlanner, Mining
from gluon_mtcnn.prepare_data.packing.build import Options, Source, prepare
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import DEFAULT, RECIPES

distributed = pytest.importorskip("distributed", reason="Dask is not installed (the extra `cluster`)")


@pytest.fixture(scope="module")
def address():
    """A scheduler with two worker processes of two threads each."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0", silence_logs=50
    ) as local:
        yield local.scheduler_address


def make(small_wider, out, planner=None, count=400, **options):
    """Prepare from so many photos, listed again and again for many units of work."""
    images, annotations = small_wider
    photos = itertools.islice(itertools.cycle(read_wider(annotations, images)), count)
    source = Source(photos, ALL_FACES, {"annotations": "gt.txt"})
    return prepare(planner or PNetPlanner(DEFAULT), [source], out, Options(quiet=True, **options))


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kill_a_worker_after_the_first_unit(monkeypatch):
    """Let one of the cluster's worker processes be killed each time units run; return the killed ones."""
    killed, original = [], ClusterWorkers.run

    def run(self, function, units):
        for i, result in enumerate(original(self, function, units)):
            if i == 0:
                pids = self._client.run(os.getpid)
                killed.append(max(pids.values()))
                os.kill(killed[-1], signal.SIGKILL)
            yield result

    monkeypatch.setattr(ClusterWorkers, "run", run)
    return killed


def test_the_bytes_are_those_of_a_local_run_though_workers_are_killed(small_wider, tmp_path, address, monkeypatch):
    make(small_wider, tmp_path / "local", val_fraction=0.2)
    killed = kill_a_worker_after_the_first_unit(monkeypatch)
    monkeypatch.chdir(tmp_path)  # not the workers' folder
    make(small_wider, "dask", val_fraction=0.2, cluster=address)
    assert len(set(killed)) == 2  # planning, cutting
    assert digests(tmp_path / "dask") == digests(tmp_path / "local")


def test_the_seanlinx_layout(small_wider, tmp_path, address, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, options in (("a", {}), ("b", {"cluster": address})):
        make(small_wider, f"{name}", count=50, imdb=f"{name}/imdb", **options)
    crops = {name: digests(tmp_path / name / "imdb/mtcnn/images/12") for name in "ab"}
    crops["a"].pop(".gluon-mtcnn/job.json"), crops["b"].pop(".gluon-mtcnn/job.json")
    assert crops["a"] == crops["b"]
    assert len(crops["a"]) > 100


@pytest.mark.slow
def test_mining(small_wider, tmp_path, address, monkeypatch):
    from gluon_mtcnn.core.nets.model_folder import save_net
    from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise

    for i, kind in enumerate(("pnet", "rnet")):
        net = build(NetSpec(kind))
        initialise(net, seed=i)
        save_net(tmp_path / "model", net)
    monkeypatch.chdir(tmp_path)
    planner = HardExamplePlanner("onet", RECIPES["default"]["onet"], Mining("model", (0.3, 0.3, 0.3), 30))
    make(small_wider, "local", planner, count=20)
    killed = kill_a_worker_after_the_first_unit(monkeypatch)
    make(small_wider, "dask", planner, count=20, cluster=address)
    assert len(set(killed)) == 3
    assert digests(tmp_path / "dask") == digests(tmp_path / "local")


def test_a_bad_photo_ends_a_strict_run(small_wider, tmp_path, address):
    bad = tmp_path / "images/0--Event/0.png"
    bad.parent.mkdir(parents=True)
    bad.write_text("no image")
    source = Source(itertools.islice(read_wider(small_wider[1], tmp_path), 1), ALL_FACES, {"annotations": "gt.txt"})
    with pytest.raises(InputError, match=r"0\.png: expected an image"):
        prepare(PNetPlanner(DEFAULT), [source], tmp_path / "out", Options(quiet=True, strict=True, cluster=address))
    assert not (tmp_path / "out").exists()


def test_units_that_fail(tmp_path, address):
    with ClusterWorkers(address, tmp_path) as workers:
        assert sorted(workers.run(divmod, [(7, 2), (9, 2)])) == [((7, 2), (3, 1)), ((9, 2), (4, 1))]
        assert list(workers.run(divmod, [])) == []
        with pytest.raises(ZeroDivisionError):
            list(workers.run(divmod, [(1, 1), (1, 0)]))


def test_workers_are_checked(tmp_path, address, monkeypatch):
    monkeypatch.setattr(cluster.Path, "is_dir", lambda _: True)
    with pytest.raises(InputError, match=r"worker tcp://.*: sees .*none: expected True as here, got False"):
        ClusterWorkers(address, tmp_path / "none").__enter__()
    monkeypatch.undo()
    monkeypatch.setattr(np, "__version__", "0.1")
    with pytest.raises(InputError, match=r"worker tcp://.*: numpy: expected 0\.1 as here, got"):
        ClusterWorkers(address, tmp_path).__enter__()


def test_no_scheduler(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"--cluster tcp://127\.0\.0\.1:1: no Dask scheduler: ") as error:
        ClusterWorkers("tcp://127.0.0.1:1", tmp_path).__enter__()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["nonsense", "tcp://", "tcp://host", "host:8786"])
def test_no_address(tmp_path, where):
    with pytest.raises(InputError, match=f"--cluster: expected tcp://HOST:PORT, got '{where}'"):
        ClusterWorkers(where, tmp_path)


def test_no_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    empty = distributed.LocalCluster(n_workers=0, dashboard_address=":0", processes=True)
    with empty as local, pytest.raises(InputError, match="expected workers, found none"):
        ClusterWorkers(local.scheduler_address, tmp_path).__enter__()


def test_a_unit_that_kills_its_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "LOST_SECONDS", 300)  # a busy machine is slow to start workers anew
    local = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with local, ClusterWorkers(local.scheduler_address, tmp_path) as workers:
        local.scheduler.allowed_failures = 1
        with pytest.raises(WorkerError, match=r"the cluster gave up: .*; the same command resumes"):
            list(workers.run(os._exit, [(1,)]))


def test_workers_that_do_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "LOST_SECONDS", 1)
    local = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with local, ClusterWorkers(local.scheduler_address, tmp_path) as workers:
        running = workers.run(divmod, [(7, 2)] * 20)
        next(running)
        local.scale(0)
        with pytest.raises(WorkerError, match="no worker for 1 s; the same command resumes"):
            list(running)
