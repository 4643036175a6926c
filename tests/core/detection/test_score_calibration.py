import json

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.detection.score_calibration import logit_shift, shift_scores, write_model
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model, save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, from_weights, initialise
from gluon_mtcnn.core.types import INPUT_SIZE, NETS


def test_shifts_by_hand():
    assert logit_shift(0.5, 0.5) == 0
    assert logit_shift(0.4, 0.6) == pytest.approx(2 * np.log(1.5))
    assert logit_shift(0.1, 0.7) == pytest.approx(3.0445, abs=1e-4)
    for pair in ((0, 0.6), (0.4, 1)):
        with pytest.raises(InputError, match=r"cannot be moved to .*: both must lie between 0 and 1"):
            logit_shift(*pair)


def scores(net, pixels):
    logits = net(pixels)[0]
    return mx.nd.softmax(logits, axis=1)[:, 1].asnumpy().ravel()


@pytest.mark.parametrize("kind", NETS)
def test_what_passed_the_threshold_passes_the_target(kind):
    net = build(NetSpec(kind, landmarks=kind == "onet"))
    mx.random.seed(0)
    net.initialize(mx.init.Normal(0.1))  # scores that do not saturate
    size = INPUT_SIZE[kind]
    pixels = mx.nd.array(np.random.default_rng(0).normal(0, 1, (200, 3, size, size)))
    before, offsets = scores(net, pixels), net(pixels)[1].asnumpy()
    threshold = float(np.median(before)) + 1e-4
    moved = from_weights(shift_scores(net, logit_shift(threshold, 0.7)))
    after = scores(moved, pixels)
    np.testing.assert_array_equal(before > threshold, after > 0.7)
    assert (np.diff(after[np.argsort(before)]) >= 0).all()
    np.testing.assert_array_equal(moved(pixels)[1].asnumpy(), offsets)


@pytest.fixture
def folder(tmp_path):
    for seed, kind in enumerate(("pnet", "rnet")):
        net = build(NetSpec(kind))
        initialise(net, seed=seed)
        save_net(tmp_path / "model", net, {"by": "test"}, calibration="clipped")
    (tmp_path / "model" / "history.csv").write_text("net,epoch\n")
    return tmp_path / "model"


def bias(folder, kind):
    return load_model(folder).nets[kind].face_head.bias.data().asnumpy()


def test_a_copy_leaves_the_model_as_it_is(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for _ in range(2):  # an older copy is replaced
        written = write_model(folder, (0.4, 0.1, 0.5), (0.6, 0.7, 0.8), folder=tmp_path / "copy")
        assert written == (0.6, 0.7, 0.5)  # there is no O-Net to move
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    model = load_model(tmp_path / "copy")
    assert (model.thresholds, model.calibration) == ((0.6, 0.7, 0.5), "clipped")
    np.testing.assert_allclose(bias(tmp_path / "copy", "rnet") - bias(folder, "rnet"), [0, 3.0445], atol=1e-4)
    note = {"threshold": 0.4, "became": 0.6, "logit_shift": pytest.approx(0.8109, abs=1e-4)}
    assert model.origin["pnet"] == {"by": "test", "score_shift": note}
    assert (tmp_path / "copy" / "history.csv").read_text() == "net,epoch\n"
    assert not list((tmp_path / "copy").glob(".*"))


def test_in_place_only_the_nets_asked_for_are_moved(folder):
    old = bias(folder, "pnet"), bias(folder, "rnet")
    assert write_model(folder, (0.4, 0.1, 0.5), (0.6, 0.7, 0.8), kinds=("pnet",)) == (0.6, 0.1, 0.5)
    assert bias(folder, "pnet")[1] > old[0][1]
    np.testing.assert_array_equal(bias(folder, "rnet"), old[1])
    assert write_model(folder, (0.3, 0.2, 0.1)) == (0.3, 0.2, 0.1)
    assert json.loads((folder / "model.json").read_text())["thresholds"] == [0.3, 0.2, 0.1]


def test_nothing_is_written_where_one_threshold_cannot_be_moved(folder, tmp_path):
    before = (folder / "model.json").read_bytes(), (folder / "pnet.params").read_bytes()
    for target in (None, tmp_path / "copy"):
        with pytest.raises(InputError, match="threshold 0 cannot be moved"):
            write_model(folder, (0.4, 0, 0.5), (0.6, 0.7, 0.8), folder=target)
    assert ((folder / "model.json").read_bytes(), (folder / "pnet.params").read_bytes()) == before
    assert not (tmp_path / "copy").exists()
