"""Faces drawn into a picture."""

from __future__ import annotations

import cv2
import numpy as np

from gluon_mtcnn.core.types import Detections

BOX_COLOR, POINT_COLOR, TEXT_COLOR = (80, 220, 60), (40, 120, 255), (255, 255, 255)  # BGR


def draw_detections(image: np.ndarray, faces: Detections) -> np.ndarray:
    """Return a copy of a BGR image (h, w, 3) with boxes, scores and landmarks; line width grows with the image."""
    canvas = image.copy()
    width = max(1, round(max(image.shape[:2]) / 500))
    for box, score in zip(faces.boxes, faces.scores):
        x1, y1, x2, y2 = (int(v) for v in np.clip(np.rint(box), -(2**15), 2**15))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), BOX_COLOR, width)
        _label(canvas, f"{score:.2f}", (x1, y1 - 2 * width), width)
    if faces.landmarks is not None:
        for x, y in np.clip(np.rint(faces.landmarks.reshape(-1, 2)), -(2**15), 2**15):
            cv2.circle(canvas, (int(x), int(y)), width + 1, POINT_COLOR, -1, cv2.LINE_AA)
    return canvas


def _label(canvas: np.ndarray, text: str, corner: tuple[int, int], width: int) -> None:
    """Write text over a dark outline, so that it reads on any ground."""
    scale = 0.4 * width
    for color, thickness in (((0, 0, 0), 2 * width + 1), (TEXT_COLOR, width)):
        cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
