"""`core.detection.detector` under its earlier name."""

from gluon_mtcnn.core.detection.detector import Detector, Stage

__all__ = ["Detector", "Stage"]
