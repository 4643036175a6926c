"""A net as an ONNX graph, written node by node from its layers: opset 13, IR 8, any batch and any image size. No MXNet.

Written directly rather than through MXNet's exporter, whose graphs need repair (one-dimensional PReLU slopes, weights
listed as inputs, the newest opset) and would spell our PReLU out. The order of layers is the net's own, so a pool-first
net stays one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from gluon_mtcnn import __version__
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.spec import LayerSpec, NetSpec
from gluon_mtcnn.core.nets.weights import AnyNet
from gluon_mtcnn.core.ops.image import MEAN, SCALE
from gluon_mtcnn.core.types import INPUT_SIZE

OPSET, IR_VERSION = 13, 8
INPUT = "data"
OUTPUTS = ("probability", "offsets", "landmarks")


def import_onnx() -> Any:
    """Return the onnx package.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnx
    except ImportError as error:
        raise InputError(f"the onnx package cannot be imported ({error}): pip install 'gluon-mtcnn[onnx]'") from None
    return onnx


class _Graph:
    """Nodes and weights as they accumulate; each method appends a layer to `value` and returns its output's name."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.onnx = import_onnx()
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._arrays = arrays

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node with one output, which also names it."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add a constant."""
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layer(self, value: str, layer: LayerSpec, name: str) -> str:
        """Append a layer, a head too."""
        append = {"prelu": self.prelu, "pool": self.pool, "conv": self.convolution, "dense": self.dense}
        return append[layer.kind](value, layer, name)

    def linear(self, layer: LayerSpec, name: str) -> list[str]:
        """Add the weight and the bias of a layer."""
        return [self.weight(f"{name}.{part}", self._arrays[f"{layer.name}.{part}"]) for part in ("weight", "bias")]

    def dense(self, value: str, layer: LayerSpec, name: str) -> str:
        """Append a fully connected layer; the first one flattens its input as channel, row, column."""
        if all(node.op_type != "Gemm" for node in self.nodes):
            value = self.node("Flatten", [value], f"{name}.flat", axis=1)
        return self.node("Gemm", [value, *self.linear(layer, name)], name, transB=1)

    def convolution(self, value: str, layer: LayerSpec, name: str) -> str:
        """Append a convolution."""
        return self.node(
            "Conv",
            [value, *self.linear(layer, name)],
            name,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[0] * 4,
        )

    def prelu(self, value: str, layer: LayerSpec, name: str) -> str:
        """Append a PReLU; its slopes are shaped to broadcast over channels, not over columns."""
        slopes = self._arrays[f"{layer.name}.alpha"].reshape((-1,) if layer.name.startswith("fc") else (-1, 1, 1))
        return self.node("PRelu", [value, self.weight(f"{name}.slope", slopes)], name)

    def pool(self, value: str, layer: LayerSpec, name: str) -> str:
        """Append a max pool; ONNX's ceil_mode is MXNet's convention "full"."""
        return self.node(
            "MaxPool",
            [value],
            name,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            ceil_mode=int(layer.ceil),
        )

    def normalise(self, pixels: str) -> str:
        """Append the way from uint8 (n, h, w, 3) to the nets' float32 (n, 3, h, w)."""
        value = self.node("Transpose", [pixels], "channels_first", perm=[0, 3, 1, 2])
        value = self.node("Cast", [value], "float", to=self.onnx.TensorProto.FLOAT)
        value = self.node("Sub", [value, self.weight("mean", np.array(MEAN, np.float32))], "centred")
        return self.node("Mul", [value, self.weight("scale", np.array(SCALE, np.float32))], "normalised")


def build_onnx(net: AnyNet, pixels: bool = False) -> Any:
    """Return a net as an ``onnx.ModelProto``, checked.

    Parameters
    ----------
    net : Net or NetWeights
    pixels : bool
        Take uint8 pixels (n, h, w, 3) and normalise them in the graph, in place of normalised float32 (n, 3, h, w).

    Returns
    -------
    onnx.ModelProto
        Input ``data``, BGR: float32 (n, 3, h, w) as ``core.ops.image.normalise`` makes it, or uint8 (n, h, w, 3).
        Outputs ``probability`` (n, 2[, h', w']) of background and face, ``offsets`` (n, 4[, h', w']), and from a
        landmark head ``landmarks`` (n, 10[, h', w']). The batch is free, for the P-Net the image size too. The same
        weights give the same bytes.
    """
    spec = net.spec
    graph = _Graph(net.weights().arrays)
    value = graph.normalise(INPUT) if pixels else INPUT
    for layer in spec.layers():
        value = graph.layer(value, layer, layer.name)
    face, *others = spec.heads()
    graph.node("Softmax", [graph.layer(value, face, face.name)], OUTPUTS[0], axis=1)
    for head, output in zip(others, OUTPUTS[1:]):
        graph.layer(value, head, output)
    return _model(graph, spec, OUTPUTS[: len(spec.heads())], pixels)


def _model(graph: _Graph, spec: NetSpec, outputs: tuple[str, ...], pixels: bool) -> Any:
    """Return the checked model around the nodes."""
    onnx, helper = graph.onnx, graph.onnx.helper
    convolutional = spec.kind == "pnet"
    side: list[Any] = ["h", "w"] if convolutional else [INPUT_SIZE[spec.kind]] * 2
    map_side = ["h_out", "w_out"] if convolutional else []
    shape = ["n", *side, 3] if pixels else ["n", 3, *side]
    element = onnx.TensorProto.UINT8 if pixels else onnx.TensorProto.FLOAT
    channels = dict(zip(OUTPUTS, (2, 4, 10)))
    proto = helper.make_graph(
        graph.nodes,
        spec.kind,
        [helper.make_tensor_value_info(INPUT, element, shape)],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", channels[name], *map_side])
            for name in outputs
        ],
        graph.weights,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="gluon-mtcnn", producer_version=__version__
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, _properties(spec, pixels))
    onnx.checker.check_model(model, full_check=True)
    return model


def _properties(spec: NetSpec, pixels: bool) -> dict[str, str]:
    """Return what a program that has only the file must know."""
    return {
        "net": spec.kind,
        "color": "bgr",
        "input": "uint8 pixels (n, h, w, 3)" if pixels else f"float32 (n, 3, h, w) = (pixel - {MEAN}) * {SCALE}",
        "offsets": "(x1, y1, x2, y2 - box) / side, side = x2 - x1 + 1",
        **({"cell": f"{spec.cell}, stride {spec.stride}"} if spec.cell != 12 else {}),
        **({"landmarks": "x1 y1 .. x5 y5, fractions of the box"} if spec.landmarks else {}),
    }
