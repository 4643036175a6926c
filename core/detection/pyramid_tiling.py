"""The image pyramid on a tape: every level is cut into strips of one height, which lie side by side.

P-Net reads the tape in windows. For each new shape of its input MXNet plans and compiles, which takes longer than
running the net. The windows have few heights and widths, whatever the size of the image. Neighbouring windows and
strips overlap by cell - stride pixels, so every cell of every level lies whole in exactly one window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

import cv2
import numpy as np

CELL, STRIDE = 12, 2  # of the standard P-Net
OVERLAP = CELL - STRIDE
HEIGHTS = (64, 80, 96, 112, 128)
WIDTHS = (192, 384, 768)  # the last window of a tape is the narrowest that holds the rest
OUTSIDE = 1.0


def map_side(side: int, ceil: bool, cell: int = CELL, stride: int = STRIDE) -> int:
    """Return how many cells fit along a side of `side` pixels, for a net whose pool rounds up (`ceil`) or down."""
    return max(0, (side - cell + (stride - 1 if ceil else 0)) // stride + 1)


@dataclass(frozen=True)
class Window:
    """A piece of the tape: where it starts, its height and width in pixels."""

    start: int
    height: int
    width: int


class Tape:
    """Where the strips of a pyramid lie.

    Parameters
    ----------
    sizes : list of (height, width)
        Of the levels, pixels, each at least a cell.
    ceil : bool
        Whether the net's pool rounds up, which gives an odd side one more cell.
    cell, stride : int
        The side of a cell and how far apart cells lie, pixels.
    """

    def __init__(self, sizes: list[tuple[int, int]], ceil: bool, cell: int = CELL, stride: int = STRIDE) -> None:
        self._sizes, self._stride, self._overlap = sizes, stride, cell - stride
        maps = [[map_side(side, ceil, cell, stride) for side in size] for size in sizes]
        self._maps = np.array(maps).reshape(-1, 2)
        widths = np.array([width + -width % stride for _, width in sizes], np.int64)
        # The height with the smallest total area; a level has as many strips as its map needs.
        lengths = [int((self._strips(height) * widths).sum()) for height in HEIGHTS]
        best = int(np.argmin([height * length for height, length in zip(HEIGHTS, lengths)]))
        self.height, self.length = HEIGHTS[best], lengths[best]
        counts = self._strips(self.height)
        self._level = np.repeat(np.arange(len(sizes)), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        self._row = (np.arange(len(self._level)) - first) * self._rows(self.height)  # first map row of each strip
        ends = np.cumsum(widths[self._level])
        self._x = ends - widths[self._level]

    def _rows(self, height: int) -> int:
        return (height - self._overlap) // self._stride

    def _strips(self, height: int) -> np.ndarray:
        return -(-self._maps[:, 0] // self._rows(height))

    def windows(self) -> Iterator[Window]:
        """Yield the windows that cover the tape, in order."""
        start = 0
        while self.length - start > self._overlap:
            rest = self.length - start
            yield Window(start, self.height, next((w for w in WIDTHS if w >= rest), WIDTHS[-1]))
            start += WIDTHS[-1] - self._overlap

    def paint(self, window: Window, levels: list[np.ndarray], out: np.ndarray) -> None:
        """Write a window's pixels.

        Parameters
        ----------
        window : Window
        levels : list of (3, h, w) uint8
        out : (4, height, width) float32
            Three channels of pixels, and one that is 1 where there is no image; what the others hold there is not
            touched.
        """
        out[3] = OUTSIDE
        stop = window.start + window.width
        begin = int(np.searchsorted(self._x, window.start, side="right")) - 1
        for strip in range(begin, int(np.searchsorted(self._x, stop))):
            level, x = int(self._level[strip]), int(self._x[strip])
            top = int(self._row[strip]) * self._stride
            left, right = max(x, window.start), min(x + self._sizes[level][1], stop)
            if left >= right:
                continue
            pixels = levels[level][:, top : top + window.height, left - x : right - x]
            rows, columns = slice(0, pixels.shape[1]), slice(left - window.start, right - window.start)
            out[:3, rows, columns] = pixels
            out[3, rows, columns] = 0

    def locate(
        self, window: Window, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the level and the cell in its map of each cell in a window's output.

        Parameters
        ----------
        window : Window
        rows, columns : (n,)
            In the net's output for the window.

        Returns
        -------
        inside : (n,) bool
            False for cells between strips, which are no cells of any level.
        level, row, column : (m,)
            For the cells inside: the level, and the cell in the level's map.
        """
        x = window.start + columns * self._stride
        strip = np.searchsorted(self._x, x, side="right") - 1
        level = self._level[strip]
        row, column = self._row[strip] + rows, (x - self._x[strip]) // self._stride
        inside = (row < self._maps[level, 0]) & (column < self._maps[level, 1])
        return inside, level[inside], row[inside], column[inside]


def planar_levels(image: np.ndarray, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Return the image (h, w, 3) resized bilinearly to each (height, width), as (3, height, width) uint8."""
    return [planar(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)) for height, width in sizes]


def planar(image: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Return an image (h, w, 3) uint8 as (3, h, w)."""
    out = np.empty((3, *image.shape[:2]), np.uint8) if out is None else out
    cv2.split(image, [out[0], out[1], out[2]])
    return out
