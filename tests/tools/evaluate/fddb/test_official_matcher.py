"""FDDB's curves beside an independent restatement of the official program, and beside its own output."""

import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from gluon_mtcnn.tools.evaluate.fddb.files import read_ellipses, read_fddb_detections, read_folds, read_sizes
from gluon_mtcnn.tools.evaluate.fddb.kuhn import NoAssignmentError, kuhn
from gluon_mtcnn.tools.evaluate.fddb.matcher import evaluate
from gluon_mtcnn.tools.evaluate.fddb.official import _matched
from gluon_mtcnn.tools.evaluate.fddb.regions import rectangle_spans

SETS = 240
SIZE = (90, 80)
_SPEC = importlib.util.spec_from_file_location("restatement", Path(__file__).with_name("restatement.py"))
restatement = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(restatement)


def random_set(seed):
    """Two to four small images, dense in faces and boxes: equal scores, boxes beyond the border or of negative size."""
    rng = np.random.default_rng([22, seed])
    annotations, detections = {}, {}
    for image in range(int(rng.integers(2, 5))):
        faces, boxes = int(rng.integers(0, 7)), int(rng.integers(0, 13))
        centres = rng.uniform(-5, 90, (faces, 2))
        radii = rng.uniform(4, 22, (faces, 2))
        annotations[f"{image}"] = np.concatenate([radii, rng.uniform(-3, 3, (faces, 1)), centres], axis=1)
        corners, sides = rng.uniform(-20, 80, (boxes, 2)), rng.uniform(5, 45, (boxes, 2))
        if faces:
            near = rng.integers(0, faces, boxes)
            corners = centres[near] - sides / 2 + rng.normal(0, 6, (boxes, 2))
        sides[rng.random(boxes) < 0.05] *= -1
        if seed % 3 == 0:  # halves and quarters, which are rounded half to even
            corners, sides = np.round(corners * 4) / 4, np.round(sides * 4) / 4
        scores = rng.integers(0, 8, (boxes, 1)) / 8 if seed % 2 else rng.normal(0, 1, (boxes, 1))
        detections[f"{image}"] = np.concatenate([corners, sides, scores], axis=1)
    return annotations, detections, dict.fromkeys(annotations, SIZE)


@pytest.mark.parametrize("block", range(8))
def test_both_matchers_beside_the_restatement_on_240_random_sets(block, record_property):
    below = 0
    for seed in range(block, SETS, 8):
        lines = {}
        for matcher in ("official", "optimal"):
            roc = evaluate(*random_set(seed), matcher)
            lines[matcher] = list(roc.disc_lines()), list(roc.cont_lines())
            expected = restatement.curves(*random_set(seed), matcher == "official")
            if matcher == "official":
                assert lines[matcher] == expected, seed
            else:  # of equally good matchings another may be found, and sums are added in another order
                for got, wanted in zip(lines[matcher][1], expected[1]):
                    assert float(got.split()[0]) == pytest.approx(float(wanted.split()[0]), abs=2e-6), seed
        below += lines["official"] != lines["optimal"]
    record_property("sets whose curves differ between the matchers", below)
    assert below > 0  # the two are really different


def test_random_matrices_beside_the_restatement():
    below = 0
    for seed in range(1500):
        rng = np.random.default_rng([5, seed])
        m = int(rng.integers(1, 7))
        r = rng.random((m, m + int(rng.integers(0, 8))))
        r = [r, np.round(r * 6) / 6, r * (rng.random(r.shape) < 0.5), np.maximum(r - 0.3, 0)][seed % 4]
        chosen = kuhn(r.tolist())
        assert chosen == restatement.kuhn_of_the_program(r), seed
        assert len(set(chosen)) == m
        best = r[linear_sum_assignment(r, maximize=True)].sum()
        below += sum(r[i, j] for i, j in enumerate(chosen)) < best - 1e-12
    assert 5 < below < 60


def test_tiny_case_18_is_the_official_one_too(shared):
    folder = shared / "fddb" / "tiny" / "18_official_solver_flaw"
    truth, found = read_ellipses(folder / "ellipseList.txt"), read_fddb_detections(folder / "dets.txt")
    roc = evaluate(truth, found, read_sizes(folder / "sizes.txt"), "official")
    assert next(roc.cont_lines()) == "0.29747 3\n"
    for kind, lines in (("Disc", roc.disc_lines()), ("Cont", roc.cont_lines())):
        assert list(lines) == (folder / f"expected_{kind}ROC.txt").read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    "name", ["fy_CascadeCNN", "fy_MTCNN_20", "hl_predict", "im_JDA", "im_MTCNN", "im_jfda", "im_pyface", "qz_detect"]
)
def test_public_sets_are_byte_for_byte_official(shared, name):
    data = shared / "fddb"
    _, annotations = read_folds(data / "FDDB-folds")
    found = read_fddb_detections(data / "more" / "detections" / f"{name}.txt")
    roc = evaluate(annotations, found, read_sizes(data / "image_sizes.txt"), "official")
    for kind, lines in (("Disc", roc.disc_lines()), ("Cont", roc.cont_lines())):
        assert "".join(lines) == (data / "more" / "rebuilt_roc" / f"{name}_{kind}ROC.txt").read_text()


def test_corners_are_added_in_double_precision():
    """-51.87 + 98.37 is 46.5 in float64 and rounds to 46; in float32 it is 46.500004 and would round to 47."""
    row = np.array([[429.94, -51.87, 189.01, 98.37, 1]])
    assert rectangle_spans(row, (1000, 1000)).tolist() == [[430, 0, 620, 47]]  # the last row is 46


def test_boxes_of_negative_size_lie_between_their_corners_officially():
    row = np.array([[65, 60, -30, -40, 0.9]])
    assert rectangle_spans(row, (100, 80), either_corner_first=True).tolist() == [[35, 20, 66, 61]]
    face = {"a": np.array([[20, 15, np.pi / 2, 50, 40]])}
    assert list(evaluate(face, {"a": row}, {"a": (100, 80)}, "official").disc_lines()) == ["1 0 0.9\n"]
    assert list(evaluate(face, {"a": row}, {"a": (100, 80)}).disc_lines()) == ["0 1 0.9\n"]


def test_where_the_program_has_no_answer_the_best_matching_is_taken(monkeypatch, caplog):
    def none(worth):
        raise NoAssignmentError("prices stay as they are for ever")

    monkeypatch.setattr("gluon_mtcnn.tools.evaluate.fddb.official.kuhn", none)
    with caplog.at_level(logging.WARNING):
        assert _matched(np.array([[0.5, 0.75], [0.25, 0.625]])) == (1, 1.125)
    assert "has no answer for one image (prices stay as they are for ever)" in caplog.text
