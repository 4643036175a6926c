"""Running the nets of a model on pixels: what the detector asks of an inference engine, and MXNet's answer."""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import dataclass
from typing import Any, Optional, Protocol

import numpy as np

from gluon_mtcnn.core.checkpoint import Model
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.fold import LANES, Layer, fold
from gluon_mtcnn.core.image import crop_and_resize, mirror_some
from gluon_mtcnn.core.nms import nms
from gluon_mtcnn.core.runtime import mx
from gluon_mtcnn.core.tape import HEIGHTS, WIDTHS, Tape, planar, planar_levels
from gluon_mtcnn.core.types import ENGINES, INPUT_SIZE

BATCHES = {"rnet": (4, 8, 16, 24, 32, 48, 64), "onet": (1, 2, 4, 6, 8, 12, 16)}
BOX, POINTS = slice(1, 5), slice(5, 15)  # outputs of a folded net; 0 is the logit
_CPUS = itertools.count(1)  # numbers of CPU devices that are not in use
_BINDING = threading.Lock()  # MXNet does not say that threads may bind at the same time
LOGIT_MARGIN = 1e-3  # far more than rounding: cells that may pass are found by logit, then asked for their score


@dataclass
class Cells:
    """Cells of the pyramid that may hold a face, level by level, each in the order row, column.

    Attributes
    ----------
    level, row, column : (n,) integers
    scores : (n,) float32
    offsets : (n, 4) float32
    """

    level: np.ndarray
    row: np.ndarray
    column: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray

    @classmethod
    def concatenate(cls, parts: list[Cells]) -> Cells:
        """Return the cells of all parts, in order; no parts give no cells."""
        none = np.zeros(0, np.int64)
        empty = (none, none, none, np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
        fields = [(p.level, p.row, p.column, p.scores, p.offsets) for p in parts]
        return cls(*(np.concatenate(column) for column in zip(empty, *fields)))

    def __getitem__(self, index: Any) -> Cells:
        return Cells(self.level[index], self.row[index], self.column[index], self.scores[index], self.offsets[index])


class Engine(Protocol):
    """What the detector needs. An engine is for one thread; `clone` gives another thread its own."""

    def propose(self, image: np.ndarray, sizes: list[tuple[int, int]], threshold: float) -> Cells:
        """Run the P-Net on the image resized to each (height, width); return the cells above the threshold."""

    def refine(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """Run R- or O-Net on squares (n, 4), n >= 1; return log-odds (n,), offsets (n, 4), landmarks (n, 10) or None.

        Squares of the mask `mirrored` (n,) are seen mirrored, and what is said of them is of the mirror image.
        """

    def nms(self, boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, order: np.ndarray) -> np.ndarray:
        """Suppress, as `core.nms.nms`."""

    def clone(self) -> Engine:
        """Return an engine that shares the weights and may work at the same time."""


def open_engine(name: str, model: Model, device: Any = None) -> Engine:
    """Return an engine by name.

    Parameters
    ----------
    name : {"mxnet", "onnx", "plain"}
        "plain" is there to be compared with, see `core.plain_engine`.
    model : Model
    device : MXNet context, optional
        For "mxnet" and "plain".

    Raises
    ------
    InputError
        No such engine, or what it needs is not installed.
    """
    if name == "mxnet":
        return MxnetEngine(model, device)
    if name == "onnx":
        from gluon_mtcnn.core.engine_onnx import OnnxEngine

        return OnnxEngine(model)
    if name == "plain":
        from gluon_mtcnn.core.plain_engine import PlainEngine

        return PlainEngine(model, device)
    raise InputError(f"engine: expected {', '.join(ENGINES)}, got {name!r}")


def face_probability(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of the face (n,) float32 from the difference of the two logits (n,), its log-odds."""
    small = np.exp(-np.abs(logits), dtype=np.float32)
    return np.where(logits >= 0, np.float32(1), small) / (1 + small)


def log_odds(probability: float) -> float:
    """Return ``log(p / (1 - p))``; infinite from 0 down and from 1 up."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


class FoldedEngine:
    """What engines on folded nets share: pixels into batches of few shapes, outputs back to cells and crops.

    A subclass gives `_bind`, which compiles a net for one shape.
    """

    def __init__(self, model: Model) -> None:
        self._specs = {kind: net.spec for kind, net in model.nets.items()}
        self._bound: dict[tuple[str, tuple[int, ...]], Any] = {}

    def _bind(self, kind: str, shape: tuple[int, ...]) -> Any:
        """Return an object with ``input``, a float32 array of the shape to write to, and ``run() -> array``."""
        raise NotImplementedError

    def _runner(self, kind: str, shape: tuple[int, ...]) -> Any:
        if (kind, shape) not in self._bound:
            self._bound[kind, shape] = self._bind(kind, shape)
        return self._bound[kind, shape]

    def propose(self, image: np.ndarray, sizes: list[tuple[int, int]], threshold: float) -> Cells:
        """See `Engine`."""
        if not sizes:
            return Cells.concatenate([])
        spec = self._specs["pnet"]
        tape, levels = Tape(sizes, spec.ceil, spec.cell, spec.stride), planar_levels(image, sizes)
        least, parts = log_odds(threshold) - LOGIT_MARGIN, []
        for window in tape.windows():
            runner = self._runner("pnet", (1, 4, window.height, window.width))
            tape.paint(window, levels, runner.input[0])
            output = runner.run()[0]
            rows, columns = np.nonzero(output[0] > least)
            inside, level, row, column = tape.locate(window, rows, columns)
            values = output[:5, rows[inside], columns[inside]]
            parts.append(Cells(level, row, column, face_probability(values[0]), values[BOX].T))
        cells = Cells.concatenate(parts)
        cells = cells[cells.scores > np.float32(threshold)]
        return cells[np.lexsort((cells.column, cells.row, cells.level))]

    def refine(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """See `Engine`."""
        size, largest = INPUT_SIZE[kind], BATCHES[kind][-1]
        outputs = []
        for start in range(0, len(squares), largest):
            crops = crop_and_resize(image, squares[start : start + largest], size)
            if mirrored is not None:
                mirror_some(crops, mirrored[start : start + largest])
            count = len(crops)
            batch = next(b for b in BATCHES[kind] if b >= count)
            runner = self._runner(kind, (batch, 3, size, size))
            pixels = planar(crops.reshape(-1, size, 3)).reshape(3, count, size, size)
            runner.input[:count] = pixels.transpose(1, 0, 2, 3)
            outputs.append(runner.run()[:count])
        output = np.concatenate(outputs)
        return (
            output[:, 0],
            output[:, BOX],
            output[:, POINTS] if self._specs[kind].landmarks else None,
        )

    def nms(self, boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, order: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        return nms(boxes, scores, threshold, mode, order)


class MxnetEngine(FoldedEngine):
    """The nets of a model on one MXNet device."""

    def __init__(self, model: Model, device: Any = None) -> None:
        super().__init__(model)
        self._device = device or mx.cpu()
        self._symbols = {}
        for kind, net in model.nets.items():
            pnet = kind == "pnet"
            layers = fold(net, outside=pnet, landmarks=not pnet, head_lanes=LANES if pnet else 1)
            self._symbols[kind] = _symbol(layers, self._device)

    def clone(self) -> MxnetEngine:
        """See `Engine`. MXNet has one thread for each CPU device: clones on the CPU get devices of their own."""
        other = object.__new__(MxnetEngine)
        other.__dict__.update(self.__dict__, _bound={})
        if self._device.device_type == "cpu":
            other._device = mx.cpu(next(_CPUS))
            other._symbols = {
                kind: (symbol, {name: array.copyto(other._device) for name, array in arrays.items()})
                for kind, (symbol, arrays) in self._symbols.items()
            }
        return other

    def _bind(self, kind: str, shape: tuple[int, ...]) -> _Executor:
        """Bind in the memory of the largest shape, which is bound first."""
        largest = (1, 4, HEIGHTS[-1], WIDTHS[-1]) if kind == "pnet" else (BATCHES[kind][-1], *shape[1:])
        shared = None if shape == largest else self._runner(kind, largest)
        with _BINDING:
            return _Executor(*self._symbols[kind], shape, self._device, shared)


class _Executor:
    """A net bound to one shape."""

    def __init__(self, symbol: Any, arrays: dict[str, Any], shape: tuple[int, ...], device: Any, shared: Any) -> None:
        memory = np.zeros(shape, np.float32)
        self.input = memory[:]  # another view: from_numpy makes its argument read-only
        self._host = mx.nd.from_numpy(memory, zero_copy=True)
        self._data = self._host if device == self._host.context else mx.nd.zeros(shape, ctx=device)
        self._executor = symbol.bind(
            device, {**arrays, "data": self._data}, grad_req="null", shared_exec=shared and shared._executor
        )

    def run(self) -> np.ndarray:
        """Return the output for what `input` holds."""
        if self._data is not self._host:
            self._host.copyto(self._data)
        return self._executor.forward(is_train=False)[0].asnumpy()


def _symbol(layers: list[Layer], device: Any) -> tuple[Any, dict[str, Any]]:
    """Return folded layers as a symbol with the input ``data``, and its other arguments."""
    values, arrays = {-1: mx.sym.var("data")}, {}
    for i, layer in enumerate(layers):
        inputs = [values[j] for j in layer.inputs]
        for name, array in ((f"{i}_weight", layer.weight), (f"{i}_bias", layer.bias)):
            if array is not None:
                arrays[name] = mx.nd.array(array, ctx=device)
                inputs.append(mx.sym.var(name, shape=array.shape))
        values[i] = _operator(layer, inputs)
    return values[len(layers) - 1], arrays


def _operator(layer: Layer, inputs: list[Any]) -> Any:
    if layer.kind == "add":
        return inputs[0] + inputs[1]
    if layer.kind == "pool":
        side, rounding = (layer.kernel,) * 2, "full" if layer.ceil else "valid"
        return mx.sym.Pooling(inputs[0], kernel=side, stride=(2, 2), pool_type="max", pooling_convention=rounding)
    assert layer.weight is not None
    outputs, no_bias = len(layer.weight), layer.bias is None
    if layer.kind == "dense":
        value = mx.sym.FullyConnected(*inputs, num_hidden=outputs, no_bias=no_bias)
    else:
        groups = outputs if layer.channelwise else 1
        kernel = layer.weight.shape[2:]
        stride = (layer.stride,) * 2
        value = mx.sym.Convolution(
            *inputs, kernel=kernel, stride=stride, num_filter=outputs, num_group=groups, no_bias=no_bias
        )
    return mx.sym.Activation(value, act_type="relu") if layer.relu else value
