"""The multi-task loss: which rows count, what they weigh, and their gradients."""

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.training.config import LossConfig, default_config
from gluon_mtcnn.core.training.loss import (
    MultiTaskLoss,
    RowWeights,
    kept_counts,
    read_tally,
)
from gluon_mtcnn.core.training.row_errors import RowErrors, RowLosses

SEANLINX = default_config("onet", "seanlinx").loss


def make_rows(n, seed=0, labels=(1, 0, -1, -2)):
    """Return label, bbox_target, landmark_target, logits, offsets, landmarks as float32 arrays of n rows."""
    rng = np.random.default_rng(seed)
    label = rng.choice(labels, n).astype(np.float32)
    shapes = ((n, 4), (n, 10), (n, 2), (n, 4), (n, 10))
    return [label, *(rng.normal(size=shape).astype(np.float32) for shape in shapes)]


def numpy_cross_entropy(label, logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    chosen = log_probability[np.arange(len(label)), (label == 1).astype(int)]
    return np.where(label >= 0, -chosen, 0)


def numpy_loss(config, label, bbox_target, landmark_target, logits, offsets, landmarks):
    """The whole loss in float64, written apart from the code under test."""
    logits, offsets, landmarks = (x.astype(np.float64) for x in (logits, offsets, landmarks))
    entropy = numpy_cross_entropy(label, logits)
    valid = np.flatnonzero(label >= 0)
    hardest = valid[np.argsort(-entropy[valid], kind="stable")][: int(config.ohem * len(valid))]

    def mean(errors, chosen):
        row = errors.sum(axis=1) if config.reduction == "sum" else errors.mean(axis=1) / 2
        return row[chosen].mean() if chosen.any() else 0.0

    terms = (
        entropy[hardest].mean() if len(hardest) else 0.0,
        mean((offsets - bbox_target) ** 2, np.abs(label) == 1),
        mean((landmarks - landmark_target) ** 2, label == -2),
    )
    return float(np.dot(config.weights, terms))


def gradients(config, arrays, splits=()):
    """Return the loss and its gradients with respect to the three outputs, over devices that share the rows."""
    shards = list(zip(*(np.split(a, splits) for a in arrays)))
    contexts = [mx.cpu(i) for i in range(len(shards))]
    on_device = [[mx.nd.array(a, ctx=c) for a in shard] for c, shard in zip(contexts, shards)]
    errors = RowErrors(config)
    for shard in on_device:
        for output in shard[3:]:
            output.attach_grad()
    with mx.autograd.record():
        losses = [errors(*shard) for shard in on_device]
    weights, loss, tally = RowWeights(config, True, contexts, len(arrays[0]))([s[0] for s in on_device], losses)
    mx.autograd.backward(losses, head_grads=weights)
    outputs = [np.concatenate([s[i].grad.asnumpy() for s in on_device]) for i in (3, 4, 5)]
    return loss.asscalar(), outputs, tally.asnumpy()


def test_kept_counts_are_exact_for_every_n():
    table = kept_counts(0.7, 5000)
    expected = [int(0.7 * i) for i in range(5001)]
    assert table.tolist() == expected
    float32 = np.floor(np.float32(0.7) * np.arange(5000, dtype=np.float32))
    assert int((float32 != expected[:5000]).sum()) == 70  # why there is a table
    on_device = mx.nd.take(mx.nd.array(table), mx.nd.arange(5001)).asnumpy()
    assert on_device.tolist() == expected


@pytest.mark.parametrize("n", [0, 1, 2, 3, 90, 170, 180, 384])
@pytest.mark.parametrize("tied", [False, True])
def test_exactly_k_rows_get_a_classification_gradient(n, tied):
    arrays = make_rows(n + 5, seed=n)
    arrays[0] = np.array([*([1, 0] * n)[:n], -1, -2, -1, -2, -1], np.float32)
    if tied:
        arrays[3][:] = 0
    _, (logits, _, _), _ = gradients(LossConfig(), arrays)
    assert int((np.abs(logits) > 0).any(axis=1).sum()) == int(0.7 * n)
    assert not logits[n:].any()


def test_the_hardest_rows_are_kept():
    arrays = make_rows(10, labels=(1,))
    arrays[3] = np.stack([np.arange(10.0), np.zeros(10)], axis=1).astype(np.float32)
    _, (logits, _, _), _ = gradients(LossConfig(), arrays)
    assert np.flatnonzero(logits.any(axis=1)).tolist() == list(range(3, 10))


@pytest.mark.parametrize(
    ("label", "terms"),
    [(1, (True, True, False)), (0, (True, False, False)), (-1, (False, True, False)), (-2, (False, False, True))],
)
def test_a_label_trains_its_own_terms_only(label, terms):
    _, outputs, _ = gradients(LossConfig(ohem=1.0), make_rows(6, labels=(label,)))
    assert tuple(bool(g.any()) for g in outputs) == terms


def test_row_errors_by_hand():
    arrays = [mx.nd.array(a) for a in ([1, -2, 0], np.zeros((3, 4)), np.zeros((3, 10)))]
    outputs = [mx.nd.zeros((3, 2)), mx.nd.ones((3, 4)) * 0.5, mx.nd.ones((3, 10)) * 2]
    summed = RowErrors(LossConfig())(*arrays, *outputs).asnumpy()
    np.testing.assert_allclose(summed, [[np.log(2), 1, 0], [0, 0, 40], [np.log(2), 0, 0]], rtol=1e-5)
    halved = RowErrors(SEANLINX)(*arrays, *outputs).asnumpy()
    np.testing.assert_allclose(halved, [[np.log(2), 0.125, 0], [0, 0, 2], [np.log(2), 0, 0]], rtol=1e-5)


def test_smooth_l1_is_quadratic_near_zero_and_linear_beyond():
    label, targets = mx.nd.array([1, 1]), (mx.nd.zeros((2, 4)), mx.nd.zeros((2, 10)))
    offsets = mx.nd.array([[0.1, 0, 0, 0], [1, 0, 0, 0]])
    errors = RowErrors(LossConfig(regression="smooth_l1"))(label, *targets, mx.nd.zeros((2, 2)), offsets).asnumpy()
    np.testing.assert_allclose(errors[:, 1], [9 * 0.1**2, 2 * (1 - 0.5 / 9)], rtol=1e-6)


@pytest.mark.parametrize("config", [LossConfig(), SEANLINX, LossConfig((1, 0.5, 1), ohem=1.0)])
def test_gradients_equal_finite_differences_of_the_formula(config):
    arrays = make_rows(40, seed=3)
    loss, outputs, _ = gradients(config, arrays)
    assert loss == pytest.approx(numpy_loss(config, *arrays), rel=1e-5)
    rng = np.random.default_rng(0)
    step = 1e-4
    for which, gradient in zip((3, 4, 5), outputs):
        for _ in range(40):
            place = tuple(rng.integers(0, size) for size in gradient.shape)
            shifted = []
            for sign in (1, -1):
                moved = [a.astype(np.float64) for a in arrays]
                moved[which][place] += sign * step
                shifted.append(numpy_loss(config, *moved))
            assert gradient[place] == pytest.approx((shifted[0] - shifted[1]) / (2 * step), abs=1e-6)


def test_seanlinx_gradients_equal_its_formula():
    arrays = make_rows(90, seed=1, labels=(1, 0, -1))
    label, bbox_target, _, logits, offsets, _ = arrays
    _, (logit_gradient, offset_gradient, _), _ = gradients(SEANLINX, arrays)
    entropy = numpy_cross_entropy(label, logits)
    valid = np.flatnonzero(label > -1)
    kept = valid[np.argsort(-entropy[valid])][: int(0.7 * len(valid))]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.zeros_like(logits)
    expected[kept] = (probability - np.eye(2)[(label == 1).astype(int)])[kept] / len(kept)
    np.testing.assert_allclose(logit_gradient, expected, atol=1e-7)
    box = (np.abs(label) == 1)[:, None]
    np.testing.assert_allclose(offset_gradient, box * (offsets - bbox_target) / 4 / box.sum(), atol=1e-7)


@pytest.mark.parametrize("splits", [(20,), (3, 33), (1, 2, 3)])
def test_devices_rank_and_normalise_together(splits):
    arrays = make_rows(40, seed=5)
    order = np.argsort(-arrays[0], kind="stable")  # unequal shares of every class
    arrays = [a[order] for a in arrays]
    loss, outputs, tally = gradients(LossConfig(), arrays)
    split_loss, split_outputs, split_tally = gradients(LossConfig(), arrays, splits)
    assert split_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(split_tally, tally, rtol=1e-6)
    for one, several in zip(outputs, split_outputs):
        np.testing.assert_allclose(several, one, atol=1e-7)


@pytest.mark.parametrize("labels", [(-1,), (-2,), (0,), (-3,)])
def test_a_batch_without_rows_for_a_term_is_finite(labels):
    arrays = make_rows(8, labels=labels)
    loss, outputs, _ = gradients(LossConfig(), arrays)
    assert np.isfinite(loss)
    assert all(np.isfinite(g).all() for g in outputs)
    if labels == (-3,):
        assert loss == 0
        assert not any(g.any() for g in outputs)


def test_tally_counts_hits_losses_and_rows():
    arrays = make_rows(6)
    arrays[0] = np.array([1, 1, 0, 0, -1, -2], np.float32)
    arrays[3] = np.array([[0, 2], [2, 0], [2, 0], [0, 0], [0, 0], [0, 0]], np.float32)
    _, _, tally = gradients(LossConfig(), arrays)
    figures = read_tally(tally)
    assert figures["accuracy_positive"] == 0.5
    assert figures["accuracy_negative"] == 0.5  # a tie is not a hit
    assert figures["log_loss"] == pytest.approx(numpy_cross_entropy(arrays[0], arrays[3])[:4].mean(), rel=1e-5)
    assert tally[5:].tolist() == [2, 2, 4, 3, 1]
    assert all(np.isnan(v) for v in read_tally(np.zeros(10)).values())


def test_without_a_landmark_head_no_row_counts_for_landmarks():
    label = mx.nd.array([-2, 1])
    weights, _, tally = RowWeights(LossConfig(), False, [mx.cpu()], 2)([label], [mx.nd.ones((2, 3))])
    assert weights[0][:, 2].asnumpy().tolist() == [0, 0]
    assert np.isnan(read_tally(tally.asnumpy())["landmark_loss"])


def test_counts_can_be_summed_over_workers():
    arrays = [mx.nd.array([1, 1, -1]), mx.nd.ones((3, 3))]
    alone = RowWeights(LossConfig(ohem=1.0), True, [mx.cpu()], 3)
    two = RowWeights(LossConfig(ohem=1.0), True, [mx.cpu()], 3, reduce_counts=lambda counts: counts * 2)
    one_weights, two_weights = (loss([arrays[0]], [arrays[1]])[0][0].asnumpy() for loss in (alone, two))
    np.testing.assert_allclose(two_weights * 2, one_weights)


def test_a_batch_beyond_the_table_is_refused():
    loss = RowWeights(LossConfig(), True, [mx.cpu()], 4)
    with pytest.raises(ValueError, match="a batch may have 5 rows, but got 6"):
        loss([mx.nd.ones(6)], [mx.nd.ones((6, 3))])


@pytest.mark.parametrize("spec", [NetSpec("pnet"), NetSpec("pnet", landmarks=True), NetSpec("rnet", landmarks=True)])
def test_hybridized_row_losses_equal_imperative_ones(spec):
    side = {"pnet": 12, "rnet": 24}[spec.kind]
    rng = np.random.default_rng(0)
    label, bbox_target, landmark_target, *_ = (mx.nd.array(a) for a in make_rows(9))
    pixels = mx.nd.array(rng.integers(0, 256, (9, 3, side, side)), dtype="uint8")
    targets = (bbox_target, landmark_target)[: 1 + spec.landmarks]
    net = build(spec)
    initialise(net)
    results = []
    for hybrid in (False, True):
        rows = RowLosses(net, LossConfig())
        rows.hybridize(active=hybrid, static_alloc=hybrid)
        with mx.autograd.record():
            losses = rows(pixels, label, *targets)
        mx.autograd.backward([losses], head_grads=[mx.nd.ones_like(losses)])
        grads = [p.grad().asnumpy() for p in net.collect_params().values()]
        results.append([losses.asnumpy(), *grads])
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ohem": 0.0}, "ohem must be in"),
        ({"ohem": 1.1}, "ohem must be in"),
        ({"weights": (1, 1)}, "weights must be three numbers"),
        ({"regression": "l3"}, "regression must be l2 or smooth_l1"),
        ({"reduction": "max"}, "reduction must be sum or half_mean"),
    ],
)
def test_bad_configuration(changes, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**changes)


@pytest.mark.parametrize("landmarks", [True, False])
@pytest.mark.parametrize(("net", "side"), {"pnet": 12, "rnet": 24, "onet": 48}.items())
def test_the_loss_of_a_hand_written_loop_has_the_trainers_gradients(net, side, landmarks):
    """One call and `backward` against the trainer's two phases, whatever the size of the batch."""
    config = default_config(net).loss
    built = build(NetSpec(net, landmarks=landmarks))
    initialise(built)
    loss, phases = MultiTaskLoss(config), RowLosses(built, config)
    for rows in (9, 30, 21):
        label, bbox_target, landmark_target, *_ = (mx.nd.array(a) for a in make_rows(rows, seed=rows))
        pixels = mx.nd.array(np.random.default_rng(rows).integers(0, 256, (rows, 3, side, side)), dtype="uint8")
        with mx.autograd.record():
            row_losses = phases(pixels, label, *(bbox_target, landmark_target)[: 1 + landmarks])
        weights, expected, _ = RowWeights(config, landmarks, [mx.cpu()], rows)([label], [row_losses])
        mx.autograd.backward([row_losses], head_grads=weights)
        gradients = [p.grad().asnumpy().copy() for p in built.collect_params().values()]
        with mx.autograd.record():
            got = loss(built((pixels.astype("float32") - 127.5) / 128), label, bbox_target, landmark_target)
        got.backward()
        assert got.shape == (1,)
        assert got.asscalar() == pytest.approx(expected.asscalar(), rel=1e-6)
        assert any(gradient.any() for gradient in gradients)
        for parameter, gradient in zip(built.collect_params().values(), gradients):
            np.testing.assert_allclose(parameter.grad().asnumpy(), gradient, atol=1e-6, err_msg=parameter.name)


def test_the_loss_equals_the_formula_and_hybridizes():
    arrays = make_rows(40, seed=3)
    label, bbox_target, landmark_target, *outputs = (mx.nd.array(a) for a in arrays)
    for config in (LossConfig(), SEANLINX, LossConfig((1, 0.5, 1), ohem=1.0, regression="smooth_l1")):
        loss = MultiTaskLoss(config)
        values = []
        for hybrid in (False, True):
            loss.hybridize(hybrid)
            values.append(loss(outputs, label, bbox_target, landmark_target).asscalar())
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        if config.regression == "l2":
            assert values[0] == pytest.approx(numpy_loss(config, *arrays), rel=1e-5)
    assert MultiTaskLoss()(outputs, label, bbox_target, landmark_target).asscalar() == pytest.approx(
        numpy_loss(LossConfig(), *arrays), rel=1e-5
    )


def test_the_loss_wants_landmark_targets_where_the_net_has_landmarks():
    label, bbox_target, _, *outputs = (mx.nd.array(a) for a in make_rows(5))
    with pytest.raises(ValueError, match="landmark_target is missing"):
        MultiTaskLoss()(outputs, label, bbox_target)
    assert np.isfinite(MultiTaskLoss()(outputs[:2], label, bbox_target).asscalar())
