"""Find the faces of photos with the nets that ship with the package: python example/detect_image.py PHOTO..."""

import sys

from gluon_mtcnn.core.detector import Detector
from gluon_mtcnn.core.image import read

if __name__ == "__main__":
    detector = Detector(min_face=20)
    for path in sys.argv[1:]:
        faces = detector.detect(read(path))
        for box, score in zip(faces.boxes, faces.scores):
            print(path, *(f"{edge:.1f}" for edge in box), f"{score:.3f}")
