"""Find the faces of photos with the nets that ship with the package: python example/detect_image.py PHOTO..."""

import sys

from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.errors import InputError


def main(paths: list[str]) -> int:
    """Print a line a face: path, box, score; 2 when a photo cannot be read."""
    code = 0
    for path, faces in zip(paths, Detector(min_face=20).detect_many(paths, errors="return")):
        if isinstance(faces, InputError):
            print(faces, file=sys.stderr)
            code = 2
            continue
        for box, score in zip(faces.boxes, faces.scores):
            print(path, *(f"{edge:.1f}" for edge in box), f"{score:.3f}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
