"""What a GPU build of MXNet needs of the machine: NVIDIA's driver, the CUDA libraries, a card it has code for.

The GPU build needs CUDA 11 libraries; PyPI has them as nvidia-*-cu11 wheels, which are loaded from there so that no
system CUDA is needed. Imports neither MXNet nor numpy.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import site
import sys
from pathlib import Path
from typing import Optional

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
LEAST_DRIVER = (11, 0)  # CUDA version of the oldest driver that runs CUDA 11's libraries (NVIDIA's minor version rule)


def preload() -> list[str]:
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


def has_driver() -> bool:
    """Return whether NVIDIA's driver can be loaded."""
    try:
        ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def is_gpu_build() -> bool:
    """Return whether the MXNet that is installed is one for GPUs; it is not imported."""
    names = {str(d.metadata["Name"]).lower() for d in importlib.metadata.distributions()}
    return any(name.startswith("mxnet-cu") for name in names)


def driver_version() -> Optional[tuple[int, int]]:
    """Return the newest CUDA version that NVIDIA's driver knows; None without a driver."""
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return None
    return None if failed else (version.value // 1000, version.value % 1000 // 10)


def device_count() -> int:
    """Return how many GPUs NVIDIA's driver gives this process; 0 without a driver."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    return 0 if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) else count.value


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
