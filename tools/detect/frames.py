"""Detecting in frames: each may be shrunk first, each may run in a thread of its own, and faces are then chosen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

import cv2
import numpy as np

from gluon_mtcnn.core.files.threads import map_clones
from gluon_mtcnn.core.ops.boxes import area, clip, rescale
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.detect.media import Frame
from gluon_mtcnn.tools.detect.outputs import Found


@dataclass(frozen=True)
class Choice:
    """Which faces of a frame are kept.

    Attributes
    ----------
    min_score : float
        Those of at least this score.
    top_k : int, optional
        At most so many, those of the best scores.
    largest : bool
        Only the largest.
    clip : bool
        Boxes are clipped to the image.
    """

    min_score: float = 0
    top_k: Optional[int] = None
    largest: bool = False
    clip: bool = False

    def of(self, found: Found) -> Found:
        """Return a frame with the faces that are kept."""
        faces = found.faces[found.faces.scores >= self.min_score]
        if self.largest and len(faces):
            faces = faces[[int(np.argmax(area(faces.boxes)))]]
        if self.top_k:
            faces = faces[: self.top_k]
        if self.clip and found.frame.image is not None:
            faces = Detections(clip(faces.boxes, *found.frame.image.shape[:2]), faces.scores, faces.landmarks)
        return Found(found.frame, faces, found.stages)


def detect_frames(
    detector: Any,
    frames: Iterable[Frame],
    max_size: Optional[int] = None,
    with_stages: bool = False,
    workers: int = 1,
) -> Iterator[Found]:
    """Run a detector over frames, in their order.

    Parameters
    ----------
    detector : gluon_mtcnn.core.detection.detector.Detector
    frames : iterable of Frame
        Those without an image pass as they are.
    max_size : int, optional
        Longer side to which larger images are shrunk first; boxes and landmarks are those in the image as it came.
    with_stages : bool
        Also give what every net left.
    workers : int
        Threads, each with a clone of the detector.

    Yields
    ------
    Found
    """

    def detect(detector: Any, frame: Frame) -> Found:
        if frame.image is None:
            return Found(frame, Detections.empty())
        image = shrink(frame.image, max_size)
        stages = detector.stages(image) if with_stages else None
        faces = stages[detector.kinds[-1]].detections() if stages else detector.detect(image)
        x, y = frame.image.shape[1] / image.shape[1], frame.image.shape[0] / image.shape[0]
        if image.shape != frame.image.shape:
            faces, stages = enlarge(faces, x, y), stages and _enlarge_stages(stages, x, y)
        return Found(frame, faces, stages)

    return map_clones(detect, frames, detector, workers)


def shrink(image: np.ndarray, max_size: Optional[int]) -> np.ndarray:
    """Return an image (h, w, 3) with a longer side of at most `max_size` pixels."""
    longer = max(image.shape[:2])
    if max_size is None or longer <= max_size:
        return image
    height, width = (max(1, round(side * max_size / longer)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def enlarge(faces: Detections, x: float, y: float) -> Detections:
    """Return the faces as they lie in an image x times as wide and y times as high."""
    landmarks = None if faces.landmarks is None else faces.landmarks * np.array([x, y], np.float32)
    return Detections(rescale(faces.boxes, x, y), faces.scores, landmarks)


def _enlarge_stages(stages: dict[str, Any], x: float, y: float) -> dict[str, Any]:
    def larger(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rescale(rows[:, :4], x, y), rows[:, 4:]], axis=1)

    return {net: type(stage)(larger(stage.before), larger(stage.after)) for net, stage in stages.items()}
