"""Faces drawn on a matplotlib axis, as notebooks show pictures. Imports MXNet, since GluonCV does."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.backend.gluon_cv import gluoncv
from gluon_mtcnn.core.types import Detections

BOX_COLOR, LANDMARK_COLOR = (60 / 255, 220 / 255, 80 / 255), (255 / 255, 120 / 255, 40 / 255)  # RGB, as in draw.py


def plot_faces(image: np.ndarray, faces: Detections, ax: Optional[Any] = None, color: str = "bgr") -> Any:
    """Draw an image with boxes, scores and landmarks by GluonCV's ``plot_bbox``.

    Parameters
    ----------
    image : (h, w, 3) uint8
    faces : Detections
        Boxes in inclusive pixels of the image. They are rounded to the nearest pixel, where ``plot_bbox`` alone would
        cut the decimals off.
    ax : matplotlib axes, optional
        Where to draw; a new figure when left out.
    color : {"bgr", "rgb"}
        Order of the image's channels.

    Returns
    -------
    matplotlib axes

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from gluon_mtcnn import Detections
    >>> faces = Detections(np.array([[10, 10, 29, 29]]), np.array([0.9]))
    >>> ax = plot_faces(np.zeros((40, 60, 3), np.uint8), faces, Figure().subplots())
    >>> [text.get_text().strip() for text in ax.texts]
    ['0.900']
    """
    if color not in ("bgr", "rgb"):
        raise ValueError(f"color must be bgr or rgb, but got {color!r}")
    boxes, colors = np.rint(faces.boxes), {-1: BOX_COLOR}  # -1: plot_bbox's class of boxes without labels
    options = {"thresh": 0, "colors": colors, "reverse_rgb": color == "bgr", "linewidth": 2}
    ax = gluoncv.utils.viz.plot_bbox(image, boxes, faces.scores, ax=ax, **options)
    if faces.landmarks is not None:
        ax.scatter(*faces.landmarks.reshape(-1, 2).T, s=9, color=LANDMARK_COLOR)
    return ax
