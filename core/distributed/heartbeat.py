"""What a process is doing, for whoever watches over it: its phase, and how many steps it has taken.

A member of a job makes one `Activity` and gives it to the code that does the work, which writes it; a thread of the
member reads it (`tools.launch.member`). Imports no MXNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

STARTING, CONNECTING, WORKING, WAITING, FINISHED = "starting", "connecting", "working", "waiting", "finished"


class Activity:
    """A phase and a count of steps.

    Attributes
    ----------
    phase : str
        STARTING until the work begins, CONNECTING to the other members of a job (in which servers stay), WORKING,
        WAITING for the others, or FINISHED.
    steps : int
    """

    def __init__(self) -> None:
        self.phase, self.steps = STARTING, 0

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        self.phase = phase

    def step(self) -> None:
        """Count a finished step."""
        self.steps += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for the other members inside the block; then work again."""
        self.enter(WAITING)
        yield
        self.enter(WORKING)
