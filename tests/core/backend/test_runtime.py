import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from gluon_mtcnn.core.backend import cuda, runtime
from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError


def test_devices():
    assert runtime.devices("cpu") == [mx.cpu(0)]
    assert runtime.devices("cpu:0, cpu:1") == [mx.cpu(0), mx.cpu(1)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("tpu:0", "expected cpu, cpu:0,cpu:1 or gpu:0,gpu:1, got 'tpu:0'"),
        ("cpu:x", "expected cpu, cpu:0,cpu:1"),
        ("", "expected cpu"),
        ("cpu:0,cpu:0", "lists a device twice"),
    ],
)
def test_bad_devices(names, message):
    with pytest.raises(InputError, match=message):
        runtime.devices(names)


@pytest.mark.skipif(mx.runtime.Features().is_enabled("CUDA"), reason="this is a GPU build of MXNet")
def test_a_gpu_on_the_cpu_build_is_one_sentence():
    with pytest.raises(InputError, match=r"gpu:0: this is the CPU build of MXNet: pip uninstall mxnet"):
        runtime.devices("gpu:0")


class FakeDriver:
    """Stands in for libcuda.so.1: the calls that core.backend.cuda makes, with their C signatures."""

    def __init__(self, capability):
        self._values = dict(zip((cuda.CUDA_MAJOR, cuda.CUDA_MINOR), capability))

    def cuInit(self, flags):
        return 0

    def cuDeviceGet(self, device, index):
        return 0 if index == 0 else 101

    def cuDeviceGetAttribute(self, value, attribute, device):
        ctypes.cast(value, ctypes.POINTER(ctypes.c_int))[0] = self._values[attribute]
        return 0


@pytest.mark.parametrize(("capability", "runs"), [((5, 0), True), ((8, 9), True), ((9, 0), False), ((12, 0), False)])
def test_cards_without_code_in_the_wheel_are_named(monkeypatch, capability, runs):
    monkeypatch.setattr(ctypes, "CDLL", lambda *a, **k: FakeDriver(capability))
    monkeypatch.setattr(mx.runtime.Features, "is_enabled", lambda self, name: True)
    if runs:
        assert runtime.devices("gpu:0") == [mx.gpu(0)]
    else:
        with pytest.raises(InputError, match=rf"gpu:0 has compute capability {capability[0]}\.{capability[1]}, but"):
            runtime.devices("gpu:0")
    with pytest.raises(InputError, match="gpu:3: the NVIDIA driver knows no such device"):
        runtime.devices("gpu:3")


def run_python(code, checkout, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": str(checkout), **environment},
        capture_output=True,
        text=True,
    )


def test_the_shim_brings_back_numpys_old_names(checkout):
    result = run_python(
        "from gluon_mtcnn.core.backend import runtime; import numpy; print(numpy.bool is bool)", checkout
    )
    assert result.stdout == "True\n", result.stderr


WITHOUT_MXNET = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "mxnet" else find(name, *rest)
from gluon_mtcnn.tools.cli.main import main
sys.exit(main(["detect", sys.argv[0], "--engine", "mxnet"]))
"""


def test_without_mxnet_there_is_one_sentence(checkout):
    result = run_python(WITHOUT_MXNET.replace("sys.argv[0]", repr(__file__)), checkout)
    assert result.returncode == 2
    assert result.stderr.strip() == (
        "MXNet is not installed: pip install 'gluon-mtcnn[cpu]', or 'gluon-mtcnn[cu112]' for NVIDIA GPUs"
    )


GPU_BUILD = """
import importlib.metadata
class Fake:
    metadata = {"Name": "mxnet-cu112"}
importlib.metadata.distributions = lambda: [Fake()]
from gluon_mtcnn.core.errors import InputError
try:
    import gluon_mtcnn.core.backend.runtime
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(cuda.has_driver(), reason="this machine has an NVIDIA driver")
def test_the_gpu_build_without_a_driver_is_one_sentence(checkout):
    result = run_python(GPU_BUILD, checkout)
    assert result.stdout.startswith("the GPU build of MXNet is installed but there is no NVIDIA driver (libcuda.so.1)")
    assert result.stdout.count("\n") == 1


def test_cuda_libraries_of_the_wheels_are_preloaded(tmp_path, monkeypatch):
    folder = tmp_path / "nvidia" / "cuda_runtime" / "lib"
    folder.mkdir(parents=True)
    (folder / "libcudart.so.11.0").write_bytes(b"")
    loaded = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name, mode=0: loaded.append((name, mode)))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cuda.preload() == []
    assert loaded[0] == (str(folder / "libcudart.so.11.0"), ctypes.RTLD_GLOBAL)
    assert len(loaded) == len(cuda.CUDA_LIBRARIES)


def test_seeding_repeats_all_three_generators():
    def draws():
        runtime.seed_everything(3)
        return np.random.rand(), mx.nd.random.normal(shape=(1,)).asscalar()

    assert draws() == draws()


@pytest.mark.slow
def test_memory_grows_less_with_every_shape(checkout):
    """500 image sizes through one convolution: megabytes that the last 200 added."""
    code = """
import numpy as np, os
from gluon_mtcnn.core.backend.runtime import mx
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
layer = mx.gluon.nn.Conv2D(10, 3, in_channels=3)
layer.initialize()
for i in range(500):
    layer(mx.nd.zeros((1, 3, 300 + i, 300))).wait_to_read()
    if i == 299:
        before = resident()
print(resident() - before)
"""
    bounded, unbounded = (
        int(run_python(code, checkout, **more).stdout) for more in ({}, {"MXNET_MKLDNN_CACHE_NUM": "-1"})
    )
    assert bounded < unbounded / 2
