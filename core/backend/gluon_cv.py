"""The only place that imports GluonCV: after MXNet with its shim, and without the side effect on Pillow.

One of GluonCV's modules lets Pillow accept files that are cut off, in the whole process. Here such a file is bad input.
"""

from __future__ import annotations

from typing import Any

from PIL import ImageFile

from gluon_mtcnn.core.backend.runtime import mx  # noqa: F401  before GluonCV: it restores names that MXNet needs


def _import_gluoncv() -> Any:
    accepted = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        import gluoncv
        import gluoncv.utils.metrics
        import gluoncv.utils.viz
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = accepted
    return gluoncv


gluoncv: Any = _import_gluoncv()
