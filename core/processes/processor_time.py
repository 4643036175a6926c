"""The processor time that this process and its children have used."""

from __future__ import annotations

import os
import time


def processor_seconds() -> float:
    """Return user and system seconds of this process, all threads, and of the child processes that have ended.

    Only the difference of two values means something. The children's part counts in steps of 10 ms.
    """
    children = os.times()
    return time.process_time() + children.children_user + children.children_system
