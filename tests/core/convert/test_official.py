import shutil

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert import caffe
from gluon_mtcnn.core.convert.official import INTERLEAVE, load_caffe, load_mxnet_det
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.types import INPUT_SIZE, NETS
from gluon_mtcnn.tools.cli.main import main

OUTPUTS = {  # of both dialects: probability, offsets, landmarks
    "pnet": ("det1", ["prob1", "conv4-2"]),
    "rnet": ("det2", ["prob1", "conv5-2"]),
    "onet": ("det3", ["prob1", "conv6-2", "conv6-3"]),
}


@pytest.fixture(scope="module")
def imported(shared, tmp_path_factory):
    """Model folders made by the command, by format."""
    folders = {}
    for name, source in (("mxnet-det", "official_mxnet"), ("caffe", "official_caffe")):
        folders[name] = str(tmp_path_factory.mktemp(name))
        assert main(["import", name, str(shared / source), "--out", folders[name]]) == 0
    return folders


def batch(kind):
    sides = (37, 52) if kind == "pnet" else (INPUT_SIZE[kind],) * 2
    return np.random.default_rng(2).uniform(-1, 1, (5, 3, *sides)).astype(np.float32)


def our_outputs(model, kind):
    logits, *others = load_model(model).nets[kind](mx.nd.array(batch(kind)))
    return [mx.nd.softmax(logits, axis=1).asnumpy(), *(other.asnumpy() for other in others)]


def mxnet_outputs(folder, kind):
    """What MXNet computes from the foreign symbol and parameters, in our order of outputs."""
    symbol, arrays, states = mx.model.load_checkpoint(str(folder / OUTPUTS[kind][0]), 1)
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=batch(kind).shape)
    executor.copy_params_from(arrays, states, allow_extra_params=True)
    outputs = [output.asnumpy() for output in executor.forward(is_train=False, data=mx.nd.array(batch(kind)))]
    return [outputs[-1], outputs[-2], *outputs[:-2]]


def opencv_outputs(folder, kind):
    """What OpenCV computes from the foreign files, given the image as MATLAB would: RGB, x and y exchanged."""
    name, layers = OUTPUTS[kind]
    net = cv2.dnn.readNetFromCaffe(str(folder / f"{name}.prototxt"), str(folder / f"{name}.caffemodel"))
    net.setInput(np.ascontiguousarray(batch(kind)[:, ::-1].transpose(0, 1, 3, 2)))
    outputs = net.forward(layers)
    return [output.transpose(0, 1, 3, 2) if output.ndim == 4 else output for output in outputs]


@pytest.mark.parametrize("kind", NETS)
def test_outputs_are_those_of_the_foreign_runtime(shared, imported, kind):
    for ours, theirs in (
        (our_outputs(imported["mxnet-det"], kind), mxnet_outputs(shared / "official_mxnet", kind)),
        (our_outputs(imported["caffe"], kind), opencv_outputs(shared / "official_caffe", kind)),
    ):
        if kind == "onet":
            # x1..x5 y1..y5 -> x1 y1 .. x5 y5
            theirs[2] = theirs[2].reshape(-1, 2, 5).transpose(0, 2, 1).reshape(-1, 10)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_both_dialects_hold_the_same_numbers(imported):
    for kind in NETS:
        a, b = (load_model(folder).nets[kind]._collect_params_with_prefix() for folder in imported.values())
        for name in a:
            np.testing.assert_array_equal(a[name].data().asnumpy(), b[name].data().asnumpy())


@pytest.mark.slow
def test_both_dialects_find_the_same_faces(shared, imported):
    photos = sorted((shared / "wider" / "WIDER_val" / "images").rglob("*.jpg"))[::12][:20]
    detectors = {name: Detector(folder) for name, folder in imported.items()}
    faces = 0
    for photo in photos:
        image = cv2.imread(str(photo))
        a, b = (detector.detect(image) for detector in detectors.values())
        assert len(a) == len(b)
        faces += len(a)
        np.testing.assert_allclose(a.boxes, b.boxes, rtol=0, atol=1e-2)
        np.testing.assert_allclose(a.landmarks, b.landmarks, rtol=0, atol=1e-2)
    assert len(photos) == 20
    assert faces > 40


def test_points_lie_on_the_faces_of_a_photo(shared, imported):
    """Raw outputs cannot tell an exchanged x and y; eyes above the mouth and the left eye left of the right one can."""
    found = Detector(imported["caffe"], min_face=24).detect(cv2.imread(str(shared / "seanlinx" / "test01.jpg")))
    assert len(found) >= 5
    left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks.transpose(1, 0, 2)
    assert (left_eye[:, 0] < right_eye[:, 0]).all()
    assert (left_mouth[:, 0] < right_mouth[:, 0]).all()
    assert (np.maximum(left_eye[:, 1], right_eye[:, 1]) < nose[:, 1]).all()
    assert (nose[:, 1] < np.minimum(left_mouth[:, 1], right_mouth[:, 1])).all()


def test_model_json_says_how_to_use_them(imported):
    for name, folder in imported.items():
        model = load_model(folder)
        assert (model.calibration, model.thresholds) == ("unclipped", (0.6, 0.7, 0.7))
        assert {origin["format"] for origin in model.origin.values()} == {name}
        assert [net.spec.landmarks for net in model.nets.values()] == [False, False, True]
        assert {(net.spec.pooling, net.spec.order) for net in model.nets.values()} == {("full", "prelu_first")}


def test_interleaving():
    by_axis = np.array([*"abcde", *"vwxyz"])
    assert "".join(by_axis[INTERLEAVE]) == "avbwcxdyez"


def copied(shared, name, folder):
    shutil.copytree(shared / name, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    return folder


@pytest.mark.parametrize("load", [load_mxnet_det, load_caffe])
def test_wrong_folders(tmp_path, load):
    with pytest.raises(InputError, match=r"nowhere: expected a folder with det1.*, got nothing"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"expected .*: det1\S+ not found"):
        load(tmp_path)


def test_a_missing_net_is_named(shared, tmp_path):
    folder = copied(shared, "official_mxnet", tmp_path / "m")
    with pytest.raises(InputError, match=r"det1-0007\.params not found"):
        load_mxnet_det(folder, 7)
    (folder / "det3-0001.params").unlink()
    with pytest.raises(InputError, match=r"det3-0001\.params not found"):
        load_mxnet_det(folder)
    folder = copied(shared, "official_caffe", tmp_path / "c")
    (folder / "det2.prototxt").unlink()
    with pytest.raises(InputError, match=r"det2\.prototxt not found"):
        load_caffe(folder)


def test_other_nets_are_refused(shared, tmp_path):
    folder = copied(shared, "official_mxnet", tmp_path / "m")
    shutil.copyfile(folder / "det3-0001.params", folder / "det2-0001.params")
    with pytest.raises(InputError, match=r"det2-0001\.params: not an official rnet \(det2\): parameter"):
        load_mxnet_det(folder)
    shutil.copyfile(shared / "seanlinx" / "model" / "pnet-0016.params", folder / "det1-0001.params")
    shutil.copyfile(shared / "seanlinx" / "model" / "rnet-0016.params", folder / "det2-0001.params")
    with pytest.raises(InputError, match=r"not an official rnet \(det2\): parameter conv4_bias is missing"):
        load_mxnet_det(folder)
    folder = copied(shared, "official_caffe", tmp_path / "c")
    for suffix in ("prototxt", "caffemodel"):
        shutil.copyfile(folder / f"det1.{suffix}", folder / f"det2.{suffix}")
    with pytest.raises(InputError, match=r"det2\.caffemodel: not an official rnet \(det2\): parameter"):
        load_caffe(folder)


@pytest.mark.parametrize(
    ("name", "file"), [("mxnet-det", "det2-0001.params"), ("caffe", "det2.caffemodel"), ("caffe", "det2.prototxt")]
)
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise", "text"])
def test_damaged_files_are_one_line_and_exit_2(shared, tmp_path, capfd, name, file, damage):
    folder = copied(shared, "official_mxnet" if name == "mxnet-det" else "official_caffe", tmp_path / "in")
    whole = (folder / file).read_bytes()
    noise = np.random.default_rng(3).bytes(3000)
    damaged = {"truncated": whole[: len(whole) * 2 // 3], "empty": b"", "noise": noise, "text": b"hello {\n"}[damage]
    (folder / file).write_bytes(damaged)
    assert main(["import", name, str(folder), "--out", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err
    assert file in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(b"kernel_size: 3", b"kernel_size: 0", "OpenCV cannot read and run", id="no kernel"),
        pytest.param(b"num_output: 28", b"num_output: 2000000000", "OpenCV cannot read and run", id="too large"),
        pytest.param(b'"Pooling"', b'"Pooli\x96g"', "OpenCV cannot read and run", id="crashes OpenCV 4.11"),
        pytest.param(b"pool: MAX", b"pool: AVE", "not an official rnet: its layers compute another", id="average"),
        pytest.param(b'type: "Softmax"', b'type: "Sigmoid"', "its layers compute another prob1", id="sigmoid"),
        pytest.param(b"prob1", b"prob2", "expected the outputs prob1, conv5-2, got", id="names"),
    ],
)
def test_a_prototxt_that_describes_another_net(shared, tmp_path, old, new, message):
    folder = copied(shared, "official_caffe", tmp_path / "c")
    text = (folder / "det2.prototxt").read_bytes()
    (folder / "det2.prototxt").write_bytes(text.replace(old, new))
    with pytest.raises(InputError, match=rf"det2\.prototxt: .*{message}"):
        load_caffe(folder)


@pytest.mark.parametrize("kind", ["prototxt", "caffemodel"])
def test_a_caffe_file_may_have_as_many_bytes_as_the_limit_says(shared, monkeypatch, kind):
    files = [shared / "official_caffe" / f"det1.{suffix}" for suffix in ("prototxt", "caffemodel")]
    size = (shared / "official_caffe" / f"det1.{kind}").stat().st_size
    monkeypatch.setitem(caffe.FILE_LIMITS, kind, size)
    assert caffe.read_caffemodel(*files, 12).weights
    monkeypatch.setitem(caffe.FILE_LIMITS, kind, size - 1)
    with pytest.raises(InputError, match=rf"det1\.{kind}: expected a {kind} of at most {size - 1} bytes, got {size}"):
        caffe.read_caffemodel(*files, 12)


def test_a_caffe_net_that_computes_too_much_is_refused_before_it_is_run(shared):
    files = [shared / "official_caffe" / f"det1.{suffix}" for suffix in ("prototxt", "caffemodel")]
    with pytest.raises(InputError, match=r"it takes \d+ operations, expected at most 100000000000"):
        caffe.read_caffemodel(*files, 8000)
