"""The processes of a parameter-server job: started here or by ssh, listened to, and ended, so that none is left."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.tools.launch.member import LOOPBACK
from gluon_mtcnn.tools.launch.watch import GRACE_SECONDS, Limits, Status, find_failure

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
PAUSE_SECONDS = 5.0  # between two looks: then it was the launcher that stood still
END_SECONDS = 3.0  # from asking a process to end to killing it
BIG_ARRAY = "10000"  # values from which on MXNet spreads an array over all servers
PASSED_ON = ("DMLC_", "MXNET_", "OMP_", "GLUON_MTCNN_", "PYTHON", "CUDA_VISIBLE_DEVICES", "NCCL_", "PS_")


@dataclass(frozen=True)
class Host:
    """Where members run: reached by ``ssh NAME`` unless `name` is empty (this machine); `address` may be unknown."""

    name: str = ""
    address: str = ""


def read_hosts(path: PathLike) -> list[Host]:
    """Read a file with a host a line: what ssh calls it, and if need be its address; ``#`` begins a comment.

    Raises
    ------
    InputError
        It is missing, empty, or a line has more than two words.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    hosts = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if len(words) > 2 or (words and words[0].startswith("-")):
            raise InputError(f"{path}:{number}: expected a host and perhaps its address, got {line.strip()!r}")
        if words:
            hosts.append(Host(*words))
    if not hosts:
        raise InputError(f"{path}: expected a host a line, got none")
    return hosts


class Member:
    """A process of the job, and what is known of it.

    Parameters
    ----------
    name, role : str
    host : Host
    environment : dict of str to str
        What the member needs beyond this process's own environment.
    argv : list of str
        A worker's command of gluon-mtcnn.
    log : Path
        Gets what the process prints, behind what is there.
    """

    def __init__(
        self, name: str, role: str, host: Host, environment: dict[str, str], argv: Sequence[str], log: Path
    ) -> None:
        self.status, self.host, self.log = Status(name, role), host, log
        self.first_report: dict[str, Any] = {}
        variables = {**environment, "DMLC_ROLE": role}
        command = [sys.executable, "-m", "gluon_mtcnn.tools.launch.member", *argv]
        if host.name:
            variables = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)} | variables
            words = ["exec", "env", *(f"{name}={value}" for name, value in variables.items()), *command]
            remote = f"cd {shlex.quote(os.getcwd())} && {shlex.join(words)}"
            command = ["ssh", "-o", "BatchMode=yes", host.name, remote]
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,  # Ctrl-C comes to the launcher alone, which then ends its members
            )
        threading.Thread(target=self._listen, name=name, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                report = json.loads(line)
                self.status.take(report, time.monotonic())
            except (ValueError, TypeError, KeyError):  # a greeting of the remote shell
                with open(self.log, "ab") as file:
                    file.write(line)
                continue
            if not self.first_report:
                self.first_report = report
                logger.info("%s: process %s%s, log %s", self.status.name, report.get("pid"), self._place(), self.log)

    def _place(self) -> str:
        return f" on {self.host.name}" if self.host.name else ""

    def look(self, now: float) -> None:
        """Notice when the process has ended."""
        code = self._process.poll()
        if code is not None:
            self.status.end(code, now)

    def end(self, sign: int) -> None:
        """Send a signal to the process and its children; a remote one ends because its input closes."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, sign)

    def wait(self, seconds: float) -> bool:
        """Return whether the process has ended within this time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_line(self) -> str:
        """Return the last line of the log that is not empty."""
        with open(self.log, "rb") as file:
            file.seek(max(0, os.path.getsize(self.log) - 4096))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")


class LogReader:
    """Reads what is added to a log, by whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.is_file() else 0

    def new_lines(self) -> str:
        """Return the lines since the last call, each with its newline."""
        if not self._path.is_file():
            return ""
        with open(self._path, "rb") as file:
            file.seek(self._position)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._position += len(data)
        return data.decode("utf-8", "replace")


class JobLostError(Exception):
    """The job is lost; the message is one sentence that names a member, `code` the exit code of the job."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Job:
    """Scheduler, servers and workers; a context manager that leaves no process behind.

    Parameters
    ----------
    workers, servers : int
    hosts : list of Host
        Members go round them.
    argv : list of str
        What each worker does: a command of gluon-mtcnn.
    logs : Path
    limits : Limits
    caught : list of int
        Signals that have come to this process: any of them ends the job.
    """

    def __init__(
        self,
        workers: int,
        servers: int,
        hosts: Sequence[Host],
        argv: Sequence[str],
        logs: Path,
        limits: Limits,
        caught: Sequence[int] = (),
    ) -> None:
        self._workers, self._servers, self._hosts, self._argv = workers, servers, hosts, argv
        self._logs, self._limits, self._caught = logs, limits, caught
        self.members: list[Member] = []
        self._looked = time.monotonic()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def run(self) -> None:
        """Start all members and wait until the workers have finished; JobLostError when they do not."""
        environment = {"DMLC_NUM_WORKER": str(self._workers), "DMLC_NUM_SERVER": str(self._servers)}
        if self._servers > 1:
            environment["MXNET_KVSTORE_BIGARRAY_BOUND"] = os.environ.get("MXNET_KVSTORE_BIGARRAY_BOUND", BIG_ARRAY)
        first_worker = LogReader(self._logs / "worker-0.log")
        environment.update(self._start_scheduler(environment))
        for i in range(self._servers):
            self._start(f"server {i}", "server", i, {**environment, "OMP_NUM_THREADS": "1"})
        for i in range(self._workers):
            here = len(range(i % len(self._hosts), self._workers, len(self._hosts)))
            own = {"DMLC_WORKER_ID": str(i), "GLUON_MTCNN_WORKERS_HERE": str(here)}
            self._start(f"worker {i}", "worker", i, {**environment, **own}, self._argv)
        while not self._done():
            sys.stderr.write(first_worker.new_lines())
            time.sleep(POLL_SECONDS)
        sys.stderr.write(first_worker.new_lines())

    def _start_scheduler(self, environment: dict[str, str]) -> dict[str, str]:
        """Start the scheduler, which chooses a free port on its host; return the variables that lead to it."""
        host = self._hosts[0]
        root = {"DMLC_PS_ROOT_URI": _address(host)} if _address(host) else {}
        scheduler = self._start("scheduler", "scheduler", 0, {**environment, **root, "OMP_NUM_THREADS": "1"})
        while not scheduler.first_report:
            self.check()
            time.sleep(POLL_SECONDS / 10)
        report = scheduler.first_report
        return {"DMLC_PS_ROOT_URI": report["address"], "DMLC_PS_ROOT_PORT": str(report["port"])}

    def _start(self, name: str, role: str, turn: int, environment: dict[str, str], argv: Sequence[str] = ()) -> Member:
        host = self._hosts[turn % len(self._hosts)]
        own = {"DMLC_NODE_HOST": host.address} if host.address else {}
        log = self._logs / f"{name.replace(' ', '-')}.log"
        self.members.append(Member(name, role, host, {**environment, **own}, argv, log))
        return self.members[-1]

    def check(self) -> None:
        """Look at all members; JobLostError when the job is lost, and the end of the program after a signal."""
        if self._caught:
            if self._caught[0] == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(128 + self._caught[0])
        now = time.monotonic()
        if now - self._looked > PAUSE_SECONDS:
            for member in self.members:
                member.status.heard = member.status.moved = now
        self._looked = now
        for member in self.members:
            member.look(now)
        found = find_failure([m.status for m in self.members], self._limits, now)
        if found is None:
            return
        status, sentence = found
        member = next(m for m in self.members if m.status is status)
        where = f" on {member.host.name}" if member.host.name else ""
        said = member.last_line() if status.code and status.code > 0 else ""
        raise JobLostError(
            f"{sentence}{where}{': ' if said else '; see '}{said or member.log}", 2 if status.code == 2 else 1
        )

    def _done(self) -> bool:
        self.check()
        if any(m.status.code is None for m in self.members if m.status.role == "worker"):
            return False
        ends = max(m.status.ended for m in self.members)
        return all(m.status.code is not None for m in self.members) or time.monotonic() - ends > GRACE_SECONDS

    def stop(self) -> None:
        """End every process that is left, first with SIGTERM, then with SIGKILL."""
        for sign, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, END_SECONDS)):
            deadline = time.monotonic() + seconds
            for member in self.members:
                member.end(sign)
            if all([member.wait(max(0.0, deadline - time.monotonic())) for member in self.members]):
                return


def _address(host: Host) -> str:
    """Return the address of a host as far as it can be told from here; the loopback for this machine."""
    if not host.name:
        return LOOPBACK
    if host.address:
        return host.address
    with contextlib.suppress(OSError):
        return socket.gethostbyname(host.name.rpartition("@")[2])
    return ""
