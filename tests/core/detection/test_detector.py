import json
from dataclasses import replace

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.official import load_mxnet_det
from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection import test_time_augmentation as augmentation
from gluon_mtcnn.core.detection.cascade import Candidates
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.core.types import ENGINES, NETS


@pytest.fixture(scope="module")
def model():
    """A cascade with random weights whose scores lie around .5: plenty of boxes pass."""
    nets = {}
    for i, kind in enumerate(NETS):
        nets[kind] = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(nets[kind], seed=i)
    return Model(nets=nets, thresholds=(0.3, 0.3, 0.3))


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def test_cells_of_the_exact_arithmetic_by_hand(model):
    # photo 100 x 80 at scale .5: level 50 x 40. Cell row 3, column 5 covers columns 10..21 of the level: 20..43
    boxes = Detector(model)._cascade._cells(np.array([3]), np.array([5]), 0.5, (80, 100, 3), (40, 50, 3))
    np.testing.assert_allclose(boxes, [[20, 12, 43, 35]])


def test_cells_of_the_legacy_arithmetic_by_hand(model):
    # round(2 * 5 / .3) = 33, round((2 * 5 + 12) / .3) = 73
    boxes = Detector(model, compat="seanlinx")._cascade._cells(np.array([0]), np.array([5]), 0.3, (0, 0, 3), (0, 0, 3))
    np.testing.assert_allclose(boxes, [[33, 0, 73, 40]])


@pytest.mark.parametrize("compat", [None, "seanlinx", "official"])
def test_stages_and_detections_fit_together(model, photo, compat):
    detector = Detector(model, compat=compat)
    stages = detector.stages(photo)
    assert list(stages) == list(NETS)
    for stage in stages.values():
        assert len(stage.after) > 0
        assert stage.before.shape[1] == stage.after.shape[1] == 5
        assert (np.diff(stage.after[:, 4]) <= 0).all()
        assert (stage.after[:, 4] > 0.3).all()
    faces = detector.detect(photo)
    np.testing.assert_allclose(faces.as_array(), stages["onet"].after, rtol=1e-6)
    assert faces.landmarks.shape == (len(faces), 5, 2)


def test_thresholds_are_strict_and_stages_can_stop_early(model, photo):
    assert len(Detector(model, thresholds=(1, 1, 1)).detect(photo)) == 0
    alone = Detector(model, last_stage="pnet")
    assert alone.kinds == ("pnet",)
    proposals = Detector(model).stages(photo)["pnet"].detections()
    np.testing.assert_array_equal(alone.detect(photo).as_array(), proposals.as_array())
    only_p = Model(nets={"pnet": model.nets["pnet"]}, path="folder")
    assert Detector(only_p).kinds == ("pnet",)
    with pytest.raises(InputError, match=r"folder: the model has no rnet \(it has: pnet\)"):
        Detector(only_p, last_stage="rnet")
    with pytest.raises(InputError, match="the model has no pnet"):
        Detector(Model(nets={"rnet": model.nets["rnet"]}))


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 5), (12, 300, 3), (300, 13, 4), (2000, 20, 3), (0, 0, 3), (0, 50, 3)])
@pytest.mark.parametrize("compat", [None, "official"])
def test_odd_images_give_typed_results(model, shape, compat):
    faces = Detector(model, compat=compat).detect(np.full(shape, 99, np.uint8))
    assert faces.boxes.shape == (len(faces), 4)
    assert faces.landmarks.shape == (len(faces), 5, 2)


def test_colour_order_matters_and_is_explicit(model, photo):
    bgr = Detector(model).detect(photo)
    rgb = Detector(model, color="rgb").detect(photo[..., ::-1])
    np.testing.assert_array_equal(bgr.boxes, rgb.boxes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": (0.5, 0.5)}, "thresholds: expected three numbers"),
        ({"thresholds": (0.5, 0.5, 1.5)}, "thresholds: expected three numbers"),
        ({"min_face": 0}, "min face must be > 0"),
        ({"scale_factor": 1.2}, "scale factor in"),
        ({"compat": "caffe"}, "compat: expected 'seanlinx' or 'official', got 'caffe'"),
        ({"engine": "torch"}, "engine: expected mxnet, onnx, plain, got 'torch'"),
        ({"compat": "seanlinx", "look_again": True}, "compat 'seanlinx' runs without test-time augmentation"),
        ({"engine": "onnx", "compat": "official"}, "compat 'official' runs with engine 'mxnet' only"),
        ({"last_stage": "qnet"}, "last stage: expected pnet, rnet, onet, got 'qnet'"),
    ],
)
def test_bad_options(model, options, message):
    with pytest.raises(InputError, match=message):
        Detector(model, **options)


def test_landmarks_follow_the_square(model, photo):
    """Points are fractions of the square that O-Net saw: shifting the photo's content shifts box and points alike."""
    detector = Detector(model, compat="seanlinx")
    square = np.array([[10.0, 12, 57, 59]])
    stage = detector._cascade.refine("onet", photo, square)
    _, offsets, fractions = model.nets["onet"](mx.nd.array(images.normalise(photo[None, 12:60, 10:58])))
    points = fractions.asnumpy().reshape(5, 2)
    np.testing.assert_allclose(stage.landmarks[0], [10, 12] + 48 * points, rtol=1e-5)
    np.testing.assert_allclose(stage.after[0, :4], square[0] + 48 * offsets.asnumpy()[0], rtol=1e-5)


def augmented_or_not(model, engine="mxnet", threshold=0.3):
    """Return detectors with and without test-time augmentation."""
    thresholds = (0.3, 0.3, threshold)
    return (Detector(model, engine, thresholds=thresholds, test_time_augmentation=again) for again in (None, False))


@pytest.mark.parametrize("calibration", ["unclipped", "clipped"])
@pytest.mark.parametrize("x", [20, -11, 61])  # inside; beyond the left edge, the right edge
@pytest.mark.parametrize("engine", ENGINES)
def test_a_mirrored_look_is_a_look_at_the_mirrored_photo(model, photo, engine, x, calibration):
    detector = Detector(replace(model, calibration=calibration), engine)
    squares, flipped = np.array([[x, 10.0, x + 47, 57], [50, 30, 69, 49]]), np.array([[42 - x, 10.0, 89 - x, 57]])
    ours = detector._cascade._run("onet", photo, squares, np.array([True, False]))
    straight = detector._cascade._run("onet", photo, squares)
    mirror = detector._cascade._run("onet", np.ascontiguousarray(photo[:, ::-1]), flipped)
    np.testing.assert_allclose(ours.odds, [mirror.odds[0], straight.odds[1]], rtol=1e-5, atol=1e-6)
    x1, y1, x2, y2 = mirror.calibrated[0]
    np.testing.assert_allclose(ours.calibrated[0], [89 - x2, y1, 89 - x1, y2], rtol=1e-5)
    np.testing.assert_allclose(ours.calibrated[1], straight.calibrated[1], rtol=1e-5)
    points = mirror.landmarks[0][[1, 0, 2, 4, 3]] * [-1, 1] + [90, 0]
    np.testing.assert_allclose(ours.landmarks[0], points, rtol=1e-5)
    assert np.abs(ours.odds[0] - straight.odds[0]) > 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_all_looks_give_score_box_and_points(model, photo, engine):
    """Composed from single views: the square and its mirror, four squares around that box, three around the final.

    The boxes lie apart: each loses .6 ln 2.
    """
    candidates = np.array([[30.0, 25, 49, 44], [50, 30, 65, 45]])
    detector, once = augmented_or_not(model, engine)
    found = detector.stage("onet", photo, candidates)
    assert len(found.after) == 2
    for square in candidates:
        first, twin = (once._cascade._run("onet", photo, square[None], np.array([m])) for m in (False, True))
        box, odds = (first.calibrated + twin.calibrated) / 2, (first.odds + twin.odds) / 2
        squares, mirrored = augmentation.view_squares(box, augmentation.FACE_VIEWS)
        faces = [once._cascade._run("onet", photo, s, m) for s, m in zip(squares, mirrored)]
        final = np.mean([face.calibrated for face in faces], axis=0)
        odds = (odds + np.mean([face.odds for face in faces], axis=0)) / 2 - 0.6 * np.log(2)
        row = np.abs(found.after[:, :4] - final).sum(axis=1).argmin()
        np.testing.assert_allclose(found.after[row, :4], final[0], rtol=1e-4)
        np.testing.assert_allclose(found.after[row, 4], 1 / (1 + np.exp(-odds[0])), rtol=1e-4)
        squares, _ = augmentation.view_squares(final, augmentation.LANDMARK_VIEWS)
        points = np.mean([once._cascade._run("onet", photo, s).landmarks[0] for s in squares], axis=0)
        np.testing.assert_allclose(found.landmarks[row], points, rtol=1e-4)
    alone = once.stage("onet", photo, candidates)
    np.testing.assert_array_equal(found.before[:, :4], alone.before[:, :4])
    moved, scores = found.before[:, 4], alone.before[:, 4]
    np.testing.assert_allclose(moved / (1 - moved), scores / (1 - scores) / 2**0.6, rtol=1e-4)
    assert np.abs(found.landmarks - alone.landmarks).max() > 0.5


def test_nets_without_points_look_once_unless_told_otherwise(model, photo):
    nets = {**model.nets, "onet": build(NetSpec("onet"))}
    initialise(nets["onet"], seed=2)
    bare, candidates = Model(nets=nets, thresholds=(0.3, 0.3, 0.3)), np.array([[30.0, 25, 49, 44], [50, 30, 65, 45]])
    default, once, again = (Detector(bare, test_time_augmentation=value) for value in (None, False, True))
    found, alone, told = (detector.stage("onet", photo, candidates) for detector in (default, once, again))
    np.testing.assert_array_equal(found.after, alone.after)
    assert told.landmarks is None
    assert (told.after[:, :4] != alone.after[:, :4]).all()


def test_an_rnet_with_points_looks_once(model, photo):
    """Its boxes are hundreds, and O-Net sees each of them anyway."""
    nets = {**model.nets, "rnet": build(NetSpec("rnet", landmarks=True))}
    initialise(nets["rnet"], seed=1)
    candidates = np.array([[30.0, 25, 49, 44], [50, 30, 65, 45]])
    found, once = (
        Detector(Model(nets=nets, thresholds=(0.3, 0.3, 0.3)), test_time_augmentation=again).stage(
            "rnet", photo, candidates
        )
        for again in (None, False)
    )
    assert len(found.after) == 2
    np.testing.assert_array_equal(found.after, once.after)
    np.testing.assert_array_equal(found.landmarks, once.landmarks)


def answers(detector, monkeypatch, *given):
    """Let O-Net say these things, one a call: (boxes, log-odds); return the numbers of squares in each.

    The log-odds are those of a box on its own, after it has lost .6 ln 2 by that.
    """
    asked, left = [], list(given)

    def run(kind, image, squares, mirrored=None):
        asked.append(len(squares))
        boxes, odds = left.pop(0)
        boxes = np.broadcast_to(np.array(boxes, float), (len(squares), 4)).copy()
        odds = np.broadcast_to(np.array(odds, np.float32), len(squares)) + np.float32(0.6 * np.log(2))
        return Candidates(squares, boxes, 1 / (1 + np.exp(-odds)), np.zeros((len(squares), 5, 2)), odds)

    monkeypatch.setattr(detector._cascade, "_run", run)
    return asked


def test_boxes_that_meet_on_one_face_are_suppressed(model, photo, monkeypatch):
    """The first views' boxes overlap by less than 0.7; the further views move both to one place.

    Their IoU is 26 / 54, .91 of the way from .3 to .5: each gains .6 ln 1.91.
    """
    detector, _ = augmented_or_not(model)
    apart = [[20, 20, 59, 59], [34, 20, 73, 59]]  # overlap 26 / 40 = .65
    face = [20, 20, 59, 59]
    asked = answers(detector, monkeypatch, (apart, [2, 1]), (apart, [2, 1]), (face, 2), (face, 0))
    stage = detector._cascade.refine("onet", photo, np.array(apart, float))
    assert asked == [2, 2, 8, 3]
    odds = 2 + 0.6 * np.log(1 + (26 / 54 - 0.3) / 0.2)
    np.testing.assert_allclose(stage.after, [[*face, 1 / (1 + np.exp(-odds))]], rtol=1e-6)
    assert stage.landmarks.shape == (1, 5, 2)
    assert len(stage.before) == 2


def test_only_faces_near_the_threshold_are_looked_at_again(model, photo, monkeypatch):
    """Threshold .5, log-odds 0: -5 is too far, -4 and -1 are not; only what all views put above it is a face."""
    detector, _ = augmented_or_not(model, threshold=0.5)
    places = np.array([[0.0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 69, 9]])
    asked = answers(
        detector,
        monkeypatch,
        (places, [-5, -4, -1, 1]),
        (places[1:], [-5, 2, 1]),  # means -4.5, .5, 1: the first of the three is given up
        (np.tile(places[[3, 2]], (4, 1)), [-3, 1] * 4),  # ends, the best first: -1, .75
        (places[2], 0),
    )
    stage = detector._cascade.refine("onet", photo, places)
    assert asked == [4, 3, 8, 3]
    np.testing.assert_allclose(stage.after, [[40, 0, 49, 9, 1 / (1 + np.exp(-0.75))]], rtol=1e-6)
    np.testing.assert_array_equal(stage.before[:, :4], places[3:])  # at the first look


def test_boxes_on_a_face_make_it_more_probable(model, photo, monkeypatch):
    """Three boxes on the first face, of which one scores next to nothing, and one on the second, which scored more."""
    detector, once = augmented_or_not(model, threshold=0.5)
    places = np.array([[0.0, 0, 39, 39], [0, 0, 38, 39], [0, 1, 39, 39], [50, 0, 89, 39]])
    first = (places, [0.5, 0, -9, 0.7])
    asked = answers(
        detector,
        monkeypatch,
        first,
        (places[[0, 1, 3]], [0.5, 0, 0.7]),
        (np.tile(places[[0, 3]], (4, 1)), [0.5, 0.7] * 4),
        (places[0], 0),
    )
    stage = detector._cascade.refine("onet", photo, places)
    assert asked == [4, 3, 8, 6]
    scores = [1 / (1 + np.exp(-0.5) / 3**0.6), 1 / (1 + np.exp(-0.7))]
    np.testing.assert_allclose(stage.after, np.column_stack([places[[0, 3]], scores]), rtol=1e-6)
    np.testing.assert_array_equal(stage.before[:, :4], places[[0, 3, 1]])
    answers(once, monkeypatch, first)
    np.testing.assert_array_equal(once._cascade.refine("onet", photo, places).after[:, :4], places[[3, 0]])


def test_a_face_outside_the_photo_is_not_looked_at_again(model, photo, monkeypatch):
    """Offsets may carry a box out of the photo: what the first two views said of it is kept."""
    detector, _ = augmented_or_not(model)
    boxes, inside = [[-60, -60, -20, -20], [10, 12, 57, 59]], [10, 12, 47, 49]
    asked = answers(detector, monkeypatch, (boxes, [3, 2]), (boxes, [3, 2]), (inside, 1), (inside, 1))
    stage = detector._cascade.refine("onet", photo, np.array([[0.0, 0, 30, 30], [10, 12, 57, 59]]))
    assert asked == [2, 2, 4, 3]
    np.testing.assert_allclose(stage.after[0], [-60, -60, -20, -20, 1 / (1 + np.exp(-3))], rtol=1e-6)
    np.testing.assert_allclose(stage.after[1], [10, 12, 47, 49, 1 / (1 + np.exp(-1.5))], rtol=1e-6)


RUNS = ["fddb_default_0.6_0.7_0.7_min24", "min20_0.6_0.7_0.7", "demo_default_0.5_0.5_0.7_min40"]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("engine", ENGINES)
def test_compat_gives_the_originals_boxes_after_every_stage(shared, run, engine):
    folder = shared / "seanlinx"
    expected = json.loads((folder / "golden_test01.json").read_text())["runs"][run]
    legacy = load_seanlinx({k: folder / "model" / k for k in NETS}, dict.fromkeys(NETS, 16))
    detector = Detector(legacy, engine, expected["min_face"], tuple(expected["thresholds"]), compat="seanlinx")
    stages = detector.stages(images.read(folder / "test01.jpg"))
    for kind, stage in stages.items():
        for name, got in (("boxes", stage.before), ("boxes_c", stage.after)):
            wanted = np.array(sorted(expected[f"{kind}_{name}"]))
            assert len(got) == len(wanted), (kind, name)
            got = np.array(sorted(got.tolist()))
            np.testing.assert_allclose(got[:, :4], wanted[:, :4], rtol=0, atol=1e-2, err_msg=f"{kind} {name}")
            np.testing.assert_allclose(got[:, 4], wanted[:, 4], rtol=0, atol=1e-4, err_msg=f"{kind} {name}")


def test_exact_arithmetic_finds_the_same_faces(shared):
    folder = shared / "seanlinx"
    legacy = load_seanlinx({k: folder / "model" / k for k in NETS}, dict.fromkeys(NETS, 16))
    photo = images.read(folder / "test01.jpg")
    exact, compat = Detector(legacy).detect(photo), Detector(legacy, compat="seanlinx").detect(photo)
    assert len(exact) == len(compat) == 8
    assert (iou(exact.boxes, compat.boxes).max(axis=1) > 0.7).all()


def test_official_weights_find_the_same_faces_in_both_arithmetics(shared):
    model = load_mxnet_det(shared / "official_mxnet")
    photo = images.read(shared / "seanlinx" / "test01.jpg")
    ours, official = (Detector(model, min_face=24, compat=compat).detect(photo) for compat in (None, "official"))
    sure = official.boxes[official.scores > 0.95]
    overlap = iou(sure, ours.boxes)
    assert len(sure) >= 5
    assert (overlap.max(axis=1) > 0.75).all()
    distance = np.abs(official.landmarks[: len(sure)] - ours.landmarks[overlap.argmax(axis=1)]).max(axis=(1, 2))
    assert (distance / (sure[:, 2] - sure[:, 0]) < 0.1).all()
