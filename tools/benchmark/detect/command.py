"""How fast faces are found: the engines against the plain path in one run, stage by stage, and against other detectors.

For each photo, decoded beforehand, every engine runs once, one after the other, so that what else the machine does
falls on all alike. Times are processor times of one thread (set OMP_NUM_THREADS=1); wall times are beside them. The
boxes of each engine are compared with those of the plain path, and other detectors' faces are counted and laid over
ours. Then each engine runs alone in a fresh process over the files: images a second with one and two threads, decoding
included, and peak memory above that after the import.

example:
  OMP_NUM_THREADS=1 gluon-mtcnn benchmark detect --images WIDER_val/images --model model/seanlinx \
      --thresholds .6,.7,.7 --json detect.json
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Callable

import cv2
import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.core.types import ENGINES, NETS
from gluon_mtcnn.model import DEFAULT_MODEL
from gluon_mtcnn.tools.benchmark.measure import MEGABYTE, anonymous_bytes, finish, load_warning, spent
from gluon_mtcnn.tools.benchmark.peers import open_peers
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, add_detector_options, open_model
from gluon_mtcnn.tools.cli.options import options_from, positive_int
from gluon_mtcnn.tools.detect.media import find_media

COMMON = ("quiet",)
log = logging.getLogger(__name__)
WARM_UP = 3  # photos that every engine sees before the clock runs
BOX_TOLERANCE, SCORE_TOLERANCE = 1e-2, 1e-4
NEAR = 1e-5  # a score or an overlap this near to a threshold may fall on either side of it
THREADS = (1, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of photos, searched recursively")
    add_detector_options(parser, "the model's own", "detector", engine=False)
    parser.add_argument(
        "--limit", type=positive_int, default=60, metavar="N", help="photos, evenly spaced, %(default)s"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out the other detectors that are installed")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    busy = load_warning()
    if busy:
        log.warning("%s", busy)
    paths = _photos(args)
    model = open_model(args.model)
    model.require(NETS)
    given = options_from(DetectorOptions, args)
    own = given.chosen(model)
    options = {**given.detector_arguments(), "min_face": own.min_face, "thresholds": own.thresholds}
    del options["engine"]  # all of them run
    detectors, missing = _open_detectors(model, options)
    peers = {} if args.no_peers else open_peers(options["min_face"], options["thresholds"])
    times, verdicts, sides = _compare(paths, detectors, peers, args.quiet)
    plain = np.median(times["plain"]["total"], axis=0)[0]
    result: dict[str, Any] = {
        "photos": len(paths),
        "longer_side_p50": float(np.median(sides)),
        **options,
        "look_again": detectors["plain"].look_again,
        "engines": {
            name: {
                **_figures(times[name]),
                "times_as_fast_as_plain": round(float(plain / np.median(times[name]["total"], axis=0)[0]), 2),
                **_alone(str(args.model or DEFAULT_MODEL), name, options, paths),
            }
            for name in detectors
        },
        "boxes_against_plain": verdicts,
        "peers": {n: peer if isinstance(peer, str) else peer.result(_figures(times[n])) for n, peer in peers.items()},
        "not_measured": missing,
    }
    return finish(result, args.json)


def _photos(args: argparse.Namespace) -> list[str]:
    """Return the paths of the photos, evenly spaced among those in the folder."""
    paths = [source.path for source in find_media([args.images], []) if source.kind == "image"]
    if not paths:
        raise InputError(f"{args.images}: the folder holds no image")
    return [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(args.limit, len(paths))).astype(int))]


def _open_detectors(model: Any, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a detector for every engine that can be opened, and why others cannot."""
    from gluon_mtcnn.core.detection.detector import Detector

    detectors, missing = {}, {}
    for name in ENGINES:
        try:
            detectors[name] = Detector(model, name, **options)
        except InputError as error:
            if name != "onnx":
                raise
            missing[name] = str(error)
    return detectors, missing


Times = dict[str, list[tuple[float, float]]]  # stage or "total" -> per photo, processor and wall seconds


def _clocked(times: Times, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, whose seconds are appended to those of the name."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = function(*arguments)
    times.setdefault(name, []).append((time.process_time() - cpu, time.perf_counter() - wall))
    return result


def _detect(detector: Any, photo: np.ndarray, times: Times) -> Any:
    """Detect stage by stage under the clock; return the faces."""
    boxes = np.zeros((0, 4))
    for kind in NETS:
        stage = _clocked(times, kind, detector.stage, kind, photo, boxes)
        boxes = stage.after[:, :4]
    times.setdefault("total", []).append(tuple(np.sum([times[kind][-1] for kind in NETS], axis=0)))
    return stage.detections()


def _compare(
    paths: Sequence[str], detectors: dict[str, Any], peers: dict[str, Any], quiet: bool
) -> tuple[dict[str, Times], dict[str, dict[str, int]], list[int]]:
    """Run everything on every photo; return times, how the boxes compare with the plain path's, and longer sides."""
    running = {name: peer for name, peer in peers.items() if not isinstance(peer, str)}
    times: dict[str, Times] = {name: {} for name in (*detectors, *running)}
    others = [name for name in detectors if name != "plain"]
    verdicts = {name: {"equal": 0, "near_a_threshold": 0, "different": 0} for name in others}
    sides = []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for path in paths[:WARM_UP]:
            photo = images.read(path)
            for work in (*(detector.detect for detector in detectors.values()), *(p.look for p in running.values())):
                work(photo)
        for path in tqdm(paths, desc="compare", unit="photo", disable=quiet):
            photo = images.read(path)
            sides.append(max(photo.shape[:2]))
            found = {name: _detect(detector, photo, times[name]) for name, detector in detectors.items()}
            for name, peer in running.items():
                peer.count(peer.look(photo, partial(_clocked, times[name], "total")), found["mxnet"].boxes)
            for name in others:
                verdicts[name][_verdict(found[name], found["plain"], detectors["plain"], photo)] += 1
    finally:
        cv2.setNumThreads(threads)
    return times, verdicts, sides


def _verdict(found: Any, plain: Any, detector: Any, photo: np.ndarray) -> str:
    """Say how the faces of an engine compare with those of the plain path."""
    if same_faces(found, plain):
        return "equal"
    moved = (detector.with_thresholds_moved(step).detect(photo) for step in (-NEAR, NEAR))
    return "different" if all(same_faces(plain, other) for other in moved) else "near_a_threshold"


def same_faces(a: Any, b: Any) -> bool:
    """Return whether two detections have the same boxes and scores, within the tolerances, in any order."""
    if len(a) != len(b):
        return False
    if not len(a):
        return True
    distance = np.abs(a.boxes[:, None] - b.boxes[None]).max(axis=2)
    nearest = distance.argmin(axis=1)
    return bool(
        len(np.unique(nearest)) == len(a)
        and distance.min(axis=1).max() <= BOX_TOLERANCE
        and np.abs(a.scores - b.scores[nearest]).max() <= SCORE_TOLERANCE
    )


def _figures(times: Times) -> dict[str, Any]:
    """Return the median and the 95th percentile of milliseconds by stage."""
    result = {}
    for name, values in times.items():
        cpu, wall = 1000 * np.array(values).T
        result[f"{name}_ms"] = {
            "cpu_p50": round(float(np.median(cpu)), 1),
            "cpu_p95": round(float(np.percentile(cpu, 95)), 1),
            "wall_p50": round(float(np.median(wall)), 1),
            "wall_p95": round(float(np.percentile(wall, 95)), 1),
        }
    return result


def _alone(folder: str, engine: str, options: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return rates and memory of an engine in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_stream, folder, engine, options, paths).result()


def _stream(folder: str, engine: str, options: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    from gluon_mtcnn.core.detection.detector import Detector
    from gluon_mtcnn.core.nets.model_folder import load_model

    before, rates, peak = anonymous_bytes(), {}, 0
    detector = Detector(load_model(folder), engine, **options)
    for threads in THREADS:
        for _ in detector.detect_many(paths[:WARM_UP], threads):
            pass
        base = anonymous_bytes() - before
        with spent(memory=True) as work:
            for _ in detector.detect_many(paths, threads):
                pass
        rates[f"threads_{threads}"] = round(len(paths) / work.seconds, 2)
        peak = peak or base + work.peak_bytes  # of one thread
    return {"images_per_second": rates, "peak_megabytes": round(peak / MEGABYTE, 1)}
