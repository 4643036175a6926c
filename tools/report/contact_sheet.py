"""Contact sheets: samples of a pack side by side, with what a net shall predict drawn into them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gluon_mtcnn.core.ops.boxes import decode, decode_landmarks
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.types import LABEL_NAMES, LANDMARK, PART, POSITIVE

TILE, GAP = 96, 3  # pixels
BOX_COLOR, POINT_COLOR, GROUND = (80, 220, 60), (40, 150, 255), 128  # BGR; grey between the tiles
LOOKED_AT = 1 << 16  # records, evenly over a pack, among which samples of a class are looked for


def contact_sheet(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return pictures (s, s, 3) of one size side by side, row by row, with grey between them.

    Raises
    ------
    ValueError
        There is no picture.
    """
    if len(tiles) == 0:
        raise ValueError("a contact sheet needs at least one picture")
    side = tiles[0].shape[0]
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (side + GAP) - GAP, columns * (side + GAP) - GAP, 3), GROUND, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (side + GAP), (i % columns) * (side + GAP)
        sheet[top : top + side, left : left + side] = tile
    return sheet


def sample_tiles(images: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Return samples enlarged to tiles; positives and parts with their face's box, landmark samples with points.

    Parameters
    ----------
    images : (n, s, s, 3) uint8 BGR
    rows : (n, 15) float32
        label, 4 offsets, 10 landmarks
    """
    side = images.shape[1] if len(images) else 1
    crops = np.tile([0.0, 0.0, side - 1, side - 1], (len(rows), 1))
    # A pixel of the sample covers several of the tile: its centre moves by half of them.
    scale, shift = TILE / side, (TILE / side - 1) / 2
    boxes = np.rint(decode(crops, rows[:, 1:5]) * scale + shift).astype(int)
    points = np.rint(decode_landmarks(crops, rows[:, 5:15]) * scale + shift).astype(int)
    way = cv2.INTER_NEAREST if side and TILE % side == 0 else cv2.INTER_LINEAR
    tiles = []
    for image, label, box, face in zip(images, rows[:, 0], boxes, points):
        tile = cv2.resize(image, (TILE, TILE), interpolation=way)
        if label in (POSITIVE, PART):
            x1, y1, x2, y2 = box.tolist()
            cv2.rectangle(tile, (x1, y1), (x2, y2), BOX_COLOR, 2)
        elif label == LANDMARK:
            for x, y in face.tolist():
                cv2.circle(tile, (x, y), 3, POINT_COLOR, -1, cv2.LINE_AA)
        tiles.append(tile)
    return tiles


def class_sheets(pack: Pack, samples: int = 32, columns: int = 8) -> dict[str, np.ndarray]:
    """Return a contact sheet for each class that a pack has: samples from its beginning to its end.

    In a pack of more than 65,536 records a class is looked for in as many of them, evenly spread.
    """
    looked_at = np.unique(np.linspace(0, len(pack) - 1, min(len(pack), LOOKED_AT)).astype(np.int64))
    labels = pack.rows(looked_at)[:, 0] if len(looked_at) else np.zeros(0)
    sheets = {}
    for label, name in LABEL_NAMES.items():
        there = looked_at[labels == label]
        if len(there):
            chosen = there[np.unique(np.linspace(0, len(there) - 1, samples).astype(np.int64))]
            sheets[name] = contact_sheet(sample_tiles(*pack.read(chosen)), columns)
    return sheets
