import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.detection.engine_base import face_probability
from gluon_mtcnn.core.detection.engine_mxnet import MxnetEngine
from gluon_mtcnn.core.detection.engine_onnx import OnnxEngine
from gluon_mtcnn.core.detection.folding import LANES, fold
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.mtcnn import NetSpec, PReLU, build, initialise
from gluon_mtcnn.core.ops.image import normalise
from gluon_mtcnn.core.types import INPUT_SIZE, NETS


def net_of(kind, seed=0, **options):
    """A net whose slopes are negative, between 0 and 1, and above 1."""
    net = build(NetSpec(kind, **options))
    initialise(net, seed=seed)
    rng = np.random.default_rng(seed)

    def bend(block):
        if isinstance(block, PReLU):
            block.alpha.set_data(mx.nd.array(rng.uniform(-1.2, 2, block.alpha.shape)))

    net.apply(bend)
    for parameter in net.collect_params(".*bias").values():
        parameter.set_data(mx.nd.array(rng.normal(0, 0.1, parameter.shape)))
    return net


def expected(net, pixels):
    logits, *others = (output.asnumpy() for output in net(mx.nd.array(normalise(pixels))))
    return np.concatenate([logits[:, 1:] - logits[:, :1], *others], axis=1)


@pytest.mark.parametrize("engine", [MxnetEngine, OnnxEngine])
@pytest.mark.parametrize("pooling", ["full", "valid"])
@pytest.mark.parametrize("order", ["prelu_first", "pool_first"])
@pytest.mark.parametrize("kind", NETS)
def test_a_folded_net_is_the_same_function_for_any_slopes(engine, kind, order, pooling):
    net = net_of(kind, landmarks=True, pooling=pooling, order=order)
    side = (31, 40) if kind == "pnet" else (INPUT_SIZE[kind],) * 2
    pixels = np.random.default_rng(1).integers(0, 256, (1 if kind == "pnet" else 4, *side, 3), np.uint8)
    wanted = expected(net, pixels)
    channels = 4 if kind == "pnet" else 3
    runner = engine(Model(nets={kind: net}))._runner(kind, (len(pixels), channels, *side))
    runner.input[:, :3] = pixels.transpose(0, 3, 1, 2)
    got = runner.run()
    count = 5 if kind == "pnet" else 15  # what the detector asks of it
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(got[:, :count], wanted[:, :count], rtol=0, atol=3e-6 * max(1, scale))


def test_channels_are_filled_up_and_the_head_may_be():
    net = net_of("pnet")
    layers = fold(net, outside=True, head_lanes=LANES)
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    assert all(len(layer.weight) % LANES == 0 for layer in convolutions)
    assert layers[0].weight.shape[1] == 4
    assert len(fold(net)[-1].weight) == 5
    assert not layers[-1].weight[5:].any()


def test_places_outside_never_win_a_pool():
    """An odd image beside rubbish in a canvas gives what it gives alone, although its last pools are half outside."""
    net = net_of("pnet", pooling="full", order="prelu_first")
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (1, 27, 33, 3), np.uint8)
    wanted = expected(net, pixels)[0]
    for engine in (MxnetEngine, OnnxEngine):
        runner = engine(Model(nets={"pnet": net}))._runner("pnet", (1, 4, 64, 192))
        runner.input[:, :3] = rng.integers(0, 256, (3, 64, 192))
        runner.input[:, 3] = 1
        runner.input[0, :3, :27, :33] = pixels[0].transpose(2, 0, 1)
        runner.input[0, 3, :27, :33] = 0
        got = runner.run()[0, :5, : wanted.shape[1], : wanted.shape[2]]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


def test_face_probability_is_the_softmax_and_saturates():
    logits = np.array([-200, -1, 0, 1, 30], np.float32)
    wanted = 1 / (1 + np.exp(-logits.astype(np.float64)))
    got = face_probability(logits)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-38)
    assert got[-1] == 1
