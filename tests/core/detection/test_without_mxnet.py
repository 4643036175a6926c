"""Detection where MXNet is not installed: in processes of their own, in which it cannot be imported."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS

HIDE = {
    "none in sys.modules": "import sys\nsys.modules['mxnet'] = None\n",
    "refused by a finder": """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mxnet":
            raise ModuleNotFoundError("No module named 'mxnet'")
sys.meta_path.insert(0, Finder())
""",
}
DETECT = """
import cv2
import numpy as np
from gluon_mtcnn.core.detection.detector import Detector
detector = Detector(*sys.argv[3:])
assert detector.engine == "onnx"
faces = detector.detect(cv2.imread(sys.argv[1]))
np.savez(sys.argv[2], boxes=faces.boxes, scores=faces.scores, landmarks=faces.landmarks)
assert not [name for name in sys.modules if name.startswith("mxnet.")]
"""
MAIN = "from gluon_mtcnn.tools.cli.main import main\nsys.exit(main(sys.argv[1:]))"


@pytest.fixture(params=HIDE.values(), ids=list(HIDE))
def run_hidden(request, checkout):
    """Return a function that runs Python code where MXNet cannot be imported."""

    def run(code, *arguments, hide=""):
        command = [sys.executable, "-W", "ignore", "-c", request.param + hide + code, *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "noise.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of random nets that find faces in noise."""
    folder = tmp_path_factory.mktemp("model")
    for i, kind in enumerate(NETS):
        net = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(net, seed=i)
        save_net(folder, net, thresholds=(0.3, 0.3, 0.3))
    return folder


def compare(path, photo, *arguments):
    """Compare faces found without MXNet with those of the same engine beside it, and of MXNet's engine."""
    image = cv2.imread(str(photo))
    same, near = (Detector(*arguments, engine=engine).detect(image) for engine in ("onnx", "mxnet"))
    with np.load(path) as found:
        for name in ("boxes", "scores", "landmarks"):
            np.testing.assert_array_equal(found[name], getattr(same, name))
            # in order of boxes: scores of random nets lie so near each other that rounding may exchange neighbours
            got, wanted = found[name], getattr(near, name)
            order = [np.lexsort(boxes.round(1).T) for boxes in (found["boxes"], near.boxes)]
            np.testing.assert_allclose(got[order[0]], wanted[order[1]], rtol=0, atol=1e-2)
        return len(found["boxes"])


def test_a_model_folder_finds_the_same_faces(run_hidden, photo, model, tmp_path):
    ran = run_hidden(DETECT, photo, tmp_path / "faces.npz", model)
    assert ran.returncode == 0, ran.stderr
    assert compare(tmp_path / "faces.npz", photo, model) > 3


def test_the_shipped_model_finds_the_same_faces(run_hidden, shared, tmp_path):
    path = shared / "seanlinx" / "test01.jpg"
    ran = run_hidden(DETECT, path, tmp_path / "faces.npz")
    assert ran.returncode == 0, ran.stderr
    assert compare(tmp_path / "faces.npz", path) > 3


@pytest.mark.parametrize("options", [[], ["--engine", "onnx"]])
def test_the_command_runs(run_hidden, photo, model, options):
    ran = run_hidden(MAIN, "detect", photo, "--model", model, "--quiet", *options)
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)[str(photo)]["faces"]) > 3


def test_models_are_exported_and_imported(run_hidden, model, tmp_path):
    ran = run_hidden(MAIN, "export", "onnx", "--model", model, "--out", tmp_path / "onnx")
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {f"{kind}.onnx" for kind in NETS}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "mxnet"], "MXNet is not installed: pip install 'gluon-mtcnn[cpu]'"),
        (["--engine", "plain"], "MXNet is not installed: pip install 'gluon-mtcnn[cpu]'"),
        (["--compat", "official"], "MXNet is not installed: pip install 'gluon-mtcnn[cpu]'"),
    ],
)
def test_what_needs_mxnet_says_so(run_hidden, photo, model, options, message):
    ran = run_hidden(MAIN, "detect", photo, "--model", model, *options)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(message)
    assert len(ran.stderr.splitlines()) == 1


def test_without_any_engine_both_extras_are_named(run_hidden, photo, model):
    ran = run_hidden(MAIN, "detect", photo, "--model", model, hide="sys.modules['onnxruntime'] = None\n")
    assert ran.returncode == 2
    assert ran.stderr == (
        "neither MXNet nor onnxruntime is installed: pip install 'gluon-mtcnn[cpu]' or 'gluon-mtcnn[onnx]'\n"
    )


def test_mxnet_is_the_default_where_it_is_installed(model):
    assert Detector(model).engine == "mxnet"
