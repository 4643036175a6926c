"""Sums and broadcasts through a real parameter server on the loopback."""

import json

import pytest

from gluon_mtcnn.core.distributed.job import Cluster
from gluon_mtcnn.core.errors import InputError

CODE = """
import json, sys
import numpy as np
from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.distributed.heartbeat import Activity
from gluon_mtcnn.core.distributed.job import Cluster
from gluon_mtcnn.core.errors import InputError

activity = Activity()
job = Cluster(sys.argv[1], activity)
phases = [activity.phase]
rank = job.rank
result = {"rank": rank, "workers": job.workers}
key = job.new_key(3)
totals = []
for step in range(20):
    arrays = [mx.nd.array([rank + 1, step, 10 * rank])]
    job.sum(key, arrays)
    totals.append(arrays[0].asnumpy().tolist())
result["totals"] = totals
job.barrier()
result["once"] = job.sum_once(np.full((2, 2), rank + 1)).tolist()
data = bytes(range(256)) * 40 + b"end"
result["broadcast"] = [job.broadcast(data if rank == 0 else b"ignored") == data, job.broadcast(b"") == b""]
job.check_same({"lr": 0.1, "pack": {"a": [1, 2]}})
try:
    job.check_same({"lr": 0.1, "pack": "abc" if rank else "abd"})
except InputError as error:
    result["error"] = str(error)
job.barrier()
phases.append(activity.phase)
job.close()
result["phases"] = [*phases, activity.phase]
print(json.dumps(result))
"""


@pytest.mark.parametrize("kind", ["dist_sync", "dist_async"])
def test_two_workers(parameter_server, kind):
    results = [json.loads(text) for text in parameter_server(CODE, kind, servers=2)]
    for rank, result in enumerate(results):
        assert (result["rank"], result["workers"]) == (rank, 2)
        assert result["once"] == [[3, 3], [3, 3]]
        assert result["broadcast"] == [True, True]
        assert result["phases"] == ["working", "working", "finished"]
        assert result["error"] == (
            f'worker 1 and worker 0 must have the same pack: worker {rank} has "{["abd", "abc"][rank]}"'
        )
        if kind == "dist_sync":
            assert result["totals"] == [[3, 2 * step, 10] for step in range(20)]
    if kind == "dist_async":  # the servers keep the total of all that was added; whoever came last has seen it
        last = max(result["totals"][-1] for result in results)
        assert last == [20 * 3, 2 * sum(range(20)), 20 * 10]


def test_outside_of_a_job():
    with pytest.raises(InputError, match="dist_sync needs gluon-mtcnn launch"):
        Cluster("dist_sync")
    with pytest.raises(InputError, match="expected one of dist_sync, dist_async, dist_sync_device, got 'device'"):
        Cluster("device")
