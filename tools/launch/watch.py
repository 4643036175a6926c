"""When is a job lost? Rules over what its members report; no processes here.

A member shows life by reporting every second. It shows progress by a step, another phase or CPU time, so that a long
step is progress, and one that waits for the others is not to blame. MXNet's parameter server itself waits for ever.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from gluon_mtcnn.core.distributed.heartbeat import CONNECTING, FINISHED, STARTING, WAITING, WORKING

DEAD_SECONDS = 20.0
STALL_SECONDS = 120.0
CPU_SECONDS = 0.5  # of work are progress; a process that only waits needs some thousandths of that in a second
GRACE_SECONDS = 5.0  # between a server's end and that of the workers


@dataclass
class Status:
    """What the launcher knows of a member.

    Attributes
    ----------
    name : str
        ``worker 1``.
    role : {"scheduler", "server", "worker"}
    pid : int or None
        On its host, once it has reported.
    phase, steps, cpu :
        As last reported: `core.distributed.heartbeat`, steps taken, CPU seconds used.
    heard, moved : float
        When it last reported, and last made progress; `time.monotonic`. At first: when it was started.
    code : int or None
        Exit code, -N for signal N; None while it runs.
    ended : float
        When it was found to have ended.
    """

    name: str
    role: str
    pid: Optional[int] = None
    phase: str = STARTING
    steps: int = 0
    cpu: float = 0.0
    heard: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)
    code: Optional[int] = None
    ended: float = 0.0

    def take(self, report: dict[str, Any], now: float) -> None:
        """Take over a report."""
        self.heard, self.pid = now, report.get("pid", self.pid)
        phase, steps, cpu = report["phase"], report["steps"], report["cpu"]
        if (phase, steps) != (self.phase, self.steps) or cpu - self.cpu >= CPU_SECONDS:
            self.phase, self.steps, self.cpu, self.moved = phase, steps, cpu, now

    def end(self, code: int, now: float) -> None:
        """Note that the process has ended."""
        if self.code is None:
            self.code, self.ended = code, now


@dataclass(frozen=True)
class Limits:
    """Seconds without a report after which a member counts as dead, and without progress as stalled."""

    dead: float = DEAD_SECONDS
    stall: float = STALL_SECONDS


def find_failure(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    """Return the member to blame and a sentence about it, or None while all is well."""
    for rule in (_ended, _ended_early, _silent, _stalled, _apart, _all_wait):
        found = rule(members, limits, now)
        if found is not None:
            return found[0], f"{found[0].name} {found[1]}"
    return None


def _ended(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    failed = [m for m in members if m.code]
    for member in sorted(failed, key=lambda m: m.ended):
        assert member.code is not None
        if member.code < 0:
            return member, f"died: killed by {signal.Signals(-member.code).name}{_progress(member)}"
        return member, f"ended with exit code {member.code}{_progress(member)}"
    return None


def _ended_early(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    """Find servers that ended although workers still work."""
    working = any(m.role == "worker" and m.code is None and m.phase != FINISHED for m in members)
    for member in members:
        if working and member.role != "worker" and member.code == 0 and now - member.ended > GRACE_SECONDS:
            return member, "ended before the workers had finished"
    return None


def _silent(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    for member in members:
        # While it loads MXNet from a slow disk, Python's lock keeps the reporting thread from running.
        limit = limits.stall if member.phase == STARTING and member.pid else limits.dead
        if member.code is None and now - member.heard > limit:
            if member.pid is None:
                return member, f"never came up: no sign of life within {limit:g} s"
            return member, f"has shown no sign of life for {limit:g} s{_progress(member)}"
    return None


def _stalled(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    for member in members:
        if member.code is None and member.phase in (STARTING, WORKING) and now - member.moved > limits.stall:
            return member, f"is alive but has neither taken a step nor used the CPU for {limits.stall:g} s" + _progress(
                member
            )
    return None


def _apart(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    """Find workers that do not get a connection although every member is up."""
    quiet = all(now - m.moved > limits.dead for m in members)
    for member in members:
        if quiet and member.phase == CONNECTING and member.role == "worker":
            return member, f"has waited {limits.dead:g} s for scheduler and servers: can it reach their hosts?"
    return None


def _all_wait(members: Sequence[Status], limits: Limits, now: float) -> Optional[tuple[Status, str]]:
    """Find a job whose workers all wait for an answer that does not come."""
    workers = [m for m in members if m.role == "worker"]
    left = [m for m in workers if m.code is None and m.phase != FINISHED]
    # Also nobody who has finished did so a moment ago: the others' reports of that are still on their way.
    quiet = all(now - max(m.moved, m.ended) > limits.stall for m in workers)
    if left and quiet and all(m.phase == WAITING for m in left):
        server = next(m for m in members if m.role == "server")
        return server, f"has not answered the workers for {limits.stall:g} s{_progress(left[0])}"
    return None


def _progress(member: Status) -> str:
    return f" (after {member.steps} steps)" if member.steps else ""
