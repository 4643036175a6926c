"""Runs commands of ours one after the other, each in a process of its own, as a user would; and is that process.

The two are tied by a pipe, the command's stdin: when it closes, whoever started the command is gone, and the command
ends as after Ctrl-C. So nothing goes on writing behind the back of the run that follows a kill.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.errors import CommandFailedError, InputError
from gluon_mtcnn.core.processes.owner import watch_owner

log = logging.getLogger(__name__)
SIGNAL_SECONDS = 2.0  # in which a command ends by itself after Ctrl-C, which reaches it too
END_SECONDS = 10.0  # that an interrupted command has to clean up


class CommandRunner:
    """Runs commands and prints each as a user would type it.

    Parameters
    ----------
    owner : str
        The command that runs them, for messages.
    num_workers : int
    quiet : bool
    seed : int, optional
        Of all commands; without one each has its own among its words.
    held : sequence of int
        Descriptors, of locks say, that every command holds too: until it has ended, even after its owner.
    """

    def __init__(
        self, owner: str, num_workers: int, quiet: bool, seed: Optional[int] = None, held: Sequence[int] = ()
    ) -> None:
        self._owner, self._held = owner, held
        self._common = ["--num-workers", str(num_workers), *(["--quiet"] if quiet else [])]
        self._common += [] if seed is None else ["--seed", str(seed)]
        root = str(Path(__file__).resolve().parents[2])
        search = [root if Path(root, "setup.py").is_file() else str(Path(root).parent), os.environ.get("PYTHONPATH")]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search))}
        self._environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads must not burn a shared core

    def __call__(self, *words: Any) -> float:
        """Run one command; return its seconds.

        Raises
        ------
        InputError
            It refused its options or data (exit code 2).
        CommandFailedError
            It ended in another way than by success.
        KeyboardInterrupt
            Ctrl-C, here or there.
        """
        texts = [str(word) for word in words]
        log.info("\n$ %s", command_line(texts))
        argv = [sys.executable, "-W", "ignore", "-m", __name__, *texts, *self._common]
        started = time.perf_counter()
        with subprocess.Popen(argv, env=self._environment, stdin=subprocess.PIPE, pass_fds=self._held) as process:
            try:
                code = process.wait()
            except BaseException:
                _end(process)
                raise
        seconds = time.perf_counter() - started
        log.info("(%.0f s)", seconds)
        if code == 130:
            raise KeyboardInterrupt
        if code:
            name = " ".join(text for text in texts[:2] if not text.startswith("--"))
            failure = f"{self._owner}: gluon-mtcnn {name} ended with exit code {code}"
            raise InputError(failure) if code == 2 else CommandFailedError(failure)
        return seconds


def command_line(words: Sequence[Any]) -> str:
    """Return a command as one types it."""
    return f"gluon-mtcnn {shlex.join(map(str, words))}"


def _end(process: subprocess.Popen) -> None:
    """Let a command end as after Ctrl-C, and kill it where it does not."""
    assert process.stdin is not None
    for seconds in (SIGNAL_SECONDS, 2 * END_SECONDS):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        process.stdin.close()
    process.kill()


def _interrupt() -> None:
    """Interrupt this process as Ctrl-C does, and end it where that does not."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also breaks off a wait
    time.sleep(END_SECONDS)
    os._exit(130)


def main() -> int:
    """Be the process of one command."""
    from gluon_mtcnn.tools.cli import main as cli

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    watch_owner(sys.stdin.fileno(), _interrupt)
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
