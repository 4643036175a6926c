import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.mtcnn import FromPixels, NetSpec, build, initialise
from gluon_mtcnn.core.nets.onnx_graph import build_onnx, import_onnx
from gluon_mtcnn.core.ops import image
from gluon_mtcnn.core.types import INPUT_SIZE

onnxruntime = pytest.importorskip("onnxruntime")
CHOICES = [
    pytest.param(kind, landmarks, pooling, order, id=f"{kind}-{pooling}-{order}{'-landmarks' if landmarks else ''}")
    for kind in INPUT_SIZE
    for landmarks in (False, True)
    for pooling in ("full", "valid")
    for order in ("prelu_first", "pool_first")
]


def random_net(kind, landmarks=False, pooling="full", order="prelu_first"):
    """A net with slopes of both signs, biases other than zero and heads that saturate nothing."""
    net = build(NetSpec(kind, landmarks, pooling, order))
    initialise(net, seed=3)
    mx.random.seed(5)
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("alpha", "bias")):
            parameter.set_data(mx.nd.random.uniform(-0.5, 0.5, shape=parameter.shape))
    return net


def expected_outputs(net, x):
    logits, *others = net(mx.nd.array(x))
    return [mx.nd.softmax(logits, axis=1).asnumpy(), *(other.asnumpy() for other in others)]


def inputs(kind):
    rng = np.random.default_rng(0)
    sizes = [(1, 12, 12), (2, 31, 44), (1, 50, 13)] if kind == "pnet" else [(1, *[INPUT_SIZE[kind]] * 2)] * 2
    return [rng.uniform(-1, 1, (n, 3, h, w)).astype(np.float32) for n, h, w in sizes]


def assert_close(got, expected):
    assert [a.shape for a in got] == [a.shape for a in expected]
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "landmarks", "pooling", "order"), CHOICES)
def test_onnxruntime_and_opencv_give_what_the_net_gives(kind, landmarks, pooling, order):
    net = random_net(kind, landmarks, pooling, order)
    model = build_onnx(net)
    names = ["probability", "offsets", "landmarks"][: 2 + landmarks]
    assert [output.name for output in model.graph.output] == names
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    reader = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    for x in (*inputs(kind), np.concatenate([inputs(kind)[0]] * 5)):
        expected = expected_outputs(net, x)
        assert_close(session.run(names, {"data": x}), expected)
        reader.setInput(x)
        assert_close(reader.forward(names), expected)


def test_pixels_are_normalised_in_the_graph():
    net = random_net("pnet", landmarks=True)
    model = build_onnx(net, pixels=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(1).integers(0, 256, (2, 20, 33, 3), dtype=np.uint8)
    got = session.run(None, {"data": pixels})
    assert_close(got, expected_outputs(net, image.normalise(pixels)))
    assert_close([got[0][:, 1]], [FromPixels(net, True, True)(mx.nd.array(pixels, dtype=np.uint8))[0].asnumpy()])


def test_opencv_on_a_photo_as_documented():
    net = random_net("pnet")
    photo = np.random.default_rng(1).integers(0, 256, (20, 33, 3), dtype=np.uint8)
    reader = cv2.dnn.readNetFromONNX(np.frombuffer(build_onnx(net).SerializeToString(), np.uint8))
    reader.setInput(cv2.dnn.blobFromImage(photo, 1 / 128, mean=(127.5, 127.5, 127.5)))
    got = reader.forward(["probability", "offsets"])
    assert_close(got, expected_outputs(net, image.normalise(photo[None])))


def test_the_graph_is_plain_and_repeatable():
    model = build_onnx(random_net("rnet", order="pool_first"))
    assert [node.op_type for node in model.graph.node] == [
        *["Conv", "MaxPool", "PRelu"] * 2,
        *["Conv", "PRelu", "Flatten", "Gemm", "PRelu", "Gemm", "Softmax", "Gemm"],
    ]
    slopes = {w.name: list(w.dims) for w in model.graph.initializer if w.name.endswith("slope")}
    assert slopes == {
        "stage1.prelu.slope": [28, 1, 1],
        "stage2.prelu.slope": [48, 1, 1],
        "stage3.prelu.slope": [64, 1, 1],
        "fc.prelu.slope": [128],
    }
    assert [entry.name for entry in model.graph.input] == ["data"]
    assert (model.ir_version, model.opset_import[0].version) == (8, 13)
    assert {prop.key: prop.value for prop in model.metadata_props}["color"] == "bgr"
    assert model.SerializeToString() == build_onnx(random_net("rnet", order="pool_first")).SerializeToString()


def test_without_onnx_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'gluon-mtcnn\[onnx\]'"):
        import_onnx()
