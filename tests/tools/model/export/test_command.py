import pytest

from gluon_mtcnn.core.nets.model_folder import load_model, save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.main import main

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for kind in NETS:
        net = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(net)
        save_net(folder, net)
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["seanlinx"], [f"{kind}-{end}" for kind in NETS for end in ("symbol.json", "0016.params")]),
        (["seanlinx", "--epoch", "0"], [f"{kind}-{end}" for kind in NETS for end in ("symbol.json", "0000.params")]),
        (["symbol"], [f"{kind}-{end}" for kind in NETS for end in ("symbol.json", "0000.params")]),
        (["onnx"], [f"{kind}.onnx" for kind in NETS]),
    ],
)
def test_files_and_what_is_printed(model, tmp_path, capsys, arguments, files):
    assert main(["export", *arguments, "--model", model, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "out" / name) for name in files]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)


@pytest.mark.parametrize(
    ("arguments", "attr"),
    [
        (["seanlinx"], True),
        (["seanlinx", "--mxnet-version", "1.9.1"], False),
        (["symbol"], False),
        (["symbol", "--mxnet-version", "0.11.0"], True),
    ],
)
def test_the_oldest_mxnet_that_must_read_the_symbols(model, tmp_path, arguments, attr):
    assert main(["export", *arguments, "--model", model, "--out", str(tmp_path)]) == 0
    assert ('"attr"' in (tmp_path / "rnet-symbol.json").read_text()) == attr


def test_pixels(model, tmp_path):
    assert main(["export", "onnx", "--pixels", "--model", model, "--out", str(tmp_path)]) == 0
    entry = onnx.load(tmp_path / "onet.onnx").graph.input[0].type.tensor_type
    assert entry.elem_type == onnx.TensorProto.UINT8
    assert [side.dim_param or side.dim_value for side in entry.shape.dim] == ["n", 48, 48, 3]


def test_seanlinx_there_and_back(model, tmp_path):
    assert main(["export", "seanlinx", "--model", model, "--out", str(tmp_path / "s")]) == 0
    prefixes = [str(tmp_path / "s" / kind) for kind in NETS]
    assert main(["import", "seanlinx", *prefixes, "--out", str(tmp_path / "back")]) == 0
    before, after = load_model(model).nets, load_model(tmp_path / "back").nets
    for kind in NETS:
        there, back = (nets[kind]._collect_params_with_prefix() for nets in (before, after))
        assert set(there) - set(back) == ({"landmark_head.weight", "landmark_head.bias"} if kind == "onet" else set())
        assert all((there[name].data() == back[name].data()).asnumpy().all() for name in back)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["onnx", "--epoch", "3"], "export onnx: --epoch: only Seanlinx's checkpoints have one"),
        (["onnx", "--mxnet-version", "0.11"], "export onnx: --mxnet-version: only for seanlinx and symbol"),
        (["symbol", "--mxnet-version", "0.8"], "expected a version from 0.9 on, such as 0.11, got '0.8'"),
        (["symbol", "--pixels"], "export symbol: --pixels: only for onnx"),
        (["onnx", "--model", "nowhere"], "nowhere: not a model folder: model.json not found"),
        (["torch"], "invalid choice: 'torch'"),
    ],
)
def test_bad_calls(model, tmp_path, capsys, arguments, message):
    try:
        code = main(["export", "--model", model, "--out", str(tmp_path), *arguments])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
