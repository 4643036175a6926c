"""Other face detectors that may be installed, behind one call, for comparison: none is needed by anything else."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Union

import cv2
import numpy as np

Find = Callable[[np.ndarray], int]  # a BGR image -> how many faces


def _facenet_pytorch(min_face: float, thresholds: Sequence[float]) -> Find:
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    detector = MTCNN(min_face_size=min_face, thresholds=list(thresholds), keep_all=True, device="cpu")

    def find(image: np.ndarray) -> int:
        boxes, _ = detector.detect(np.ascontiguousarray(image[..., ::-1]))
        return 0 if boxes is None else len(boxes)

    return find


def _ipazc_mtcnn(min_face: float, thresholds: Sequence[float]) -> Find:
    from mtcnn import MTCNN

    options: dict[str, Any] = {}
    if "min_face_size" in inspect.signature(MTCNN.__init__).parameters:  # before its version 1
        detector = MTCNN(min_face_size=int(min_face), steps_threshold=list(thresholds))
    else:
        detector = MTCNN(device="CPU:0")
        names = ("threshold_pnet", "threshold_rnet", "threshold_onet")
        options = {"min_face_size": min_face, **dict(zip(names, thresholds))}

    def find(image: np.ndarray) -> int:
        return len(detector.detect_faces(np.ascontiguousarray(image[..., ::-1]), **options))

    return find


def _haar(min_face: float, thresholds: Sequence[float]) -> Find:
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))

    def find(image: np.ndarray) -> int:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return len(cascade.detectMultiScale(grey, 1.1, 3, minSize=(int(min_face), int(min_face))))

    return find


PEERS = {"facenet-pytorch": _facenet_pytorch, "ipazc/mtcnn": _ipazc_mtcnn, "OpenCV Haar": _haar}


def open_peers(min_face: float, thresholds: Sequence[float]) -> dict[str, Union[Find, str]]:
    """Return for each detector a function from a BGR image to the number of faces, or why there is none."""
    peers: dict[str, Union[Find, str]] = {}
    for name, opener in PEERS.items():
        try:
            peers[name] = opener(min_face, thresholds)
        except ImportError as error:
            peers[name] = f"not installed: {error}"
    return peers
