"""What this process is doing, for whoever watches over it: its phase, since when, and how many steps it has taken.

Only `NOW` is written, by the code that does the work; a thread of a job's member reads it (`tools.member`). Imports no
MXNet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTING, CONNECTING, WORKING, WAITING, FINISHED = "starting", "connecting", "working", "waiting", "finished"


class Activity:
    """A phase and a count of steps.

    Attributes
    ----------
    phase : str
        STARTING until the work begins, CONNECTING to the other members of a job, WORKING, WAITING for the others, or
        FINISHED.
    since : float
        When the phase began, or the last step in it ended, by `time.monotonic`.
    steps : int
    """

    def __init__(self) -> None:
        self.phase, self.steps, self.since = STARTING, 0, time.monotonic()

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        self.phase, self.since = phase, time.monotonic()

    def step(self) -> None:
        """Count a finished step."""
        self.steps, self.since = self.steps + 1, time.monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for the other members inside the block; then work again."""
        self.enter(WAITING)
        yield
        self.enter(WORKING)


NOW = Activity()
