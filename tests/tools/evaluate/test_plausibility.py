import logging
import re

import numpy as np
import pytest

from gluon_mtcnn.prepare_data.annotations.box_forms import CORNERS, SIZED
from gluon_mtcnn.tools.evaluate.fddb.run import bounding_boxes
from gluon_mtcnn.tools.evaluate.plausibility import find_implausible, warn_of_implausible

MEET = r"\(40 boxes of those looked at meet a face then, 0 as they are\)"


def faces_and_boxes():
    """Return the faces of 20 photos of 640 x 480, two each, and detections (n, 5) that are a pixel off."""
    rng = np.random.default_rng(3)
    corner = np.stack([rng.uniform(200, 500, (20, 2)), rng.uniform(20, 120, (20, 2))], axis=2)
    faces = np.concatenate([corner, corner + rng.uniform(40, 90, (20, 2, 1))], axis=2)
    return list(faces), [np.concatenate([f + 1, rng.uniform(0.1, 1, (2, 1))], axis=1) for f in faces]


def changed(boxes, change):
    return [np.concatenate([change(*rows[:, :4].T), rows[:, 4:]], axis=1) for rows in boxes]


def columns(*values):
    return np.stack(values, axis=1)


@pytest.mark.parametrize(
    ("form", "change", "expected"),
    [
        (
            CORNERS,
            lambda a, b, c, d: columns(a, b, c - a, d - b),
            f"these look like x y w h, expected x1 y1 x2 y2 {MEET}",
        ),
        (SIZED, columns, f"these look like x1 y1 x2 y2, expected x y w h {MEET}"),
        (CORNERS, lambda a, b, c, d: columns(b, a, d, c), f"these look like y1 x1 y2 x2, expected x1 y1 x2 y2 {MEET}"),
        (
            SIZED,
            lambda a, b, c, d: columns((a + c) / 2, (b + d) / 2, c - a, d - b),
            r"these look like centre x, centre y, w, h, expected x y w h \(40 boxes",
        ),
        (CORNERS, lambda *v: columns(*v) / 2, f"the boxes are those of photos resized by 0.5 {MEET}"),
        (CORNERS, lambda *v: columns(*v) / 640, "these look like fractions of the photo's sides, expected pixels"),
    ],
    ids=["sizes", "corners", "swapped", "centres", "half", "fractions"],
)
def test_the_likely_cause_is_named(form, change, expected):
    faces, boxes = faces_and_boxes()
    found = find_implausible(changed(boxes, change), faces, form)
    assert found.startswith("40 detections look implausible: ")
    assert re.search(f"likely cause: {expected}", found), found


def test_symptoms_are_counted():
    faces, boxes = faces_and_boxes()
    sizes = [(640, 480)] * 20
    assert find_implausible(boxes, faces, CORNERS, sizes) == find_implausible(boxes, faces, CORNERS) == ""
    outside = changed(boxes, lambda a, b, c, d: columns(a + 640, b, c + 640, d))
    assert find_implausible(outside, faces, CORNERS, sizes) == (
        "40 detections look implausible: 40 lie outside of their photos, or beyond every annotated face"
    )
    assert "40 lie outside" in find_implausible(outside, faces, CORNERS)
    small = changed(boxes, lambda a, b, c, d: columns(a, b, a + 1, b + 1))
    assert find_implausible(small, faces, CORNERS).endswith("40 have sides of a pixel or less")
    negative = changed(boxes, lambda a, b, c, d: columns(a, b, a - 90, d))
    assert find_implausible(negative, faces, CORNERS).endswith("40 have a negative size")
    constant = [np.concatenate([rows[:, :4], np.ones((2, 1))], axis=1) for rows in boxes]
    assert find_implausible(constant, faces, CORNERS).endswith(
        ": all have the score 1: average precision and curves need different scores"
    )


def test_few_or_bad_detections_are_no_reason():
    faces, boxes = faces_and_boxes()
    assert find_implausible([rows * 0 for rows in boxes[:4]], faces[:4], CORNERS) == ""
    assert find_implausible([], [], CORNERS) == ""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 400, (20, 50, 2))
    noise = np.concatenate([corner, corner + rng.uniform(20, 99, (20, 50, 2)), rng.random((20, 50, 1))], axis=2)
    assert find_implausible(list(noise), faces, CORNERS, [(640, 480)] * 20) == ""
    assert find_implausible(list(noise), [np.zeros((0, 4))] * 20, CORNERS) == ""


def test_one_warning(caplog):
    faces, boxes = faces_and_boxes()
    with caplog.at_level(logging.WARNING):
        warn_of_implausible(changed(boxes, lambda *v: columns(*v) / 640), faces, CORNERS, "found.json")
        warn_of_implausible(boxes, faces, CORNERS, "found.json")
    assert [record.getMessage() for record in caplog.records] == [
        "found.json: 40 detections look implausible: 40 have sides of a pixel or less; "
        "likely cause: these look like fractions of the photo's sides, expected pixels"
    ]


def test_the_box_around_an_ellipse():
    upright, turned = bounding_boxes(np.array([[30, 20, 0, 100, 50], [30, 20, np.pi / 2, 100, 50]]))
    np.testing.assert_allclose(upright, [70, 30, 130, 70])
    np.testing.assert_allclose(turned, [80, 20, 120, 80])


def test_golden_detections_are_plausible(shared):
    from gluon_mtcnn.tools.evaluate.fddb.files import read_fddb_detections, read_folds

    _, ellipses = read_folds(shared / "fddb" / "FDDB-folds")
    found = read_fddb_detections(shared / "fddb" / "detections" / "MTCNN.txt")
    faces = [bounding_boxes(ellipses[name]) for name in ellipses]
    rows = [found.get(name, np.zeros((0, 5))) for name in ellipses]
    assert find_implausible(rows, faces, SIZED) == ""
    corners = changed(rows, lambda a, b, c, d: columns(a, b, a + c, b + d))
    assert "these look like x1 y1 x2 y2, expected x y w h (" in find_implausible(corners, faces, SIZED)
