import json

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.checkpoint import save_net
from gluon_mtcnn.core.network import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS, Detections
from gluon_mtcnn.tools.benchmark_detect import same_faces
from gluon_mtcnn.tools.benchmark_peers import PEERS, open_peers
from gluon_mtcnn.tools.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for i, kind in enumerate(NETS):
        net = build(NetSpec(kind))
        initialise(net, seed=i)
        save_net(folder, net, thresholds=(0.4, 0.4, 0.4))
    return folder


def test_every_figure_is_measured(model, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        cv2.imwrite(str(photos / f"{i}.png"), np.random.default_rng(i).integers(0, 256, (60, 70, 3), np.uint8))
    options = ["--model", str(model), "--limit", "2", "--json", str(tmp_path / "out.json"), "--quiet"]
    assert main(["benchmark", "detect", "--images", str(photos), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert result["photos"] == 2
    assert set(result["engines"]) == {"mxnet", "onnx", "plain"}
    for figures in result["engines"].values():
        for name in ("pnet_ms", "rnet_ms", "onet_ms", "total_ms"):
            assert 0 < figures[name]["cpu_p50"] <= figures[name]["cpu_p95"]
        assert figures["images_per_second"]["threads_2"] > 0
        assert figures["peak_megabytes"] > 0
    assert result["boxes_against_plain"] == {
        name: {"equal": 2, "near_a_threshold": 0, "different": 0} for name in ("mxnet", "onnx")
    }
    assert set(result["peers"]) == set(PEERS)
    assert "cpu_p50" in result["peers"]["OpenCV Haar"]["total_ms"]


def test_detectors_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "facenet_pytorch", None)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    peers = open_peers(20, (0.6, 0.7, 0.7))
    assert str(peers["facenet-pytorch"]).startswith("not installed: ")
    assert peers["OpenCV Haar"](np.zeros((50, 50, 3), np.uint8)) == 0


def test_faces_are_the_same_within_tolerances_in_any_order():
    boxes, scores = np.array([[0, 0, 9, 9], [5.0, 5, 30, 30]]), np.array([0.9, 0.8])
    a = Detections(boxes, scores)
    assert same_faces(a, Detections(boxes[::-1] + 0.009, scores[::-1] - 9e-5))
    assert not same_faces(a, Detections(boxes + 0.02, scores))
    assert not same_faces(a, Detections(boxes, scores + 2e-4))
    assert not same_faces(a, Detections(boxes, scores[::-1]))
    assert not same_faces(a, a[:1])
    assert not same_faces(a, Detections(boxes[[0, 0]], scores[[0, 0]]))
    assert same_faces(Detections.empty(), Detections.empty())


def test_a_folder_without_photos_is_one_line(model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["benchmark", "detect", "--images", str(tmp_path / "empty"), "--model", str(model)]) == 2
    assert "empty" in capsys.readouterr().err
