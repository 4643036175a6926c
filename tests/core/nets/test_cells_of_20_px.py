"""The P-Net with 20x20 cells at stride 4: the net itself, in files, and in the detector."""

import json

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.export import export_onnx, export_seanlinx, export_symbol, write_seanlinx
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.detection.engine_mxnet import MxnetEngine
from gluon_mtcnn.core.detection.engine_onnx import OnnxEngine
from gluon_mtcnn.core.detection.engines import open_engine
from gluon_mtcnn.core.detection.pyramid_tiling import map_side
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.initialise import fresh_net, pretrained_net
from gluon_mtcnn.core.nets.model_folder import Model, load_model, save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, PReLU, build, initialise
from gluon_mtcnn.core.ops.image import normalise, pyramid_scales
from gluon_mtcnn.core.types import ENGINES

CELL, STRIDE = 20, 4
ORDERS = ["prelu_first", "pool_first"]


def cheap_net(seed=0, **options):
    """A net whose slopes are negative, between 0 and 1, and above 1."""
    net = build(NetSpec("pnet", cell=CELL, **options))
    initialise(net, seed=seed)
    rng = np.random.default_rng(seed)

    def bend(block):
        if isinstance(block, PReLU):
            block.alpha.set_data(mx.nd.array(rng.uniform(-1.2, 2, block.alpha.shape)))

    net.apply(bend)
    for parameter in net.collect_params(".*bias").values():
        parameter.set_data(mx.nd.array(rng.normal(0, 0.1, parameter.shape)))
    return net


def pixels(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def outputs(net, images):
    return np.concatenate([output.asnumpy() for output in net(mx.nd.array(normalise(images)))], axis=1)


@pytest.mark.parametrize("side", [20, 21, 23, 24, 39, 40])
def test_shapes(side):
    net = cheap_net(landmarks=True)
    got = net(mx.nd.zeros((2, 3, side, 57)))
    assert [output.shape for output in got] == [(2, n, (side - 20) // 4 + 1, 10) for n in (2, 4, 10)]
    assert map_side(side, net.spec.ceil, net.spec.cell, net.spec.stride) == (side - 20) // 4 + 1
    assert len(cheap_net()(mx.nd.zeros((1, 3, 20, 20)))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pnet", "cell": 16}, "cell must be one of 12, 20, but got 16"),
        ({"kind": "rnet", "cell": 20}, "cell must be one of 12, but got 20"),
    ],
)
def test_other_cells_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NetSpec(**options)


def test_an_output_looks_at_its_cell_and_at_nothing_else():
    net = cheap_net(landmarks=True)
    x = mx.nd.random.uniform(-1, 1, (1, 3, 37, 50))
    x.attach_grad()
    for row, column in ((0, 0), (2, 3), (4, 7)):
        with mx.autograd.record():
            total = sum(output[:, :, row, column].sum() for output in net(x))
        total.backward()
        seen = np.argwhere(np.abs(x.grad.asnumpy()[0]).sum(axis=0))
        corner = np.array([row, column]) * STRIDE
        np.testing.assert_array_equal(seen.min(axis=0), corner)
        np.testing.assert_array_equal(seen.max(axis=0), corner + CELL - 1)
        assert len(seen) == CELL * CELL


def test_a_pixel_outside_a_cell_changes_nothing():
    net, image = cheap_net(), pixels(1, 28, 28)
    before = outputs(net, image)[0, :, 1, 1]
    for y, x in ((3, 10), (24, 10), (10, 3), (10, 24)):
        changed = image.copy()
        changed[0, y, x] ^= 255
        np.testing.assert_array_equal(outputs(net, changed)[0, :, 1, 1], before)
    image[0, 23, 23] ^= 255
    assert (outputs(net, image)[0, :, 1, 1] != before).any()


def test_a_cell_alone_gives_what_the_map_holds_there():
    net, image = cheap_net(landmarks=True), pixels(1, 45, 61)
    whole = outputs(net, image)[0]
    cells = [(r, c) for r in range(whole.shape[1]) for c in range(whole.shape[2])]
    crops = np.stack([image[0, 4 * r : 4 * r + 20, 4 * c : 4 * c + 20] for r, c in cells])
    wanted = np.stack([whole[:, r, c] for r, c in cells])
    np.testing.assert_allclose(outputs(net, crops)[:, :, 0, 0], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def multiply_adds(cell, height, width, min_face=20):
    """Count those of all convolutions over the pyramid of a photo."""
    net = build(NetSpec("pnet", cell=cell))
    convolutions = [layer for layer in net.layers().values() if hasattr(layer, "weight")]
    total = 0
    for scale in pyramid_scales(height, width, min_face, cell=cell):
        sides = np.array([int(height * scale), int(width * scale)])
        for name, layer in net.layers().items():
            settings = getattr(layer, "_kwargs", None)
            if settings is None:  # a PReLU
                continue
            step = (sides - settings["kernel"][0]) / settings["stride"][0]
            sides = (np.ceil(step) if name.endswith("pool") else np.floor(step)).astype(int) + 1
            if layer in convolutions:
                total += sides.prod() * np.prod(layer.weight.shape)
        total += sides.prod() * (2 + 4) * net.spec.heads()[0].inputs
        assert tuple(sides) == tuple(
            map_side(int(s * scale), cell == 12, cell, net.spec.stride) for s in (height, width)
        )
    return int(total)


def test_a_quarter_of_the_multiply_adds():
    standard, cheap = (multiply_adds(cell, 1080, 1920) / 1e6 for cell in (12, CELL))
    assert cheap / standard == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("engine", [MxnetEngine, OnnxEngine])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sides", [(20, 20), (31, 42), (43, 37)])
def test_the_folded_net_is_the_same_function_for_any_slopes(engine, order, sides):
    net, image = cheap_net(landmarks=True, order=order), pixels(1, *sides)
    logits, offsets, _ = np.split(outputs(net, image), [2, 6], axis=1)
    wanted = np.concatenate([logits[:, 1:] - logits[:, :1], offsets], axis=1)
    runner = engine(Model(nets={"pnet": net}))._runner("pnet", (1, 4, *sides))
    runner.input[:, :3], runner.input[:, 3] = image.transpose(0, 3, 1, 2), 1
    np.testing.assert_allclose(runner.run()[:, :5], wanted, rtol=0, atol=3e-6 * max(1, np.abs(wanted).max()))


def test_files_keep_the_cell(tmp_path):
    net = cheap_net(landmarks=True)
    save_net(tmp_path, net)
    assert json.loads((tmp_path / "model.json").read_text())["nets"]["pnet"]["cell"] == CELL
    again = load_model(tmp_path).nets["pnet"]
    assert again.spec == net.spec
    np.testing.assert_array_equal(outputs(again, pixels(1, 33, 47)), outputs(net, pixels(1, 33, 47)))
    assert pretrained_net(tmp_path, "pnet", landmarks=False, seed=0).spec == NetSpec("pnet", cell=CELL)
    save_net(tmp_path, fresh_net("pnet", False, "default", 0))
    assert "cell" not in json.loads((tmp_path / "model.json").read_text())["nets"]["pnet"]
    assert load_model(tmp_path).nets["pnet"].spec.cell == 12


def test_a_wrong_cell_in_a_model_is_refused(tmp_path):
    save_net(tmp_path, cheap_net())
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"cell": 20', '"cell": 16'))
    with pytest.raises(InputError, match=r"model\.json: not a valid description.*cell must be one of 12, 20"):
        load_model(tmp_path)


def test_symbol_and_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net, image = cheap_net(landmarks=True), pixels(1, 45, 38)
    model, data = Model({"pnet": net}, path="the model"), normalise(image)
    logits, *others = net(mx.nd.array(data))
    wanted = [array.asnumpy() for array in (mx.nd.softmax(logits, axis=1), *others)]
    export_symbol(model, tmp_path)
    symbol, arrays, _ = mx.model.load_checkpoint(str(tmp_path / "pnet"), 0)
    executor = symbol.bind(mx.cpu(), {**arrays, "data": mx.nd.array(data)}, grad_req="null")
    got_symbol = [output.asnumpy() for output in executor.forward(is_train=False)]
    (path,) = export_onnx(model, tmp_path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got_onnx = session.run(["probability", "offsets", "landmarks"], {"data": data})
    assert session.get_modelmeta().custom_metadata_map["cell"] == "20, stride 4"
    reader = cv2.dnn.readNetFromONNX(str(path))
    reader.setInput(data)
    for got in (got_symbol, got_onnx, reader.forward(["probability", "offsets", "landmarks"])):
        for a, b in zip(got, wanted):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.abs(b).max()))


def test_what_cannot_be_is_refused_in_one_line(tmp_path):
    model = Model({"pnet": cheap_net()}, path="the model")
    line = "the pnet looks at cells of 20 px, which Seanlinx's program cannot run: export symbol or onnx instead"
    with pytest.raises(InputError, match=f"^the model: {line}$"):
        export_seanlinx(model, tmp_path)
    with pytest.raises(InputError, match=line):
        write_seanlinx(model.nets["pnet"], tmp_path / "pnet", 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"^compat 'official' runs P-Nets with cells of 12 px only, got 20 px$"):
        Detector(model, compat="official")


@pytest.fixture(scope="module")
def cascade():
    nets = {"pnet": cheap_net(3)}
    for i, kind in enumerate(("rnet", "onet")):
        nets[kind] = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(nets[kind], seed=i)
    return Model(nets=nets, thresholds=(0.3, 0.3, 0.3))


def test_cells_by_hand(cascade):
    # photo 200 x 160 at scale .5: level 100 x 80. Cell row 3, column 5 covers columns 20..39 of the level: 40..79
    boxes = Detector(cascade)._cascade._cells(np.array([3]), np.array([5]), 0.5, (160, 200, 3), (80, 100, 3))
    np.testing.assert_allclose(boxes, [[40, 24, 79, 63]])
    # round(4 * 5 / .3) = 67, round((4 * 5 + 20) / .3) = 133
    legacy = Detector(cascade, compat="seanlinx")._cascade
    boxes = legacy._cells(np.array([0]), np.array([5]), 0.3, (0, 0, 3), (0, 0, 3))
    np.testing.assert_allclose(boxes, [[67, 0, 133, 67]])


@pytest.mark.parametrize("compat", [None, "seanlinx"])
@pytest.mark.parametrize("shape", [(71, 90), (61, 203), (22, 21), (20, 300), (0, 50)])
def test_all_engines_find_the_same(cascade, shape, compat):
    photo = pixels(*shape, seed=5)
    found = [Detector(cascade, engine, compat=compat).stages(photo) for engine in ENGINES]
    for kind in found[0]:
        wanted = found[ENGINES.index("plain")][kind]
        for stages in found:
            assert stages[kind].after.shape == wanted.after.shape
            for got, expected in ((stages[kind].before, wanted.before), (stages[kind].after, wanted.after)):
                distance = np.abs(got[:, None] - expected).max(axis=2)
                assert (distance.min(axis=1) < 0.01).all() if len(got) else True
    if min(shape) > 60:
        assert len(found[0]["pnet"].after) > 10


def test_the_plain_engine_and_the_tape_agree_on_every_cell(cascade):
    image, sizes = pixels(180, 900), [(180, 900), (127, 638), (41, 203), (21, 105)]
    engines = (open_engine(name, cascade) for name in ("plain", "mxnet", "onnx"))
    plain, *others = (engine.propose(image, sizes, 0.0) for engine in engines)
    assert len(plain.row) == sum(((h - 20) // 4 + 1) * ((w - 20) // 4 + 1) for h, w in sizes)
    for cells in others:
        for name in ("level", "row", "column"):
            np.testing.assert_array_equal(getattr(cells, name), getattr(plain, name))
        np.testing.assert_allclose(cells.scores, plain.scores, rtol=0, atol=2e-5)
        np.testing.assert_allclose(cells.offsets, plain.offsets, rtol=0, atol=1e-5 * np.abs(plain.offsets).max())
