"""A net's weights rearranged into the few layers that CPUs run fast: what the inference engines are built of.

The same function up to float rounding, for any slopes and either order of pool and PReLU:

- PReLU is ``x + relu((a - 1) x)``, a 1x1 convolution with ReLU and a sum, which oneDNN and onnxruntime fuse and run in
  their blocked layout. Where a > 1 that form is not convex, so the negated value is carried and the next layer's
  weights change sign.
- The pool comes first. For a < 0, PReLU is max(x, a x), and pool(max(x, a x)) = max(pool(x), |a| pool(-x)): the negated
  filter rides along in the channels that fill up the last block of 16.
- ``(pixel - 127.5) / 128`` is folded into the first convolution, which has no padding; the heads are one layer whose
  first output is the difference of the two logits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from gluon_mtcnn.core.nets.spec import LayerSpec, StageSpec
from gluon_mtcnn.core.nets.weights import AnyNet
from gluon_mtcnn.core.ops.image import MEAN, SCALE

LANES = 16  # channels are filled up to multiples of this: the block of AVX-512, and two of AVX2
OUTSIDE_WEIGHT = -1e6  # below anything that a convolution of pixels gives


@dataclass(frozen=True)
class Layer:
    """One layer; `inputs` are the positions of others in the list, -1 the pixels.

    Attributes
    ----------
    kind : {"conv", "dense", "pool", "add"}
    weight : (outputs, inputs, k, k), (outputs, inputs), or for a convolution of each channel alone (outputs, 1, 1, 1)
    bias : (outputs,)
    relu : bool
    stride : int
        Of a convolution.
    kernel, ceil : int, bool
        Of a max pool with stride 2.
    """

    kind: str
    inputs: tuple[int, ...]
    weight: Optional[np.ndarray] = None
    bias: Optional[np.ndarray] = None
    relu: bool = False
    stride: int = 1
    kernel: int = 0
    ceil: bool = False

    @property
    def channelwise(self) -> bool:
        """Whether this is a convolution of each channel alone."""
        return self.kind == "conv" and self.weight is not None and self.weight.shape[1:] == (1, 1, 1)


def fold(net: AnyNet, outside: bool = False, landmarks: bool = True, head_lanes: int = 1) -> list[Layer]:
    """Return a net's layers, the last of which is its output.

    Parameters
    ----------
    net : NetWeights, or Net with parameters
    outside : bool
        Take a fourth input channel that is not 0 where there is no image, and let such places never win a pool. Images
        that share a canvas are then pooled alone, also where a map is odd and pooled by rounding up.
    landmarks : bool
        With the landmark head, if the net has one.
    head_lanes : int
        Fill the outputs up to a multiple of this.

    Returns
    -------
    list of Layer
        Input: (n, 3 or 4, h, w) float32 pixels 0..255, BGR. Output (n, c[, h', w']): logit of the face minus that of
        the background, four offsets, ten landmark fractions, zeros.
    """
    arrays = {name: array.astype(np.float64) for name, array in net.weights().arrays.items()}
    folder = _Folder(arrays)
    for i, stage in enumerate(net.spec.stages()):
        if stage.linear.kind == "dense":
            folder.dense_stage(stage)
        elif i == 0:
            folder.conv_stage(stage, *_from_pixels(*folder.linear(stage.linear), outside))
        else:
            folder.conv_stage(stage, *folder.linear(stage.linear))
    folder.heads(net.spec.heads() if landmarks else net.spec.heads()[:2], head_lanes)
    return folder.layers


def _from_pixels(weight: np.ndarray, bias: np.ndarray, outside: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a first convolution that takes pixels, and with `outside` the fourth channel."""
    weight = weight * SCALE
    bias = bias - MEAN * weight.sum(axis=(1, 2, 3))
    if outside:
        weight = np.concatenate([weight, np.zeros_like(weight[:, :1])], axis=1)
    return weight, bias


def _fill(array: np.ndarray, count: int, axis: int = 0) -> np.ndarray:
    """Return an array filled up with zeros to `count` entries along an axis."""
    padding = [(0, 0)] * array.ndim
    padding[axis] = (0, count - array.shape[axis])
    return np.pad(array, padding)


def _round_up(count: int, lanes: int) -> int:
    return -(-count // lanes) * lanes


class _Folder:
    """Layers as they accumulate. The last one's channels: sign times the net's own, then others that mean nothing."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.layers: list[Layer] = []
        self._arrays = arrays  # float64
        self._signs: Optional[np.ndarray] = None  # one per channel of the net; None: the input is pixels
        self._channels = 0  # of the last layer, with those that mean nothing

    def linear(self, layer: LayerSpec) -> tuple[np.ndarray, np.ndarray]:
        """Return weight and bias of a layer of the net."""
        return self._arrays[f"{layer.name}.weight"], self._arrays[f"{layer.name}.bias"]

    def _append(self, layer: Layer) -> int:
        if layer.weight is not None:
            weight = np.ascontiguousarray(layer.weight, np.float32)
            bias = None if layer.bias is None else np.ascontiguousarray(layer.bias, np.float32)
            layer = replace(layer, weight=weight, bias=bias)
        self.layers.append(layer)
        return len(self.layers) - 1

    def _reading(self, weight: np.ndarray) -> np.ndarray:
        """Return the weight of a layer that reads what there is where the net's would read its own channels."""
        if self._signs is None:
            return weight
        signs = self._signs.reshape(1, -1, *[1] * (weight.ndim - 2))
        return _fill(weight * signs, self._channels, axis=1)

    def conv_stage(self, stage: StageSpec, weight: np.ndarray, bias: np.ndarray) -> None:
        slopes, first = self._arrays[f"{stage.prelu.name}.alpha"], self._signs is None
        weight = self._reading(weight)
        value = len(self.layers) - 1
        if stage.pool is None:
            weight, bias = self._carry_negated(weight, bias, slopes)
            value = self._conv(value, weight, bias, _round_up(len(bias), LANES), stage.linear.stride)
            self._add_activated(value, value, _fill(slopes - 1, self._channels).reshape(-1, 1, 1, 1))
            return
        falling = np.zeros(0, np.intp) if stage.pool_first else np.flatnonzero(slopes < 0)
        weight, bias = np.concatenate([weight, -weight[falling]]), np.concatenate([bias, -bias[falling]])
        if first and weight.shape[1] == 4:
            weight[:, 3, -1, -1] = OUTSIDE_WEIGHT
        value = self._conv(value, weight, bias, _round_up(len(bias), LANES))
        value = self._append(Layer("pool", (value,), kernel=stage.pool.kernel, ceil=stage.pool.ceil))
        self._prelu_after_pool(value, slopes, falling)

    def _conv(self, value: int, weight: np.ndarray, bias: np.ndarray, channels: int, stride: int = 1) -> int:
        self._channels = channels
        return self._append(Layer("conv", (value,), _fill(weight, channels), _fill(bias, channels), stride=stride))

    def _carry_negated(self, weight: np.ndarray, bias: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Negate the outputs whose slope is above 1."""
        self._signs = np.where(slopes > 1, -1.0, 1.0)
        return weight * self._signs.reshape(-1, *[1] * (weight.ndim - 1)), bias * self._signs

    def _prelu_after_pool(self, value: int, slopes: np.ndarray, falling: np.ndarray) -> None:
        """Add ``sign y + relu(M y)``; `falling` channels have pool(-x) behind the net's own channels."""
        count = len(slopes)
        self._signs = np.where(slopes > 1, -1.0, 1.0)
        mix = _fill(_fill(np.diag(np.where(slopes > 1, 1 - slopes, slopes - 1)), self._channels), self._channels, 1)
        mix[falling, falling] = -1
        mix[falling, count + np.arange(len(falling))] = -slopes[falling]
        base = value
        if (self._signs < 0).any():
            signs = _fill(self._signs, self._channels).reshape(-1, 1, 1, 1)
            base = self._append(Layer("conv", (value,), signs))
        channelwise = np.diag(mix).reshape(-1, 1, 1, 1)
        self._add_activated(value, base, mix[..., None, None] if len(falling) else channelwise)

    def _add_activated(self, value: int, base: int, weight: np.ndarray) -> None:
        kind, bias = ("conv", None) if weight.ndim == 4 else ("dense", np.zeros(len(weight)))
        bent = self._append(Layer(kind, (value,), weight, bias, relu=True))
        self._append(Layer("add", (base, bent)))

    def dense_stage(self, stage: StageSpec) -> None:
        slopes = self._arrays[f"{stage.prelu.name}.alpha"]
        weight, bias = self.linear(stage.linear)
        weight, bias = self._carry_negated(self._unflattened(weight), bias, slopes)
        self._channels = len(bias)
        value = self._append(Layer("dense", (len(self.layers) - 1,), weight.reshape(len(bias), -1), bias))
        self._add_activated(value, value, np.diag(slopes - 1))

    def _unflattened(self, weight: np.ndarray) -> np.ndarray:
        """Return a dense weight (outputs, channel * row * column) that reads the channels that there are."""
        assert self._signs is not None
        shaped = self._reading(weight.reshape(len(weight), len(self._signs), -1))
        return shaped.reshape(len(weight), -1)

    def heads(self, heads: tuple[LayerSpec, ...], lanes: int) -> None:
        (face, face_bias), *others = (self.linear(head) for head in heads)
        weights, biases = [face[1:] - face[:1]], [face_bias[1:] - face_bias[:1]]
        for weight, bias in others:
            weights.append(weight)
            biases.append(bias)
        weight, bias = self._reading(np.concatenate(weights)), np.concatenate(biases)
        count = _round_up(len(bias), lanes)
        self._append(Layer(heads[0].kind, (len(self.layers) - 1,), _fill(weight, count), _fill(bias, count)))
