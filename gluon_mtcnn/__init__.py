"""MTCNN face detection on MXNet Gluon: prepare data, train, detect, evaluate; the names that other programs use.

    >>> import cv2
    >>> from gluon_mtcnn import Detector
    >>> faces = Detector(min_face=20).detect(cv2.imread("photo.jpg"))
    >>> faces.boxes.shape == (len(faces), 4), faces.landmarks.shape == (len(faces), 5, 2)
    (True, True)

Importing the package is cheap: each name is imported when it is first used, and MXNet and OpenCV with those names only
that need them. Boxes are ``x1 y1 x2 y2`` in inclusive pixels everywhere, images BGR unless said otherwise.

The code lives in the folders ``core``, ``prepare_data``, ``tools`` and ``model``; they are imported as
``gluon_mtcnn.core`` and so on. In an installed package they lie below this folder. In a checkout they lie beside it:
then the checkout is appended to this package's search path.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; tests/test_door.py holds this list equal to _HOME
    from gluon_mtcnn.core.detection.detector import Detector
    from gluon_mtcnn.core.errors import InputError
    from gluon_mtcnn.core.nets.model_folder import Model, load_model
    from gluon_mtcnn.core.nets.mtcnn import ONet, PNet, RNet
    from gluon_mtcnn.core.nets.zoo import get_model
    from gluon_mtcnn.core.packs.pack import Pack
    from gluon_mtcnn.core.seanlinx.imdb import IMDB
    from gluon_mtcnn.core.training.config import TrainConfig
    from gluon_mtcnn.core.training.loader import BatchLoader
    from gluon_mtcnn.core.training.loss import MultiTaskLoss
    from gluon_mtcnn.core.training.metrics import MultiTaskMetric
    from gluon_mtcnn.core.types import Annotation, Detections
    from gluon_mtcnn.tools.cli.detector_options import DetectorOptions
    from gluon_mtcnn.tools.data.prepare.options import PrepareOptions
    from gluon_mtcnn.tools.data.prepare.run import PrepareResult, prepare
    from gluon_mtcnn.tools.evaluate.fddb.run import FddbOptions, FddbResult, evaluate_fddb
    from gluon_mtcnn.tools.evaluate.landmarks.run import LandmarkOptions, LandmarkResult, evaluate_landmarks
    from gluon_mtcnn.tools.evaluate.wider.run import WiderOptions, WiderResult, evaluate_wider
    from gluon_mtcnn.tools.train.options import TrainOptions
    from gluon_mtcnn.tools.train.run import TrainResult, train

__version__ = "0.1.0"

_HOME = {
    "core.detection.detector": ("Detector",),
    "core.errors": ("InputError",),
    "core.nets.model_folder": ("Model", "load_model"),
    "core.nets.mtcnn": ("ONet", "PNet", "RNet"),
    "core.nets.zoo": ("get_model",),
    "core.packs.pack": ("Pack",),
    "core.seanlinx.imdb": ("IMDB",),
    "core.training.config": ("TrainConfig",),
    "core.training.loader": ("BatchLoader",),
    "core.training.loss": ("MultiTaskLoss",),
    "core.training.metrics": ("MultiTaskMetric",),
    "core.types": ("Annotation", "Detections"),
    "tools.cli.detector_options": ("DetectorOptions",),
    "tools.data.prepare.options": ("PrepareOptions",),
    "tools.data.prepare.run": ("PrepareResult", "prepare"),
    "tools.evaluate.fddb.run": ("FddbOptions", "FddbResult", "evaluate_fddb"),
    "tools.evaluate.landmarks.run": ("LandmarkOptions", "LandmarkResult", "evaluate_landmarks"),
    "tools.evaluate.wider.run": ("WiderOptions", "WiderResult", "evaluate_wider"),
    "tools.train.options": ("TrainOptions",),
    "tools.train.run": ("TrainResult", "train"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]

_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "core" / "ops" / "boxes.py").is_file() and (_checkout / "setup.py").is_file():
    __path__.append(str(_checkout))


def __getattr__(name: str) -> Any:
    """Import a name of the door from its module (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
