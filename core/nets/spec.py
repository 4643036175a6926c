"""What a net is, without its numbers: its kind, its options, its layers and the shapes of its parameters. No MXNet.

Two options are part of a net because checkpoints differ in them:

- ``pooling``: "full" rounds the pooled side up (an odd map's last row or column is pooled alone), "valid" down.
- ``order``: "prelu_first" is the layer order of the paper. "pool_first" pools before the PReLU: the same function
  wherever slopes are not negative (max commutes with a non-decreasing map), at half the training time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE

# (inputs, outputs, kernel, stride, pool) of the convolutions, by kind and cell (Zhang et al. 2016, figure 2).
# The P-Net with 20 px cells does a quarter of the standard one's multiply-adds over a pyramid: its pyramid begins at
# 20/12 of the scale, but nearly all work is done on maps of a quarter of the side. It has no pool: both orders are one.
_CONVOLUTIONS = {
    ("pnet", 12): ((3, 10, 3, 1, 2), (10, 16, 3, 1, 0), (16, 32, 3, 1, 0)),
    ("pnet", 20): ((3, 8, 2, 2, 0), (8, 8, 4, 2, 0), (8, 10, 3, 1, 0), (10, 12, 2, 1, 0)),
    ("rnet", 12): ((3, 28, 3, 1, 3), (28, 48, 3, 1, 3), (48, 64, 2, 1, 0)),
    ("onet", 12): ((3, 32, 3, 1, 3), (32, 64, 3, 1, 3), (64, 64, 3, 1, 2), (64, 128, 2, 1, 0)),
}
_DENSE_OUTPUTS = {"rnet": 128, "onet": 256}  # of the fully connected layer behind the convolutions
_LAST_MAP_SIDE = {"full": 3, "valid": 2}  # of the map that this layer flattens
POOL_STRIDE = 2
HEADS = {"face_head": 2, "box_head": 4, "landmark_head": 10}  # -> outputs; only some nets have the last


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a net.

    Attributes
    ----------
    name : str
        As ``stage1.conv``; also the beginning of its parameters' names.
    kind : {"conv", "dense", "prelu", "pool"}
    inputs, outputs : int
        Channels of a convolution, numbers of a fully connected layer; of the others both are the channels.
    kernel, stride : int
        Of a convolution or a max pool, pixels.
    ceil : bool
        Whether a pool rounds the side of its output up.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    ceil: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the layer's parameters by their full names."""
        if self.kind == "pool":
            return {}
        if self.kind == "prelu":
            return {f"{self.name}.alpha": (self.outputs,)}
        kernel = (self.kernel, self.kernel) if self.kind == "conv" else ()
        return {f"{self.name}.weight": (self.outputs, self.inputs, *kernel), f"{self.name}.bias": (self.outputs,)}


@dataclass(frozen=True)
class StageSpec:
    """A layer with weights, its PReLU and, where there is one, its max pool.

    Attributes
    ----------
    name : str
        ``stage1`` ..., for the fully connected one ``fc``.
    linear, prelu : LayerSpec
    pool : LayerSpec or None
    pool_first : bool
        Whether the pool comes before the PReLU.
    """

    name: str
    linear: LayerSpec
    prelu: LayerSpec
    pool: Optional[LayerSpec]
    pool_first: bool

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the layers in the order in which they work."""
        if self.pool is None:
            return self.linear, self.prelu
        return (self.linear, self.pool, self.prelu) if self.pool_first else (self.linear, self.prelu, self.pool)


@dataclass(frozen=True)
class NetSpec:
    """What distinguishes two nets apart from their numbers.

    Attributes
    ----------
    kind : {"pnet", "rnet", "onet"}
    landmarks : bool
        Has the head for five landmarks (10 outputs, x1 y1 ... x5 y5).
    pooling : {"full", "valid"}
    order : {"prelu_first", "pool_first"}
    cell : {12, 20}
        Side in pixels of what one output of a P-Net sees; 20 is the cheaper net.

    Raises
    ------
    ValueError
        Another value.
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

    def stages(self) -> tuple[StageSpec, ...]:
        """Return the stages before the heads, in order."""
        found = [
            self._stage(f"stage{number}", "conv", *sizes)
            for number, sizes in enumerate(_CONVOLUTIONS[self.kind, self.cell], 1)
        ]
        if self.kind in _DENSE_OUTPUTS:
            inputs = found[-1].prelu.outputs * _LAST_MAP_SIDE[self.pooling] ** 2
            found.append(self._stage("fc", "dense", inputs, _DENSE_OUTPUTS[self.kind]))
        return tuple(found)

    def _stage(
        self, name: str, kind: str, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, pool: int = 0
    ) -> StageSpec:
        linear = LayerSpec(f"{name}.{kind}", kind, inputs, outputs, kernel, stride)
        prelu = LayerSpec(f"{name}.prelu", "prelu", outputs, outputs)
        full = self.pooling == "full"
        pooled = LayerSpec(f"{name}.pool", "pool", outputs, outputs, pool, POOL_STRIDE, full) if pool else None
        return StageSpec(name, linear, prelu, pooled, self.order == "pool_first")

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the layers before the heads, in the order in which they work."""
        return tuple(layer for stage in self.stages() for layer in stage.layers)

    def heads(self) -> tuple[LayerSpec, ...]:
        """Return the heads: face, box and, where there is one, landmarks. A P-Net's are convolutions of one pixel."""
        inputs, kind = self.stages()[-1].prelu.outputs, "conv" if self.kind == "pnet" else "dense"
        names = list(HEADS)[: 2 + self.landmarks]
        return tuple(LayerSpec(name, kind, inputs, HEADS[name]) for name in names)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all parameters by name, in the order in which Gluon saves them."""
        layers = [layer for stage in self.stages() for layer in (stage.linear, stage.prelu)]
        return {name: shape for layer in (*layers, *self.heads()) for name, shape in layer.shapes.items()}
