"""P-Net, R-Net and O-Net as Gluon HybridBlocks (Zhang et al. 2016, figure 2). They return logits, not probabilities.

Two choices are part of a net's configuration because checkpoints differ in them:

- ``pooling``: "full" rounds the pooled side up (an odd map's last row or column is pooled alone), "valid" down.
- ``order``: "prelu_first" is the layer order of the paper. "pool_first" pools before the PReLU: the same function
  wherever slopes are not negative (max commutes with a non-decreasing map), at half the training time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gluon_mtcnn.core.backend.runtime import HybridBlock, mx
from gluon_mtcnn.core.nets.weight_stats import SMALLEST_NORMAL
from gluon_mtcnn.core.ops.image import MEAN, SCALE
from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE

nn = mx.gluon.nn


@dataclass(frozen=True)
class NetSpec:
    """What distinguishes two nets of the same kind.

    Attributes
    ----------
    kind : {"pnet", "rnet", "onet"}
    landmarks : bool
        Has the head for five points (10 outputs, x1 y1 ... x5 y5).
    pooling : {"full", "valid"}
    order : {"prelu_first", "pool_first"}
    cell : {12, 20}
        Side in pixels of what one output of a P-Net looks at; 20 is the cheaper net (`CheapPNet`).
    """

    kind: str
    landmarks: bool = False
    pooling: str = "full"
    order: str = "pool_first"
    cell: int = 12

    def __post_init__(self) -> None:
        for name, allowed in (
            ("kind", tuple(INPUT_SIZE)),
            ("pooling", ("full", "valid")),
            ("order", ("prelu_first", "pool_first")),
            ("cell", tuple(CELL_STRIDE) if self.kind == "pnet" else (12,)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, allowed))}, but got {getattr(self, name)!r}"
                )

    @property
    def size(self) -> int:
        """Return the side of the images that the net learns from, pixels."""
        return self.cell if self.kind == "pnet" else INPUT_SIZE[self.kind]

    @property
    def stride(self) -> int:
        """Return how far apart the cells of a P-Net lie, pixels."""
        return CELL_STRIDE[self.cell]

    @property
    def ceil(self) -> bool:
        """Return whether an odd side gives one more output: a pool rounds up, convolutions alone round down."""
        return self.pooling == "full" and self.cell == 12


class PReLU(HybridBlock):
    """``x`` where positive, ``alpha * x`` elsewhere, one alpha per channel; any sign of alpha is exact.

    Written as relu(x) + alpha * (x - relu(x)): MXNet 1.9.1's own LeakyReLU(act_type="prelu") computes a wrong gradient
    for alpha in hybridized nets on CPU, depending on the memory plan (tests/core/test_network.py shows it).

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
        40 % of a P-Net step (forward and backward of 384 x 10 x 5 x 5: 8.4 ms with broadcast_mul, 1.7 ms so).
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

    def __init__(
        self, spec: NetSpec, channels: tuple[int, int], kernel: int, pool: int = 0, stride: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pool_first = spec.order == "pool_first"
        with self.name_scope():
            self.conv = nn.Conv2D(channels[1], kernel, stride, in_channels=channels[0])
            self.prelu = PReLU(channels[1])
            self.pool = nn.MaxPool2D(pool, 2, ceil_mode=spec.pooling == "full") if pool else None

    def layers(self) -> dict[str, HybridBlock]:
        """Return the layers by name, in the order in which they work."""
        if self.pool is None:
            return {"conv": self.conv, "prelu": self.prelu}
        if self.pool_first:
            return {"conv": self.conv, "pool": self.pool, "prelu": self.prelu}
        return {"conv": self.conv, "prelu": self.prelu, "pool": self.pool}


class DenseStage(Stage):
    """A fully connected layer (its input is flattened in the order channel, row, column) and its PReLU."""

    def __init__(self, inputs: int, outputs: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.dense = nn.Dense(outputs, in_units=inputs)
            self.prelu = PReLU(outputs, spatial=False)

    def layers(self) -> dict[str, HybridBlock]:
        """Return the layers by name, in the order in which they work."""
        return {"dense": self.dense, "prelu": self.prelu}


class Net(HybridBlock):
    """What the three nets share: two or three heads on a body, a dict of the stages by name; see `build`.

    Stages are named ``stage1`` ..., and for R and O ``fc``.

    Input: (n, 3, h, w) float32, BGR, normalised as in ``core.ops.image``. Output: logits (n, 2[, h', w']) of background
    and face, offsets (n, 4[, h', w']) for ``core.ops.boxes.decode``, and with landmarks fractions (n, 10[, h', w']).
    """

    def __init__(self, spec: NetSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        with self.name_scope():
            self.body = self._make_body()
            for name, block in self.body.items():
                setattr(self, name, block)
            self.face_head = self._head(2)
            self.box_head = self._head(4)
            self.landmark_head = self._head(10) if spec.landmarks else None

    def _make_body(self) -> dict[str, HybridBlock]:
        raise NotImplementedError

    def _head(self, outputs: int) -> HybridBlock:
        raise NotImplementedError

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return (logits, offsets) or (logits, offsets, landmarks)."""
        for block in self.body.values():
            x = block(x)
        if self.landmark_head is None:
            return self.face_head(x), self.box_head(x)
        return self.face_head(x), self.box_head(x), self.landmark_head(x)

    def layers(self) -> dict[str, HybridBlock]:
        """Return the body's layers (Conv2D, PReLU, MaxPool2D, Dense) by name, in the order in which they work."""
        return {f"{name}.{part}": layer for name, stage in self.body.items() for part, layer in stage.layers().items()}

    def slopes_before_pool(self) -> list[Any]:
        """Return the slope parameters of the stages that pool: where >= 0, both layer orders are the same function."""
        stages = [block for block in self.body.values() if isinstance(block, ConvStage)]
        return [stage.prelu.alpha for stage in stages if stage.pool is not None]


class PNet(Net):
    """The proposal net: 12x12 cells at stride 2, fully convolutional."""

    features = 32

    def _make_body(self) -> dict[str, HybridBlock]:
        return {
            "stage1": ConvStage(self.spec, (3, 10), 3, pool=2),
            "stage2": ConvStage(self.spec, (10, 16), 3),
            "stage3": ConvStage(self.spec, (16, 32), 3),
        }

    def _head(self, outputs: int) -> HybridBlock:
        return nn.Conv2D(outputs, 1, in_channels=self.features, weight_initializer=mx.init.Normal(0.01))


class CheapPNet(PNet):
    """A proposal net with 20x20 cells at stride 4: over a pyramid a quarter of the standard one's multiply-adds.

    Its pyramid begins at 20/12 of the scale, but nearly all work is done on maps of a quarter of the side. It has no
    pool, so both layer orders are one.
    """

    features = 12

    def _make_body(self) -> dict[str, HybridBlock]:
        return {
            "stage1": ConvStage(self.spec, (3, 8), 2, stride=2),
            "stage2": ConvStage(self.spec, (8, 8), 4, stride=2),
            "stage3": ConvStage(self.spec, (8, 10), 3),
            "stage4": ConvStage(self.spec, (10, 12), 2),
        }


class RNet(Net):
    """The refinement net: 24x24 crops."""

    def _make_body(self) -> dict[str, HybridBlock]:
        side = 3 if self.spec.pooling == "full" else 2
        return {
            "stage1": ConvStage(self.spec, (3, 28), 3, pool=3),
            "stage2": ConvStage(self.spec, (28, 48), 3, pool=3),
            "stage3": ConvStage(self.spec, (48, 64), 2),
            "fc": DenseStage(64 * side * side, 128),
        }

    def _head(self, outputs: int) -> HybridBlock:
        return nn.Dense(outputs, in_units=128, weight_initializer=mx.init.Normal(0.01))


class ONet(Net):
    """The output net: 48x48 crops."""

    def _make_body(self) -> dict[str, HybridBlock]:
        side = 3 if self.spec.pooling == "full" else 2
        return {
            "stage1": ConvStage(self.spec, (3, 32), 3, pool=3),
            "stage2": ConvStage(self.spec, (32, 64), 3, pool=3),
            "stage3": ConvStage(self.spec, (64, 64), 3, pool=2),
            "stage4": ConvStage(self.spec, (64, 128), 2),
            "fc": DenseStage(128 * side * side, 256),
        }

    def _head(self, outputs: int) -> HybridBlock:
        return nn.Dense(outputs, in_units=256, weight_initializer=mx.init.Normal(0.01))


KINDS = {"pnet": PNet, "rnet": RNet, "onet": ONet}


def build(spec: NetSpec) -> Net:
    """Return the net that a spec describes, without parameters: initialise it or load a checkpoint."""
    net = CheapPNet if spec.cell == 20 else KINDS[spec.kind]
    return net(spec, prefix=spec.kind + "_")


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
