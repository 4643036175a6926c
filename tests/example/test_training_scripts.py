"""The shell scripts of example/, run on small packs with CPU devices."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from gluon_mtcnn.core.packs.writer import PackWriter

SIZES = {"pnet": 12, "rnet": 24}


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    rng = np.random.default_rng(0)
    for net, size in SIZES.items():
        with PackWriter(folder / net, "train", size) as writer:
            rows = rng.uniform(-0.2, 0.2, (60, 15)).astype(np.float32)
            rows[:, 0] = rng.choice([1, 0, -1, -2], 60)
            writer.append(rng.integers(0, 255, (60, size, size, 3), dtype=np.uint8), rows)
    return folder


def script(checkout, name, *arguments, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable, **variables}
    words = [str(checkout / "example" / name), *map(str, arguments)]
    return subprocess.run(words, env=environment, cwd=checkout, capture_output=True, text=True)


def config(out):
    return json.loads((out / "summary.json").read_text())["config"]


def test_two_devices(checkout, packs, tmp_path):
    options = ("rnet", packs / "rnet", tmp_path, "--epochs", 1, "--quiet")
    result = script(checkout, "train_multi_gpu.sh", *options, DEVICES="cpu:0,cpu:1", KVSTORE="local")
    assert result.returncode == 0, result.stderr
    assert (config(tmp_path)["devices"], config(tmp_path)["kvstore"]) == (2, "local")


def test_two_workers(checkout, packs, tmp_path):
    hosts = tmp_path / "none"
    result = script(checkout, "train_distributed.sh", "pnet", packs / "pnet", tmp_path, HOSTS=str(hosts))
    assert result.returncode == 2
    assert f"{hosts}: cannot be read" in result.stderr
    options = ("pnet", packs / "pnet", tmp_path, "--epochs", 1)
    result = script(checkout, "train_distributed.sh", *options, KVSTORE="dist_async", DEVICES="cpu:0,cpu:1")
    assert result.returncode == 0, result.stderr
    found = config(tmp_path)
    assert (found["workers"], found["devices"], found["kvstore"], found["ohem_scope"]) == (2, 2, "dist_async", "local")


def test_without_a_gpu(checkout, packs, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\nprintf '%s' \"$GPUS\"\n")
    (tools / "nvidia-smi").chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    result = script(checkout, "train_multi_gpu.sh", "pnet", packs / "pnet", tmp_path / "out", PATH=path, GPUS="")
    assert result.returncode == 2
    assert "nvidia-smi lists no GPU: set DEVICES" in result.stderr
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    gpus = "GPU 0: A (UUID: x)\nGPU 1: B (UUID: y)\n"
    result = script(checkout, "train_multi_gpu.sh", "pnet", "a b", "out", PATH=path, GPUS=gpus, PYTHON=str(fake))
    assert result.stdout.strip() == (
        "-m gluon_mtcnn train pnet --data a b --out out --devices gpu:0,gpu:1 --kvstore device"
    )


@pytest.mark.parametrize("name", ["train_multi_gpu.sh", "train_distributed.sh"])
def test_usage(checkout, name):
    result = script(checkout, name, "pnet")
    assert result.returncode == 2
    assert result.stderr.startswith("usage: ")
