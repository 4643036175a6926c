"""Fixtures of the whole suite."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from scipy.io import savemat

# The same examples in every run, however busy the machine; `make fuzz` draws others.
settings.register_profile(
    "fixed",
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("fixed"), max_examples=500, derandomize=False, print_blob=True)
settings.load_profile("fixed")

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/seanlinx_source, which runs the original beside ours; skipped without the first."""
    parser.addoption("--seanlinx-source", metavar="DIR", help="a checkout of Seanlinx/mtcnn at feacb3b")
    parser.addoption("--seanlinx-python", metavar="PYTHON", default="python2.7", help="a Python 2 with MXNet of 2017")


def shared_folder() -> Path:
    return Path(os.environ.get("GLUON_MTCNN_SHARED", CHECKOUT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the golden data; the test is skipped where it is absent."""
    folder = shared_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"golden data not found: {folder}/data (set GLUON_MTCNN_SHARED)")
    return folder / "data"


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def write_wider_truth():
    """Return a function that writes WIDER FACE's .mat files."""
    return write_ground_truth


def _cells(items):
    """Return a MATLAB column of cells."""
    column = np.empty((len(items), 1), object)
    column[:, 0] = [None] * len(items)
    for i, item in enumerate(items):
        column[i, 0] = item
    return column


def write_ground_truth(folder, events, settings=("easy", "medium", "hard")):
    """Write .mat files of ``{event: {name: (faces xywh, {setting: numbers from 1})}}``."""
    folder.mkdir(exist_ok=True)
    common = {
        "event_list": _cells(list(events)),
        "file_list": _cells([_cells(list(photos)) for photos in events.values()]),
    }
    faces = _cells([_cells([np.array(f, np.int32).reshape(-1, 4) for f, _ in p.values()]) for p in events.values()])
    savemat(folder / "wider_face_val.mat", {**common, "face_bbx_list": faces})
    for setting in settings:
        numbers = [
            _cells([np.array(chosen.get(setting, []), np.uint8).reshape(-1, 1) for _, chosen in photos.values()])
            for photos in events.values()
        ]
        savemat(folder / f"wider_{setting}_val.mat", {**common, "gt_list": _cells(numbers)})
    return folder


@pytest.fixture(scope="session")
def parameter_server():
    """Return a function that runs Python code as the workers of a real parameter-server job on the loopback."""
    return run_job


def run_job(code, *arguments, workers=2, servers=1, timeout=120):
    """Run the code once a worker; return what each printed. All processes have ended when this returns."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NODE_HOST": "127.0.0.1",
        "DMLC_NUM_WORKER": str(workers),
        "DMLC_NUM_SERVER": str(servers),
    }
    roles = [{"DMLC_ROLE": "scheduler"}, *[{"DMLC_ROLE": "server"}] * servers]
    roles += [{"DMLC_ROLE": "worker", "DMLC_WORKER_ID": str(i)} for i in range(workers)]
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    members = [
        subprocess.Popen(command, env={**common, **role}, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for role in roles
    ]
    try:
        printed = [member.communicate(timeout=timeout)[0] for member in reversed(members)]
    finally:
        for member in members:
            member.kill()
            member.wait()
    assert [member.returncode for member in members] == [0] * len(members)
    return printed[:workers][::-1]
