"""What was measured of one setting of a detector, and which settings no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np


@dataclass
class Tally:
    """Processor time and faces of one setting, photo by photo.

    Attributes
    ----------
    found : dict of photo name to (n, 5) float64
        ``x1 y1 x2 y2 score``.
    seconds : dict of stage to float
        Processor time over all photos.
    boxes : dict of net to int
        Boxes that R-Net and O-Net were given over all photos, views of test-time augmentation not counted.
    """

    found: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    boxes: dict[str, int] = field(default_factory=dict)

    def add_time(self, stage: str, seconds: float) -> None:
        """Add the processor time of a stage at one photo."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def add_boxes(self, net: str, count: int) -> None:
        """Add the boxes that a net was given at one photo."""
        self.boxes[net] = self.boxes.get(net, 0) + count


@dataclass(frozen=True)
class Point:
    """One setting in the plane of accuracy and processor time.

    Attributes
    ----------
    label, group : str
        What the setting is called, and the line of the plot that it belongs to.
    settings : dict
        Model, engine, preset, thresholds and so on, as JSON values.
    photos : int
    processor_ms : float
        Per photo, decoding aside.
    stage_ms, boxes : dict of str to float
        Per photo: time of each stage; boxes given to R-Net and O-Net.
    accuracy : dict of column to dict
        AP, faces, and the score and the recall at the target precision.
    """

    label: str
    group: str
    settings: dict[str, Any]
    photos: int
    processor_ms: float
    stage_ms: dict[str, float]
    boxes: dict[str, float]
    accuracy: dict[str, dict[str, Any]]

    @property
    def mean_ap(self) -> Optional[float]:
        """The plain mean over the columns that have faces."""
        values = [column["AP"] for column in self.accuracy.values() if column["AP"] is not None]
        return float(np.mean(values)) if values else None

    def summary(self) -> dict[str, Any]:
        """Return the point as JSON values."""
        return {
            "label": self.label,
            **self.settings,
            "photos": self.photos,
            "processor_ms": round(self.processor_ms, 2),
            "stage_ms": {name: round(value, 2) for name, value in self.stage_ms.items()},
            "boxes_a_photo": {name: round(value, 2) for name, value in self.boxes.items()},
            "mean_AP": self.mean_ap,
            "accuracy": self.accuracy,
        }


def point_of(
    label: str, group: str, settings: dict[str, Any], tally: Tally, accuracy: dict[str, dict[str, Any]]
) -> Point:
    """Return the means over the photos of a tally."""
    photos = len(tally.found)
    stage_ms = {name: 1000 * seconds / photos for name, seconds in tally.seconds.items()}
    boxes = {name: count / photos for name, count in tally.boxes.items()}
    return Point(label, group, settings, photos, sum(stage_ms.values()), stage_ms, boxes, accuracy)


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of the points that no other beats, by rising time.

    A point is beaten by one that takes no more time and has a higher mean AP.
    """
    best, places = -np.inf, []
    for i in sorted(range(len(points)), key=lambda i: (points[i].processor_ms, -(points[i].mean_ap or 0))):
        value = points[i].mean_ap
        if value is not None and value > best:
            best = value
            places.append(i)
    return places
