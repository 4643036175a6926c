"""Checks of Python, packages, processors, memory, disk and the default model; what MXNet says is in `mxnet`."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

from gluon_mtcnn.tools.doctor.finding import FIX, NOTE, OK, Finding
from gluon_mtcnn.tools.doctor.requirements import find_requirement, installed_version, is_within

OLDEST, NEWEST = (3, 9), (3, 12)  # Python, both of them tried
MODULES = {  # package -> module, of those without which little works
    "numpy": "numpy",
    "opencv-python": "cv2",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "gluoncv": "",  # imports MXNet, which is tried elsewhere
    "pillow": "PIL",
    "psutil": "psutil",
    "tqdm": "tqdm",
}
OPTIONAL = {  # package -> what it is for
    "onnxruntime": "the ONNX engine",
    "distributed": "prepare --cluster (Dask)",
    "h5py": "WIDER's own wider_face_train.mat",
    "tensorboard": "training curves in TensorBoard",
}
GB = 1e9
LITTLE_MEMORY, LITTLE_DISK = 2 * GB, 5 * GB
CGROUP = Path("/sys/fs/cgroup")


def python_findings() -> Iterator[Finding]:
    """Say which Python runs, and where."""
    what = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        yield Finding(OK, what)
    else:
        spoken = " to ".join(".".join(map(str, version)) for version in (OLDEST, NEWEST))
        yield Finding(FIX, f"{what}: MXNet's numpy has wheels for {spoken}", f"make an environment of Python {spoken}")


def package_findings() -> Iterator[Finding]:
    """Say which of the required packages are there, of which versions, and whether they load."""
    for name, module in MODULES.items():
        wanted, _ = find_requirement(name) or ("", "")
        version = installed_version(name)
        problem = _import_problem(module) if module else ""
        if version is None:
            level = NOTE if module and not problem else FIX  # it came in another way, as opencv-python-headless does
            yield Finding(level, f"{name} is not installed", f"pip install '{name}{wanted}'")
        elif wanted and is_within(version, wanted) is False:
            yield Finding(FIX, f"{name} {version}: tried with {wanted} only", f"pip install '{name}{wanted}'")
        elif problem:
            advice = f"pip install --force-reinstall '{name}{wanted}'"
            if "libGL" in problem:
                advice = "install libgl1 (apt-get install libgl1), or opencv-python-headless in place of opencv-python"
            yield Finding(FIX, f"{name} {version} does not load: {problem}", advice)
        else:
            yield Finding(OK, f"{name} {version}{f' (tried with {wanted})' if wanted else ''}")


def _import_problem(module: str) -> str:
    """Return why a module cannot be imported; nothing where it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a package that is broken raises what it likes
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def processor_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Say how many processors this process may use, and whether its threads fit them."""
    there = os.cpu_count() or 1
    usable = min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there, cgroup_processors() or there
    )
    if usable < there:
        advice = f"give --num-workers {usable}: the default is one worker for each of the {there}"
        yield Finding(NOTE, f"{usable} of {there} processors may be used", advice)
    else:
        yield Finding(OK, f"{there} processor{'' if there == 1 else 's'}")
    yield _threads_finding(environment.get("OMP_NUM_THREADS", ""), usable)
    for name in sorted(environment):
        if name.startswith("MXNET_"):
            yield Finding(NOTE, f"{name}={environment[name]} changes how MXNet works")


def _threads_finding(text: str, processors: int) -> Finding:
    several = "export OMP_NUM_THREADS=1 where several processes run at once; a run repeats exactly with the same number"
    if not text:
        return Finding(NOTE, "OMP_NUM_THREADS is not set: MXNet takes a thread for each processor", several)
    if not text.isdecimal() or int(text) < 1:
        return Finding(
            FIX, f"OMP_NUM_THREADS={text} is not a number of threads", f"export OMP_NUM_THREADS={processors}"
        )
    if int(text) > processors:
        what = f"OMP_NUM_THREADS={text} is more than the {processors} processors: threads wait for each other"
        return Finding(FIX, what, f"export OMP_NUM_THREADS={processors}")
    return Finding(OK, f"OMP_NUM_THREADS={text}")


def cgroup_processors(folder: Path = CGROUP) -> Optional[int]:
    """Return the processors that a container may use at a time; None without a limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no such file; "max"
        return None


def cgroup_memory(folder: Path = CGROUP) -> Optional[int]:
    """Return the bytes that a container may use; None without a limit."""
    try:
        return int((folder / "memory.max").read_text())
    except (OSError, ValueError):
        return None


def room_findings() -> Iterator[Finding]:
    """Say how much memory and disk there is."""
    import psutil  # without it the other sections still have much to say

    total = psutil.virtual_memory().total
    limit = cgroup_memory()
    if limit is not None and limit < total:
        yield _room("memory that this container may use", limit, LITTLE_MEMORY, "raise the container's limit")
    else:
        yield _room("memory", total, LITTLE_MEMORY, "use fewer --num-workers and smaller photos")
    for what, folder in (("here", os.getcwd()), ("for temporary files", tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free
        advice = "packs of WIDER FACE take more; prepare says beforehand how much it will need"
        yield _room(f"free on the disk {what} ({folder})", free, LITTLE_DISK, advice)


def _room(what: str, size: float, little: float, advice: str) -> Finding:
    text = f"{size / GB:.1f} GB {what}"
    return Finding(OK, text) if size >= little else Finding(NOTE, text, advice)


def model_findings(folder: Optional[Path] = None) -> Iterator[Finding]:
    """Say whether the model that --model means by default, or another one, is complete."""
    from gluon_mtcnn.core.types import NETS  # these need numpy, without which there is still much to say
    from gluon_mtcnn.model import DEFAULT_MODEL

    folder = folder or DEFAULT_MODEL
    there = [net for net in NETS if (folder / f"{net}.params").is_file()]
    if (folder / "model.json").is_file() and len(there) == len(NETS):
        yield Finding(OK, f"all three nets in {folder}")
    else:
        what = f"{folder} has {', '.join(there) if there else 'no net'}"
        advice = "give --model DIR: gluon-mtcnn import makes one of foreign weights, gluon-mtcnn train of data"
        yield Finding(NOTE, what, advice)


def optional_findings() -> Iterator[Finding]:
    """Say which packages are there that only some commands use."""
    for name, purpose in OPTIONAL.items():
        wanted, extra = find_requirement(name) or ("", "")
        version = installed_version(name)
        install = f"pip install 'gluon-mtcnn[{extra}]'" if extra else f"pip install {name}"
        if version is None:
            yield Finding(OK, f"{name} is not installed; it is for {purpose}: {install}")
        elif wanted and is_within(version, wanted) is False:
            yield Finding(NOTE, f"{name} {version}: tried with {wanted} only; it is for {purpose}", install)
        else:
            yield Finding(OK, f"{name} {version}, for {purpose}")
