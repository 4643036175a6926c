"""Fixtures of the whole suite."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
