"""One evaluation on annotated photos: options in, figures and detections out, files where a folder is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, write_json
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import CORNERS
from gluon_mtcnn.prepare_data.annotations.left_out import MOST
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir
from gluon_mtcnn.tools.evaluate.annotated_photos import read_annotations
from gluon_mtcnn.tools.evaluate.boxes.protocol import score_boxes
from gluon_mtcnn.tools.evaluate.detections import (
    detect_photos,
    existing_photos,
    read_json_detections,
    write_json_detections,
)
from gluon_mtcnn.tools.evaluate.origin import DEFAULT_IGNORE, Origin, write_origin
from gluon_mtcnn.tools.evaluate.plausibility import warn_of_implausible
from gluon_mtcnn.tools.evaluate.pr_plot import PrecisionRecallCurve, plot_precision_recall
from gluon_mtcnn.tools.evaluate.processor_time import ProcessorTime, processor_time, with_processor_time


@dataclass(frozen=True)
class BoxesOptions:
    """What to evaluate on annotated photos; one of `images` and `detections` is given.

    Attributes
    ----------
    annotations : path
        WIDER's text, or CSV (suffix ``.csv``).
    images : path, optional
        Folder that the annotated paths start from: a detector finds the faces in the photos.
    detections : path, optional
        JSON of detections.
    missing_as_empty : bool
        A photo without entry, without file, or that does not decode, counts as one without detections.
    ignore : str
        WIDER attributes from which a face is ignored, such as ``blur=2,occlusion=2``, or ``none``.
    min_shorter_side : float
        Faces with a shorter side below it, in pixels, are ignored.
    max_left_out : float
        Share of the annotated faces that may have no usable box.
    operating_point : float, optional
        Recall and false positives are those above this score. Default with `images`: the model's last threshold;
        with `detections`: all boxes.
    out : path, optional
        Folder for boxes.json, precision_recall.png, detections.json and evaluation.json. Default: no file is written.
    detector : DetectorOptions
        Of the detector that runs on `images`.
    num_workers : int
        Threads.
    quiet : bool
        No progress bar.
    """

    annotations: PathLike
    images: Optional[PathLike] = None
    detections: Optional[PathLike] = None
    missing_as_empty: bool = False
    ignore: str = DEFAULT_IGNORE
    min_shorter_side: float = 0
    max_left_out: float = MOST
    operating_point: Optional[float] = None
    out: Optional[PathLike] = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    num_workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class BoxesResult:
    """What an evaluation on annotated photos found.

    Attributes
    ----------
    summary : dict
        The content of boxes.json: AP, recall, precision, counts; None where there is no face or no box.
    curve : PrecisionRecallCurve
    detections : dict of photo name to (n, 5) float64
        ``x1 y1 x2 y2 score``, inclusive pixels, one entry for each annotated photo.
    processor_time : ProcessorTime or None
        Of detecting; None where detections were read.
    """

    summary: dict[str, Any]
    curve: PrecisionRecallCurve
    detections: dict[str, np.ndarray]
    processor_time: Optional[ProcessorTime] = None

    @property
    def ap(self) -> Optional[float]:
        """Average precision over all scores; None without a face."""
        return self.summary["AP"]

    def report(self) -> dict[str, Any]:
        """Return the summary with the processor time, for ``--json``."""
        return with_processor_time(self.summary, self.processor_time)


def evaluate_boxes(options: BoxesOptions, detector: Any = None) -> BoxesResult:
    """Evaluate detections, or a detector, on annotated photos.

    Parameters
    ----------
    options : BoxesOptions
    detector : object with ``detect(bgr) -> Detections`` and ``clone()``, optional
        Runs on ``options.images`` in place of the one that ``options.detector`` describes.

    Raises
    ------
    InputError
        A file is missing or not of its form, a photo has no detections, or the detector cannot be opened.
    """
    if (options.detections is None) == (options.images is None):
        raise InputError("evaluate boxes: expected detections or images, got both or neither")
    if options.out is not None:
        output_dir(str(options.out))
    images = Path() if options.images is None else existing_dir(str(options.images), "photos")
    path = existing_file(str(options.annotations), "annotations")
    annotations = read_annotations(path, images, options.ignore, options.max_left_out)
    found, threshold, taken = _detections(options, annotations, detector)
    summary, curve = score_boxes(annotations, found, threshold, options.min_shorter_side)
    listed = {photo.name: found.get(photo.name, np.zeros((0, 5))) for photo in annotations}
    result = BoxesResult(summary, curve, listed, taken)
    if options.out is not None:
        _write(Path(options.out), options, result)
    return result


def _detections(
    options: BoxesOptions, annotations: Sequence[Annotation], detector: Any
) -> tuple[dict[str, np.ndarray], Optional[float], Optional[ProcessorTime]]:
    """Read or make the annotated photos' detections; return them, the operating threshold and the time of making."""
    threshold, missing_as_empty = options.operating_point, options.missing_as_empty
    if options.images is None:
        return _read_listed(str(options.detections), annotations, missing_as_empty), threshold, None
    photos = existing_photos({photo.name: photo.image for photo in annotations}, missing_as_empty)
    if detector is None:
        detector, own_threshold = open_detector(options.detector)
        threshold = own_threshold if threshold is None else threshold
    with processor_time(len(photos)) as taken:
        found = detect_photos(detector, photos, options.quiet, missing_as_empty, options.num_workers)
    return found, threshold, taken


def _read_listed(path: str, annotations: Sequence[Annotation], missing_as_empty: bool) -> dict[str, np.ndarray]:
    """Read the detections of the annotated photos.

    Raises
    ------
    InputError
        A photo has no entry, unless `missing_as_empty`; or there are entries of which none fits.
    """
    found = read_json_detections(existing_file(path, "detections"))
    missing = [photo.name for photo in annotations if photo.name not in found]
    misfit = len(found) > 0 and len(missing) == len(annotations)
    if missing and (misfit or not missing_as_empty):
        raise InputError(
            f"{path}: no entry for {len(missing)} of {len(annotations)} photos, the first is {missing[0]} "
            "(--missing-as-empty counts them as photos without detections)"
        )
    rows = [found.get(photo.name, np.zeros((0, 5))) for photo in annotations]
    warn_of_implausible(rows, [photo.boxes.astype(np.float64) for photo in annotations], CORNERS, path)
    return found


def _write(out: Path, options: BoxesOptions, result: BoxesResult) -> None:
    write_json_detections(out / "detections.json", result.detections)
    title = f"{result.summary['photos']} photos, IoU ≥ 0.5"
    plot_precision_recall(out / "precision_recall.png", [result.curve], title)
    write_json(out / "boxes.json", result.summary)
    images = None if options.images is None else str(options.images)
    write_origin(out, Origin(str(options.annotations), None, images, options.ignore, options.min_shorter_side))
