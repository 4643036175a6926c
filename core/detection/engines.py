"""Opening an inference engine by name; what an engine needs is imported only then."""

from __future__ import annotations

from typing import Any

from gluon_mtcnn.core.backend.packages import is_installed
from gluon_mtcnn.core.detection.engine_base import Engine
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.types import ENGINES


def default_engine() -> str:
    """Return "mxnet" where MXNet is installed, otherwise "onnx".

    Raises
    ------
    InputError
        Neither MXNet nor onnxruntime is installed.
    """
    for engine, module in (("mxnet", "mxnet"), ("onnx", "onnxruntime")):
        if is_installed(module):
            return engine
    raise InputError(
        "neither MXNet nor onnxruntime is installed: pip install 'gluon-mtcnn[cpu]' or 'gluon-mtcnn[onnx]'"
    )


def open_engine(name: str, model: Model, device: Any = None) -> Engine:
    """Return an engine by name.

    Parameters
    ----------
    name : {"mxnet", "onnx", "plain"}
        "plain" is there for comparison, see `core.detection.engine_reference`.
    model : Model
    device : MXNet context, optional
        For "mxnet" and "plain".

    Raises
    ------
    InputError
        No such engine, or what it needs is not installed.
    """
    if name == "mxnet":
        from gluon_mtcnn.core.detection.engine_mxnet import MxnetEngine

        return MxnetEngine(model, device)
    if name == "onnx":
        from gluon_mtcnn.core.detection.engine_onnx import OnnxEngine

        return OnnxEngine(model)
    if name == "plain":
        from gluon_mtcnn.core.detection.engine_reference import PlainEngine

        return PlainEngine(model, device)
    raise InputError(f"engine: expected {', '.join(ENGINES)}, got {name!r}")
