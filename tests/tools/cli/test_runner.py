import os
import signal
import subprocess
import sys
import time

import pytest

from gluon_mtcnn.core.errors import CommandFailedError, InputError
from gluon_mtcnn.tools.cli.runner import CommandRunner, command_line

# Runs a command that waits for its input for ever, as a training that goes on would; prints the command's process.
OWNER = """
import signal, subprocess, sys
from gluon_mtcnn.tools.cli import runner as command_runner

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & lets what it starts ignore it
real = subprocess.Popen
def popen(*args, **options):
    process = real([sys.executable, "-c", sys.argv[1]], **options)
    print(process.pid, flush=True)
    return process

subprocess.Popen = popen
command_runner.CommandRunner("owner", 1, True)("inspect", "x")
"""
COMMAND = """
import sys, time, pathlib
from gluon_mtcnn.tools.cli import main as cli
from gluon_mtcnn.tools.cli import runner as command_runner

said = pathlib.Path({path!r})

def work(argv):
    try:
        said.write_text("at work")
        time.sleep(60)
    except KeyboardInterrupt:
        said.write_text("cleaned up")
        return 130

cli.main = work
sys.exit(command_runner.main())
"""


def run(*words, **options):
    return CommandRunner("owner", 1, True, **options)(*words)


def test_a_command_that_succeeds(capfd):
    assert run("inspect", "--help") > 0
    assert "gluon-mtcnn inspect" in capfd.readouterr().out


def test_refusals_and_failures_are_told_apart(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"owner: gluon-mtcnn inspect .* ended with exit code 2"):
        run("inspect", tmp_path / "missing")
    monkeypatch.setattr(sys, "executable", _python_that_fails(tmp_path))
    with pytest.raises(CommandFailedError, match="gluon-mtcnn inspect x ended with exit code 3"):
        run("inspect", "x")


def _python_that_fails(folder):
    script = folder / "python"
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    return str(script)


def test_what_is_printed_can_be_typed():
    assert command_line(["train", "pnet", "--data", "a b"]) == "gluon-mtcnn train pnet --data 'a b'"


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_command_ends_with_its_owner(kill, tmp_path, checkout):
    said = tmp_path / "said"
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, COMMAND.format(path=str(said))],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert int(owner.stdout.readline())
    wait_for(said, "at work")
    owner.send_signal(kill)
    owner.wait()
    wait_for(said, "cleaned up")


def wait_for(path, text):
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text() == text):
        assert time.monotonic() < deadline, f"not {text}"
        time.sleep(0.05)
