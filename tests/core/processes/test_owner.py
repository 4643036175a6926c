"""What a process does when its owner is gone: killed owners are real processes here."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from gluon_mtcnn.core.processes.owner import watch_owner

# The owner starts a process that would sleep for a minute, prints its number and waits.
OWNER = """
import subprocess, sys, time
process = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=sys.stdout)
process.stdin.write(b"words that are dropped"); process.stdin.flush()
time.sleep(60)
"""
BY_PIPE = "from gluon_mtcnn.core.processes.owner import leave, watch_owner; watch_owner(0, leave)"
BY_KERNEL = "from gluon_mtcnn.core.processes.owner import kill_with_parent; kill_with_parent()"


def test_the_function_is_called_once_the_pipe_is_closed():
    reading, writing = os.pipe()
    called = threading.Event()
    watch_owner(reading, called.set)
    os.write(writing, b"still here")
    assert not called.wait(0.2)
    os.close(writing)
    assert called.wait(30)
    os.close(reading)


@pytest.mark.parametrize(
    "watching", [BY_PIPE, pytest.param(BY_KERNEL, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux"))]
)
def test_a_process_ends_with_its_owner(watching, checkout):
    """The read ends only when the process has ended: it holds the other end of the pipe."""
    code = f"{watching}; import time; print('watching', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, code], env=environment, stdout=subprocess.PIPE)
    assert owner.stdout.readline() == b"watching\n"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert owner.stdout.read() == b""
