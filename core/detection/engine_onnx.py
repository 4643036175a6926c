"""The inference engine on onnxruntime: the same folded nets, as graphs built in memory."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from gluon_mtcnn.core.detection.engine_base import FoldedEngine
from gluon_mtcnn.core.detection.folding import Layer, fold
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.onnx_graph import IR_VERSION, OPSET, import_onnx

ERRORS_ONLY = 3
OPERATORS = {"conv": "Conv", "dense": "Gemm", "pool": "MaxPool", "add": "Add"}


def import_onnxruntime() -> Any:
    """Return the onnxruntime package.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"onnxruntime cannot be imported ({error}): pip install 'gluon-mtcnn[onnx]'") from None
    return onnxruntime


class OnnxEngine(FoldedEngine):
    """The nets of a model on onnxruntime's CPU provider; one thread unless OMP_NUM_THREADS says more."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        threads = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(threads) if threads.isdigit() and int(threads) else 1
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        self._sessions = {}
        for kind in model.nets:
            layers = fold(model.weights(kind), outside=kind == "pnet", landmarks=kind != "pnet")
            graph = folded_onnx(layers, kind)
            self._sessions[kind] = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def clone(self) -> OnnxEngine:
        """See `core.detection.engine_base.Engine`; a session may be used by several threads."""
        other = object.__new__(OnnxEngine)
        other.__dict__.update(self.__dict__, _bound={})
        return other

    def _bind(self, kind: str, shape: tuple[int, ...]) -> _Run:
        return _Run(self._sessions[kind], shape)


class _Run:
    """A session and an input of one shape."""

    def __init__(self, session: Any, shape: tuple[int, ...]) -> None:
        self._session = session
        self.input = np.zeros(shape, np.float32)

    def run(self) -> np.ndarray:
        """Return the output for what `input` holds."""
        return self._session.run(None, {"data": self.input})[0]


def folded_onnx(layers: list[Layer], name: str) -> bytes:
    """Return folded layers as a serialised ONNX model with input ``data`` and output ``output``, any batch and size."""
    onnx = import_onnx()
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, weights = [], []
    values = {-1: "data"}
    for i, layer in enumerate(layers):
        last = "output" if i == len(layers) - 1 else f"{i}"
        values[i] = last
        inputs = [values[j] for j in layer.inputs]
        for label, array in ((f"{i}_weight", layer.weight), (f"{i}_bias", layer.bias)):
            if array is not None:
                weights.append(numpy_helper.from_array(array, label))
                inputs.append(label)
        if layer.kind == "dense":
            nodes.append(helper.make_node("Flatten", inputs[:1], [f"{i}_flat"], axis=1))
            inputs[0] = f"{i}_flat"
        output = f"{last}_linear" if layer.relu else last
        nodes.append(helper.make_node(OPERATORS[layer.kind], inputs, [output], **_attributes(layer)))
        if layer.relu:
            nodes.append(helper.make_node("Relu", [output], [last]))
    element, first = onnx.TensorProto.FLOAT, layers[0].weight
    channels = "c" if first is None else first.shape[1]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("data", element, ["n", channels, "h", "w"])],
        [helper.make_tensor_value_info("output", element, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    return model.SerializeToString()


def _attributes(layer: Layer) -> dict[str, Any]:
    if layer.kind == "pool":
        return {"kernel_shape": [layer.kernel] * 2, "strides": [2, 2], "ceil_mode": int(layer.ceil)}
    if layer.kind == "dense":
        return {"transB": 1}
    if layer.kind == "conv" and layer.weight is not None:
        group = len(layer.weight) if layer.channelwise else 1
        return {"kernel_shape": list(layer.weight.shape[2:]), "strides": [layer.stride] * 2, "group": group}
    return {}
