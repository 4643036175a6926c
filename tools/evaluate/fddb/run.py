"""One evaluation on FDDB: options in, both ROC curves and the AP of each fold out, files where a folder is named."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing, write_json
from gluon_mtcnn.prepare_data.annotations.box_forms import SIZED
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file
from gluon_mtcnn.tools.evaluate.detections import detect_photos, existing_photos
from gluon_mtcnn.tools.evaluate.fddb.ap import average_precision
from gluon_mtcnn.tools.evaluate.fddb.files import (
    RECTANGLE_COLUMNS,
    SEANLINX_ROW,
    find_images,
    image_sizes,
    read_fddb_detections,
    read_folds,
    read_sizes,
    rectangles,
    write_fddb_detections,
)
from gluon_mtcnn.tools.evaluate.fddb.matcher import FALLBACK_SIZE, MATCHERS, Roc, evaluate
from gluon_mtcnn.tools.evaluate.plausibility import warn_of_implausible
from gluon_mtcnn.tools.evaluate.processor_time import ProcessorTime, processor_time, with_processor_time
from gluon_mtcnn.tools.evaluate.roc.curves import TABLE_AT, RocCurve

log = logging.getLogger(__name__)

Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class FddbOptions:
    """What to evaluate on FDDB; `detections` or `images` is given.

    Attributes
    ----------
    folds : path
        Folder of FDDB-fold-01.txt, FDDB-fold-01-ellipseList.txt, ...
    detections : path, optional
        FDDB's text file of detections, or a folder with fold-01-out.txt, ...
    images : path, optional
        The photos: a detector finds their faces, or with `detections` only their sizes are read.
    image_sizes : path, optional
        Lines of ``name width height``. Default: from `images`, otherwise 450 x 450 pixels for all.
    missing_as_empty : bool
        An image without entry, without file, or that does not decode, counts as one without detections.
    matcher : {"optimal", "official"}
        Match for the greatest total IoU, or exactly as the official program does.
    out : path, optional
        Folder for DiscROC.txt, ContROC.txt, ap.json and detections.txt. Default: no file is written.
    detector : DetectorOptions
        Of the detector that runs on `images`.
    num_workers : int
        Threads.
    quiet : bool
        No progress bar.

    Examples
    --------
    >>> FddbOptions("data/fddb/FDDB-folds", images="data/fddb/images", num_workers=2).num_workers
    2
    """

    folds: PathLike
    detections: Optional[PathLike] = None
    images: Optional[PathLike] = None
    image_sizes: Optional[PathLike] = None
    missing_as_empty: bool = False
    matcher: str = MATCHERS[0]
    out: Optional[PathLike] = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    num_workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class FddbResult:
    """What an evaluation on FDDB found.

    Attributes
    ----------
    roc : Roc
        Thresholds, hits and overlaps that both curves follow from.
    ap : dict of fold to float
        Average precision; None for a fold without faces.
    detections : dict of image name to (n, 5) or (n, 6) float64
        ``left top width height score`` or an ellipse with its score, in the order of the folds.
    processor_time : ProcessorTime or None
        Of detecting; None where detections were read.
    matcher : {"optimal", "official"}
        How detections were matched with faces.

    Examples
    --------
    >>> result = evaluate_fddb(FddbOptions("data/fddb/FDDB-folds", images="data/fddb/images", quiet=True))
    >>> sorted(result.summary())
    ['faces', 'folds', 'images', 'matcher', 'mean']
    """

    roc: Roc
    ap: dict[str, Optional[float]]
    detections: dict[str, np.ndarray]
    processor_time: Optional[ProcessorTime] = None
    matcher: str = MATCHERS[0]

    @property
    def disc(self) -> RocCurve:
        """The discrete curve: true positive rate (n,) over false positives (n,)."""
        return RocCurve(self.roc.discrete, self.roc.false_positives)

    @property
    def cont(self) -> RocCurve:
        """The continuous curve: IoU per face (n,) over false positives (n,)."""
        return RocCurve(self.roc.continuous, self.roc.false_positives)

    @property
    def mean_ap(self) -> Optional[float]:
        """The plain mean over the folds that have faces; None when none has."""
        return mean_ap(self.ap)

    def summary(self) -> dict[str, Any]:
        """Return the content of ap.json."""
        counts = {"images": len(self.detections), "faces": self.roc.faces}
        return {"mean": self.mean_ap, "folds": self.ap, **counts, "matcher": self.matcher}

    def report(self) -> dict[str, Any]:
        """Return the summary with rates at numbers of false positives and the processor time, for ``--json``."""
        curves = {"discrete": self.disc, "continuous": self.cont}
        rates = {name: {str(fp): curve.rate_at(fp) for fp in TABLE_AT} for name, curve in curves.items()}
        return with_processor_time({**self.summary(), "rate_at_false_positives": rates}, self.processor_time)


def evaluate_fddb(options: FddbOptions, detector: Any = None) -> FddbResult:
    """Evaluate detections, or a detector, on FDDB by the protocol of docs/evaluation.md.

    Parameters
    ----------
    options : FddbOptions
    detector : object with ``detect(bgr) -> Detections`` and ``clone()``, optional
        Runs on ``options.images`` in place of the one that ``options.detector`` describes.

    Returns
    -------
    FddbResult

    Raises
    ------
    InputError
        A file is missing or not of its form, an image has no detections, or the detector cannot be opened.

    Examples
    --------
    >>> result = evaluate_fddb(FddbOptions("data/fddb/FDDB-folds", images="data/fddb/images", quiet=True))
    >>> 0 <= result.disc.rate_at(100) <= 1, 0 <= result.mean_ap <= 1
    (True, True)
    """
    if options.matcher not in MATCHERS:
        raise InputError(f"evaluate fddb: matcher: expected {' or '.join(MATCHERS)}, got {options.matcher!r}")
    if options.detections is None and options.images is None:
        raise InputError("evaluate fddb: expected --detections FILE_OR_DIR, or --images DIR and --model DIR")
    if options.detections is not None and (options.detector.model is not None or detector is not None):
        raise InputError("evaluate fddb: expected --detections or --model, got both")
    folds, annotations = read_folds(existing_dir(str(options.folds), "folder of folds"))
    names = list(annotations)
    photos = _find_photos(options, names)
    sizes = _find_sizes(options, names, photos)
    taken = None
    if options.detections is None:
        row_format = SEANLINX_ROW
        detections, taken = _detect(options, names, photos, row_format, detector)
    else:
        row_format = ""
        found = read_fddb_detections(options.detections)
        detections = complete(found, names, options.missing_as_empty, str(options.detections))
        _check_detections(annotations, detections, sizes, str(options.detections))
    if sizes is None:
        log.warning(
            "no --image-sizes and no --images: every image is taken as %d x %d pixels, rates may be off by up to 0.005",
            *FALLBACK_SIZE,
        )
    roc = evaluate(annotations, detections, sizes, options.matcher)
    ap = average_precision(folds, annotations, detections, sizes)
    result = FddbResult(roc, ap, detections, taken, options.matcher)
    if options.out is not None:
        _write(Path(options.out), result, row_format)
    return result


def _check_detections(
    annotations: Mapping[str, np.ndarray], detections: Mapping[str, np.ndarray], sizes: Optional[Sizes], path: str
) -> None:
    """Warn of rectangles that look like another form than ``left top width height``."""
    rows = [boxes if boxes.shape[1] == RECTANGLE_COLUMNS else boxes[:0, :5] for boxes in detections.values()]
    faces = [bounding_boxes(annotations[name]) for name in detections]
    warn_of_implausible(rows, faces, SIZED, path, None if sizes is None else [sizes[name] for name in detections])


def bounding_boxes(ellipses: np.ndarray) -> np.ndarray:
    """Return the boxes ``x1 y1 x2 y2`` (n, 4) around ellipses (n, 5), pixels."""
    a, b, angle, x, y = ellipses.T
    half_width = np.hypot(a * np.cos(angle), b * np.sin(angle))
    half_height = np.hypot(a * np.sin(angle), b * np.cos(angle))
    return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)


def _write(out: Path, result: FddbResult, row_format: str) -> None:
    roc = result.roc
    for name, lines in (("DiscROC.txt", roc.disc_lines()), ("ContROC.txt", roc.cont_lines())):
        with replacing(out / name) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
    write_json(out / "ap.json", result.summary())
    write_fddb_detections(out / "detections.txt", result.detections, result.detections, row_format)


def mean_ap(ap: Mapping[str, Optional[float]]) -> Optional[float]:
    """Return the plain mean of the folds that have faces; None when none has."""
    values = [value for value in ap.values() if value is not None]
    return float(np.mean(values)) if values else None


def complete(
    detections: Mapping[str, np.ndarray], names: Sequence[str], missing_as_empty: bool, where: str
) -> dict[str, np.ndarray]:
    """Return an entry for each of the names, in their order; entries of other images are left out and logged.

    Raises
    ------
    InputError
        A name has no entry, unless `missing_as_empty`; `where` is the file.
    """
    missing = [name for name in names if name not in detections]
    if missing and not missing_as_empty:
        raise InputError(
            f"{where}: expected an entry for each of the {len(names)} images, got none for {len(missing)}, "
            f"such as {missing[0]} (--missing-as-empty: count them as images without detections)"
        )
    unknown = len(detections) + len(missing) - len(names)
    if unknown:
        log.warning("%s: %d images are in no fold, they are left out", where, unknown)
    return {name: detections.get(name, np.zeros((0, 5))) for name in names}


def _find_photos(options: FddbOptions, names: Sequence[str]) -> dict[str, PathLike]:
    """Return the photos in the folder of images by name; none where no folder is given."""
    if options.images is None:
        return {}
    folder = existing_dir(str(options.images), "folder of photos")
    found = find_images(folder, names)
    return existing_photos({name: found.get(name, folder / f"{name}.jpg") for name in names}, options.missing_as_empty)


def _find_sizes(options: FddbOptions, names: Sequence[str], photos: Mapping[str, PathLike]) -> Optional[Sizes]:
    """Return the sizes of all images from the file of sizes or else from the photos; None when there is neither."""
    if options.image_sizes is not None:
        sizes = read_sizes(existing_file(str(options.image_sizes), "file of image sizes"))
        missing = [name for name in names if name not in sizes]
        if missing:
            raise InputError(f"{options.image_sizes}: expected the size of every image, {missing[0]} has none")
        return sizes
    if photos:
        return {**dict.fromkeys(names, FALLBACK_SIZE), **image_sizes(photos, options.missing_as_empty)}
    return None


def _detect(
    options: FddbOptions, names: Sequence[str], photos: Mapping[str, PathLike], row_format: str, detector: Any
) -> tuple[dict[str, np.ndarray], ProcessorTime]:
    """Return ``left top width height score`` of every image, as a file has it, and the time of detecting.

    The width is x2 - x1, as Seanlinx writes it.
    The numbers are written and read back, so that the curves are those of the file, with its rounding.
    """
    if detector is None:
        detector, _ = open_detector(options.detector)
    with processor_time(len(photos)) as taken:
        found = detect_photos(detector, photos, options.quiet, options.missing_as_empty, options.num_workers)
    rows = {name: rectangles(found[name]) if name in found else np.zeros((0, 5)) for name in names}
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory()) if options.out is None else options.out
        path = Path(folder) / "detections.txt"
        write_fddb_detections(path, names, rows, row_format)
        return read_fddb_detections(path), taken
