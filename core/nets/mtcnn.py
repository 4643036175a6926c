"""P-Net, R-Net and O-Net as Gluon HybridBlocks (Zhang et al. 2016, figure 2). They return logits, not probabilities.

`core.nets.spec` says what layers they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from gluon_mtcnn.core.backend.runtime import HybridBlock, mx
from gluon_mtcnn.core.nets.spec import NetSpec, StageSpec
from gluon_mtcnn.core.nets.weight_stats import SMALLEST_NORMAL
from gluon_mtcnn.core.nets.weights import NetWeights
from gluon_mtcnn.core.ops.image import MEAN, SCALE

nn = mx.gluon.nn


class PReLU(HybridBlock):
    """``x`` where positive, ``alpha * x`` elsewhere, one alpha per channel; any sign of alpha is exact.

    Written as relu(x) + alpha * (x - relu(x)): MXNet 1.9.1's own LeakyReLU(act_type="prelu") computes a wrong gradient
    for alpha in hybridized nets on CPU, depending on the memory plan (tests/core/nets/test_mtcnn.py shows it).

    Shapes: (n, channels) or (n, channels, h, w), as `spatial` says; returns the same shape.
    """

    def __init__(self, channels: int, spatial: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slopes_shape = (1, -1, 1, 1) if spatial else (1, -1)
        self.fast_backward = False
        with self.name_scope():
            self.alpha = self.params.get("alpha", shape=(channels,), init=mx.init.Constant(0.25))

    def hybrid_forward(self, F: Any, x: Any, alpha: Any) -> Any:
        """Return the activated x."""
        positive = F.relu(x)
        slopes = F.reshape(alpha, self.slopes_shape)
        if self.fast_backward:
            return positive + self._spread(F, slopes, x) * (x - positive)
        return positive + F.broadcast_mul(slopes, x - positive)

    @staticmethod
    def _spread(F: Any, slopes: Any, x: Any) -> Any:
        """Return the slopes in the shape of x, by a matrix product of ones with one sample's slopes.

        Its gradient is a matrix product too, where that of a broadcast is MXNet's generic reduction: on CPU that took
        40 % of a P-Net step (forward and backward of 384 x 10 x 5 x 5: 8.4 ms with broadcast_mul, 1.7 with this).
        """
        sample = F.stop_gradient(F.slice_axis(x, axis=0, begin=0, end=1))
        row = F.reshape(F.broadcast_like(slopes, sample), (1, -1))
        column = F.slice_axis(F.reshape(x, (0, -1)), axis=1, begin=0, end=1)
        return F.reshape_like(F.dot(F.stop_gradient(F.ones_like(column)), row), x)


class Stage(HybridBlock):
    """A layer with weights, and what becomes of its output.

    `norm` is there in training alone, between the two (`core.nets.batch_norm`).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm: Any = None

    def layers(self) -> dict[str, HybridBlock]:
        """Return the layers by name, in the order in which they work; the first is the one with weights."""
        raise NotImplementedError

    @property
    def linear(self) -> HybridBlock:
        """Return the layer with weights."""
        return next(iter(self.layers().values()))

    def activate(self, x: Any) -> Any:
        """Return what becomes of that layer's output."""
        for layer in list(self.layers().values())[1:]:
            x = layer(x)
        return x

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the stage's feature map, or for `DenseStage` features (n, outputs)."""
        x = self.linear(x)
        return self.activate(x if self.norm is None else self.norm(x))


class ConvStage(Stage):
    """Convolution, PReLU and an optional max pool, in the order of the spec."""

    def __init__(self, spec: StageSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_first = spec.pool_first
        conv, pool = spec.linear, spec.pool
        with self.name_scope():
            self.conv = nn.Conv2D(conv.outputs, conv.kernel, conv.stride, in_channels=conv.inputs)
            self.prelu = PReLU(conv.outputs)
            self.pool = nn.MaxPool2D(pool.kernel, pool.stride, ceil_mode=pool.ceil) if pool else None

    def layers(self) -> dict[str, HybridBlock]:
        """Return the layers by name, in the order in which they work."""
        if self.pool is None:
            return {"conv": self.conv, "prelu": self.prelu}
        if self.pool_first:
            return {"conv": self.conv, "pool": self.pool, "prelu": self.prelu}
        return {"conv": self.conv, "prelu": self.prelu, "pool": self.pool}


class DenseStage(Stage):
    """A fully connected layer (its input is flattened in the order channel, row, column) and its PReLU."""

    def __init__(self, spec: StageSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.dense = nn.Dense(spec.linear.outputs, in_units=spec.linear.inputs)
            self.prelu = PReLU(spec.linear.outputs, spatial=False)

    def layers(self) -> dict[str, HybridBlock]:
        """Return the layers by name, in the order in which they work."""
        return {"dense": self.dense, "prelu": self.prelu}


class Net(HybridBlock):
    """What the three nets share: two or three heads on a body, a dict of the stages by name.

    Stages are named ``stage1`` ..., and for R and O ``fc``.

    Input: (n, 3, h, w) float32, BGR, normalised as in ``core.ops.image``. Output: logits (n, 2[, h', w']) of background
    and face, offsets (n, 4[, h', w']) for ``core.ops.boxes.decode``, and with landmarks fractions (n, 10[, h', w']).

    Parameters
    ----------
    spec : NetSpec, optional
    landmarks, pooling, order, cell : optional
        Fields of the spec, in its place: ``PNet(landmarks=True)``.
    prefix, params : optional
        As of every Gluon block.

    Raises
    ------
    ValueError
        An option out of range, or the spec of another kind of net.
    TypeError
        A spec and fields of it.
    """

    kind = ""

    def __init__(
        self, spec: Optional[NetSpec] = None, prefix: Optional[str] = None, params: Any = None, **options: Any
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        if spec is not None and options:
            raise TypeError(
                f"{type(self).__name__} takes a spec or its fields, but got a spec and {', '.join(options)}"
            )
        spec = NetSpec(self.kind, **options) if spec is None else spec
        if spec.kind != self.kind:
            raise ValueError(f"{type(self).__name__} takes the spec of a {self.kind}, but got that of a {spec.kind}")
        self.spec = spec
        with self.name_scope():
            self.body = {stage.name: _stage(stage) for stage in spec.stages()}
            for name, block in self.body.items():
                setattr(self, name, block)
            for head in spec.heads():
                setattr(self, head.name, self._head(head.inputs, head.outputs))
            if not spec.landmarks:
                self.landmark_head = None

    def _head(self, inputs: int, outputs: int) -> HybridBlock:
        return nn.Dense(outputs, in_units=inputs, weight_initializer=mx.init.Normal(0.01))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return (logits, offsets) or (logits, offsets, landmarks)."""
        for block in self.body.values():
            x = block(x)
        if self.landmark_head is None:
            return self.face_head(x), self.box_head(x)
        return self.face_head(x), self.box_head(x), self.landmark_head(x)

    def weights(self) -> NetWeights:
        """Return the parameters as arrays; where several devices hold them their mean, which is what Gluon saves.

        Raises
        ------
        ValueError
            The net has normalisations (`core.nets.batch_norm`), which are no part of its spec.
        """
        parameters = self._collect_params_with_prefix()
        if set(parameters) != set(self.spec.shapes()):
            raise ValueError(f"the {self.spec.kind} has layers that its spec lacks: fold its normalisations away first")
        return NetWeights(self.spec, {name: parameters[name]._reduce().asnumpy() for name in self.spec.shapes()})

    def layers(self) -> dict[str, HybridBlock]:
        """Return the body's layers (Conv2D, PReLU, MaxPool2D, Dense) by name, in the order in which they work."""
        return {f"{name}.{part}": layer for name, stage in self.body.items() for part, layer in stage.layers().items()}

    def slopes_before_pool(self) -> list[Any]:
        """Return the slope parameters of the stages that pool: where >= 0, both layer orders are the same function."""
        stages = [block for block in self.body.values() if isinstance(block, ConvStage)]
        return [stage.prelu.alpha for stage in stages if stage.pool is not None]


def _stage(spec: StageSpec) -> Stage:
    return ConvStage(spec) if spec.linear.kind == "conv" else DenseStage(spec)


class PNet(Net):
    """The proposal net: 12x12 cells at stride 2, or with ``cell=20`` such cells at stride 4; fully convolutional.

    ``net = PNet(); net.initialize(); net.hybridize(); logits, offsets = net(x)``. Further as `Net`.

    Examples
    --------
    >>> net = PNet()
    >>> net.initialize()
    >>> net.hybridize()
    >>> logits, offsets = net(mx.nd.zeros((1, 3, 40, 60)))
    >>> logits.shape, offsets.shape
    ((1, 2, 15, 25), (1, 4, 15, 25))
    """

    kind = "pnet"

    def _head(self, inputs: int, outputs: int) -> HybridBlock:
        return nn.Conv2D(outputs, 1, in_channels=inputs, weight_initializer=mx.init.Normal(0.01))


class RNet(Net):
    """The refinement net: 24x24 crops. Further as `Net`.

    Examples
    --------
    >>> net = RNet()
    >>> net.initialize()
    >>> logits, offsets = net(mx.nd.zeros((8, 3, 24, 24)))
    >>> logits.shape, offsets.shape
    ((8, 2), (8, 4))
    """

    kind = "rnet"


class ONet(Net):
    """The output net: 48x48 crops. Further as `Net`.

    Examples
    --------
    >>> net = ONet(landmarks=True)
    >>> net.initialize()
    >>> logits, offsets, landmarks = net(mx.nd.zeros((8, 3, 48, 48)))
    >>> landmarks.shape
    (8, 10)
    """

    kind = "onet"


KINDS = {"pnet": PNet, "rnet": RNet, "onet": ONet}


def build(spec: NetSpec) -> Net:
    """Return the net that a spec describes, without parameters: initialise it or load a checkpoint."""
    return KINDS[spec.kind](spec, prefix=spec.kind + "_")


def from_weights(weights: NetWeights) -> Net:
    """Return a net with these parameters, on the CPU."""
    net = build(weights.spec)
    assign(net, weights.arrays)
    return net


def assign(net: Net, arrays: Mapping[str, Any]) -> None:
    """Give a net all its parameters, on the CPU, by their names below the net (``stage1.conv.weight``)."""
    for name, parameter in net._collect_params_with_prefix().items():
        parameter._load_init(mx.nd.array(arrays[name]), mx.cpu())


def initialise(net: Net, ctx: Any = None, seed: int = 0) -> None:
    """Draw fresh parameters: Xavier (gaussian, fan-in, 2) as in Seanlinx, heads N(0, 0.01), slopes 0.25, biases 0.

    The draw is a function of the seed alone, whatever was drawn before and on however many devices.
    """
    mx.random.seed(seed)
    init = mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)
    net.initialize(init, ctx=mx.cpu(), force_reinit=True)
    for parameter in net.collect_params().values():
        parameter.data(mx.cpu()).wait_to_read()
    if ctx is not None:
        net.collect_params().reset_ctx(ctx)


def clamp_slopes(net: Net) -> None:
    """Move the slopes that a pool-first net has before its PReLUs back to >= 0, in place, on every device."""
    if net.spec.order != "pool_first":
        return
    for parameter in net.slopes_before_pool():
        for array in parameter.list_data():
            mx.nd.relu(array, out=array)


def flush_denormals(net: Net) -> None:
    """Set parameters too small for a normal float32 to 0, in place, on every device: they slow a CPU down much."""
    for parameter in net.collect_params().values():
        for array in parameter.list_data():
            array[:] = mx.nd.where(mx.nd.abs(array) < float(SMALLEST_NORMAL), mx.nd.zeros_like(array), array)


def prepare_for_training(net: Net) -> None:
    """Give the PReLUs the form with the fast backward pass; what the net returns stays the same to the last bit."""
    net.apply(lambda block: setattr(block, "fast_backward", True) if isinstance(block, PReLU) else None)


class FromPixels(HybridBlock):
    """A net that takes uint8 pixels and normalises them on the device.

    Input: (n, 3, h, w), or (n, h, w, 3) with ``channels_last``; BGR. Output: as the net's; with ``probability`` the
    logits are replaced by the face probability (n[, h', w']).
    """

    def __init__(self, net: Net, channels_last: bool = False, probability: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._channels_last = channels_last
        self._probability = probability
        self.net = net

    def hybrid_forward(self, F: Any, pixels: Any) -> Any:
        """Return what the net returns for the pixels."""
        x = F.transpose(pixels, (0, 3, 1, 2)) if self._channels_last else pixels
        outputs = self.net((F.cast(x, "float32") - MEAN) * SCALE)
        if not self._probability:
            return outputs
        face = F.slice_axis(F.softmax(outputs[0], axis=1), axis=1, begin=1, end=2)
        return (F.squeeze(face, axis=1), *outputs[1:])
