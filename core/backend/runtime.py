"""The only place that imports MXNet: shim first, CUDA libraries preloaded, one clear sentence when it cannot work.

MXNet 1.9.1 still uses names that numpy dropped in 1.24 (``numpy.bool`` ...), so they come back before it is imported.
The GPU build needs CUDA 11 libraries, see core/backend/cuda.py.
"""

from __future__ import annotations

import os
import random
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from gluon_mtcnn.core.backend import cuda
from gluon_mtcnn.core.backend.packages import is_installed
from gluon_mtcnn.core.errors import InputError

# MXNet keeps a oneDNN primitive with its buffers for every shape that an operator meets. From here on it keeps so many,
# more than our engines need: 40 photos of many sizes, level by level, took 2.6 GB without a bound.
os.environ.setdefault("MXNET_MKLDNN_CACHE_NUM", "256")


def _restore_numpy_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns when its own retired names are looked up
        for name in ("bool", "int", "float", "object", "complex", "str"):
            if not hasattr(np, name):
                setattr(np, name, getattr(__import__("builtins"), name))


def _import_mxnet() -> Any:
    if not is_installed("mxnet"):
        raise InputError(
            "MXNet is not installed: pip install 'gluon-mtcnn[cpu]', or 'gluon-mtcnn[cu112]' for NVIDIA GPUs"
        )
    _restore_numpy_names()
    gpu = cuda.is_gpu_build()
    if gpu and not cuda.has_driver():
        raise InputError(
            "the GPU build of MXNet is installed but there is no NVIDIA driver (libcuda.so.1): install the driver, or "
            "pip uninstall mxnet-cu112 and pip install 'gluon-mtcnn[cpu]'"
        )
    missing = cuda.preload() if gpu else []
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # or every executor that is bound says so on stderr
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mxnet
            import mxnet.contrib.amp  # which mxnet leaves out
    except (ImportError, OSError) as error:
        hint = f"; CUDA libraries not found: {', '.join(missing)}: pip install 'gluon-mtcnn[cu112]'" if missing else ""
        raise InputError(f"MXNet cannot be loaded: {error}{hint}") from error
    return mxnet


mx: Any = _import_mxnet()
if TYPE_CHECKING:
    Block = Any  # MXNet has no type hints
    HybridBlock = Any
else:
    Block, HybridBlock = mx.gluon.Block, mx.gluon.HybridBlock


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
    capability = cuda.compute_capability(index)
    if capability[0] not in cuda.MAJOR_CAPABILITIES:
        raise InputError(
            f"gpu:{index} has compute capability {capability[0]}.{capability[1]}, but MXNet 1.9.1's wheel holds code "
            "for 5.x to 8.x (Maxwell to Ada) only: use --devices cpu"
        )


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and MXNet's global generators. The project's own code passes generators instead."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    mx.random.seed(seed % 2**31)
