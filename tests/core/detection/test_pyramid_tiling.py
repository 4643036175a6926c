import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.detection.pyramid_tiling import (
    CELL,
    OVERLAP,
    STRIDE,
    WIDTHS,
    Tape,
    map_side,
    planar,
    planar_levels,
)


def test_map_sides_by_hand():
    # 13 px: conv 11; pooled to 6 (up) or 5 (down); two more convolutions take 4
    assert [map_side(side, True) for side in (11, 12, 13, 14)] == [1, 1, 2, 2]
    assert [map_side(side, False) for side in (11, 12, 13, 14)] == [0, 1, 1, 2]


def test_windows_overlap_by_what_a_cell_needs():
    tape = Tape([(50, 2000)], True)
    windows = list(tape.windows())
    assert [w.start for w in windows] == [0, WIDTHS[-1] - OVERLAP, 2 * (WIDTHS[-1] - OVERLAP)]
    assert windows[-1].width == 768 if 2000 - windows[-1].start > 384 else 384
    assert tape.length == 2000


side = st.integers(13, 300)


@given(st.lists(st.tuples(side, st.integers(13, 1700)), min_size=1, max_size=5), st.booleans())
def test_every_cell_of_every_level_is_in_one_window_with_its_pixels(sizes, ceil):
    check_cells(sizes, ceil, CELL, STRIDE)


@given(st.lists(st.tuples(st.integers(20, 300), st.integers(20, 1700)), min_size=1, max_size=5))
def test_every_cell_of_20_px_too(sizes):
    check_cells(sizes, False, 20, 4)


def check_cells(sizes, ceil, cell, stride):
    """Paint where each pixel comes from; every cell must be found once, and look at its own pixels."""
    levels = []
    for number, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width] % 251
        levels.append(np.stack([np.full((height, width), number), rows, columns]).astype(np.uint8))
    tape = Tape(sizes, ceil, cell, stride)
    found = []
    for window in tape.windows():
        canvas = np.full((4, window.height, window.width), 99, np.float32)
        tape.paint(window, levels, canvas)
        sides = [map_side(side, False, cell, stride) for side in (window.height, window.width)]
        rows, columns = (a.ravel() for a in np.mgrid[: sides[0], : sides[1]])
        inside, level, row, column = tape.locate(window, rows, columns)
        found.append(np.stack([level, row, column], axis=1))
        y, x = rows[inside] * stride, columns[inside] * stride
        wanted = np.stack([level, row * stride % 251, column * stride % 251, 0 * row], 1)
        np.testing.assert_array_equal(canvas[:, y, x].T, wanted)
        # the far corner of the cell, or with an odd side that is pooled up, where there is no image
        heights, widths = np.array(sizes)[level].T
        beyond = (row * stride + cell > heights) | (column * stride + cell > widths)
        np.testing.assert_array_equal(canvas[3, y + cell - 1, x + cell - 1], beyond)
    found = np.concatenate(found)
    maps = [tuple(map_side(side, ceil, cell, stride) for side in size) for size in sizes]
    wanted = [(i, r, c) for i, (h, w) in enumerate(maps) for r in range(h) for c in range(w)]
    np.testing.assert_array_equal(np.array(sorted(map(tuple, found.tolist()))), np.array(wanted))


def test_levels_are_planar_and_resized_as_opencv_does():
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    (level,) = planar_levels(image, [(30, 33)])
    np.testing.assert_array_equal(level.transpose(1, 2, 0), cv2.resize(image, (33, 30)))
    np.testing.assert_array_equal(planar(image), image.transpose(2, 0, 1))
