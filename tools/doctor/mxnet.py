"""Whether MXNet works here: tried in a process of its own, which may die of it; GPUs, their driver and libraries."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from gluon_mtcnn.core.backend import cuda
from gluon_mtcnn.tools.doctor.finding import FIX, NOTE, OK, Finding
from gluon_mtcnn.tools.doctor.requirements import find_requirement, is_within

CPU_BUILD, GPU_BUILD = "mxnet", "mxnet-cu112"
INSTALL = "pip install 'gluon-mtcnn[cpu]', or 'gluon-mtcnn[cu112]' for NVIDIA GPUs"
TIMEOUT = 300  # seconds; a first import from a cold disk takes some
TOLD = ("CUDA", "CUDNN", "NCCL", "MKLDNN", "OPENMP", "BLAS_OPEN", "BLAS_MKL", "DIST_KVSTORE", "F16C")  # features shown
TRIAL = """
import json, time
start = time.perf_counter()
from gluon_mtcnn.core.errors import InputError
try:
    from gluon_mtcnn.core.backend.runtime import mx
except InputError as error:
    answer = {"error": str(error)}
else:
    value = float(mx.nd.ones((2, 3)).sum().asscalar())
    features = sorted(name for name, feature in mx.runtime.Features().items() if feature.enabled)
    answer = {"version": mx.__version__, "features": features, "sum": value, "seconds": time.perf_counter() - start}
print("\\n" + json.dumps(answer))
"""


def try_mxnet(code: str = TRIAL) -> dict[str, Any]:
    """Import MXNet and compute something in another process.

    Returns
    -------
    dict
        ``version``, ``features``, ``sum`` (of six ones) and ``seconds``; or ``error``, one line, when it fails in
        whatever way: not there, does not load, crashes, hangs.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part or os.getcwd() for part in sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    try:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"error": f"it did not load within {TIMEOUT} seconds"}
    if result.returncode == 0:
        answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return answer
    if result.returncode < 0:
        return {"error": f"it ends the process by {signal.Signals(-result.returncode).name}"}
    return {"error": (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]}


def mxnet_builds() -> dict[str, str]:
    """Return the MXNet packages that are installed, with their versions."""
    found = {str(d.metadata["Name"]).lower(): d.version for d in importlib.metadata.distributions()}
    return {name: version for name, version in sorted(found.items()) if name.partition("-cu")[0] == "mxnet"}


def mxnet_findings(builds: dict[str, str], trial: dict[str, Any]) -> Iterator[Finding]:
    """Say which MXNet is installed and whether it works.

    Parameters
    ----------
    builds : as `mxnet_builds` returns them
    trial : as `try_mxnet` returns it
    """
    if not builds:
        yield Finding(FIX, "MXNet is not installed", INSTALL)
        return
    if len(builds) > 1:
        names = " ".join(builds)
        yield Finding(
            FIX, f"{len(builds)} builds of MXNet share one folder: {names}", f"pip uninstall {names}, then {INSTALL}"
        )
    for name, version in builds.items():
        wanted, _ = find_requirement(name) or ("", "")
        if wanted and is_within(version, wanted) is False:
            yield Finding(FIX, f"{name} {version}: tried with {wanted} only", f"pip install '{name}{wanted}'")
        else:
            yield Finding(OK, f"{name} {version}{f' (tried with {wanted})' if wanted else ''}")
    if "error" in trial:
        advice = "" if "pip install" in trial["error"] else f"pip uninstall {' '.join(builds)}, then {INSTALL}"
        yield Finding(FIX, f"it does not work: {trial['error']}", advice)
        return
    yield Finding(OK, f"it loads and computes ({trial['seconds']:.1f} s)")
    features = [name for name in TOLD if name in trial["features"]]
    yield Finding(OK, f"built with {', '.join(features)}")
    if "MKLDNN" not in features:
        yield Finding(NOTE, "built without oneDNN (MKLDNN): convolutions on the CPU are slow", INSTALL)
    if "DIST_KVSTORE" not in features:
        yield Finding(NOTE, "built without DIST_KVSTORE: training on several machines cannot work", INSTALL)


def gpu_findings(builds: dict[str, str]) -> Iterator[Finding]:
    """Say which GPUs there are and what the installed MXNet can do with them."""
    gpu_build = any(name.startswith("mxnet-cu") for name in builds)
    if not cuda.has_driver():
        if gpu_build:
            advice = f"install the driver, or pip uninstall {GPU_BUILD} and pip install 'gluon-mtcnn[cpu]'"
            yield Finding(
                FIX, "the GPU build of MXNet needs NVIDIA's driver (libcuda.so.1), which is not there", advice
            )
        else:
            yield Finding(OK, "no NVIDIA driver: everything runs on the CPU")
        return
    version, count = cuda.driver_version(), cuda.device_count()
    known = "of an unknown version" if version is None else f"for CUDA {version[0]}.{version[1]}"
    yield Finding(OK, f"NVIDIA driver {known}, {count} GPU{'' if count == 1 else 's'}")
    if not gpu_build:
        if count and builds:
            advice = f"to use it: pip uninstall {CPU_BUILD} and pip install 'gluon-mtcnn[cu112]'"
            yield Finding(NOTE, "this is the CPU build of MXNet", advice)
        return
    least = cuda.LEAST_DRIVER
    if version is not None and version < least:
        yield Finding(
            FIX, f"the driver is too old: CUDA {least[0]}.{least[1]} is needed", "install a newer NVIDIA driver"
        )
    if not count:
        yield Finding(
            NOTE, "the driver gives this process no GPU", "see CUDA_VISIBLE_DEVICES and the container's options"
        )
    missing = cuda.preload()
    if missing:
        yield Finding(FIX, f"CUDA libraries not found: {', '.join(missing)}", "pip install 'gluon-mtcnn[cu112]'")
    else:
        yield Finding(OK, "all CUDA libraries load")
    for index in range(count):
        yield _card(index)


def _card(index: int) -> Finding:
    major, minor = cuda.compute_capability(index)
    what = f"gpu:{index} has compute capability {major}.{minor}"
    if major in cuda.MAJOR_CAPABILITIES:
        return Finding(OK, what)
    return Finding(FIX, f"{what}: MXNet's wheel holds code for 5.x to 8.x only (Maxwell to Ada)", "use --devices cpu")
