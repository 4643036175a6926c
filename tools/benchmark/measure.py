"""How the benchmarks measure memory and time, and what they say about the machine beside their figures."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import psutil

from gluon_mtcnn.core.files.atomic import write_json
from gluon_mtcnn.core.processes.processor_time import processor_seconds

PACKAGES = ("gluon-mtcnn", "mxnet", "numpy", "opencv-python", "onnxruntime")
SAMPLE_SECONDS = 0.01
MEGABYTE = 1e6


def anonymous_bytes() -> int:
    """Return the anonymous memory of this process: what it allocated, without the files that it has mapped.

    On Linux that is the resident set less its pages of files and of shared memory, which is RssAnon to the byte.
    Elsewhere it is the unique set size.
    """
    process = psutil.Process()
    memory = process.memory_info()
    return memory.rss - memory.shared if hasattr(memory, "shared") else process.memory_full_info().uss


@dataclass
class Spent:
    """What a block took.

    Attributes
    ----------
    seconds : wall time
    cpu_seconds : processor time of this process, and of the child processes that ended in the block
    peak_bytes : anonymous memory of this process above that at the block's start
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


@contextmanager
def spent(memory: bool = False) -> Iterator[Spent]:
    """Measure a block; with `memory` a thread looks at the memory every 10 ms, which costs about 1 % of a core."""
    result, stop = Spent(), threading.Event()
    base = anonymous_bytes()

    def watch() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            result.peak_bytes = max(result.peak_bytes, anonymous_bytes() - base)

    thread = threading.Thread(target=watch, daemon=True)
    if memory:
        thread.start()
    wall, cpu = time.perf_counter(), processor_seconds()
    try:
        yield result
    finally:
        result.seconds, result.cpu_seconds = time.perf_counter() - wall, processor_seconds() - cpu
        stop.set()
        if memory:
            thread.join()
            result.peak_bytes = max(result.peak_bytes, anonymous_bytes() - base)


def environment() -> dict[str, Any]:
    """Return what figures depend on beside the code: versions, processor, cores, threads."""
    return {
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _version(name: str) -> Optional[str]:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the processor's name: read from /proc, since neither psutil nor Python's platform knows it on Linux."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def finish(result: dict[str, Any], path: Optional[str]) -> int:
    """Print a benchmark's result, with the environment, as JSON, write it to a file if one is named; return 0."""
    result = {**result, "environment": environment()}
    if path:
        write_json(Path(path), result)
    print(json.dumps(result, indent=2))
    return 0


def load_warning() -> Optional[str]:
    """Return a sentence when other work keeps the machine busy, so that times mean little."""
    if not hasattr(os, "getloadavg"):
        return None
    load = os.getloadavg()[0]
    return (
        f"the machine is busy (load {load:.1f}): times will be too long, and ratios uncertain" if load > 0.5 else None
    )
