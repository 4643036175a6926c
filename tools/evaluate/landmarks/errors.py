"""The landmark error: mean distance of the five landmarks over the inter-ocular distance. Pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.core.types import Annotation, Detections

MIN_IOU = 0.4
FAILURE = 0.10  # error above which a face counts as failed


def normalised_errors(landmarks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean distance of the five landmarks over the true inter-ocular distance, (n,).

    Parameters
    ----------
    landmarks, truth : (n, 5, 2) pixels
    """
    landmarks, truth = np.asarray(landmarks, np.float64), np.asarray(truth, np.float64)
    distance = np.linalg.norm(landmarks - truth, axis=2).mean(axis=1)
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


def summarise(errors: np.ndarray) -> dict[str, Any]:
    """Return mean, median and fail10 over the faces found (None without any); missed; n, all faces.

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
