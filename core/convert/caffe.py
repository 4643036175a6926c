"""Read a Caffe net with OpenCV, in a process of its own: OpenCV 4.11 can crash on a damaged file.

``python -m gluon_mtcnn.core.convert.caffe NET.prototxt NET.caffemodel SIDE`` writes an npz archive to stdout, or exits
with 2 and one line on stderr. The archive holds the blobs of every layer as ``weights/LAYER/0``, ``weights/LAYER/1``,
and as ``outputs/LAYER`` what the net computes from `probe`. Imports no MXNet.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike

MEMORY_LIMIT = 4 << 30  # bytes of address space; the largest of the three nets needs well under one GB
FILE_LIMITS = {"prototxt": 1 << 20, "caffemodel": 64 << 20}  # bytes; the largest of the three nets: 3 kB and 1.6 MB
WORK_LIMIT = 10**11  # additions and multiplications for `probe`; the largest of the three nets needs about 10**8
CPU_LIMIT = 600  # seconds of processor time, not of the clock, which a busy machine would use up; they need one


@dataclass
class CaffeNet:
    """A net as OpenCV read it.

    Attributes
    ----------
    weights : dict of str to float32 array
        Blobs by ``layer/index``.
    outputs : dict of str to float32 array
        What the last layers, by name, give for `probe`.
    """

    weights: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def probe(side: int) -> np.ndarray:
    """Return the input (2, 3, side, side) float32 on which an imported net is compared with its origin."""
    return np.random.default_rng(0).uniform(-1, 1, (2, 3, side, side)).astype(np.float32)


def read_caffemodel(prototxt: PathLike, caffemodel: PathLike, side: int) -> CaffeNet:
    """Read a Caffe net with OpenCV's DNN module and run it on ``probe(side)``.

    Raises
    ------
    InputError
        A file is too large, or OpenCV refuses the pair, does not survive it, or would have too much to compute.
    """
    for path, (kind, most) in zip((prototxt, caffemodel), FILE_LIMITS.items()):
        size = os.path.getsize(path) if os.path.exists(path) else 0  # what is missing, OpenCV tells
        if size > most:
            raise InputError(f"{path}: expected a {kind} of at most {most} bytes, got {size}")
    command = [sys.executable, "-W", "ignore", "-m", __name__, os.fspath(prototxt), os.fspath(caffemodel), str(side)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    what = f"{caffemodel} with {Path(prototxt).name}"
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if done.returncode == 2 and lines else f"the attempt ended with code {done.returncode}"
        raise InputError(f"{what}: OpenCV cannot read and run this Caffe net: {reason}")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as archive:
        weights, outputs = (
            {name[len(part) :]: archive[name] for name in archive.files if name.startswith(part)}
            for part in ("weights/", "outputs/")
        )
    return CaffeNet(weights, outputs)


def _limit_resources() -> None:
    """Make a damaged file that asks for very much memory, or has no end, fail here, where the platform can do so."""
    try:
        import resource
    except ImportError:
        return
    for kind, limit in ((resource.RLIMIT_AS, MEMORY_LIMIT), (resource.RLIMIT_CPU, CPU_LIMIT)):
        _, hard = resource.getrlimit(kind)
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (soft, hard))


def _read_and_run(prototxt: str, caffemodel: str, side: str) -> dict[str, np.ndarray]:
    import cv2

    net = cv2.dnn.readNetFromCaffe(prototxt, caffemodel)
    arrays = {
        f"weights/{name}/{index}": np.asarray(blob, np.float32)
        for name in net.getLayerNames()
        for index, blob in enumerate(net.getLayer(net.getLayerId(name)).blobs)
    }
    if not arrays:
        raise ValueError("there are no layers with weights")
    work = net.getFLOPS((2, 3, int(side), int(side)))
    if not 0 <= work <= WORK_LIMIT:
        raise ValueError(f"it takes {work} operations, expected at most {WORK_LIMIT}")
    net.setInput(probe(int(side)))
    last = net.getUnconnectedOutLayersNames()
    return {**arrays, **{f"outputs/{name}": output for name, output in zip(last, net.forward(last))}}


def main() -> int:
    """Read and run the net named on the command line; return the exit code."""
    _limit_resources()
    try:
        arrays = _read_and_run(*sys.argv[1:4])
    except Exception as error:  # whatever it is, the parent wants one line of it
        sys.stderr.write(" ".join(str(error).split())[:200] + "\n")
        return 2
    archive = io.BytesIO()
    np.savez(archive, **arrays)  # type: ignore[arg-type]
    sys.stdout.buffer.write(archive.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
