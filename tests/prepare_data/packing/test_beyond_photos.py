import logging

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import ALL_FACES, Annotation
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.packing.beyond_photos import BeyondPhotos, check_beyond
from gluon_mtcnn.prepare_data.packing.build import Options, Source, prepare
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import DEFAULT

SIDE = 200
PLACES = [(20, 30), (110, 40), (30, 120), (120, 130)]  # of faces of 60 x 60 pixels


def photos(tmp_path, corners: bool):
    """Write ten photos with four faces each; return the list, of corners where sizes belong if asked for."""
    lines = []
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((SIDE, SIDE, 3), 20 * i, np.uint8))
        faces = [f"{x} {y} {x + 60} {y + 60}" if corners else f"{x} {y} 60 60" for x, y in PLACES]
        lines += [f"{i}.png", "4", *faces]
    (tmp_path / "gt.txt").write_text("\n".join(lines))
    return read_wider(tmp_path / "gt.txt", tmp_path)


def make(tmp_path, corners, **options):
    sources = [Source(photos(tmp_path, corners), ALL_FACES, {})]
    return prepare(PNetPlanner(DEFAULT), sources, tmp_path / "out", Options(quiet=True, **options))


def test_corners_in_a_list_of_sizes_are_refused(tmp_path, caplog):
    """Read as x y w h, two of the four faces lie for the most part outside of the photo."""
    with pytest.raises(InputError) as caught:
        make(tmp_path, corners=True)
    assert str(caught.value) == (
        "20 of 40 faces lie for the most part outside of their photos (the first: "
        f"{tmp_path}/0.png of 200 x 200 pixels has x1 y1 x2 y2 = 30 120 119 299): this looks like x1 y1 x2 y2 where "
        "x y w h is expected (--max-left-out 1 goes on all the same)"
    )
    assert not (tmp_path / "out" / "train.rec").exists()
    with caplog.at_level(logging.WARNING):
        made = make(tmp_path, corners=True, max_left_out=1)
    assert made["sets"]["train"]["positive"] > 0
    assert "20 of 40 faces lie for the most part outside" in caplog.text


def test_sizes_are_read_as_before(tmp_path, caplog):
    assert make(tmp_path, corners=False)["sets"]["train"]["positive"] > 300
    assert "outside" not in caplog.text


def test_resized_photos(tmp_path):
    beyond = BeyondPhotos()
    boxes = [[250, 10, 289, 49], [10, 10, 49, 49], [180, 10, 259, 89], [150, 10, 249, 89], [5, 5, 4, 9]]
    beyond.add(Annotation("a.jpg", boxes, [False] * 5), 200, 100)
    beyond.add(Annotation("b.jpg", boxes[:1], [True]), 200, 100)
    assert (beyond.faces, beyond.like_corners) == (2, 0)
    beyond.write(tmp_path, 3)
    check_beyond(tmp_path, 20)
    check_beyond(tmp_path, 5)
    with pytest.raises(InputError, match=r"2 of 19 faces .*250 10 289 49\): were the photos resized after they were"):
        check_beyond(tmp_path, 19)
