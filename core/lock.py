"""One process at a time in a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files import PathLike

log = logging.getLogger(__name__)


@contextmanager
def exclusive(path: PathLike, busy: str) -> Iterator[None]:
    """Hold a lock file for the length of a block; the system lets go of it when the process ends, however it ends.

    Raises
    ------
    InputError
        Another process holds it; the message is `busy`.
    """
    with open(path, "w") as file:
        try:
            import fcntl
        except ImportError:
            log.debug("no file locks on this system")
        else:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(busy) from None
        yield
