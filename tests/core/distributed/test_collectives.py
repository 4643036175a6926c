"""Two workers of a real parameter-server job against one process with the whole batch."""

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.distributed.collectives import Flat
from gluon_mtcnn.core.nets.initialise import fresh_net
from gluon_mtcnn.core.training.config import LossConfig, default_config
from gluon_mtcnn.core.training.learner import Learner
from gluon_mtcnn.core.training.loader import Batch
from gluon_mtcnn.core.training.sampler import split_slots

STEPS, ROWS = 20, 51
SIZES = {"pnet": 12, "rnet": 24}
# Name: net, devices of each worker, learning rate, configuration.
RUNS = {
    "sgd": ("pnet", 1, 0.02, {"optimizer": "sgd"}),
    "adamw": ("pnet", 1, 0.001, {"optimizer": "adamw"}),
    "two devices": ("pnet", 2, 0.02, {"optimizer": "sgd"}),
    "frozen": ("pnet", 1, 0.02, {"optimizer": "sgd", "freeze": "stage1.*"}),
    "rnet": ("rnet", 1, 0.005, {"optimizer": "sgd"}),
    # Without mining there is nothing to rank, so each worker may as well rank alone.
    "local": ("pnet", 1, 0.02, {"optimizer": "sgd", "ohem_scope": "local", "loss": LossConfig(ohem=1.0)}),
    "local mining": ("pnet", 1, 0.02, {"optimizer": "sgd", "ohem_scope": "local"}),
}


def batches(size):
    """Yield batches sorted by label: the first worker has all of the positives. The last one is a single row."""
    rng = np.random.default_rng(7)
    for step in range(STEPS + 1):
        rows = ROWS if step < STEPS else 1
        label = np.sort(rng.choice([1, 0, -1, -2], rows, p=[0.25, 0.45, 0.15, 0.15]))[::-1].astype(np.float32)
        data = rng.integers(0, 255, (rows, 3, size, size), dtype=np.uint8)
        targets = rng.uniform(-0.2, 0.2, (rows, 14)).astype(np.float32)
        yield Batch(data, label, targets[:, :4], targets[:, 4:], np.arange(rows))


def train(name, kvstore, job=None):
    """Return the arrays that a run ends with, and its losses."""
    net, devices, lr, changes = RUNS[name]
    workers, rank = (job.workers, job.rank) if job else (1, 0)
    config = default_config(
        net, landmarks=True, wd=0.01, batch_size=ROWS, kvstore=kvstore, devices=devices, workers=workers, **changes
    )
    # Workers begin with the weights of the first, whatever their own were; what is frozen is not exchanged.
    seed = 0 if name == "frozen" else rank
    contexts = [mx.cpu(i) for i in range(devices)]
    learner = Learner(fresh_net(net, True, "default", seed), config, contexts, job)
    learner.synchronise()
    losses = []
    for batch in batches(SIZES[net]):
        start, stop = split_slots(len(batch.label), ROWS, workers, 0)[rank : rank + 2]
        losses.append(learner.step(learner.place(batch[start:stop]), lr).asscalar())
    arrays = learner.state()[0]
    return {**arrays, "losses": np.array(losses)}


CODE = f"""
import runpy, sys
import numpy as np
from gluon_mtcnn.core.distributed.job import Cluster
train = runpy.run_path({__file__!r})["train"]
job = Cluster(sys.argv[1])
for name in sys.argv[3:]:
    np.savez(f"{{sys.argv[2]}}/{{name}}-{{job.rank}}.npz", **train(name, sys.argv[1], job))
"""


@pytest.mark.parametrize(
    ("kvstore", "servers", "names"),
    [("dist_sync", 1, list(RUNS)), ("dist_sync_device", 2, ["sgd", "two devices"])],
)
def test_two_workers_give_the_update_of_one(parameter_server, tmp_path, monkeypatch, kvstore, servers, names):
    """Twenty steps with momentum, weight decay and mining, the valid counts of the shares unequal."""
    monkeypatch.setenv("MXNET_KVSTORE_BIGARRAY_BOUND", "1000")  # so that two servers share an array
    parameter_server(CODE, kvstore, tmp_path, *names, servers=servers)
    for name in names:
        first, second = (dict(np.load(tmp_path / f"{name}-{rank}.npz")) for rank in range(2))
        for part, array in first.items():
            np.testing.assert_array_equal(second[part], array, err_msg=f"{name} {part}")
        if name == "local mining":
            continue
        alone = train(name, "device")
        for part, array in first.items():
            figure = part in ("tally", "losses")
            np.testing.assert_allclose(array, alone[part], rtol=1e-4 * figure, atol=1e-5, err_msg=f"{name} {part}")
        assert (name == "frozen") == (first["weight/stage1.conv.weight"] == start(name)).all()


def start(name):
    return (
        fresh_net(RUNS[name][0], True, "default", 0)
        ._collect_params_with_prefix()["stage1.conv.weight"]
        .data()
        .asnumpy()
    )


ASYNC = f"""
import runpy, sys
import numpy as np
from gluon_mtcnn.core.distributed.job import Cluster
module = runpy.run_path({__file__!r})
job = Cluster("dist_async")
learner = module["async_learner"](job)
learner.synchronise()
for number, batch in enumerate(module["batches"](12)):
    if number < 10 * (job.rank + 1):  # one is ahead, and neither waits
        learner.step(learner.place(batch), 0.02)
learner.finish_epoch()
job.barrier()
learner._weights.take()
np.savez(f"{{sys.argv[1]}}/{{job.rank}}.npz", **learner.state()[0])
"""


def async_learner(job):
    config = default_config(
        "pnet", landmarks=True, optimizer="sgd", batch_size=ROWS, kvstore="dist_async", workers=2, ohem_scope="local"
    )
    return Learner(fresh_net("pnet", True, "default", job.rank), config, [mx.cpu(0), mx.cpu(1)], job)


def test_asynchronous_workers_end_an_epoch_with_the_same_weights(parameter_server, tmp_path):
    parameter_server(ASYNC, tmp_path)
    first, second = (dict(np.load(tmp_path / f"{rank}.npz")) for rank in range(2))
    begin = fresh_net("pnet", True, "default", 0)._collect_params_with_prefix()
    for name, array in first.items():
        if name.startswith("weight/"):
            np.testing.assert_array_equal(second[name], array, err_msg=name)
            moved = np.abs(array - begin[name[len("weight/") :]].data().asnumpy()).max()
            assert 1e-5 < moved < 1, name
    assert first["tally"][-3:].sum() > 30 * ROWS  # of both workers
    np.testing.assert_array_equal(first["tally"], second["tally"])


def test_flat_arrays():
    arrays = [mx.nd.arange(6).reshape((2, 3)), mx.nd.array([10]), mx.nd.arange(4)]
    flat = Flat(arrays)
    assert flat.join(mx.nd.array([7, 8])).asnumpy().tolist() == [0, 1, 2, 3, 4, 5, 10, 0, 1, 2, 3, 7, 8]
    flat.spread(mx.nd.arange(13) * 2)
    assert arrays[0].asnumpy().tolist() == [[0, 2, 4], [6, 8, 10]]
    assert arrays[1].asnumpy().tolist() == [12]
    assert arrays[2].asnumpy().tolist() == [14, 16, 18, 20]
    single = [mx.nd.zeros((2, 2))]
    Flat(single).spread(mx.nd.arange(5))
    assert single[0].asnumpy().tolist() == [[0, 1], [2, 3]]
