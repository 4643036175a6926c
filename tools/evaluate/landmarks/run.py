"""One evaluation of landmarks: options in, errors and figures out, files where a folder is named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, write_json
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.prepare_data.annotations.left_out import MOST, LeftOut
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir
from gluon_mtcnn.tools.evaluate.detections import existing_photos, iterate_photos
from gluon_mtcnn.tools.evaluate.landmarks.errors import photo_errors, summarise
from gluon_mtcnn.tools.evaluate.landmarks.plot import plot_errors
from gluon_mtcnn.tools.evaluate.processor_time import ProcessorTime, processor_time, with_processor_time

THRESHOLDS = (0.6, 0.7, 0.7)


@dataclass(frozen=True)
class LandmarkOptions:
    """On which photos to evaluate the landmarks of a detector.

    Attributes
    ----------
    landmark_images : path
        Folder that the listed paths start from.
    landmark_annotations : path
        List of the CNN_FacePoint or CelebA form.
    missing_as_empty : bool
        The faces of a photo without file, or that does not decode, count as misses.
    max_left_out : float
        Share of the annotated faces whose landmarks may lie outside of their box.
    out : path, optional
        Folder for landmarks.json and landmarks.png. Default: no file is written.
    detector : DetectorOptions
        Its thresholds are by default 0.6, 0.7, 0.7.
    num_workers : int
        Threads.
    quiet : bool
        No progress bar.

    Examples
    --------
    >>> LandmarkOptions("data/landmarks", "data/landmarks/testImageList.txt").missing_as_empty
    False
    """

    landmark_images: PathLike
    landmark_annotations: PathLike
    missing_as_empty: bool = False
    max_left_out: float = MOST
    out: Optional[PathLike] = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    num_workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class LandmarkResult:
    """The error of the landmarks: mean distance over the inter-ocular distance.

    Attributes
    ----------
    mean, median : float or None
        Over the faces found; None where none is.
    fail10 : float or None
        Share of the faces found whose error is above 0.10.
    missed, n : int
        Faces without a detection of IoU of at least 0.4; all annotated faces.
    errors : (n,) float64
        NaN for a miss.
    processor_time : ProcessorTime or None
        Of detecting.

    Examples
    --------
    >>> import numpy as np
    >>> print(LandmarkResult(0.049, 0.04, 0.025, missed=0, n=2, errors=np.array([0.03, 0.068])).figures())
    mean 0.0490  median 0.0400  failed 2.5%
    """

    mean: Optional[float]
    median: Optional[float]
    fail10: Optional[float]
    missed: int
    n: int
    errors: np.ndarray
    processor_time: Optional[ProcessorTime] = None

    def summary(self) -> dict[str, Any]:
        """Return the content of landmarks.json."""
        return {key: getattr(self, key) for key in ("mean", "median", "fail10", "missed", "n")}

    def report(self) -> dict[str, Any]:
        """Return the summary with the processor time, for ``--json``."""
        return with_processor_time(self.summary(), self.processor_time)

    def figures(self) -> str:
        """Return mean, median and failures as one line of text."""
        if self.mean is None:
            return "all missed"
        return f"mean {self.mean:.4f}  median {self.median:.4f}  failed {self.fail10:.1%}"


def evaluate_landmarks(options: LandmarkOptions, detector: Any = None) -> LandmarkResult:
    """Evaluate the landmarks that a detector finds in annotated photos.

    Parameters
    ----------
    options : LandmarkOptions
    detector : object with ``detect(bgr) -> Detections`` and ``clone()``, optional
        In place of the one that ``options.detector`` describes.

    Returns
    -------
    LandmarkResult

    Raises
    ------
    InputError
        A file is missing or not of its form, the detector cannot be opened, or has no landmark head.

    Examples
    --------
    >>> options = LandmarkOptions("data/landmarks", "data/landmarks/testImageList.txt", quiet=True)
    >>> result = evaluate_landmarks(options)
    >>> result.n, result.errors.shape
    (4, (4,))
    """
    if options.out is not None:
        output_dir(str(options.out))
    annotations = _read(options)
    if detector is None:
        detector, _ = open_detector(options.detector, THRESHOLDS)
    present = sum(Path(image).is_file() for image in {photo.image for photo in annotations})
    with processor_time(present) as taken:
        errors = detect_errors(detector, annotations, options.missing_as_empty, options.quiet, options.num_workers)
    result = LandmarkResult(**summarise(errors), errors=errors, processor_time=taken)
    if options.out is not None:
        title = f"{result.n} faces, {result.missed} missed\n{result.figures()}"
        plot_errors(Path(options.out) / "landmarks.png", errors, title)
        write_json(Path(options.out) / "landmarks.json", result.summary())
    return result


def detect_errors(
    detector: Any,
    annotations: Iterable[Annotation],
    missing_as_empty: bool = False,
    quiet: bool = False,
    workers: int = 1,
) -> np.ndarray:
    """Run a detector over annotated photos in threads; return each face's error, (n,) float64, NaN for a miss.

    Raises
    ------
    InputError
        A photo is missing or bad, unless `missing_as_empty` counts its faces as misses; see also `photo_errors`.
    """
    by_image: dict[str, list[Annotation]] = {}
    for photo in annotations:
        by_image.setdefault(photo.image, []).append(photo)
    present = existing_photos({image: image for image in by_image}, missing_as_empty)
    errors = [np.full(len(photo.boxes), np.nan) for image in by_image.keys() - present for photo in by_image[image]]
    for image, found in iterate_photos(detector, present, quiet, missing_as_empty, workers):
        errors += [photo_errors(photo, found) for photo in by_image[image]]
    return np.concatenate([np.zeros(0), *errors])


def _read(options: LandmarkOptions) -> list[Annotation]:
    path = existing_file(str(options.landmark_annotations), "landmark annotations")
    images = existing_dir(str(options.landmark_images), "photos")
    annotations = list(read_landmarks(path, images, LeftOut(path, options.max_left_out)))
    if not annotations:
        raise InputError(f"{path}: expected annotated photos, got none")
    for photo in annotations:
        if photo.landmarks is None or (photo.landmarks[:, 0] == photo.landmarks[:, 1]).all(axis=1).any():
            raise InputError(f"{path}: {photo.name}: expected five landmarks with the eyes apart")
    return annotations
