"""A small annotated set: 50 photos of noise in two events, with one to three faces each, one photo without."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_wider(tmp_path_factory):
    """Return (images, annotations) in WIDER's layout."""
    folder = tmp_path_factory.mktemp("wider")
    rng = np.random.default_rng(0)
    lines = []
    for i in range(50):
        name = f"{i % 2}--Event/{i}.png"
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = rng.integers(90, 130, 2)
        cv2.imwrite(str(path), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        faces = 0 if i == 7 else int(rng.integers(1, 4))
        lines += [name, str(faces)]
        for _ in range(max(faces, 1)):
            x, y, w, h = (*rng.integers(0, 50, 2), *rng.integers(20, 40, 2)) if faces else (0, 0, 0, 0)
            lines.append(f"{x} {y} {w} {h} 0 0 0 0 0 0 ")
    annotations = folder / "gt.txt"
    annotations.write_text("\n".join(lines) + "\n")
    return folder, annotations
