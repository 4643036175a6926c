"""Error of the five points on annotated photos, as the mean distance over the distance between the eyes.

Example: gluon-mtcnn evaluate landmarks --landmark-images images --landmark-annotations testImageList.txt
         --model model --out result

The detector searches the whole photo. Of its detections the one with the greatest IoU with the annotated box counts.
None, or an IoU below .4, is a miss, left out of the errors and reported. Leaves landmarks.json and landmarks.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing, write_json
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.core.types import Annotation, Detections
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.tools.cli.detector_options import add_detector_options, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir
from gluon_mtcnn.tools.evaluate.detections import existing_photos, iterate_photos

THRESHOLDS = (0.6, 0.7, 0.7)
MIN_IOU = 0.4
FAILURE = 0.10  # error above which a face counts as failed


def normalised_errors(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean distance of the five points over the distance between the true eyes, (n,).

    Parameters
    ----------
    points, truth : (n, 5, 2) pixels
    """
    points, truth = np.asarray(points, np.float64), np.asarray(truth, np.float64)
    distance = np.linalg.norm(points - truth, axis=2).mean(axis=1)
    return distance / np.linalg.norm(truth[:, 0] - truth[:, 1], axis=1)


def photo_errors(photo: Annotation, found: Detections) -> np.ndarray:
    """Return the error of each annotated face of a photo, (n,) float64; NaN for a miss.

    Raises
    ------
    InputError
        The detector gives no landmarks.
    """
    if found.landmarks is None:
        raise InputError("evaluate landmarks: the model has no landmark head")
    errors = np.full(len(photo.boxes), np.nan)
    if len(found) and photo.landmarks is not None:
        overlap = iou(photo.boxes.astype(np.float64), found.boxes.astype(np.float64))
        best = overlap.argmax(axis=1)
        met = overlap.max(axis=1) >= MIN_IOU
        errors[met] = normalised_errors(found.landmarks[best[met]], photo.landmarks[met])
    return errors


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


def summarise(errors: np.ndarray) -> dict[str, Any]:
    """Return what goes into landmarks.json: mean, median and fail10 over the faces found; missed; n, all faces.

    Parameters
    ----------
    errors : (n,)
        NaN for a miss.
    """
    found = errors[~np.isnan(errors)]
    measured = (
        {"mean": np.mean(found), "median": np.median(found), "fail10": np.mean(found > FAILURE)} if len(found) else {}
    )
    return {
        **{key: float(measured[key]) if measured else None for key in ("mean", "median", "fail10")},
        "missed": len(errors) - len(found),
        "n": len(errors),
    }


def plot_errors(path: PathLike, errors: np.ndarray, title: str, limit: float = 0.2) -> None:
    """Draw the share of all faces, misses included, whose error is at most x, into a png file."""
    from matplotlib.figure import Figure

    found = np.sort(errors[~np.isnan(errors)])
    share = np.arange(len(found) + 1) / max(len(errors), 1)
    figure = Figure(figsize=(6.4, 4.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.step(np.concatenate([[0], found, [max(limit, 1)]]), [*share, share[-1]], where="post", color="#0072B2", lw=2)
    axes.axvline(FAILURE, color="#D55E00", ls="--", lw=1.2, label=f"counts as failed above {FAILURE:g}")
    axes.set(xlim=(0, limit), ylim=(0, 1.02), title=title)
    axes.set(xlabel="error / distance between the eyes", ylabel="share of the annotated faces")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate landmarks``."""
    parser.add_argument("--landmark-images", required=True, metavar="DIR", help="folder that listed paths start from")
    parser.add_argument("--landmark-annotations", required=True, metavar="FILE", help="list of CNN_FacePoint or CelebA")
    parser.add_argument(
        "--missing-as-empty", action="store_true", help="a photo that is not there, or does not decode, is a miss"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    add_detector_options(parser, ",".join(map(str, THRESHOLDS)), "detector")


def _read(args: argparse.Namespace) -> Sequence[Annotation]:
    path = existing_file(args.landmark_annotations, "landmark annotations")
    annotations = list(read_landmarks(path, existing_dir(args.landmark_images, "photos")))
    if not annotations:
        raise InputError(f"{path}: expected annotated photos, got none")
    for photo in annotations:
        if photo.landmarks is None or (photo.landmarks[:, 0] == photo.landmarks[:, 1]).all(axis=1).any():
            raise InputError(f"{path}: {photo.name}: expected five points with the eyes apart")
    return annotations


def run(args: argparse.Namespace, detector: Any = None) -> int:
    """Evaluate, print one line and write the files.

    Parameters
    ----------
    args : options of `add_arguments`
    detector : object with ``detect(bgr) -> Detections``, optional
        In place of the one that the options describe.
    """
    out = output_dir(args.out)
    annotations = _read(args)
    if detector is None:
        detector, _ = open_detector(args, THRESHOLDS)
    errors = detect_errors(detector, annotations, args.missing_as_empty, args.quiet, args.num_workers)
    summary = summarise(errors)
    numbers = "all missed"
    if summary["mean"] is not None:
        numbers = f"mean {summary['mean']:.4f}  median {summary['median']:.4f}  failed {summary['fail10']:.1%}"
    title = f"{summary['n']} faces, {summary['missed']} missed\n{numbers}"
    plot_errors(out / "landmarks.png", errors, title)
    write_json(out / "landmarks.json", summary)
    print(f"{numbers}  missed {summary['missed']} of {summary['n']}")
    return 0
