import ctypes
import json

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.export import export_onnx, export_seanlinx, export_symbol
from gluon_mtcnn.core.convert.official import load_caffe
from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, clamp_slopes, initialise
from gluon_mtcnn.core.nets.params_file import write_params_of_2016
from gluon_mtcnn.core.types import INPUT_SIZE, NETS

SHAPES = {"pnet": (2, 3, 21, 34), "rnet": (3, 3, 24, 24), "onet": (3, 3, 48, 48)}


def random_model(landmarks=True, pooling="full", order="prelu_first"):
    """Three nets with slopes of both signs, those before a pool-first net's pools aside."""
    nets = {}
    for seed, kind in enumerate(NETS):
        net = build(NetSpec(kind, landmarks, pooling, order))
        initialise(net, seed=seed)
        mx.random.seed(seed)
        for name, parameter in net._collect_params_with_prefix().items():
            if name.endswith(("alpha", "bias")):
                parameter.set_data(mx.nd.random.uniform(-0.5, 0.5, shape=parameter.shape))
        clamp_slopes(net)
        nets[kind] = net
    return Model(nets, path="the model")


def batch(kind):
    return np.random.default_rng(4).uniform(-1, 1, SHAPES[kind]).astype(np.float32)


def outputs(net, x):
    logits, *others = net(mx.nd.array(x))
    return [mx.nd.softmax(logits, axis=1).asnumpy(), *(other.asnumpy() for other in others)]


def assert_close(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def bound_outputs(prefix, epoch, x):
    """Load as Seanlinx's Detector does: bind the symbol, then copy parameters, of which none may be left over."""
    symbol, arrays, states = mx.model.load_checkpoint(str(prefix), epoch)
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
    executor.copy_params_from(arrays, states)
    return [output.asnumpy() for output in executor.forward(is_train=False, data=mx.nd.array(x))]


@pytest.mark.parametrize("order", ["prelu_first", "pool_first"])
@pytest.mark.parametrize("pooling", ["full", "valid"])
def test_seanlinx_checkpoints_come_back_and_work(tmp_path, pooling, order):
    model = random_model(False, pooling, order)
    paths = export_seanlinx(model, tmp_path / "s", 7)
    assert [path.name for path in paths[:2]] == ["pnet-symbol.json", "pnet-0007.params"]
    back = load_seanlinx({kind: tmp_path / "s" / kind for kind in NETS}, dict.fromkeys(NETS, 7))
    for kind in NETS:
        assert back.nets[kind].spec.pooling == pooling
        expected = outputs(model.nets[kind], batch(kind))
        assert_close(outputs(back.nets[kind], batch(kind)), expected)
        assert_close(bound_outputs(tmp_path / "s" / kind, 7, batch(kind)), expected)


def test_seanlinx_leaves_the_points_out(tmp_path, caplog):
    model = random_model(landmarks=True)
    export_seanlinx(model, tmp_path)
    assert "onet: Seanlinx's nets have no landmark head: left out" in caplog.text
    assert_close(bound_outputs(tmp_path / "onet", 16, batch("onet")), outputs(model.nets["onet"], batch("onet"))[:2])


def test_seanlinx_cannot_express_negative_slopes_after_a_pool(tmp_path):
    model = random_model(order="pool_first")
    model.nets["rnet"].slopes_before_pool()[1].set_data(mx.nd.array([-0.1] + [0.2] * 47))
    with pytest.raises(InputError, match="the model: the rnet pools before its PReLUs and has negative slopes"):
        export_seanlinx(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    export_symbol(model, tmp_path)
    assert_close(bound_outputs(tmp_path / "rnet", 0, batch("rnet")), outputs(model.nets["rnet"], batch("rnet")))


def records(path):
    """The named arrays of a file."""
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


@pytest.mark.parametrize("weights", ["model", "model_valid"])
def test_released_checkpoints_survive_the_round_trip(shared, tmp_path, weights):
    folder = shared / "seanlinx" / weights
    model = load_seanlinx({kind: folder / kind for kind in NETS}, dict.fromkeys(NETS, 16))
    export_seanlinx(model, tmp_path)
    for kind in NETS:
        released, written = folder / f"{kind}-0016.params", tmp_path / f"{kind}-0016.params"
        assert released.stat().st_size == written.stat().st_size
        before, after = records(released), records(written)
        assert sorted(before) == sorted(after)
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])
        golden = np.load(shared / "seanlinx" / f"golden_nets{weights[len('model') :]}.npz")
        got = bound_outputs(tmp_path / kind, 16, golden[f"{kind}_in"])
        assert_close(got, [golden[f"{kind}_prob"], golden[f"{kind}_bbox"]])


def test_the_container_of_2016_byte_by_byte(tmp_path):
    write_params_of_2016(tmp_path / "p", {"arg:a": np.float32([[1, -2]])})
    words = [0x112, 0, 0, 0, 1, 0, 2, 1, 2, 1, 0, 0]  # magic, reserved, count; rank, sides, device, type
    expected = np.array(words, "<u4").tobytes() + np.array([1, -2], "<f4").tobytes()
    expected += np.array([1, 5], "<u8").tobytes() + b"arg:a"
    assert (tmp_path / "p").read_bytes() == expected


@pytest.mark.parametrize("order", ["prelu_first", "pool_first"])
def test_symbols_in_module_and_symbol_block(tmp_path, order):
    model = random_model(order=order)
    paths = export_symbol(model, tmp_path)
    assert [path.name for path in paths[:2]] == ["pnet-symbol.json", "pnet-0000.params"]
    for kind in NETS:
        x = mx.nd.array(batch(kind))
        expected = outputs(model.nets[kind], batch(kind))
        module = mx.mod.Module.load(str(tmp_path / kind), 0, label_names=None)
        module.bind([("data", x.shape)], for_training=False)
        module.forward(mx.io.DataBatch([x]), is_train=False)
        assert_close([output.asnumpy() for output in module.get_outputs()], expected)
        assert module.output_names == ["probability_output", "offsets_output", "landmarks_output"]
        files = [str(tmp_path / f"{kind}-symbol.json"), str(tmp_path / f"{kind}-0000.params")]
        block = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])
        assert_close([output.asnumpy() for output in block(x)], expected)


def test_symbols_of_2017_have_attr_where_later_ones_have_attrs(tmp_path):
    """MXNet before 1.0 says "Unknown field attrs", candidates are "attr", ...; every later one reads both."""
    model = random_model()
    export_seanlinx(model, tmp_path / "seanlinx")
    export_symbol(model, tmp_path / "old", (0, 11))
    export_symbol(model, tmp_path / "new")
    for folder, field, version in (("seanlinx", "attr", 905), ("old", "attr", 905), ("new", "attrs", 10901)):
        for kind in NETS:
            graph = json.loads((tmp_path / folder / f"{kind}-symbol.json").read_text())
            keys = {key for node in graph["nodes"] for key in node}
            assert keys == {"op", "name", field, "inputs"}
            assert graph["attrs"]["mxnet_version"] == ["int", version]
    for kind in NETS:
        expected = outputs(model.nets[kind], batch(kind))
        assert_close(bound_outputs(tmp_path / "old" / kind, 0, batch(kind)), expected)
        files = [str(tmp_path / "old" / f"{kind}-symbol.json"), str(tmp_path / "old" / f"{kind}-0000.params")]
        block = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])
        assert_close([output.asnumpy() for output in block(mx.nd.array(batch(kind)))], expected)


def predict_in_c(symbol, parameters, x):
    """Run MXNet's C predict API (c_predict_api.h) through ctypes, as a C++ program would; return the first output."""
    library = ctypes.CDLL(mx.libinfo.find_lib_path()[0])
    library.MXGetLastError.restype = ctypes.c_char_p

    def call(name, *arguments):
        assert getattr(library, name)(*arguments) == 0, library.MXGetLastError()

    handle, dimensions = ctypes.c_void_p(), ctypes.c_uint32()
    keys, bounds = (ctypes.c_char_p * 1)(b"data"), (ctypes.c_uint32 * 2)(0, x.ndim)
    shape, sides = (ctypes.c_uint32 * x.ndim)(*x.shape), ctypes.POINTER(ctypes.c_uint32)()
    weights = (symbol.read_bytes(), parameters.read_bytes(), len(parameters.read_bytes()))
    call("MXPredCreate", *weights, 1, 0, 1, keys, bounds, shape, ctypes.byref(handle))
    call("MXPredSetInput", handle, b"data", x.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(x.size))
    call("MXPredForward", handle)
    call("MXPredGetOutputShape", handle, 0, ctypes.byref(sides), ctypes.byref(dimensions))
    output = np.zeros(sides[: dimensions.value], np.float32)
    call("MXPredGetOutput", handle, 0, output.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(output.size))
    call("MXPredFree", handle)
    return output


@pytest.mark.parametrize("kind", NETS)
def test_symbols_in_the_c_predict_api(tmp_path, kind):
    model = random_model()
    export_symbol(model, tmp_path)
    got = predict_in_c(tmp_path / f"{kind}-symbol.json", tmp_path / f"{kind}-0000.params", batch(kind))
    assert_close([got], outputs(model.nets[kind], batch(kind))[:1])


def test_official_weights_through_onnx(shared, tmp_path):
    model = load_caffe(shared / "official_caffe")
    for kind, path in zip(NETS, export_onnx(model, tmp_path)):
        assert path.name == f"{kind}.onnx"
        names = ["probability", "offsets", "landmarks"][: 2 + (kind == "onet")]
        reader = cv2.dnn.readNetFromONNX(str(path))
        for size in (INPUT_SIZE[kind], INPUT_SIZE[kind] + 19 * (kind == "pnet")):
            x = np.random.default_rng(0).uniform(-1, 1, (4, 3, size, size)).astype(np.float32)
            reader.setInput(x)
            assert_close(reader.forward(names), outputs(model.nets[kind], x))


@pytest.mark.parametrize("weights", ["model", "model_valid"])
def test_released_checkpoints_through_onnx(shared, tmp_path, weights):
    onnxruntime = pytest.importorskip("onnxruntime")
    folder = shared / "seanlinx"
    model = load_seanlinx({kind: folder / weights / kind for kind in NETS}, dict.fromkeys(NETS, 16))
    golden = np.load(folder / f"golden_nets{weights[len('model') :]}.npz")
    for kind, path in zip(NETS, export_onnx(model, tmp_path)):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        got = session.run(["probability", "offsets"], {"data": golden[f"{kind}_in"]})
        assert_close(got, [golden[f"{kind}_prob"], golden[f"{kind}_bbox"]])
