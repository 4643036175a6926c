"""A net as an MXNet symbol with named layers, and its parameters: what Module, SymbolBlock and the C API load.

PReLUs become LeakyReLU(act_type="prelu"), which every version and every converter of MXNet knows. MXNet 1.9.1 computes
a wrong gradient for its slopes (see core.nets.mtcnn), so these symbols are for inference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.spec import LayerSpec, NetSpec
from gluon_mtcnn.core.nets.weights import AnyNet

INPUT = "data"
_ATTRS_SINCE = (1, 0)  # here a node's settings are called "attrs"; MXNet 0.9 to 0.11 call them "attr", which all read
_VERSION_OF_ATTR = 905  # MXNet 0.9.5, as a file says it
_PARAMETERS = {"weight": "weight", "bias": "bias", "alpha": "gamma"}  # ours -> the symbol's


def build_symbol(spec: NetSpec, names: Mapping[str, str], landmarks: bool = True) -> Any:
    """Return the symbol of a net for inference.

    Parameters
    ----------
    spec : NetSpec
    names : mapping of str to str
        Name of the symbol for each of ``spec.layers()``, for the heads that the net has, and for "probability".
    landmarks : bool
        Keep the landmark head, if there is one.

    Returns
    -------
    mx.sym.Symbol
        Input ``data`` (n, 3, h, w) float32, normalised as in ``core.ops.image``. Outputs: probability (n, 2[, h', w'])
        of background and face, offsets (n, 4[, h', w']), and the landmarks (n, 10[, h', w']).
    """
    value = mx.sym.Variable(INPUT)
    for layer in spec.layers():
        value = _append(value, layer, names[layer.name])
    heads = [_append(value, head, names[head.name]) for head in _heads(spec, landmarks)]
    heads[0] = mx.sym.softmax(heads[0], axis=1, name=names["probability"])
    return mx.sym.Group(heads)


def symbol_json(symbol: Any, version: tuple[int, int]) -> str:
    """Return a symbol of `build_symbol` as JSON text that an MXNet of this (major, minor) version and all later read.

    MXNet before 1.0 refuses the file of a later one; later ones read the older form.
    """
    text = str(symbol.tojson())
    if version >= _ATTRS_SINCE:
        return text
    graph = json.loads(text)
    for node in graph["nodes"]:
        if "attrs" in node:
            node["attr"] = node.pop("attrs")
    graph["attrs"] = {"mxnet_version": ["int", _VERSION_OF_ATTR]}
    return json.dumps(graph, indent=2, sort_keys=True)


def symbol_parameters(net: AnyNet, names: Mapping[str, str], landmarks: bool = True) -> dict[str, np.ndarray]:
    """Return the parameters of `build_symbol`'s symbol by name: ``X_weight`` and ``X_bias``, of PReLUs ``X_gamma``."""
    given, arrays = net.weights().arrays, {}
    for layer in (*net.spec.layers(), *_heads(net.spec, landmarks)):
        for name in layer.shapes:
            arrays[f"{names[layer.name]}_{_PARAMETERS[name.rpartition('.')[2]]}"] = given[name]
    return arrays


def _heads(spec: NetSpec, landmarks: bool) -> tuple[LayerSpec, ...]:
    return spec.heads() if landmarks else spec.heads()[:2]


def _append(value: Any, layer: LayerSpec, name: str) -> Any:
    """Return the symbol of a layer that works on `value`."""
    if layer.kind == "prelu":
        return mx.sym.LeakyReLU(value, act_type="prelu", name=name)
    if layer.kind == "dense":
        return mx.sym.FullyConnected(value, num_hidden=layer.outputs, name=name)
    settings = {"kernel": (layer.kernel,) * 2, "stride": (layer.stride,) * 2}
    if layer.kind == "pool":
        convention = "full" if layer.ceil else "valid"
        return mx.sym.Pooling(value, pool_type="max", pooling_convention=convention, name=name, **settings)
    return mx.sym.Convolution(value, num_filter=layer.outputs, pad=(0, 0), name=name, **settings)
