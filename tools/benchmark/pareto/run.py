"""One comparison of accuracy and processor time: options in, points and the front out, a plot where a file is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional, Union

import cv2
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.tools.benchmark.pareto.accuracy import PhotoSet, read_annotated_sets, read_wider_set
from gluon_mtcnn.tools.benchmark.pareto.contenders import Contender, open_contenders
from gluon_mtcnn.tools.benchmark.pareto.grid import Grid
from gluon_mtcnn.tools.benchmark.pareto.measured import Point, front, point_of
from gluon_mtcnn.tools.benchmark.pareto.plot import plot_points
from gluon_mtcnn.tools.evaluate.origin import DEFAULT_IGNORE

WARM_UP = 2  # photos that everything sees before the clock runs


@dataclass(frozen=True)
class ParetoOptions:
    """What to compare, and on which photos; `annotations` or `ground_truth` is given.

    Attributes
    ----------
    images : path
        Folder that the names of the photos start from.
    annotations : sequence of paths
        WIDER's text, or CSV (suffix ``.csv``); each file is a set with an AP of its own.
    ground_truth : path, optional
        Folder of WIDER's .mat files: AP easy, medium and hard.
    image_list : path, optional
        With `ground_truth`: the photos to take.
    ignore : str
        WIDER attributes from which an annotated face is ignored, such as ``blur=2,occlusion=2``, or ``none``.
    smallest : sequence of float
        With `annotations`: an AP for each, of the faces whose shorter side is at least this, in pixels.
    limit : int, optional
        Most photos of each set, evenly spaced.
    models : sequence of paths
        Model folders. Default: the one that ships with the package.
    presets : sequence of str
        Names. Default: all that a model has; of a model without presets, O-Net without and with test-time augmentation.
    engines : sequence of str
        Default: the detector's.
    grid : Grid, optional
        Measure these settings of each model instead of presets.
    peers : bool
        Also measure the other detectors that are installed.
    target_precision : float
        Of the score that is given beside each AP.
    plot : path, optional
        Gets the figure; the suffix says the format.
    quiet : bool
        No progress bar.
    """

    images: PathLike
    annotations: Sequence[PathLike] = ()
    ground_truth: Optional[PathLike] = None
    image_list: Optional[PathLike] = None
    ignore: str = DEFAULT_IGNORE
    smallest: Sequence[float] = (0.0,)
    limit: Optional[int] = None
    models: Sequence[PathLike] = ()
    presets: Sequence[str] = ()
    engines: Sequence[str] = ()
    grid: Optional[Grid] = None
    peers: bool = False
    target_precision: float = 0.9
    plot: Optional[PathLike] = None
    quiet: bool = False


@dataclass(frozen=True)
class ParetoResult:
    """Settings in the plane of accuracy and processor time.

    Attributes
    ----------
    points : list of Point
    front : list of int
        Places of the points that no other beats, by rising time.
    not_measured : dict of str to str
        Other detectors that could not be measured, and why.
    target_precision : float
    """

    points: list[Point]
    front: list[int]
    not_measured: dict[str, str]
    target_precision: float

    def summary(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "points": [{**point.summary(), "on_front": i in self.front} for i, point in enumerate(self.points)],
            "front": [self.points[i].label for i in self.front],
            "target_precision": self.target_precision,
            "not_measured": self.not_measured,
        }


def benchmark_pareto(options: ParetoOptions) -> ParetoResult:
    """Run every setting on the same photos, one after the other at each photo; return time and AP of each.

    Raises
    ------
    InputError
        A file is missing or not of its form, a model cannot be opened, or has no such preset.
    """
    sets = _read_sets(options)
    contenders, missing = open_contenders(options.models, options.presets, options.engines, options.grid, options.peers)
    photos = {name: path for one in sets for name, path in one.photos.items()}
    with one_thread():
        _measure(contenders, photos, options.quiet)
    points, failed = _points(contenders, sets, options.target_precision)
    result = ParetoResult(points, front(points), {**missing, **failed}, options.target_precision)
    if options.plot is not None:
        plot_points(options.plot, points, result.front)
    return result


def _read_sets(options: ParetoOptions) -> Sequence[PhotoSet]:
    if bool(options.annotations) == (options.ground_truth is not None):
        raise InputError("benchmark pareto: expected annotations or ground truth, got both or neither")
    if options.ground_truth is not None:
        return [read_wider_set(options.images, options.ground_truth, options.image_list, options.limit)]
    return read_annotated_sets(options.images, options.annotations, options.ignore, options.smallest, options.limit)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread for a block."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _measure(contenders: Sequence[Contender], photos: dict[str, PathLike], quiet: bool) -> None:
    for path in list(photos.values())[:WARM_UP]:
        photo = images.read(path)
        for contender in contenders:
            contender.warm_up(photo)
    for name, path in tqdm(photos.items(), desc="measure", unit="photo", disable=quiet):
        photo = images.read(path)
        for contender in contenders:
            contender.add(name, photo)


def _points(
    contenders: Sequence[Contender], sets: Sequence[PhotoSet], target: float
) -> tuple[list[Point], dict[str, str]]:
    """Return the points, and the contenders that failed with the reason."""
    points, failed = [], {}
    for contender in contenders:
        problem: Union[str, None] = contender.problem
        if problem:
            failed[contender.group] = problem
            continue
        for label, settings, tally in contender.results():
            accuracy = {}
            for one in sets:
                accuracy.update(one.figures(tally.found, target))
            points.append(point_of(label, contender.group, settings, tally, accuracy))
    return points, failed
