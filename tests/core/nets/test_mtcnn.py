import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.mtcnn import FromPixels, NetSpec, PReLU, build, clamp_slopes, initialise
from gluon_mtcnn.core.types import INPUT_SIZE

HYBRID_MODES = [
    pytest.param(None, id="imperative"),
    pytest.param({}, id="hybrid"),
    pytest.param({"static_alloc": True}, id="static_alloc"),
    pytest.param({"static_alloc": True, "static_shape": True}, id="static_shape"),
    pytest.param({"inline_limit": 0}, id="no inlining"),
]
ORDERS = ["prelu_first", "pool_first"]


def slope_gradient(activation, mode):
    """d(sum y^2)/d(alpha) of conv - activation - conv."""
    mx.random.seed(0)
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(8, 3, in_channels=3), activation, mx.gluon.nn.Conv2D(4, 3, in_channels=8))
    net.initialize(mx.init.Xavier())
    activation.alpha.set_data(mx.nd.array(np.linspace(-0.5, 0.75, 8)))
    if mode is not None:
        net.hybridize(**mode)
    x = mx.nd.random.normal(shape=(4, 3, 12, 12))
    with mx.autograd.record():
        loss = (net(x) ** 2).sum()
    loss.backward()
    return activation.alpha.grad().asnumpy(), float(loss.asscalar())


def numeric_slope_gradient(channel, step=1e-2):
    def loss(delta):
        activation = PReLU(8)
        mx.random.seed(0)
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Conv2D(8, 3, in_channels=3), activation, mx.gluon.nn.Conv2D(4, 3, in_channels=8))
        net.initialize(mx.init.Xavier())
        alpha = np.linspace(-0.5, 0.75, 8)
        alpha[channel] += delta
        activation.alpha.set_data(mx.nd.array(alpha))
        return float((net(mx.nd.random.normal(shape=(4, 3, 12, 12))) ** 2).sum().asscalar())

    return (loss(step) - loss(-step)) / (2 * step)


def stock():
    return mx.gluon.nn.PReLU(in_channels=8)


@pytest.mark.parametrize("mode", HYBRID_MODES)
def test_our_slope_gradient_is_right_in_every_mode(mode):
    truth, _ = slope_gradient(stock(), None)  # the stock block is right imperatively
    got, _ = slope_gradient(PReLU(8), mode)
    np.testing.assert_allclose(got, truth, rtol=1e-4, atol=1e-4)
    assert got[1] == pytest.approx(numeric_slope_gradient(1), rel=1e-2)


@pytest.mark.parametrize("mode", HYBRID_MODES[1:])
def test_the_stock_block_is_wrong_when_hybridized(mode):
    """The defect of MXNet 1.9.1 that PReLU works around: where this fails, MXNet has mended it."""
    truth, loss = slope_gradient(stock(), None)
    got, same_loss = slope_gradient(stock(), mode)
    assert same_loss == pytest.approx(loss, rel=1e-5)
    slopes = np.linspace(-0.5, 0.75, 8)
    np.testing.assert_allclose(got, truth * slopes, rtol=1e-3, atol=1e-3)
    assert not np.allclose(got, truth, rtol=0.1)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
def test_prelu_is_exact_for_any_slope(shape):
    block = PReLU(3, spatial=len(shape) == 4)
    block.initialize()
    slopes = np.array([-1.5, 0, 0.25], np.float32)
    block.alpha.set_data(mx.nd.array(slopes))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    broadcast = slopes.reshape(1, 3, *[1] * (len(shape) - 2))
    np.testing.assert_allclose(block(mx.nd.array(x)).asnumpy(), np.where(x > 0, x, broadcast * x), rtol=1e-6)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("kind", INPUT_SIZE)
@pytest.mark.parametrize("pooling", ["full", "valid"])
def test_output_shapes(kind, landmarks, pooling):
    net = build(NetSpec(kind, landmarks, pooling))
    initialise(net)
    size = INPUT_SIZE[kind]
    outputs = net(mx.nd.zeros((2, 3, size, size)))
    spatial = (1, 1) if kind == "pnet" else ()
    assert [o.shape for o in outputs] == [(2, n, *spatial) for n in (2, 4, 10)[: 3 if landmarks else 2]]


def test_fully_convolutional_equals_cell_by_cell():
    net = build(NetSpec("pnet"))
    initialise(net, seed=3)
    x = mx.nd.random.normal(shape=(1, 3, 20, 26))
    whole = net(x)[0].asnumpy()
    assert whole.shape == (1, 2, 5, 8)
    cell = net(x[:, :, 4:16, 6:18])[0].asnumpy()
    np.testing.assert_allclose(whole[:, :, 2, 3], cell[:, :, 0, 0], atol=1e-6)


@pytest.mark.parametrize("kind", INPUT_SIZE)
def test_both_orders_agree_where_slopes_are_not_negative(kind):
    nets = [build(NetSpec(kind, order=order)) for order in ORDERS]
    for net in nets:
        initialise(net, seed=1)
    x = mx.nd.random.normal(shape=(2, 3, INPUT_SIZE[kind], INPUT_SIZE[kind]))
    for a, b in zip(nets[0](x), nets[1](x)):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=1e-6)


def test_clamp_moves_only_slopes_before_a_pool():
    net = build(NetSpec("rnet"))
    initialise(net)
    for stage in (net.stage1, net.stage3):
        stage.prelu.alpha.set_data(mx.nd.full(stage.prelu.alpha.shape, -0.1))
    clamp_slopes(net)
    assert (net.stage1.prelu.alpha.data().asnumpy() == 0).all()
    np.testing.assert_allclose(net.stage3.prelu.alpha.data().asnumpy(), -0.1)
    legacy = build(NetSpec("rnet", order="prelu_first"))
    initialise(legacy)
    legacy.stage1.prelu.alpha.set_data(mx.nd.full((28,), -0.1))
    clamp_slopes(legacy)
    np.testing.assert_allclose(legacy.stage1.prelu.alpha.data().asnumpy(), -0.1)


def test_initialisation_depends_on_the_seed_alone():
    def weights(seed):
        net = build(NetSpec("onet", landmarks=True))
        mx.nd.random.normal(shape=(3,)).wait_to_read()  # draws before must not matter
        initialise(net, seed=seed)
        return np.concatenate([p.data().asnumpy().ravel() for p in net.collect_params().values()])

    first = weights(7)
    np.testing.assert_array_equal(first, weights(7))
    assert not np.array_equal(first, weights(8))


@pytest.mark.parametrize("channels_last", [False, True])
def test_from_pixels_normalises_and_gives_the_face_probability(channels_last):
    net = build(NetSpec("rnet"))
    initialise(net)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 24, 24), np.uint8)
    logits, offsets = net((mx.nd.array(pixels) - 127.5) / 128)
    wanted = mx.nd.softmax(logits, axis=1).asnumpy()[:, 1]
    block = FromPixels(net, channels_last=channels_last, probability=True)
    block.hybridize()
    fed = pixels.transpose(0, 2, 3, 1) if channels_last else pixels
    got = block(mx.nd.array(fed, dtype=np.uint8))
    np.testing.assert_allclose(got[0].asnumpy(), wanted, atol=1e-6)
    np.testing.assert_allclose(got[1].asnumpy(), offsets.asnumpy(), atol=1e-5)


def test_a_bad_spec_names_what_is_allowed():
    with pytest.raises(ValueError, match="pooling must be one of full, valid, but got 'same'"):
        NetSpec("pnet", pooling="same")
