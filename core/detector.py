"""`core.detection.detector` under its earlier name."""

from gluon_mtcnn.core.detection.cascade import StageOutput as Stage
from gluon_mtcnn.core.detection.detector import Detector

__all__ = ["Detector", "Stage"]
