"""The model that ships: whole, healthy, opened without a name, and at work on a real photo."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.nets.weight_stats import describe_weights
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.model import DEFAULT_MODEL
from gluon_mtcnn.tools.cli.main import main

# Two faces of the photo, cut by its left and right edge, that the golden run has not; by eye, x1 y1 x2 y2.
CUT_OFF = np.array([[-5.0, 250.0, 68.0, 370.0], [611.0, 212.0, 645.0, 262.0]])


@pytest.fixture(scope="module")
def model():
    return load_model(DEFAULT_MODEL)


def test_it_is_whole(model):
    assert list(model.nets) == ["pnet", "rnet", "onet"]
    assert model.nets["onet"].spec.landmarks
    assert model.thresholds == (0.6, 0.7, 0.7)
    assert sum(path.stat().st_size for path in DEFAULT_MODEL.iterdir()) < 2_500_000
    assert (DEFAULT_MODEL / "README.md").is_file()


@pytest.mark.parametrize("kind", ["pnet", "rnet", "onet"])
def test_its_weights_are_healthy(model, kind):
    parameters = model.nets[kind]._collect_params_with_prefix()
    report = describe_weights({name: value.data().asnumpy() for name, value in parameters.items()})
    assert report["denormals"] == report["not_finite"] == 0
    for name, layer in report["layers"].items():
        assert layer.get("dead_kernels", 0) <= 0.1 * layer.get("kernels", 0), name


def test_it_needs_no_name(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((60, 80, 3), 128, np.uint8))
    assert main(["detect", str(tmp_path / "grey.png"), "--json", str(tmp_path / "out.json"), "--quiet"]) == 0
    (found,) = json.loads((tmp_path / "out.json").read_text()).values()
    assert found == {"faces": []}


def test_its_presets(model):
    """The default looks once; what it did before there were presets has to be asked for."""
    assert list(model.presets) == ["fast", "default", "accurate"]
    assert [Detector(model, preset=name).test_time_augmentation for name in model.presets] == [False, False, True]
    assert Detector(model).thresholds == model.presets["default"].thresholds
    before = Detector(model, thresholds=(0.6, 0.7, 0.7), test_time_augmentation=True)
    assert (before.min_face, before.scale_factor) == (20, 0.709)


BEFORE_PRESETS = {"thresholds": (0.6, 0.7, 0.7), "test_time_augmentation": True}


@pytest.mark.parametrize("options", [BEFORE_PRESETS, {}, {"preset": "fast"}, {"preset": "accurate"}])
def test_it_finds_the_faces_of_a_photo(shared, options):
    photo = cv2.imread(str(shared / "seanlinx" / "test01.jpg"))
    run = json.loads((shared / "seanlinx" / "golden_test01.json").read_text())["runs"]["min20_0.6_0.7_0.7"]
    known = np.array(run["onet_boxes_c"])
    faces = Detector(**options).detect(photo)
    assert (iou(known[known[:, 4] > 0.95][:, :4], faces.boxes).max(axis=1) > 0.5).all()
    there = np.vstack([known[:, :4], CUT_OFF])
    assert (iou(faces.boxes, there).max(axis=1) > 0.5).all()  # no false alarm
    assert len(faces) <= len(there)
    for box, points in zip(faces.boxes, faces.landmarks):
        eyes, mouth = points[:2], points[3:]
        assert (box[:2] <= points.min(axis=0)).all()
        assert (points.max(axis=0) <= box[2:]).all()
        assert eyes[:, 1].max() < mouth[:, 1].min()


def test_the_example(shared, checkout):
    photo = shared / "seanlinx" / "test01.jpg"
    command = [sys.executable, str(checkout / "example" / "detect_image.py"), str(photo), "nowhere.jpg"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("nowhere.jpg: cannot be read: No such file or directory")
    lines = done.stdout.splitlines()
    assert len(lines) == len(Detector().detect(cv2.imread(str(photo))))
    assert all(line.startswith(str(photo)) and len(line.split()) == 6 for line in lines)
