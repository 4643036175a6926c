"""The photos that a detector is measured on, and the AP of what it finds in them, by set and by size of the faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Protocol

import numpy as np

from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.wider import image_root
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file
from gluon_mtcnn.tools.evaluate.annotated_photos import read_annotations
from gluon_mtcnn.tools.evaluate.boxes.protocol import score_boxes
from gluon_mtcnn.tools.evaluate.detections import existing_photos
from gluon_mtcnn.tools.evaluate.wider.files import GroundTruth, read_ground_truth, read_image_list
from gluon_mtcnn.tools.evaluate.wider.protocol import align, evaluate_settings

Found = Mapping[str, np.ndarray]  # name of a photo -> (n, 5) x1 y1 x2 y2 score


class PhotoSet(Protocol):
    """Photos whose faces are known."""

    @property
    def photos(self) -> dict[str, PathLike]:
        """Return the paths of the photos by name."""

    def figures(self, found: Found, target_precision: float) -> dict[str, dict[str, Any]]:
        """Return, by column of the table, the AP and the figures at the score that reaches a precision."""


@dataclass(frozen=True)
class AnnotatedSet:
    """Photos annotated as WIDER's text or as CSV.

    Attributes
    ----------
    name : str
    annotations : sequence of Annotation
    smallest : sequence of float
        A column for each: faces whose shorter side is below it, in pixels, are ignored.
    """

    name: str
    annotations: Sequence[Annotation]
    smallest: Sequence[float]

    @property
    def photos(self) -> dict[str, PathLike]:
        """Return the paths of the photos by name, the set's own in front."""
        return {f"{self.name}/{photo.name}": photo.image for photo in self.annotations}

    def figures(self, found: Found, target_precision: float) -> dict[str, dict[str, Any]]:
        """Return AP, and the score that reaches a precision with the recall there, by smallest face."""
        rows = {photo.name: found[f"{self.name}/{photo.name}"] for photo in self.annotations}
        scores = np.unique(np.concatenate([np.zeros(0), *(boxes[:, 4] for boxes in rows.values())]))[::-1]
        columns = {}
        for side in self.smallest:
            summary, curve = score_boxes(self.annotations, rows, min_shorter_side=side)
            point = _at_precision(scores, curve.precision, curve.recall, target_precision)
            columns[f"{self.name} {side:g}"] = {"AP": summary["AP"], "faces": summary["faces"], **point}
        return columns


@dataclass(frozen=True)
class WiderSet:
    """Photos of WIDER FACE's validation set, by its official lists of faces.

    Attributes
    ----------
    truth : GroundTruth
    photos : dict of ``event/name.jpg`` to path
    """

    truth: GroundTruth
    photos: dict[str, PathLike]

    def figures(self, found: Found, target_precision: float) -> dict[str, dict[str, Any]]:
        """Return AP, and the recall at a precision, of easy, medium and hard; scores are normalised there."""
        rows = align(self.truth, {name: found[name] for name in self.photos}, "benchmark pareto", False)
        columns = {}
        for setting, result in evaluate_settings(self.truth, rows).items():
            point = _at_precision(None, result.precision, result.recall, target_precision)
            columns[setting] = {"AP": result.ap, "faces": result.faces, **point}
        return columns


def _at_precision(
    scores: Optional[np.ndarray], precision: np.ndarray, recall: np.ndarray, target: float
) -> dict[str, Optional[float]]:
    """Return the lowest score (None: not given) at which a precision is reached, and the recall there."""
    reached = np.flatnonzero(precision >= target)
    last = reached[-1] if len(reached) else None
    return {
        "score": None if last is None or scores is None else float(scores[last]),
        "recall": 0.0 if last is None else float(recall[last]),
    }


def read_annotated_sets(
    images: PathLike,
    paths: Sequence[PathLike],
    ignore: str,
    smallest: Sequence[float],
    limit: Optional[int] = None,
) -> list[AnnotatedSet]:
    """Read annotated photos, a set for each file; at most `limit` of each, evenly spaced.

    Raises
    ------
    InputError
        A file is missing or not of its form, or a photo is missing.
    """
    root = existing_dir(str(images), "photos")
    sets = []
    for path in paths:
        photos = read_annotations(existing_file(str(path), "annotations"), root, ignore)
        chosen = [photos[i] for i in evenly(len(photos), limit)]
        existing_photos({photo.name: photo.image for photo in chosen}, missing_as_empty=None)
        sets.append(AnnotatedSet(Path(path).stem, chosen, smallest))
    if len({one.name for one in sets}) < len(sets):
        sets = [replace(one, name=f"{i + 1} {one.name}") for i, one in enumerate(sets)]
    return sets


def read_wider_set(
    images: PathLike, ground_truth: PathLike, image_list: Optional[PathLike] = None, limit: Optional[int] = None
) -> WiderSet:
    """Read the official lists of WIDER's validation set, or of its photos that a list names.

    Raises
    ------
    InputError
        A file is missing or not of its form, or a photo is missing.
    """
    truth = read_ground_truth(existing_dir(str(ground_truth), "ground truth"))
    if image_list is not None:
        truth = truth.select(read_image_list(existing_file(str(image_list), "image list")), str(image_list))
    truth = truth.select([truth.names[i] for i in evenly(len(truth.names), limit)], str(ground_truth))
    root = image_root(existing_dir(str(images), "photos"))
    photos = existing_photos({f"{name}.jpg": root / f"{name}.jpg" for name in truth.names}, missing_as_empty=None)
    return WiderSet(truth, photos)


def evenly(count: int, limit: Optional[int]) -> Iterator[int]:
    """Yield at most `limit` of `count` indices, evenly spaced."""
    yield from np.unique(np.linspace(0, count - 1, min(limit or count, count)).astype(int)).tolist()
