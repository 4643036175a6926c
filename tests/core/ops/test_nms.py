import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.ops import nms as nms_module
from gluon_mtcnn.core.ops.boxes import area, intersection, iou
from gluon_mtcnn.core.ops.nms import legacy_order, neighbours, nms


def greedy(boxes, scores, threshold, mode):
    """The textbook loop, one box at a time."""
    order = list(np.argsort(-scores, kind="stable"))
    kept = []
    while order:
        best = order.pop(0)
        kept.append(best)
        shared = intersection(boxes[[best]], boxes[order])[0]
        areas = area(boxes[[best]])[0], area(boxes[order])
        over = shared / (areas[0] + areas[1] - shared if mode == "union" else np.minimum(*areas))
        order = [o for o, v in zip(order, over) if v <= threshold]
    return kept


def random_boxes(rng, n):
    corner = rng.uniform(0, 60, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 30, (n, 2))], axis=1)


def test_union_and_minimum_by_hand():
    # 10x10; shifted by 5 (IoU 1/3, of minimum 1/2); a 4x4 inside the first (IoU .16, of minimum 1)
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9], [2, 2, 5, 5]])
    scores = np.array([0.9, 0.8, 0.7])
    assert nms(boxes, scores, 0.3).tolist() == [0, 2]
    assert nms(boxes, scores, 0.5).tolist() == [0, 1, 2]
    assert nms(boxes, scores, 0.5, "minimum").tolist() == [0, 1]


def test_equal_to_the_threshold_stays():
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9]])
    assert nms(boxes.astype(np.float64), np.array([2, 1]), 50 / 150).tolist() == [0, 1]


def test_a_chain_keeps_every_second_box():
    boxes = np.array([[4 * i, 0, 4 * i + 9, 9] for i in range(40)])  # neighbours: IoU 60/140
    assert nms(boxes, -np.arange(40), 0.3).tolist() == list(range(0, 40, 2))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["union", "minimum"]), st.sampled_from([0.3, 0.5, 0.7]))
def test_equals_the_greedy_loop_across_blocks(seed, mode, threshold):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, int(rng.integers(0, 120)))
    scores = rng.choice(np.linspace(0, 1, 30), len(boxes))
    block, nms_module.BLOCK = nms_module.BLOCK, 16
    try:
        assert nms(boxes, scores, threshold, mode).tolist() == greedy(boxes, scores, threshold, mode)
    finally:
        nms_module.BLOCK = block


def test_empty_and_bad_mode():
    assert nms(np.zeros((0, 4)), np.zeros(0), 0.5).shape == (0,)
    with pytest.raises(ValueError, match="'union' or 'minimum', but got 'mean'"):
        nms(np.zeros((0, 4)), np.zeros(0), 0.5, "mean")


def test_legacy_order_is_argsort_where_scores_differ():
    scores = np.random.default_rng(0).permutation(200) / 200
    np.testing.assert_array_equal(legacy_order(scores), scores.argsort()[::-1])
    assert legacy_order(np.zeros(0)).shape == (0,)


PORTABLE_ARGSORT = """
import numpy as np
from gluon_mtcnn.core.ops.nms import legacy_order
rng = np.random.default_rng(5)
for _ in range(400):
    scores = rng.integers(0, rng.integers(1, 60), rng.integers(0, 300)) / 7
    assert np.array_equal(scores.argsort()[::-1], legacy_order(scores)), len(scores)
print("equal")
"""


def test_legacy_order_is_numpys_portable_quicksort(checkout):
    """numpy without its vector instructions still sorts as the numpy of the original's time did."""
    off = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": off, "PYTHONPATH": str(checkout)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PORTABLE_ARGSORT], env=environment, capture_output=True, text=True
    )
    assert result.stdout == "equal\n", result.stderr


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_neighbours_are_those_of_all_pairs(monkeypatch, block):
    monkeypatch.setattr(nms_module, "BLOCK", block)
    boxes = random_boxes(np.random.default_rng(0), 60)
    wanted = np.clip((iou(boxes, boxes) - 0.2) / 0.5, 0, 1).sum(axis=1)
    assert wanted.max() > 3
    np.testing.assert_allclose(neighbours(boxes, 0.2, 0.7), wanted)
