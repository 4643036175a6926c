"""MTCNN face detection on MXNet Gluon.

The code lives in the folders ``core``, ``prepare_data``, ``tools`` and ``model``; they are imported as
``gluon_mtcnn.core`` and so on. In an installed package they lie below this folder. In a checkout they lie beside it, so
the checkout is appended to this package's search path.
"""

from pathlib import Path

__version__ = "0.1.0"

_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "core" / "ops" / "boxes.py").is_file() and (_checkout / "setup.py").is_file():
    __path__.append(str(_checkout))
