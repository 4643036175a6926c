"""Mixed precision. MXNet's CPUs know bfloat16, not float16, so the graph is run with that; it has the same casts."""

from dataclasses import replace

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.initialise import fresh_net
from gluon_mtcnn.core.nets.mtcnn import prepare_for_training
from gluon_mtcnn.core.training.amp import FIRST_SCALE, LARGEST_SCALE, STEPS_TO_DOUBLE, LossScale, check_devices
from gluon_mtcnn.core.training.config import LossConfig, default_config
from gluon_mtcnn.core.training.learner import Learner
from gluon_mtcnn.core.training.loader import Batch
from gluon_mtcnn.core.training.row_errors import RowLosses

SIZES = {"pnet": 12, "rnet": 24}


def make_batch(size, seed, rows=60):
    rng = np.random.default_rng(seed)
    label = rng.choice([1, 0, -1, -2], rows, p=[0.25, 0.45, 0.15, 0.15]).astype(np.float32)
    data = rng.integers(0, 255, (rows, 3, size, size), dtype=np.uint8)
    targets = rng.uniform(-0.2, 0.2, (rows, 14)).astype(np.float32)
    return Batch(data, label, targets[:, :4], targets[:, 4:], np.arange(rows))


def make_learner(net="pnet", devices=1, **changes):
    config = default_config(net, landmarks=True, optimizer="sgd", batch_size=60, **changes)
    return Learner(fresh_net(net, True, "default", 0), config, [mx.cpu(i) for i in range(devices)])


def prepare(net):
    prepare_for_training(net)
    return net


def weights(learner):
    return {name: array for name, array in learner.state()[0].items() if name.startswith("weight/")}


@pytest.mark.parametrize(("net", "devices"), [("pnet", 1), ("pnet", 2), ("rnet", 1)])
def test_training_is_that_of_float32_but_for_rounding(net, devices):
    half, full = make_learner(net, devices, amp="bfloat16"), make_learner(net)
    start = weights(full)
    for seed in range(10):
        batch = make_batch(SIZES[net], seed)
        losses = [learner.step(learner.place(batch), 0.003).asscalar() for learner in (half, full)]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)
        assert losses[0] != losses[1]
    moved = {name: np.linalg.norm(array - start[name]) for name, array in weights(full).items()}
    for name, array in weights(half).items():
        assert array.dtype == np.float32
        assert np.linalg.norm(array - weights(full)[name]) < 0.2 * moved[name], name


def test_which_operators_are_cast():
    """float16 cannot run here, but its graph can be built: 16 bits into convolutions, 32 into everything else."""
    block = RowLosses(prepare(fresh_net("rnet", True, "default", 0)), LossConfig(), "float16")
    names = ("pixels", "label", "bbox_target", "landmark_target")
    inside = block(*(mx.sym.var(name) for name in names)).get_internals()
    inputs = {"pixels": np.uint8, **dict.fromkeys(names[1:], np.float32)}
    types = dict(zip(inside.list_outputs(), inside.infer_type(**inputs)[1]))
    assert len([name for name in types if name.endswith("_fwd_output") and "pool" not in name]) == 3 + 1 + 3
    for name, kind in types.items():
        if name.endswith("_fwd_output"):
            assert kind == np.float16, name
        elif not name.endswith("float16_output") and ("_dot" in name or "rowerrors" in name or "stage" not in name):
            assert kind == inputs.get(name, np.float32), name
    assert {np.dtype(p.dtype) for p in block.collect_params().values()} == {np.dtype(np.float32)}


def test_float16_needs_a_gpu():
    with pytest.raises(InputError, match="amp: MXNet computes with float16 on GPUs only"):
        make_learner(amp="float16")
    check_devices("float16", [mx.gpu(0), mx.gpu(1)])


def test_an_overflow_leaves_the_step_out():
    learner = make_learner(amp="bfloat16")
    batch = make_batch(12, 0)
    learner.step(learner.place(batch), 0.003)
    before, _ = learner.state()
    learner._scale.value = 1e30
    learner.step(learner.place(replace(batch, bbox_target=batch.bbox_target + 1e10)), 0.003)
    after, _ = learner.state()
    for name in weights(learner):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert learner._scale.value == 5e29


def test_the_scale():
    good, bad = [mx.nd.ones(3), mx.nd.zeros((2, 2))], [mx.nd.ones(3), mx.nd.array([1, np.inf])]
    scale = LossScale()
    assert scale.check(good)
    assert (scale.value, scale.steps) == (FIRST_SCALE, 1)
    assert not scale.check(bad)
    assert not scale.check([mx.nd.array([np.nan])])
    assert (scale.value, scale.steps) == (FIRST_SCALE / 4, 0)
    scale.steps = STEPS_TO_DOUBLE - 1
    assert scale.check(good)
    assert (scale.value, scale.steps) == (FIRST_SCALE / 2, 0)
    scale.value, scale.steps = LARGEST_SCALE, STEPS_TO_DOUBLE - 1
    scale.check(good)
    assert scale.value == LARGEST_SCALE


def test_resuming_keeps_the_scale():
    one, other = make_learner(amp="bfloat16"), make_learner(amp="bfloat16")
    one.step(one.place(make_batch(12, 0)), 0.003)
    one._scale.value = 128.0
    other.load_state(*one.state())
    assert (other._scale.value, other._scale.steps) == (128.0, 1)
    for learner in (one, other):
        learner.step(learner.place(make_batch(12, 1)), 0.003)
    for name, array in one.state()[0].items():
        np.testing.assert_array_equal(other.state()[0][name], array, err_msg=name)
