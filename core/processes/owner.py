"""A process ends when its owner, the process that started it, is gone. Imports the standard library only.

A killed owner cannot tell its processes anything. They notice by a pipe: its other end is held by the owner alone, and
the kernel closes it with the owner.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Callable

PR_SET_PDEATHSIG = 1  # of Linux's prctl


def watch_owner(pipe: int, end: Callable[[], None]) -> None:
    """Call a function in a thread of its own as soon as a pipe from the owner closes.

    Parameters
    ----------
    pipe : int
        Descriptor to read from. What the owner writes there is dropped.
    end : callable
        Ends this process, for example `leave`.
    """

    def wait() -> None:
        while os.read(pipe, 1 << 12):
            pass
        end()

    threading.Thread(target=wait, name="owner", daemon=True).start()


def leave() -> None:
    """End this process at once with exit code 1: nobody is left who waits for its work."""
    os._exit(1)


def kill_with_parent() -> None:
    """Let the kernel kill this process with its parent, even while it is stopped or hangs; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
