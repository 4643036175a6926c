"""The nets as Seanlinx/mtcnn runs them, kept to be compared with: the same boxes, none of the speed.

An executor bound anew for every scale and batch, layers in the checkpoint's order, batches padded to 256 and 16, one
crop and one suppressed box at a time in Python. `benchmark detect` measures the other engines against it in the same
run, and checks their boxes.
"""

from __future__ import annotations

import threading
from typing import Any, Optional

import cv2
import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.detection.engine_base import Cells
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.mtcnn import ConvStage, Net
from gluon_mtcnn.core.ops.boxes import area, intersection
from gluon_mtcnn.core.ops.image import cut_out, mirror_some, normalise
from gluon_mtcnn.core.types import INPUT_SIZE

BATCH = {"rnet": 256, "onet": 16}


class PlainEngine:
    """The nets of a model as symbols; see `core.detection.engine_base.Engine`."""

    def __init__(self, model: Model, device: Any = None) -> None:
        self._device = device or mx.cpu()
        self._symbols = {kind: plain_symbol(net) for kind, net in model.nets.items()}
        self._lock = threading.Lock()  # of all clones: oneDNN changes the layout of the shared weights in place

    def clone(self) -> PlainEngine:
        """See `core.detection.engine_base.Engine`; clones run their nets one after the other."""
        other = object.__new__(PlainEngine)
        other.__dict__.update(self.__dict__)
        return other

    def _forward(self, kind: str, images: np.ndarray) -> list[np.ndarray]:
        """Bind, run and return what `plain_symbol` does."""
        symbol, arrays = self._symbols[kind]
        with self._lock:
            data = mx.nd.array(normalise(images), ctx=self._device)
            executor = symbol.bind(self._device, {**arrays, "data": data}, grad_req="null")
            outputs = [output.asnumpy() for output in executor.forward(is_train=False)]
            del executor, data  # inside the lock: freeing one while another is bound can crash MXNet
        return outputs

    def propose(self, image: np.ndarray, sizes: list[tuple[int, int]], threshold: float) -> Cells:
        """See `core.detection.engine_base.Engine`."""
        parts = []
        for level, (height, width) in enumerate(sizes):
            resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            probability, offsets = (output[0] for output in self._forward("pnet", resized[None])[:2])
            row, column = np.where(probability[1] > np.float32(threshold))
            scores = probability[1, row, column]
            parts.append(Cells(np.full(len(row), level), row, column, scores, offsets[:, row, column].T))
        return Cells.concatenate(parts)

    def refine(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """See `core.detection.engine_base.Engine`."""
        crops = np.stack([_crop(image, square, INPUT_SIZE[kind]) for square in squares.astype(np.int64)])
        if mirrored is not None:
            mirror_some(crops, mirrored)
        parts = []
        for start in range(0, len(crops), BATCH[kind]):
            batch = crops[start : start + BATCH[kind]]
            padded = batch[np.arange(BATCH[kind]) % len(batch)]
            parts.append([output[: len(batch)] for output in self._forward(kind, padded)])
        logits, offsets, *landmarks = (np.concatenate(outputs) for outputs in zip(*parts))
        return logits[:, 1] - logits[:, 0], offsets, landmarks[0] if landmarks else None

    def nms(self, boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, order: np.ndarray) -> np.ndarray:
        """Return what greedy suppression keeps, one box at a time."""
        keep, areas = [], area(boxes)
        while len(order):
            best, order = order[0], order[1:]
            keep.append(best)
            shared = intersection(boxes[best : best + 1], boxes[order])[0]
            if mode == "union":
                overlap = shared / (areas[best] + areas[order] - shared)
            else:
                overlap = shared / np.minimum(areas[best], areas[order])
            order = order[overlap <= threshold]
        return np.array(keep, np.int64)


def _crop(image: np.ndarray, square: np.ndarray, size: int) -> np.ndarray:
    """Return one inclusive square, zero outside the image, resized."""
    return cv2.resize(cut_out(image, *square.tolist()), (size, size), interpolation=cv2.INTER_LINEAR)


def plain_symbol(net: Net) -> tuple[Any, dict[str, Any]]:
    """Return a net as the original writes it (MXNet's own PReLU), and its other arguments.

    Its outputs: of both classes the probabilities (P-Net) or logits, then offsets and, from a landmark head, landmarks.
    """
    value, arrays = mx.sym.var("data"), {}

    def linear(value: Any, block: Any, name: str) -> Any:
        arrays[f"{name}_weight"], arrays[f"{name}_bias"] = block.weight.data(), block.bias.data()
        outputs, _, *kernel = block.weight.shape
        if kernel:
            stride = block._kwargs["stride"]
            return mx.sym.Convolution(value, kernel=kernel, stride=stride, num_filter=outputs, name=name)
        return mx.sym.FullyConnected(value, num_hidden=outputs, name=name)

    def prelu(value: Any, block: Any, name: str) -> Any:
        arrays[f"{name}_gamma"] = block.alpha.data()
        return mx.sym.LeakyReLU(value, mx.sym.var(f"{name}_gamma"), act_type="prelu", name=name)

    def pool(value: Any, block: Any) -> Any:
        names = ("kernel", "stride", "pooling_convention")
        return mx.sym.Pooling(value, pool_type="max", **{name: block.pool._kwargs[name] for name in names})

    for name, block in net.body.items():
        if not isinstance(block, ConvStage):
            value = prelu(linear(value, block.dense, name), block.prelu, f"{name}_prelu")
            continue
        value = linear(value, block.conv, name)
        value = pool(value, block) if block.pool is not None and block.pool_first else value
        value = prelu(value, block.prelu, f"{name}_prelu")
        value = pool(value, block) if block.pool is not None and not block.pool_first else value
    faces = linear(value, net.face_head, "face")
    heads = [mx.sym.softmax(faces, axis=1) if net.spec.kind == "pnet" else faces, linear(value, net.box_head, "box")]
    if net.landmark_head is not None:
        heads.append(linear(value, net.landmark_head, "landmark"))
    return mx.sym.Group(heads), arrays
