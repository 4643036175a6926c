"""One evaluation on WIDER FACE: options in, figures and detections out, files where a folder is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, write_json
from gluon_mtcnn.prepare_data.annotations.box_forms import CORNERS, SIZED
from gluon_mtcnn.prepare_data.annotations.wider import image_root
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir
from gluon_mtcnn.tools.evaluate.detections import (
    detect_photos,
    existing_photos,
    read_json_detections,
    write_json_detections,
)
from gluon_mtcnn.tools.evaluate.origin import Origin, write_origin
from gluon_mtcnn.tools.evaluate.plausibility import warn_of_implausible
from gluon_mtcnn.tools.evaluate.pr_plot import PrecisionRecallCurve, ap_text, plot_precision_recall
from gluon_mtcnn.tools.evaluate.processor_time import ProcessorTime, processor_time, with_processor_time
from gluon_mtcnn.tools.evaluate.wider.files import (
    GroundTruth,
    read_ground_truth,
    read_image_list,
    read_text_folder,
    write_text_folder,
)
from gluon_mtcnn.tools.evaluate.wider.protocol import SettingResult, align, evaluate_settings


@dataclass(frozen=True)
class WiderOptions:
    """What to evaluate on WIDER FACE; one of `detections` and `images` is given.

    Attributes
    ----------
    ground_truth : path
        Folder of wider_face_val.mat and wider_{easy,medium,hard}_val.mat.
    detections : path, optional
        JSON of detections, or a folder of WIDER's text files.
    images : path, optional
        WIDER_val: a detector finds the faces in its photos.
    image_list : path, optional
        The photos to evaluate: names, or a ``*_bbx_gt.txt``. Default: all of the ground truth.
    missing_as_empty : bool
        A photo without entry, without file, or that does not decode, counts as one without detections.
    operating_point : float, optional
        Also count hits and false positives above this score. Default with `images`: the model's last threshold.
    out : path, optional
        Folder for wider.json, precision_recall.png, detections.json and evaluation.json. Default: no file is written.
    text_out : path, optional
        Folder for the detections as WIDER's text files.
    detector : DetectorOptions
        Of the detector that runs on `images`.
    num_workers : int
        Threads.
    quiet : bool
        No progress bar.

    Examples
    --------
    >>> WiderOptions("truth", images="data/WIDER_val/images", out="figures").out
    'figures'
    """

    ground_truth: PathLike
    detections: Optional[PathLike] = None
    images: Optional[PathLike] = None
    image_list: Optional[PathLike] = None
    missing_as_empty: bool = False
    operating_point: Optional[float] = None
    out: Optional[PathLike] = None
    text_out: Optional[PathLike] = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    num_workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class WiderResult:
    """What an evaluation on WIDER FACE found.

    Attributes
    ----------
    settings : dict of ``easy``, ``medium``, ``hard`` to SettingResult
        AP, precision and recall over the score, and the operating point of each.
    detections : dict of ``event/name.jpg`` to (n, 5) float64
        ``x1 y1 x2 y2 score``, inclusive pixels, one entry for each evaluated photo.
    processor_time : ProcessorTime or None
        Of detecting; None where detections were read.

    Examples
    --------
    >>> result = evaluate_wider(WiderOptions("truth", images="data/WIDER_val/images", quiet=True))
    >>> list(result.settings), len(result.detections)
    (['easy', 'medium', 'hard'], 4)
    """

    settings: dict[str, SettingResult]
    detections: dict[str, np.ndarray]
    processor_time: Optional[ProcessorTime] = None

    def summary(self) -> dict[str, Any]:
        """Return the content of wider.json."""
        return {setting: result.summary() for setting, result in self.settings.items()}

    def report(self) -> dict[str, Any]:
        """Return the summary with the processor time, for ``--json``."""
        return with_processor_time(self.summary(), self.processor_time)


def evaluate_wider(options: WiderOptions, detector: Any = None) -> WiderResult:
    """Evaluate detections, or a detector, on WIDER FACE by the protocol of docs/evaluation-wider.md.

    Parameters
    ----------
    options : WiderOptions
    detector : object with ``detect(bgr) -> Detections`` and ``clone()``, optional
        Runs on ``options.images`` in place of the one that ``options.detector`` describes.

    Returns
    -------
    WiderResult

    Raises
    ------
    InputError
        A file is missing or not of its form, a photo has no detections, or the detector cannot be opened.

    Examples
    --------
    >>> result = evaluate_wider(WiderOptions("truth", images="data/WIDER_val/images", quiet=True))
    >>> 0 <= result.settings["easy"].ap <= 1
    True
    """
    if (options.detections is None) == (options.images is None):
        raise InputError("evaluate wider: expected detections or images, got both or neither")
    if options.out is not None:
        output_dir(str(options.out))
    truth = read_ground_truth(existing_dir(str(options.ground_truth), "ground truth"))
    if options.image_list is not None:
        names = read_image_list(existing_file(str(options.image_list), "image list"))
        truth = truth.select(names, str(options.image_list))
    found, threshold, taken = _detections(options, truth.names, detector)
    source = options.images or options.detections
    rows = align(truth, found, source, options.missing_as_empty)
    if options.detections is not None:
        _check_detections(truth, rows, str(options.detections))
    detections = {f"{name}.jpg": boxes for name, boxes in zip(truth.names, rows)}
    result = WiderResult(evaluate_settings(truth, rows, threshold), detections, taken)
    _write(options, truth, result)
    return result


def _detections(
    options: WiderOptions, names: Sequence[str], detector: Any
) -> tuple[dict[str, np.ndarray], Optional[float], Optional[ProcessorTime]]:
    """Read or make the detections of the named photos; return them, the operating threshold and the time of making."""
    threshold = options.operating_point
    if options.images is None:
        return _read(str(options.detections)), threshold, None
    root = image_root(existing_dir(str(options.images), "photos"))
    photos = existing_photos({f"{name}.jpg": root / f"{name}.jpg" for name in names}, options.missing_as_empty)
    if detector is None:
        detector, own_threshold = open_detector(options.detector)
        threshold = own_threshold if threshold is None else threshold
    with processor_time(len(photos)) as taken:
        found = detect_photos(detector, photos, options.quiet, options.missing_as_empty, options.num_workers)
    return found, threshold, taken


def _check_detections(truth: GroundTruth, rows: Sequence[np.ndarray], path: str) -> None:
    """Warn of detections that look like another form than that of their file: text has sizes, JSON corners."""
    if not Path(path).is_dir():
        warn_of_implausible(rows, truth.faces, CORNERS, path)
        return
    sized = [np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2], boxes[:, 4:]], axis=1) for boxes in rows]
    warn_of_implausible(sized, truth.faces, SIZED, path)


def _read(path: str) -> dict[str, np.ndarray]:
    return read_text_folder(path) if Path(path).is_dir() else read_json_detections(existing_file(path, "detections"))


def _write(options: WiderOptions, truth: GroundTruth, result: WiderResult) -> None:
    """Write the files that the options ask for."""
    if options.text_out is not None:
        write_text_folder(options.text_out, result.detections)
    if options.out is None:
        return
    out = Path(options.out)
    write_json_detections(out / "detections.json", result.detections)
    curves = [
        PrecisionRecallCurve(f"{setting}  {ap_text(at.ap)}", at.precision, at.recall, at.point)
        for setting, at in result.settings.items()
    ]
    title = f"WIDER FACE, {len(truth.names)} photos, IoU ≥ 0.5"
    plot_precision_recall(out / "precision_recall.png", curves, title)
    write_json(out / "wider.json", result.summary())
    images = None if options.images is None else str(image_root(options.images))
    write_origin(out, Origin(None, str(options.ground_truth), images))
