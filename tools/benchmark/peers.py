"""Other face detectors behind one call, for comparison, where they are installed; nothing else needs them.

All get the same smallest face, thresholds, decoded photos and one thread. A detector that finds nothing would look
fast. Its faces are therefore counted and compared with ours, and without any face no times are given.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

import cv2
import numpy as np

from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.tools.doctor.requirements import installed_version

Find = Callable[[np.ndarray], np.ndarray]  # a BGR image -> x1 y1 x2 y2 (n, 4), or with scores (n, 5)
SAME = 0.5  # IoU from which two boxes are taken for one face


def _boxes(rows: Any) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 4)


def _corners(rows: Any) -> np.ndarray:
    """Return rows x, y, width, height as boxes."""
    boxes = _boxes(rows)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _scored(boxes: Any, scores: Any) -> np.ndarray:
    """Return x1 y1 x2 y2 score (n, 5)."""
    return np.concatenate([_boxes(boxes), np.array(scores, np.float64).reshape(-1, 1)], axis=1)


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def _facenet_pytorch(min_face: float, thresholds: Sequence[float]) -> Find:
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    detector = MTCNN(min_face_size=min_face, thresholds=list(thresholds), keep_all=True, device="cpu")

    def find(image: np.ndarray) -> np.ndarray:
        boxes, scores = detector.detect(_rgb(image))
        return _scored([], []) if boxes is None else _scored(boxes, scores)

    return find


def _ipazc_mtcnn(min_face: float, thresholds: Sequence[float]) -> Find:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's own remarks on the processor
    import tensorflow
    from mtcnn import MTCNN

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    options: dict[str, Any] = {}
    if "min_face_size" in inspect.signature(MTCNN.__init__).parameters:  # before its version 1
        detector = MTCNN(min_face_size=int(min_face), steps_threshold=list(thresholds))
    else:
        detector = MTCNN(device="CPU:0")
        names = ("threshold_pnet", "threshold_rnet", "threshold_onet")
        options = {"min_face_size": min_face, **dict(zip(names, thresholds))}

    def find(image: np.ndarray) -> np.ndarray:
        faces = detector.detect_faces(_rgb(image), **options)
        return _scored(_corners([face["box"] for face in faces]), [face["confidence"] for face in faces])

    return find


def _haar(min_face: float, thresholds: Sequence[float]) -> Find:
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))

    def find(image: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return _corners(cascade.detectMultiScale(grey, 1.1, 3, minSize=(int(min_face), int(min_face))))

    return find


# What opens a detector, and the packages whose versions its figures depend on.
PEERS = {
    "facenet-pytorch": (_facenet_pytorch, ("facenet-pytorch", "torch")),
    "ipazc/mtcnn": (_ipazc_mtcnn, ("mtcnn", "tensorflow", "tensorflow-cpu")),
    "OpenCV Haar": (_haar, ("opencv-python",)),
}


@dataclass
class Peer:
    """A detector, and how what it found lies with ours.

    Attributes
    ----------
    find : function
    versions : dict of package to version
    photos, failed : int
        Photos that were looked at, and those of them at which the detector raised an error.
    faces, ours, shared : int
        Faces of the detector, ours in the photos where it did not fail, and those of ours that it has as well.
    problem : str
        Of the first failure.
    """

    find: Find
    versions: dict[str, str]
    photos: int = 0
    failed: int = 0
    faces: int = 0
    ours: int = 0
    shared: int = 0
    problem: str = ""

    def look(self, image: np.ndarray, call: Callable[..., Any] = lambda find, image: find(image)) -> Any:
        """Return what `find` gives for an image, None after a failure; `call` calls it, under a clock perhaps."""
        try:
            return call(self.find, image)
        except Exception as error:  # whatever another program raises
            self.problem = self.problem or _one_line(error)
            return None

    def count(self, boxes: Optional[np.ndarray], ours: np.ndarray) -> None:
        """Add what `look` gave for a photo, and our boxes there."""
        self.photos += 1
        if boxes is None:
            self.failed += 1
            return
        self.faces, self.ours = self.faces + len(boxes), self.ours + len(ours)
        if len(boxes) and len(ours):
            self.shared += int((iou(ours.astype(np.float64), boxes[:, :4]).max(axis=1) > SAME).sum())

    def result(self, figures: dict[str, Any]) -> Union[str, dict[str, Any]]:
        """Return the figures of its times with the counts, or why they mean nothing."""
        if self.failed == self.photos:
            return f"not measured: it fails: {self.problem}"
        if self.ours and not self.shared:
            return f"not measured: it finds {self.faces} faces, none of our {self.ours}"
        counts = {"faces": self.faces, "our_faces": self.ours, "of_ours": self.shared, "failed_photos": self.failed}
        return {**figures, **counts, "versions": self.versions}


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def open_peers(min_face: float, thresholds: Sequence[float]) -> dict[str, Union[Peer, str]]:
    """Return each detector, or why there is none: packages that do not fit each other raise all kinds of errors."""
    peers: dict[str, Union[Peer, str]] = {}
    for name, (opener, packages) in PEERS.items():
        try:
            find = opener(min_face, thresholds)
        except ImportError as error:
            peers[name] = f"not installed: {error}"
        except Exception as error:
            peers[name] = f"cannot be used: {_one_line(error)}"
        else:
            peers[name] = Peer(find, {package: found for package in packages if (found := installed_version(package))})
    return peers
