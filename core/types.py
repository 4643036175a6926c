"""The records that pass between the modules.

Boxes are everywhere ``x1, y1, x2, y2`` in inclusive pixels: a box that covers columns 10 to 19 has x1=10, x2=19 and is
``x2 - x1 + 1 = 10`` wide. Landmarks are ``(5, 2)`` arrays of x, y in the order left eye, right eye, nose, left mouth
corner, right mouth corner, left and right as seen in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

POSITIVE, NEGATIVE, PART, LANDMARK = 1, 0, -1, -2
LABEL_NAMES = {POSITIVE: "positive", NEGATIVE: "negative", PART: "part", LANDMARK: "landmark"}
NETS = ("pnet", "rnet", "onet")
ENGINES = ("mxnet", "onnx", "plain")  # what can run them, see core.detection.engines
INPUT_SIZE = {"pnet": 12, "rnet": 24, "onet": 48}
ALL_FACES, ONE_FACE = 0, 1  # of a photo's faces are annotated: all, so that the rest is background; or one of several
CELL_STRIDE = {12: 2, 20: 4}  # side of the cells that a P-Net looks at: how far apart they lie, both in pixels


def _as_array(value: object, shape: tuple[int, ...], name: str, dtype: type = np.float32) -> np.ndarray:
    array: np.ndarray = np.asarray(value, dtype=dtype)
    if array.size == 0 and shape[0] == -1:
        array = array.reshape((0, *shape[1:]))
    if array.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, array.shape)):
        wanted = tuple("_" if side == -1 else side for side in shape)
        raise ValueError(f"{name} must be {wanted}, but got {array.shape}")
    return array


@dataclass
class Annotation:
    """One photo and its faces.

    Attributes
    ----------
    image : str
        Path of the photo, as the reader resolved it.
    boxes : (n, 4) float32
        Faces, inclusive pixels.
    ignore : (n,) bool
        Faces that are neither positive nor negative (heavy blur, heavy occlusion, invalid, ...).
    landmarks : (n, 5, 2) float32 or None
        Five points of each face, in pixels of the photo.
    name : str
        Name of the photo in its annotation file, with forward slashes (``event/name.jpg``).
    attributes : dict of str to (n,) int array
        WIDER's columns (blur, expression, illumination, invalid, occlusion, pose), where the file has them.

    Examples
    --------
    >>> import numpy as np
    >>> photo = Annotation("photo.jpg", np.float32([[10, 20, 49, 59]]), ignore=np.array([False]))
    >>> photo.boxes.shape, photo.landmarks is None
    ((1, 4), True)
    """

    image: str
    boxes: np.ndarray
    ignore: np.ndarray
    landmarks: Optional[np.ndarray] = None
    name: str = ""
    attributes: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.boxes = _as_array(self.boxes, (-1, 4), "boxes")
        self.ignore = _as_array(self.ignore, (len(self.boxes),), "ignore", bool)
        if self.landmarks is not None:
            self.landmarks = _as_array(self.landmarks, (len(self.boxes), 5, 2), "landmarks")


@dataclass
class Crops:
    """Training samples of one photo before their pixels are cut: where each lies and what a net should predict in it.

    Attributes
    ----------
    boxes : (n, 4) int32
        The squares that are cut out, inclusive pixels; parts outside the photo are zero.
    labels : (n,) int8
        1 positive, 0 negative, -1 part, -2 landmark.
    offsets : (n, 4) float32
        ``core.ops.boxes.encode`` of the face against the square; zeros for a negative.
    landmarks : (n, 10) float32
        x1 y1 ... x5 y5 as fractions of the square's side from its corner; zeros unless the label is -2.
    """

    boxes: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray
    landmarks: np.ndarray

    def __post_init__(self) -> None:
        self.boxes = _as_array(self.boxes, (-1, 4), "boxes", np.int32)
        self.labels = _as_array(self.labels, (len(self.boxes),), "labels", np.int8)
        self.offsets = _as_array(self.offsets, (len(self.boxes), 4), "offsets")
        self.landmarks = _as_array(self.landmarks, (len(self.boxes), 10), "landmarks")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> Crops:
        """Return the samples that a slice, mask or index array selects."""
        return Crops(self.boxes[index], self.labels[index], self.offsets[index], self.landmarks[index])

    @classmethod
    def concatenate(cls, parts: Sequence[Crops]) -> Crops:
        """Return the samples of all parts, in order; no parts give no samples."""
        empty = (np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 10)))
        fields = [(p.boxes, p.labels, p.offsets, p.landmarks) for p in parts]
        return cls(*(np.concatenate(column) for column in zip(empty, *fields)))

    def rows(self) -> np.ndarray:
        """Return the (n, 15) float32 label rows of a pack: label, 4 offsets, 10 landmarks."""
        return np.concatenate([self.labels[:, None], self.offsets, self.landmarks], axis=1).astype(np.float32)


@dataclass
class Detections:
    """Faces found in one image, best score first; empty arrays when there is none.

    Attributes
    ----------
    boxes : (n, 4) float32
        Inclusive pixels, neither rounded nor clipped.
    scores : (n,) float32
        Probability of the class "face".
    landmarks : (n, 5, 2) float32 or None
        None when the model has no landmark head.

    Examples
    --------
    >>> import numpy as np
    >>> faces = Detections(np.float32([[10, 20, 49, 59]]), np.float32([0.98]))
    >>> for x1, y1, x2, y2 in faces.boxes:
    ...     print(f"{x2 - x1 + 1:.0f} x {y2 - y1 + 1:.0f} pixels")
    40 x 40 pixels
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        self.boxes = _as_array(self.boxes, (-1, 4), "boxes")
        self.scores = _as_array(self.scores, (len(self.boxes),), "scores")
        if self.landmarks is not None:
            self.landmarks = _as_array(self.landmarks, (len(self.boxes), 5, 2), "landmarks")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> Detections:
        """Return the detections that a slice, mask or index array selects."""
        landmarks = None if self.landmarks is None else self.landmarks[index]
        return Detections(self.boxes[index], self.scores[index], landmarks)

    @classmethod
    def empty(cls, landmarks: bool = False) -> Detections:
        """Return no faces, with arrays of the right shape."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)) if landmarks else None)

    def as_array(self) -> np.ndarray:
        """Return the (n, 5) float32 array of ``x1 y1 x2 y2 score``."""
        return np.concatenate([self.boxes, self.scores[:, None]], axis=1)
