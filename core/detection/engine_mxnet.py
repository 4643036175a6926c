"""The inference engine on MXNet: folded nets as symbols, bound once for each shape."""

from __future__ import annotations

import heapq
import threading
import weakref
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.detection.engine_base import BATCHES, FoldedEngine
from gluon_mtcnn.core.detection.folding import LANES, Layer, fold
from gluon_mtcnn.core.detection.pyramid_tiling import HEIGHTS, WIDTHS
from gluon_mtcnn.core.nets.model_folder import Model

_BINDING = threading.Lock()  # MXNet does not say that threads may bind at the same time


class _CpuNumbers:
    """Numbers of MXNet's CPU devices, from 1 on, for owners that give them back when they are collected."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._made = 0
        self._lock = threading.Lock()

    def take(self, owner: Any) -> int:
        """Return the lowest number that no owner has."""
        with self._lock:
            if self._free:
                number = heapq.heappop(self._free)
            else:
                self._made += 1
                number = self._made
        # Without the lock, which this thread may hold when an owner is collected: pushing an integer is one step.
        weakref.finalize(owner, heapq.heappush, self._free, number).atexit = False
        return number


_CPUS = _CpuNumbers()


class MxnetEngine(FoldedEngine):
    """The nets of a model on one MXNet device."""

    def __init__(self, model: Model, device: Any = None) -> None:
        super().__init__(model)
        self._device = device or mx.cpu()
        self._symbols = {}
        for kind in model.nets:
            pnet = kind == "pnet"
            layers = fold(model.weights(kind), outside=pnet, landmarks=not pnet, head_lanes=LANES if pnet else 1)
            self._symbols[kind] = _symbol(layers, self._device)

    def clone(self) -> MxnetEngine:
        """See `engine_base.Engine`. MXNet has one thread a CPU device: clones on the CPU get devices of their own."""
        other = object.__new__(MxnetEngine)
        other.__dict__.update(self.__dict__, _bound={})
        if self._device.device_type == "cpu":
            other._device = mx.cpu(_CPUS.take(other))
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
