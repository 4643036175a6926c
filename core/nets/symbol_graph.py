"""A net as an MXNet symbol with named layers, and its parameters: what Module, SymbolBlock and the C API load.

PReLUs become LeakyReLU(act_type="prelu"), which every version and every converter of MXNet knows. MXNet 1.9.1 computes
a wrong gradient for its slopes (see core.nets.mtcnn), so these symbols are for inference.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.core.nets.mtcnn import Net, PReLU, nn

INPUT = "data"
HEADS = ("face_head", "box_head", "landmark_head")


def build_symbol(net: Net, names: Mapping[str, str], landmarks: bool = True) -> Any:
    """Return the symbol of a net for inference.

    Parameters
    ----------
    net : Net
    names : mapping of str to str
        Name of the symbol for each of `Net.layers`, for the heads that the net has, and for "probability".
    landmarks : bool
        Keep the landmark head, if there is one.

    Returns
    -------
    mx.sym.Symbol
        Input ``data`` (n, 3, h, w) float32, normalised as in ``core.ops.image``. Outputs: probability (n, 2[, h', w'])
        of background and face, offsets (n, 4[, h', w']), and the points (n, 10[, h', w']).
    """
    value = mx.sym.Variable(INPUT)
    for name, layer in net.layers().items():
        value = _append(value, layer, names[name])
    heads = [_append(value, getattr(net, head), names[head]) for head in _heads(net, landmarks)]
    heads[0] = mx.sym.softmax(heads[0], axis=1, name=names["probability"])
    return mx.sym.Group(heads)


def symbol_parameters(net: Net, names: Mapping[str, str], landmarks: bool = True) -> dict[str, np.ndarray]:
    """Return the parameters of `build_symbol`'s symbol by name: ``X_weight`` and ``X_bias``, of PReLUs ``X_gamma``."""
    blocks = {**net.layers(), **{head: getattr(net, head) for head in _heads(net, landmarks)}}
    arrays = {}
    for name, block in blocks.items():
        if isinstance(block, PReLU):
            arrays[f"{names[name]}_gamma"] = block.alpha.data().asnumpy()
        elif not isinstance(block, nn.MaxPool2D):
            arrays[f"{names[name]}_weight"] = block.weight.data().asnumpy()
            arrays[f"{names[name]}_bias"] = block.bias.data().asnumpy()
    return arrays


def _heads(net: Net, landmarks: bool) -> tuple[str, ...]:
    return HEADS if landmarks and net.spec.landmarks else HEADS[:2]


def _append(value: Any, layer: Any, name: str) -> Any:
    """Return the symbol of a layer that works on `value`."""
    if isinstance(layer, PReLU):
        return mx.sym.LeakyReLU(value, act_type="prelu", name=name)
    if isinstance(layer, nn.Dense):
        return mx.sym.FullyConnected(value, num_hidden=layer.weight.shape[0], name=name)
    settings = {key: layer._kwargs[key] for key in ("kernel", "stride")}
    if isinstance(layer, nn.MaxPool2D):
        convention = layer._kwargs["pooling_convention"]
        return mx.sym.Pooling(value, pool_type="max", pooling_convention=convention, name=name, **settings)
    return mx.sym.Convolution(value, num_filter=layer.weight.shape[0], pad=layer._kwargs["pad"], name=name, **settings)


def write_parameters(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write float32 arrays as ``arg:NAME`` in the container of 2016, which MXNet reads from then to 1.9.1.

    The layout: magic 0x112, 0, count; then for each array its rank, sides, device (cpu 0), type (float32) and numbers;
    then the names. MXNet itself writes newer records, which the versions that Seanlinx/mtcnn was made for refuse.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, len(arrays)))
        for array in arrays.values():
            file.write(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
            file.write(struct.pack("<iii", 1, 0, 0))
            file.write(np.ascontiguousarray(array, "<f4").tobytes())
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            text = f"arg:{name}".encode()
            file.write(struct.pack("<Q", len(text)) + text)
