"""One process at a time in a folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike

log = logging.getLogger(__name__)


@contextmanager
def exclusive(path: PathLike, busy: str, patience: float = 0) -> Iterator[int]:
    """Hold a lock file for the length of a block; the system lets go of it when the process ends, however it ends.

    Gives the file's descriptor: a process that it is passed to holds the lock as well, until it ends.

    Parameters
    ----------
    path : of the lock file
    busy : str
        Message when another process holds it.
    patience : float
        Seconds to wait for that one.

    Raises
    ------
    InputError
        Another process holds it.
    """
    with open(path, "w") as file:
        try:
            import fcntl
        except ImportError:
            log.debug("no file locks on this system")
        else:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() >= until:
                        raise InputError(busy) from None
                    time.sleep(0.2)
        yield file.fileno()
