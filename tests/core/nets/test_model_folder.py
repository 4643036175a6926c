import json

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model, save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.nets.params_file import load_arrays


def fresh(kind="pnet", **options):
    net = build(NetSpec(kind, **options))
    initialise(net)
    return net


@pytest.fixture
def folder(tmp_path):
    save_net(tmp_path, fresh("pnet", landmarks=True), origin={"recipe": "test"})
    return tmp_path


def test_round_trip_of_one_net_after_another(folder):
    save_net(folder, fresh("rnet", pooling="valid", order="prelu_first"), thresholds=(0.5, 0.6, 0.8))
    model = load_model(folder)
    assert list(model.nets) == ["pnet", "rnet"]
    assert model.nets["pnet"].spec == NetSpec("pnet", landmarks=True)
    assert model.nets["rnet"].spec == NetSpec("rnet", pooling="valid", order="prelu_first")
    assert model.thresholds == (0.5, 0.6, 0.8)
    assert model.calibration == "unclipped"
    assert model.origin["pnet"] == {"recipe": "test"}
    x = mx.nd.random.normal(shape=(1, 3, 12, 12))
    for a, b in zip(model.nets["pnet"](x), fresh("pnet", landmarks=True)(x)):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    with pytest.raises(InputError, match=r"the model has no onet \(it has: pnet, rnet\)"):
        model.require(("pnet", "onet"))


def test_saving_twice_gives_the_same_bytes(folder, tmp_path):
    before = (folder / "pnet.params").read_bytes(), (folder / "model.json").read_bytes()
    save_net(folder, fresh("pnet", landmarks=True), origin={"recipe": "test"})
    assert ((folder / "pnet.params").read_bytes(), (folder / "model.json").read_bytes()) == before
    assert not list(folder.glob(".*"))


def edit(folder, change):
    path = folder / "model.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), r"model\.json: expected format 1 to 1, got 99"),
        (lambda c: c.pop("thresholds"), r"model\.json: not a valid description of a model: KeyError\('thresholds'\)"),
        (lambda c: c.update(thresholds=[1]), "expected three thresholds"),
        (lambda c: c.update(calibration="yes"), "calibration clipped or unclipped"),
        (lambda c: c["nets"]["pnet"].update(color="rgb"), r"pnet: color must be 'bgr', got 'rgb'"),
        (lambda c: c["nets"]["pnet"].update(sha256="0"), r"pnet\.params: not the file that .* describes"),
        (lambda c: c["nets"]["pnet"].update(landmarks=False), r"parameter landmark_head\.bias is unknown to this net"),
        (lambda c: c.update(nets=[]), "not a valid description"),
    ],
)
def test_a_wrong_description_is_one_clear_line(folder, change, message):
    edit(folder, change)
    with pytest.raises(InputError, match=message):
        load_model(folder)


def test_missing_and_broken_files(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: not a model folder: model\.json not found"):
        load_model(tmp_path / "nowhere")
    weights = folder / "pnet.params"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(InputError, match=r"pnet\.params: not the file that .* describes \(sha256 differs\)"):
        load_model(folder)  # before anything of it is parsed
    with pytest.raises(InputError, match=r"pnet\.params: expected an MXNet parameter file"):
        load_arrays(weights)
    weights.unlink()
    with pytest.raises(InputError, match=r"pnet\.params: parameter file not found"):
        load_model(folder)
    (folder / "model.json").write_text('{"format": 1,')
    with pytest.raises(InputError, match=r"model\.json:1: expected JSON"):
        load_model(folder)


def test_arrays_without_names_and_weights_that_are_not_finite(folder):
    mx.nd.save(str(folder / "list.params"), [mx.nd.zeros((2,))])
    with pytest.raises(InputError, match="expected named arrays, got a list of 1"):
        load_arrays(folder / "list.params")
    net = fresh()
    net.stage1.conv.bias.set_data(mx.nd.full((10,), np.nan))
    save_net(folder / "bad", net)
    with pytest.raises(InputError, match=r"parameter stage1\.conv\.bias is not finite"):
        load_model(folder / "bad")
