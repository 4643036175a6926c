"""All checks of this machine: what ``gluon-mtcnn doctor`` does, as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gluon_mtcnn.tools.doctor import environment
from gluon_mtcnn.tools.doctor.finding import NOTE, Finding
from gluon_mtcnn.tools.doctor.mxnet import gpu_findings, mxnet_builds, mxnet_findings, try_mxnet


@dataclass(frozen=True)
class Section:
    """The findings about one subject.

    Attributes
    ----------
    title : str
    findings : list of Finding
    """

    title: str
    findings: list[Finding]


def diagnose() -> Iterator[Section]:
    """Yield what is found about this machine, a section at a time, since some of them take seconds."""
    builds = mxnet_builds()
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "Python": environment.python_findings,
        "Packages": environment.package_findings,
        "MXNet": lambda: mxnet_findings(builds, try_mxnet() if builds else {}),
        "GPUs": lambda: gpu_findings(builds),
        "Processors": lambda: environment.processor_findings(os.environ),
        "Memory and disk": environment.room_findings,
        "Default model": environment.model_findings,
        "Optional packages": environment.optional_findings,
    }
    for title, check in checks.items():
        yield Section(title, guarded(check))


def guarded(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return what a check finds, with a line about its failure if it fails; the other checks still run."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:
        found.append(Finding(NOTE, f"this could not be looked at: {error!r}"))
    return found
