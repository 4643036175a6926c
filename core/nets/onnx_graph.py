"""A net as an ONNX graph, written node by node from its blocks: opset 13, IR 8, any batch and any image size.

Written directly rather than through MXNet's exporter, whose graphs need repair (one-dimensional PReLU slopes, weights
listed as inputs, the newest opset) and would spell our PReLU out. The order of layers is the net's own, so a pool-first
net stays one.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gluon_mtcnn import __version__
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.mtcnn import Net, PReLU, nn
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

    def __init__(self) -> None:
        self.onnx = import_onnx()
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node with one output, which also names it."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add a constant."""
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layer(self, value: str, block: Any, name: str) -> str:
        """Append a layer of `Net.layers`, or a head."""
        append = {PReLU: self.prelu, nn.MaxPool2D: self.pool, nn.Conv2D: self.convolution, nn.Dense: self.dense}
        return append[type(block)](value, block, name)

    def linear(self, block: Any, name: str) -> list[str]:
        """Add the weight and the bias of a block."""
        weight, bias = block.weight.data().asnumpy(), block.bias.data().asnumpy()
        return [self.weight(f"{name}.weight", weight), self.weight(f"{name}.bias", bias)]

    def dense(self, value: str, block: Any, name: str) -> str:
        """Append a fully connected layer; the first one flattens its input as channel, row, column."""
        if all(node.op_type != "Gemm" for node in self.nodes):
            value = self.node("Flatten", [value], f"{name}.flat", axis=1)
        return self.node("Gemm", [value, *self.linear(block, name)], name, transB=1)

    def convolution(self, value: str, block: Any, name: str) -> str:
        """Append a convolution."""
        settings = block._kwargs
        return self.node(
            "Conv",
            [value, *self.linear(block, name)],
            name,
            kernel_shape=list(settings["kernel"]),
            strides=list(settings["stride"]),
            pads=list(settings["pad"]) * 2,
        )

    def prelu(self, value: str, block: PReLU, name: str) -> str:
        """Append a PReLU; its slopes are shaped to broadcast over channels, not over columns."""
        slopes = block.alpha.data().asnumpy().reshape(block.slopes_shape[1:])
        return self.node("PRelu", [value, self.weight(f"{name}.slope", slopes)], name)

    def pool(self, value: str, block: Any, name: str) -> str:
        """Append a max pool; ONNX's ceil_mode is MXNet's convention "full"."""
        settings = block._kwargs
        return self.node(
            "MaxPool",
            [value],
            name,
            kernel_shape=list(settings["kernel"]),
            strides=list(settings["stride"]),
            ceil_mode=int(settings["pooling_convention"] == "full"),
        )

    def normalise(self, pixels: str) -> str:
        """Append the way from uint8 (n, h, w, 3) to the nets' float32 (n, 3, h, w)."""
        value = self.node("Transpose", [pixels], "channels_first", perm=[0, 3, 1, 2])
        value = self.node("Cast", [value], "float", to=self.onnx.TensorProto.FLOAT)
        value = self.node("Sub", [value, self.weight("mean", np.array(MEAN, np.float32))], "centred")
        return self.node("Mul", [value, self.weight("scale", np.array(SCALE, np.float32))], "normalised")


def build_onnx(net: Net, pixels: bool = False) -> Any:
    """Return a net as an ``onnx.ModelProto``, checked.

    Parameters
    ----------
    net : Net with parameters
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
    graph = _Graph()
    value = graph.normalise(INPUT) if pixels else INPUT
    for name, block in net.layers().items():
        value = graph.layer(value, block, name)
    graph.node("Softmax", [graph.layer(value, net.face_head, "face_head")], OUTPUTS[0], axis=1)
    graph.layer(value, net.box_head, OUTPUTS[1])
    if net.landmark_head is not None:
        graph.layer(value, net.landmark_head, OUTPUTS[2])
    return _model(graph, net, OUTPUTS[: 2 + net.spec.landmarks], pixels)


def _model(graph: _Graph, net: Net, outputs: tuple[str, ...], pixels: bool) -> Any:
    """Return the checked model around the nodes."""
    onnx, helper = graph.onnx, graph.onnx.helper
    convolutional = net.spec.kind == "pnet"
    side: list[Any] = ["h", "w"] if convolutional else [INPUT_SIZE[net.spec.kind]] * 2
    map_side = ["h_out", "w_out"] if convolutional else []
    shape = ["n", *side, 3] if pixels else ["n", 3, *side]
    element = onnx.TensorProto.UINT8 if pixels else onnx.TensorProto.FLOAT
    channels = dict(zip(OUTPUTS, (2, 4, 10)))
    proto = helper.make_graph(
        graph.nodes,
        net.spec.kind,
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
    helper.set_model_props(model, _properties(net, pixels))
    onnx.checker.check_model(model, full_check=True)
    return model


def _properties(net: Net, pixels: bool) -> dict[str, str]:
    """Return what a program that has only the file must know."""
    return {
        "net": net.spec.kind,
        "color": "bgr",
        "input": "uint8 pixels (n, h, w, 3)" if pixels else f"float32 (n, 3, h, w) = (pixel - {MEAN}) * {SCALE}",
        "offsets": "(x1, y1, x2, y2 - box) / side, side = x2 - x1 + 1",
        **({"cell": f"{net.spec.cell}, stride {net.spec.stride}"} if net.spec.cell != 12 else {}),
        **({"landmarks": "x1 y1 .. x5 y5, fractions of the box"} if net.spec.landmarks else {}),
    }
