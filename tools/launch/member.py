"""One process of a job that `gluon-mtcnn launch` started: the scheduler, a server or a worker.

It is tied to the launcher by two pipes, which reach through ssh as well. Every second a thread writes what the process
is doing to the one; when the other one closes, the launcher is gone, and the process ends. What the process itself
prints goes to its log. A worker is given a command of gluon-mtcnn.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import traceback
from typing import Any, TextIO

from gluon_mtcnn.core.backend.threads import usable_cores
from gluon_mtcnn.core.distributed.heartbeat import Activity
from gluon_mtcnn.core.processes.owner import kill_with_parent, leave, watch_owner
from gluon_mtcnn.tools.cli import main as cli
from gluon_mtcnn.tools.cli.options import options_from
from gluon_mtcnn.tools.train.options import TrainOptions

BEAT_SECONDS = 1.0
LOOPBACK = "127.0.0.1"


def main() -> int:
    """Be the member that the environment describes; return a worker's exit code."""
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    kill_with_parent()
    activity = Activity()
    first: dict[str, Any] = {"pid": os.getpid()}
    if os.environ["DMLC_ROLE"] == "scheduler":
        first.update(_choose_address())
    else:
        os.environ.setdefault("DMLC_NODE_HOST", address_towards(os.environ["DMLC_PS_ROOT_URI"]))
    threading.Thread(target=_report, args=(reports, activity, first), daemon=True).start()
    watch_owner(sys.stdin.fileno(), leave)
    role = os.environ["DMLC_ROLE"]
    if role == "worker":
        _share_cores(sys.argv[1:])
        return cli.main(sys.argv[1:], activity=activity)
    del os.environ["DMLC_ROLE"]  # with it, MXNet would not come back from its import
    from gluon_mtcnn.core.distributed.job import serve

    os.environ["DMLC_ROLE"] = role
    serve(activity)
    return 0


def _report(reports: TextIO, activity: Activity, first: dict[str, Any]) -> None:
    """Write a line of JSON a second: phase, steps, CPU seconds; what is in `first` once."""
    while True:
        line = {"phase": activity.phase, "steps": activity.steps, "cpu": round(time.process_time(), 3), **first}
        try:
            reports.write(json.dumps(line) + "\n")
            reports.flush()
        except OSError:
            os._exit(1)
        first = {}
        time.sleep(BEAT_SECONDS)


def _choose_address() -> dict[str, Any]:
    """Choose where the scheduler listens, set it in the environment, and return it."""
    host = os.environ.get("DMLC_PS_ROOT_URI") or _own_address()
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    os.environ.update(DMLC_PS_ROOT_URI=host, DMLC_PS_ROOT_PORT=str(port), DMLC_NODE_HOST=host)
    return {"address": host, "port": port}


def _own_address() -> str:
    """Return the address at which ssh reached this host; the loopback when it was not reached by ssh at all."""
    fields = os.environ.get("SSH_CONNECTION", "").split()
    if not fields:
        return LOOPBACK
    if len(fields) == 4 and "." in fields[2]:
        return fields[2].rpartition(":")[2]
    return socket.gethostbyname(socket.gethostname())


def address_towards(host: str) -> str:
    """Return the address of this machine that a host sees."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing: it only chooses a route
        return str(probe.getsockname()[0])


def _share_cores(argv: list[str]) -> None:
    """Give each worker of a host its part of the cores, where nothing else says how many threads it may use."""
    options = options_from(TrainOptions, cli.parse(argv)[0])
    if options.threads is None and not os.environ.get("OMP_NUM_THREADS"):
        processes = int(os.environ["GLUON_MTCNN_WORKERS_HERE"]) * max(1, options.devices.count("cpu"))
        os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // processes))


if __name__ == "__main__":
    code = 1
    try:
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    if code:  # MXNet would wait for the other members
        sys.stderr.flush()
        os._exit(code)
