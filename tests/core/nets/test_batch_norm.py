"""Batch normalisation: begun as the same function, measured over whole batches, folded away."""

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.batch_norm import EPSILON, attach, attached, folded, measure
from gluon_mtcnn.core.nets.mtcnn import FromPixels, NetSpec, build, initialise

SPECS = [
    NetSpec("pnet"),
    NetSpec("pnet", cell=20),
    NetSpec("rnet", order="prelu_first"),
    NetSpec("onet", landmarks=True, pooling="valid"),
]


def make(spec):
    net = build(spec)
    initialise(net, seed=1)
    return net


def make_pixels(spec, count=24, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, spec.size, spec.size))
    return mx.nd.array(images // (1 + seed), dtype="uint8")


def shake(net):
    """Give the normalisations scales and shifts of a net that has learned."""
    rng = np.random.default_rng(2)
    for stage in net.body.values():
        stage.norm.gamma.set_data(mx.nd.array(rng.uniform(0.5, 2, stage.norm.gamma.shape)))
        stage.norm.beta.set_data(mx.nd.array(rng.normal(size=stage.norm.beta.shape)))


def outputs(net, pixels, training=False):
    with mx.autograd.train_mode() if training else mx.autograd.predict_mode():
        return [output.asnumpy() for output in FromPixels(net)(pixels)]


def check_equal(some, others, atol=1e-5):
    for one, other in zip(some, others):
        np.testing.assert_allclose(one, other, atol=atol)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_it_begins_as_the_same_function(spec):
    net, pixels = make(spec), make_pixels(spec)
    before = outputs(net, pixels)
    attach(net, pixels)
    assert attached(net)
    check_equal(outputs(net, pixels), before)
    check_equal(outputs(net, pixels, training=True), before)
    other = make_pixels(spec, seed=3)
    check_equal(outputs(net, other), outputs(make(spec), other))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_measured_it_does_what_it_did_in_the_step(spec):
    net, pixels = make(spec), make_pixels(spec)
    attach(net)
    shake(net)
    before = outputs(net, pixels)
    measure(net, [pixels])
    trained = outputs(net, pixels, training=True)
    check_equal(outputs(net, pixels), trained)
    assert max(np.abs(a - b).max() for a, b in zip(before, trained)) > 0.01


def test_two_batches_are_measured_as_one():
    """The variance of all is that within the batches and that between them; the second batch is far darker."""
    spec = SPECS[0]
    net, batches = make(spec), [make_pixels(spec), make_pixels(spec, seed=3)]
    attach(net)
    measure(net, batches)
    seen = np.concatenate([b.asnumpy() for b in batches]).astype(np.float32)
    result = net.stage1.conv(mx.nd.array((seen - 127.5) / 128)).asnumpy()
    np.testing.assert_allclose(net.stage1.norm.running_mean.data().asnumpy(), result.mean((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(net.stage1.norm.running_var.data().asnumpy(), result.var((0, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_folded_it_is_an_ordinary_net(spec):
    net, pixels = make(spec), make_pixels(spec)
    attach(net)
    shake(net)
    measure(net, [pixels])
    plain = folded(net)
    assert not attached(plain)
    assert plain.spec == spec
    assert plain._collect_params_with_prefix().keys() == make(spec)._collect_params_with_prefix().keys()
    check_equal(outputs(plain, pixels), outputs(net, pixels))
    assert folded(plain) is plain


def test_folding_by_hand():
    """Weight 3, bias 2, mean 5, deviation 2, scale 4, shift 1: 3 x + 2 becomes (3 x + 2 - 5) / 2 * 4 + 1 = 6 x - 5."""
    net = make(SPECS[0])
    attach(net)
    norm, conv = net.stage1.norm, net.stage1.conv
    for parameter, value in (
        (conv.weight, 3),
        (conv.bias, 2),
        (norm.running_mean, 5),
        (norm.running_var, 4 - EPSILON),
        (norm.gamma, 4),
        (norm.beta, 1),
    ):
        parameter.set_data(mx.nd.full(parameter.shape, value))
    plain = folded(net)
    np.testing.assert_allclose(plain.stage1.conv.weight.data().asnumpy(), 6, rtol=1e-6)
    np.testing.assert_allclose(plain.stage1.conv.bias.data().asnumpy(), -5, rtol=1e-6)
    assert (conv.weight.data().asnumpy() == 3).all()


def test_folding_leaves_no_denormals():
    net = make(SPECS[0])
    attach(net)
    net.stage1.conv.weight.set_data(mx.nd.full(net.stage1.conv.weight.shape, 1e-30))
    net.stage1.norm.gamma.set_data(mx.nd.full(net.stage1.norm.gamma.shape, 1e-10))
    assert (folded(net).stage1.conv.weight.data().asnumpy() == 0).all()
