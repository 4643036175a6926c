"""OpenMP threads of MXNet's operators: how many there are, and fixing their number before MXNet starts.

Imports no MXNet. The last bits of trained weights depend on the number of threads.
"""

from __future__ import annotations

import os
import sys
from typing import Optional

from gluon_mtcnn.core.errors import InputError

# With these, CPU devices compute at the same time. Devices share scratch buffers, and no two operators that hold the
# same buffer run at once: here each operator of two O-Nets has its own. Operators go to the engine one by one: a bulk
# of operators would hold the buffers of all until the last is done.
PARALLEL_CPUS = {"MXNET_CPU_TEMP_COPY": "160", "MXNET_EXEC_BULK_EXEC_TRAIN": "0"}


def threads() -> int:
    """Return how many OpenMP threads MXNet's operators use: part of what makes a run repeatable."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() else (os.cpu_count() or 1)


def usable_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count: Optional[int], devices: str = "cpu") -> None:
    """Fix the number of OpenMP threads of this process, before MXNet is imported.

    Where MXNet already runs, as in a notebook, the number stays what it is.

    Parameters
    ----------
    count : int, optional
        Threads. Default: OMP_NUM_THREADS, or the cores shared by the CPU devices.
    devices : str
        Names of devices, for example ``cpu:0,cpu:1``.

    Raises
    ------
    InputError
        MXNet already runs with another number than `count`.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads sleep: they would take the loader's core
    if devices.count("cpu") > 1:
        for name, value in PARALLEL_CPUS.items():
            os.environ.setdefault(name, value)
    if "mxnet" in sys.modules:
        if count is not None and count != threads():
            raise InputError(f"threads: MXNet already runs with {threads()} threads, cannot change to {count}")
        return
    if count is None and os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return
    os.environ["OMP_NUM_THREADS"] = str(count or max(1, usable_cores() // max(1, devices.count("cpu"))))
