"""The only place that imports MXNet: shim first, CUDA libraries preloaded, one clear sentence when it cannot work.

MXNet 1.9.1 still uses names that numpy dropped in 1.24 (``numpy.bool`` ...), so they come back before it is imported.
The GPU build needs CUDA 11 libraries; PyPI has them as nvidia-*-cu11 wheels, which are loaded from there so that no
system CUDA is needed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import random
import site
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gluon_mtcnn.core.errors import InputError

# In the order in which they depend on each other. (folder below nvidia/, library)
CUDA_LIBRARIES = (
    ("cuda_runtime", "libcudart.so.11.0"),
    ("cuda_nvrtc", "libnvrtc.so.11.2"),
    ("nvtx", "libnvToolsExt.so.1"),
    ("cublas", "libcublasLt.so.11"),
    ("cublas", "libcublas.so.11"),
    ("cudnn", "libcudnn.so.8"),
    ("cufft", "libcufft.so.10"),
    ("curand", "libcurand.so.10"),
    ("cusparse", "libcusparse.so.11"),
    ("cusolver", "libcusolver.so.11"),
    ("nccl", "libnccl.so.2"),
)
# Compute capabilities whose machine code the mxnet-cu112 1.9.1 wheel runs. It holds 5.0, 6.0, 7.0, 8.0 and 8.6, and
# code for x.y runs on x.z with z >= y.
MAJOR_CAPABILITIES = (5, 6, 7, 8)
CUDA_MAJOR, CUDA_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR / _MINOR of cuda.h


def _restore_numpy_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns when its own retired names are looked up
        for name in ("bool", "int", "float", "object", "complex", "str"):
            if not hasattr(np, name):
                setattr(np, name, getattr(__import__("builtins"), name))


def _preload_cuda() -> list[str]:
    """Load the CUDA libraries of the nvidia-*-cu11 wheels; return those that could not be loaded."""
    roots = [Path(p) / "nvidia" for p in {*sys.path, *site.getsitepackages()} if p]
    missing = []
    for folder, library in CUDA_LIBRARIES:
        found = [root / folder / "lib" / library for root in roots if (root / folder / "lib" / library).exists()]
        try:
            ctypes.CDLL(str(found[0]) if found else library, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            missing.append(library)
    return missing


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def _is_gpu_build() -> bool:
    names = {str(d.metadata["Name"]).lower() for d in importlib.metadata.distributions()}
    return any(name.startswith("mxnet-cu") for name in names)


def _import_mxnet() -> Any:
    if importlib.util.find_spec("mxnet") is None:
        raise InputError(
            "MXNet is not installed: pip install 'gluon-mtcnn[cpu]', or 'gluon-mtcnn[cu112]' for NVIDIA GPUs"
        )
    _restore_numpy_names()
    gpu = _is_gpu_build()
    if gpu and not _has_driver():
        raise InputError(
            "the GPU build of MXNet is installed but there is no NVIDIA driver (libcuda.so.1): install the driver, or "
            "pip uninstall mxnet-cu112 and pip install 'gluon-mtcnn[cpu]'"
        )
    missing = _preload_cuda() if gpu else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mxnet
    except (ImportError, OSError) as error:
        hint = f"; CUDA libraries not found: {', '.join(missing)}: pip install 'gluon-mtcnn[cu112]'" if missing else ""
        raise InputError(f"MXNet cannot be loaded: {error}{hint}") from error
    return mxnet


mx: Any = _import_mxnet()
if TYPE_CHECKING:
    HybridBlock = Any  # MXNet has no type hints
else:
    HybridBlock = mx.gluon.HybridBlock


def compute_capability(index: int) -> tuple[int, int]:
    """Return (major, minor) of an NVIDIA GPU, asked from the driver.

    Raises
    ------
    InputError
        There is no driver or no such GPU.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise InputError(f"gpu:{index}: there is no NVIDIA driver (libcuda.so.1)") from None
    device, value = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), index):
        raise InputError(f"gpu:{index}: the NVIDIA driver knows no such device")
    answer = []
    for attribute in (CUDA_MAJOR, CUDA_MINOR):
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        answer.append(value.value)
    return answer[0], answer[1]


def devices(names: str) -> list[Any]:
    """Return the MXNet contexts of ``cpu``, ``cpu:0,cpu:1``, ``gpu:0,gpu:1``.

    Raises
    ------
    InputError
        A name is not of that form, is listed twice, or is a GPU that this MXNet cannot use.
    """
    contexts = []
    for name in names.split(","):
        kind, _, index = name.strip().partition(":")
        if kind not in ("cpu", "gpu") or not (index or "0").isdigit():
            raise InputError(f"devices: expected cpu, cpu:0,cpu:1 or gpu:0,gpu:1, got {names!r}")
        if kind == "gpu":
            _check_gpu(int(index or 0))
        contexts.append(mx.Context(kind, int(index or 0)))
    if len(set(contexts)) != len(contexts):
        raise InputError(f"devices: {names!r} lists a device twice")
    return contexts


def _check_gpu(index: int) -> None:
    if not mx.runtime.Features().is_enabled("CUDA"):
        raise InputError(
            f"gpu:{index}: this is the CPU build of MXNet: pip uninstall mxnet and pip install 'gluon-mtcnn[cu112]'"
        )
    capability = compute_capability(index)
    if capability[0] not in MAJOR_CAPABILITIES:
        raise InputError(
            f"gpu:{index} has compute capability {capability[0]}.{capability[1]}, but MXNet 1.9.1's wheel holds code "
            "for 5.x to 8.x (Maxwell to Ada) only: use --devices cpu"
        )


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and MXNet's global generators. The project's own code passes generators instead."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    mx.random.seed(seed % 2**31)


def threads() -> int:
    """Return how many OpenMP threads MXNet's operators use: part of what makes a run repeatable."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() else (os.cpu_count() or 1)
