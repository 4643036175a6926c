import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS, Detections
from gluon_mtcnn.tools.benchmark import peers as benchmark_peers
from gluon_mtcnn.tools.benchmark.detect.command import same_faces
from gluon_mtcnn.tools.benchmark.peers import PEERS, open_peers
from gluon_mtcnn.tools.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for i, kind in enumerate(NETS):
        net = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(net, seed=i)
        save_net(folder, net, thresholds=(0.4, 0.4, 0.4))
    return folder


def everything(min_face, thresholds):
    """A detector with a box of every size at every 5th pixel, some of which lie over those of any other."""
    corners = np.stack(np.meshgrid(*[np.arange(-5.0, 60, 5)] * 2), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([np.concatenate([corners, corners + side], axis=1) for side in (15, 22, 30, 40, 60)])
    return lambda image: boxes


@pytest.mark.parametrize("look_again", [True, False])
def test_every_figure_is_measured(model, tmp_path, capsys, monkeypatch, look_again):
    monkeypatch.setitem(PEERS, "everything", (everything, ("numpy",)))
    monkeypatch.setitem(PEERS, "nothing", (lambda *_: lambda image: np.zeros((0, 4)), ()))
    monkeypatch.setitem(PEERS, "broken", (lambda *_: lambda image: 1 / 0, ()))
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        cv2.imwrite(str(photos / f"{i}.png"), np.random.default_rng(i).integers(0, 256, (60, 70, 3), np.uint8))
    options = ["--model", str(model), "--limit", "2", "--json", str(tmp_path / "out.json"), "--quiet"]
    options += [] if look_again else ["--no-look-again"]
    assert main(["benchmark", "detect", "--images", str(photos), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert result["photos"] == 2
    assert result["look_again"] is look_again
    assert set(result["engines"]) == {"mxnet", "onnx", "plain"}
    for figures in result["engines"].values():
        for name in ("pnet_ms", "rnet_ms", "onet_ms", "total_ms"):
            assert 0 < figures[name]["cpu_p50"] <= figures[name]["cpu_p95"]
        assert figures["images_per_second"]["threads_2"] > 0
        assert figures["peak_megabytes"] > 0
    assert result["boxes_against_plain"] == {
        name: {"equal": 2, "near_a_threshold": 0, "different": 0} for name in ("mxnet", "onnx")
    }
    peers = result["peers"]
    assert set(peers) == set(PEERS)
    assert 0 <= peers["everything"]["total_ms"]["cpu_p50"] <= peers["everything"]["total_ms"]["cpu_p95"]
    assert peers["everything"]["versions"] == {"numpy": np.__version__}
    assert 0 < peers["everything"]["of_ours"] <= peers["everything"]["our_faces"]
    assert peers["everything"]["faces"] == 2 * len(everything(20, ())(None))
    assert peers["nothing"] == f"not measured: it finds 0 faces, none of our {peers['everything']['our_faces']}"
    assert peers["broken"] == "not measured: it fails: ZeroDivisionError: division by zero"


def test_detectors_that_cannot_be_used_are_named(monkeypatch):
    def unfit(*_):
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(PEERS, "unfit", (unfit, ()))
    peers = open_peers(20, (0.6, 0.7, 0.7))
    assert peers["facenet-pytorch"].startswith("not installed: ")
    assert peers["unfit"] == "cannot be used: RuntimeError: operator torchvision::nms does not exist"
    assert peers["OpenCV Haar"].look(np.zeros((50, 50, 3), np.uint8)).shape == (0, 4)


class FakeFacenet:
    """facenet-pytorch 2.6.0, by its signatures."""

    def __init__(
        self,
        image_size=160,
        margin=0,
        min_face_size=20,
        thresholds=(0.6, 0.7, 0.7),
        factor=0.709,
        post_process=True,
        select_largest=True,
        selection_method=None,
        keep_all=False,
        device=None,
    ):
        assert (min_face_size, thresholds, keep_all, device) == (24, [0.5, 0.6, 0.8], True, "cpu")

    def detect(self, img, landmarks=False):
        assert img.flags.c_contiguous
        if img[0, 0, 0] != 255:  # not red
            return None, np.array([None], dtype=object)
        return np.array([[1, 2, 30, 40]], np.float32), np.array([0.9], np.float32)


class FakeMtcnn:
    """Mtcnn 1.0.0, by its signatures."""

    def __init__(self, stages="face_and_landmarks_detection", device="CPU:0"):
        assert device == "CPU:0"

    def detect_faces(
        self,
        image,
        fit_to_image=True,
        limit_boundaries_landmarks=False,
        box_format="xywh",
        output_type="json",
        postprocess=True,
        batch_stack_justification="center",
        **kwargs,
    ):
        assert kwargs == {"min_face_size": 24, "threshold_pnet": 0.5, "threshold_rnet": 0.6, "threshold_onet": 0.8}
        return [{"box": [1, 2, 29, 38], "confidence": 0.9, "keypoints": {}}] if image[0, 0, 0] == 255 else []


class FakeOldMtcnn:
    """Mtcnn 0.1.1, by its signatures."""

    def __init__(self, weights_file=None, min_face_size=20, steps_threshold=None, scale_factor=0.709):
        assert (min_face_size, steps_threshold) == (24, [0.5, 0.6, 0.8])

    def detect_faces(self, img):
        return [{"box": [1, 2, 29, 38], "confidence": 0.9, "keypoints": {}}] if img[0, 0, 0] == 255 else []


@pytest.mark.parametrize("mtcnn", [FakeMtcnn, FakeOldMtcnn])
def test_others_get_our_options_and_red_first_and_one_thread(monkeypatch, mtcnn):
    threads = []
    threading = SimpleNamespace(
        set_intra_op_parallelism_threads=threads.append, set_inter_op_parallelism_threads=threads.append
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=threads.append))
    monkeypatch.setitem(sys.modules, "facenet_pytorch", SimpleNamespace(MTCNN=FakeFacenet))
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=SimpleNamespace(threading=threading)))
    monkeypatch.setitem(sys.modules, "mtcnn", SimpleNamespace(MTCNN=mtcnn))
    peers = open_peers(24.0, (0.5, 0.6, 0.8))
    assert threads == [1, 1, 1]
    image = np.zeros((50, 60, 3), np.uint8)
    image[..., 2] = 255
    for name in ("facenet-pytorch", "ipazc/mtcnn"):
        np.testing.assert_allclose(peers[name].look(image), [[1, 2, 30, 40, 0.9]], rtol=1e-7)
        assert peers[name].look(image * 0).shape == (0, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["facenet-pytorch", "ipazc/mtcnn"])
def test_installed_detectors_find_the_faces_of_a_photo(shared, name):
    peer = open_peers(20, (0.6, 0.7, 0.7))[name]
    if isinstance(peer, str):
        pytest.skip(peer)
    photo = cv2.imread(str(shared / "seanlinx" / "test01.jpg"))
    legacy = load_seanlinx({k: shared / "seanlinx" / "model" / k for k in NETS}, dict.fromkeys(NETS, 16))
    peer.count(peer.look(photo), Detector(legacy, thresholds=(0.6, 0.7, 0.7)).detect(photo).boxes)
    assert peer.shared >= 5


def test_faces_are_laid_over_ours():
    peer = benchmark_peers.Peer(lambda image: np.array([[0.0, 0, 10, 10], [50, 50, 60, 60]]), {"it": "1"})
    peer.count(peer.look(None), np.float32([[1, 1, 11, 11], [20, 20, 30, 30]]))
    peer.count(None, np.float32([[1, 1, 11, 11]]))
    assert peer.result({"a": 1}) == {
        **{"a": 1, "faces": 2, "our_faces": 2, "of_ours": 1, "failed_photos": 1},
        "versions": {"it": "1"},
    }


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
