"""Levels in windows and batches that are filled up give what whole levels and batches give, in few shapes."""

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.official import load_mxnet_det
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.detection.official_nets import BATCHES, MOST_SHAPES, SIDES, OfficialNets, spans
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.ops.image import normalise
from gluon_mtcnn.core.types import INPUT_SIZE, NETS


def random_nets(pooling="full", order="prelu_first"):
    """Nets with slopes of both signs, so that what a pool sees beyond the image would tell."""
    nets = {kind: build(NetSpec(kind, kind == "onet", pooling, order)) for kind in NETS}
    for seed, net in enumerate(nets.values()):
        initialise(net, seed=seed)
        for parameter in net.slopes_before_pool():
            slopes = np.random.default_rng(seed).uniform(-1, 1, parameter.shape)
            parameter.set_data(mx.nd.array(slopes if order == "prelu_first" else abs(slopes)))
    return nets


def pixels(*shape):
    return np.random.default_rng(sum(shape)).uniform(0, 255, (*shape, 3)).astype(np.float32)


def whole(net, images):
    """What the net returns for all at once: probability of a face, offsets, points."""
    logits, *others = net(mx.nd.array(normalise(images)))
    return [mx.nd.softmax(logits, axis=1)[:, 1].asnumpy(), *(other.asnumpy() for other in others)]


@pytest.mark.parametrize(("pooling", "order"), [("full", "prelu_first"), ("valid", "pool_first")])
@pytest.mark.parametrize(
    "sides", [(12, 12), (13, 12), (14, 31), (33, 32), (65, 63), (256, 257), (258, 259), (247, 503), (800, 19)]
)
def test_a_level_in_windows_is_the_whole_level(pooling, order, sides):
    nets = random_nets(pooling, order)
    image = pixels(*sides)
    probability, offsets = OfficialNets(nets).level(image)
    wanted = whole(nets["pnet"], image[None])
    np.testing.assert_allclose(probability, wanted[0][0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(offsets, wanted[1][0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["rnet", "onet"])
@pytest.mark.parametrize("count", [1, 5, 15, 16, 17, 49, 300])
def test_a_batch_that_is_filled_up_is_the_batch(kind, count):
    nets = random_nets()
    images = pixels(count, INPUT_SIZE[kind], INPUT_SIZE[kind])
    found, wanted = OfficialNets(nets).batch(kind, images), whole(nets[kind], images)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_spans_hold_every_cell_once():
    for side in range(12, 1200):
        for ceil in (True, False):
            parts = list(spans(side))
            assert sum(part.cells(ceil) for part in parts) == (side - 12 + ceil) // 2 + 1
            assert parts[-1].start + parts[-1].length == side
            assert all(a.start + 2 * a.cells(ceil) == b.start for a, b in zip(parts, parts[1:]))
            assert all(part.length <= part.window and part.window in SIDES for part in parts)


def test_levels_and_batches_of_all_sizes_meet_few_shapes():
    """MXNet keeps what it compiled for a shape for ever: their number bounds the memory."""
    nets, rng = OfficialNets(random_nets()), np.random.default_rng(0)
    for height, width in rng.integers(12, 400, (40, 2)):
        nets.level(pixels(height, width))
    for count in (*range(1, 40, 3), 300):
        nets.batch("rnet", pixels(count, 24, 24))
    assert {side for kind, shape in nets.shapes if kind == "pnet" for side in shape[2:]} == set(SIDES)
    assert {shape[0] for kind, shape in nets.shapes if kind == "rnet"} <= set(BATCHES)
    assert MOST_SHAPES == 25 + 2 * 24


def test_the_cascade_runs_its_nets_so():
    detector = Detector(Model(nets=random_nets(), thresholds=(0.49, 0.49, 0.49)), compat="official", min_face=24)
    detector.detect(pixels(40, 47).astype(np.uint8))
    assert {kind for kind, _ in detector._cascade.nets.shapes} == set(NETS)


@pytest.mark.slow
def test_memory_stays_flat_over_images_of_random_sizes(shared):
    from gluon_mtcnn.tools.benchmark.measure import anonymous_bytes

    detector = Detector(load_mxnet_det(shared / "official_mxnet"), compat="official")
    photo = cv2.imread(str(shared / "seanlinx" / "test01.jpg"))
    rng, peaks = np.random.default_rng(0), [0, 0]
    for i in range(600):
        detector.detect(cv2.resize(photo, rng.integers(40, 901, 2).tolist()))
        peaks[i >= 200] = max(peaks[i >= 200], anonymous_bytes())
    assert peaks[1] < 1.07 * peaks[0]
