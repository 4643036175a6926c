"""Running the nets of a model layer by layer, as they are stored, in few shapes.

MXNet keeps what it has compiled for every shape that an operator meets, without a bound. Pyramid levels are therefore
cut into windows, and batches filled up, of a few shapes. The results are those of the whole level or batch, to the last
bit: an output of P-Net depends on its own cell only, and every batch of at least `ALIKE` is multiplied in the same way.
Smaller batches keep their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.detection.pyramid_tiling import CELL, STRIDE, map_side
from gluon_mtcnn.core.ops.image import normalise

SIDES = (32, 64, 128, 192, 256)  # of a window of a pyramid level: even, so that only a level's own end is pooled alone
ALIKE = 16  # below, oneDNN multiplies matrices in another way for almost every batch
BATCHES = (*range(1, ALIKE), 16, 24, 32, 48, 64, 96, 128, 192, 256)
MOST_SHAPES = len(SIDES) ** 2 + 2 * len(BATCHES)


@dataclass(frozen=True)
class Span:
    """A part of one side of a pyramid level: where it starts, its pixels, and the side of the window for it."""

    start: int
    length: int
    window: int

    def cells(self, ceil: bool) -> int:
        """Return how many cells it holds; `ceil`: whether the pool rounds up."""
        return map_side(self.length, ceil)


def spans(side: int) -> Iterator[Span]:
    """Yield the parts of a side of at least one cell, from the left; they share the pixels that cells of both need."""
    start, largest = 0, SIDES[-1]
    while side - start > largest:
        yield Span(start, largest, largest)
        start += largest - CELL + STRIDE
    yield Span(start, side - start, next(s for s in SIDES if s >= side - start))


class OfficialNets:
    """The nets of a model, for float images.

    Parameters
    ----------
    nets : mapping of str to Net
        P-Net: with cells of 12 pixels.
    device : MXNet context, optional

    Attributes
    ----------
    shapes : set of (kind, shape)
        In which the nets have run: at most `MOST_SHAPES`.
    """

    def __init__(self, nets: Mapping[str, Any], device: Any = None) -> None:
        self._nets, self._device = nets, device or mx.cpu()
        self.shapes: set[tuple[str, tuple[int, ...]]] = set()

    def __getitem__(self, kind: str) -> Any:
        return self._nets[kind]

    def _load(self, kind: str, images: np.ndarray, shape: tuple[int, ...]) -> Any:
        """Return images (n, 3, h, w) at the corner of an array of a larger shape."""
        self.shapes.add((kind, shape))
        filled = np.zeros(shape, np.float32)
        n, _, height, width = images.shape
        filled[:n, :, :height, :width] = images
        return mx.nd.array(filled, ctx=self._device)

    def level(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run P-Net on an image (h, w, 3): probability of a face (h', w') and offsets (4, h', w') of every cell."""
        pixels = normalise(image[None])
        height, width = image.shape[:2]
        rows = []
        for down in spans(height):
            parts = [self._window(pixels, down, right) for right in spans(width)]
            rows.append(np.concatenate(parts, axis=2))
        output = np.concatenate(rows, axis=1)
        return output[0], output[1:]

    def _window(self, pixels: np.ndarray, down: Span, right: Span) -> np.ndarray:
        """Return (5, h', w') of one window: probability and offsets."""
        net = self._nets["pnet"]
        part = pixels[:, :, down.start : down.start + down.length, right.start : right.start + right.length]
        value = self._load("pnet", part, (1, 3, down.window, right.window))
        valid = [down.length, right.length]
        for layer in net.layers().values():
            if isinstance(layer, mx.gluon.nn.Conv2D):
                valid = [side - layer.weight.shape[2] + 1 for side in valid]
            elif isinstance(layer, mx.gluon.nn.MaxPool2D):
                _repeat_edge(value, *valid)
                valid = [-(-side // 2) for side in valid]
            value = layer(value)
        face = mx.nd.softmax(net.face_head(value), axis=1)[:, 1:]
        output = np.concatenate([face.asnumpy()[0], net.box_head(value).asnumpy()[0]])
        ceil = net.spec.pooling == "full"
        return output[:, : down.cells(ceil), : right.cells(ceil)]

    def batch(self, kind: str, images: np.ndarray) -> list[np.ndarray]:
        """Run R- or O-Net on images (n, size, size, 3), n >= 1: probability of a face, offsets[, landmarks]."""
        parts = []
        for start in range(0, len(images), BATCHES[-1]):
            part = normalise(images[start : start + BATCHES[-1]])
            count = next(b for b in BATCHES if b >= len(part))
            logits, *others = self._nets[kind](self._load(kind, part, (count, *part.shape[1:])))
            outputs = [mx.nd.softmax(logits, axis=1)[:, 1], *others]
            parts.append([output.asnumpy()[: len(part)] for output in outputs])
        return [np.concatenate(part) for part in zip(*parts)]


def _repeat_edge(value: Any, height: int, width: int) -> None:
    """Repeat the last row and column of what is valid of a map, in place: a pool then sees nothing beyond them."""
    if height < value.shape[2]:
        value[:, :, height] = value[:, :, height - 1]
    if width < value.shape[3]:
        value[:, :, :, width] = value[:, :, :, width - 1]
