import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.detection.score_calibration import shift_scores
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import Model, load_model, save_net, write_thresholds
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS, Annotation
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.evaluate.boxes.protocol import score_boxes
from gluon_mtcnn.tools.evaluate.stages.cascade import Targets, pick, run_stage
from gluon_mtcnn.tools.evaluate.stages.counts import (
    FaceSet,
    at_proposals,
    count_above,
    pick_by_f1,
    pick_by_precision,
    pick_by_recall,
    stage_scores,
    sweep,
)
from gluon_mtcnn.tools.evaluate.stages.run import StagesOptions, evaluate_stages


def photo(name, boxes, ignore=None):
    return Annotation("", boxes, [False] * len(boxes) if ignore is None else ignore, name=name)


def rows(*values):
    return np.array(values, np.float64).reshape(-1, 5)


def square(x, side):
    return [x, 0, x + side - 1, side - 1]


# Two photos; faces of 30, 50 (ignored) and 100 px in the first, of 10 px in the second.
PHOTOS = [
    photo("a", [square(0, 30), square(100, 50), square(200, 100)], [False, True, False]),
    photo("b", [square(0, 10)]),
]
FOUND = [
    rows(
        [*square(0, 30), 0.75],  # finds the 30 px face
        [*square(1, 30), 0.5],  # again
        [*square(100, 50), 0.75],  # on the ignored face: a box, nothing else
        [*square(500, 30), 0.25],  # on nothing
        [*square(200, 100), 0.25],  # finds the 100 px face
    ),
    rows([*square(0, 10), 0.75]),  # on a face too small to count
]


def test_a_stage_by_hand():
    faces = FaceSet.of(PHOTOS, min_sqrt_area=20)
    assert faces.counted.tolist() == [True, False, True, False]
    np.testing.assert_allclose(faces.sizes, [30, 50, 100, 10])
    assert {label: mask.sum() for label, mask in faces.size_masks().items() if mask.any()} == {"20-40": 1, "80-160": 1}
    scores = stage_scores(faces, FOUND)
    curve = sweep(faces, scores, np.array([0.1, 0.25, 0.5, 0.75]))
    assert curve.recall.tolist() == [1, 0.5, 0.5, 0]  # scores must be greater than the threshold, not equal
    assert curve.boxes.tolist() == [3, 2, 1.5, 0]
    assert curve.false.tolist() == [0.5, 0, 0, 0]
    assert curve.duplicates.tolist() == [0.5, 0.5, 0, 0]
    np.testing.assert_allclose(curve.precision, [2 / 4, 1 / 2, 1, 0])
    assert curve.recall_by_size["20-40"].tolist() == [1, 1, 1, 0]
    assert curve.recall_by_size["80-160"].tolist() == [1, 0, 0, 0]
    assert curve.kept is None
    kept = sweep(faces, scores, np.array([0.1, 0.6]), np.array([True, False, False, False])).kept
    assert kept.tolist() == [1, 1]


def test_sizes_are_square_roots_of_areas_and_low_ends_belong_to_their_class():
    faces = FaceSet.of([photo("a", [[0, 0, 9, 39], square(0, 40), square(0, 160)])])
    assert [label for label, mask in faces.size_masks().items() for _ in range(mask.sum())] == [
        "20-40",
        "40-80",
        "160+",
    ]


def test_recall_at_a_number_of_proposals_by_hand():
    faces = FaceSet.of(PHOTOS, 20)
    scores = stage_scores(faces, FOUND)
    one, two, many = at_proposals(faces, scores, (1, 2, 100))
    # Three boxes score .75: more than two in two photos, and equal scores go together.
    assert one == {"proposals": 1, "recall": 0, "boxes_per_photo": 0}
    assert two == {"proposals": 2, "recall": 0.5, "boxes_per_photo": 2}
    assert many == {"proposals": 100, "recall": 1, "boxes_per_photo": 3}


def test_thresholds_are_compared_as_float32_like_the_detector():
    score = float(np.float32(0.7))  # a little below .7
    assert count_above(np.array([score]), np.array([0.7])).tolist() == [0]
    assert count_above(np.array([score]), np.array([0.699])).tolist() == [1]


def test_picks():
    shares = np.array([1, 0.97, 0.97, 0.9])
    assert pick_by_recall(shares, 0.97) == 2
    assert pick_by_recall(shares, 0.5) == 3
    assert pick_by_recall(shares[1:], 0.99) is None
    precision = np.array([0.2, 0.8, 0.9, 0.0])
    assert pick_by_precision(precision, 0.75) == 1
    assert pick_by_precision(precision, 0.95) is None
    assert pick_by_f1(np.array([0.9, 0.8, 0.5, 0.0]), precision) == 1
    assert pick_by_f1(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 1


boxes_of_a_photo = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(8, 50), st.floats(0, 1, width=32)), max_size=12
)


@given(st.lists(st.tuples(boxes_of_a_photo, boxes_of_a_photo), min_size=1, max_size=3), st.floats(0, 1))
def test_counts_agree_with_evaluate_boxes(photos, threshold):
    annotations = [
        photo(str(i), [[x, y, x + s - 1, y + s - 1] for x, y, s, _ in faces], [score > 0.7 for *_, score in faces])
        for i, (faces, _) in enumerate(photos)
    ]
    found = {str(i): rows(*([x, y, x + s - 1, y + s - 1, v] for x, y, s, v in f)) for i, (_, f) in enumerate(photos)}
    threshold = float(np.float32(threshold))
    expected, _ = score_boxes(annotations, found, threshold)
    faces = FaceSet.of(annotations)
    scores = stage_scores(faces, list(found.values()))
    at = sweep(faces, scores, np.array([threshold])).at(0)
    wrong = at["false_positives_per_photo"] + at["duplicates_per_photo"]
    assert wrong == pytest.approx(expected["false_positives_per_photo"])
    assert at["recall"] == pytest.approx(expected["recall"] or 0)


def write_model(folder, kinds=NETS):
    mx.random.seed(3)
    for kind in kinds:
        net = build(NetSpec(kind, False, "full", "prelu_first"))
        net.initialize(mx.init.Normal(0.3))
        save_net(folder, net)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two photos of noise; the faces lie where a model of noise finds something or not."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(5)
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (60, 70, 3), np.uint8))
    (folder / "faces.csv").write_text("image,x1,y1,x2,y2\na.png,10,10,33,33\na.png,5,5,9,9\nb.png,20,20,50,50\n")
    return folder


def argv(photos, model, out, *more):
    options = ["--wider-images", photos, "--wider-annotations", photos / "faces.csv", "--model", model, "--out", out]
    return [str(value) for value in ["evaluate", "stages", *options, "--quiet", *more]]


@pytest.mark.parametrize("kinds", [NETS[:1], NETS[:2], NETS])
def test_command(photos, tmp_path, capsys, kinds):
    model, out = write_model(tmp_path / "model", kinds), tmp_path / "out"
    assert main(argv(photos, model, out, "--write")) == 0
    result = json.loads((out / "stages.json").read_text())
    assert list(result["stages"]) == list(kinds)
    assert (result["photos"], result["faces"], result["ignored"]) == (2, 2, 1)
    assert sorted(path.name for path in out.iterdir()) == ["stages.json", "stages.png", "stages_recall.png"]
    assert result["thresholds"] == list(load_model(model).thresholds)
    for kind, own in zip(NETS, (0.6, 0.7, 0.7)):
        if kind in kinds:
            stage = result["stages"][kind]
            assert stage["threshold"] == result["thresholds"][NETS.index(kind)]
            assert stage["milliseconds"] > 0
            curve = stage["curve"]
            assert curve["threshold"] == sorted(set(curve["threshold"]))
            assert curve["boxes_per_photo"] == sorted(curve["boxes_per_photo"], reverse=True)
        else:
            assert result["thresholds"][NETS.index(kind)] == own  # a net that is not there keeps its threshold
    printed = capsys.readouterr().out
    assert printed.startswith("2 photos, 2 faces of at least 20 px, 1 ignored")
    assert all(f"\n{kind} " in printed for kind in kinds)
    assert printed.endswith("(written into model.json)\n")


def test_scores_are_moved_in_a_copy(photos, tmp_path, capsys):
    model, copy = write_model(tmp_path / "model"), tmp_path / "copy"
    moved = ("--thresholds", ".3,.2,.1", "--calibrate", ".6,.7,.7")
    assert main(argv(photos, model, tmp_path / "out", *moved, "--write-to", copy)) == 0
    assert "thresholds 0.3,0.2,0.1 (written into model.json as 0.6,0.7,0.7, scores moved)" in capsys.readouterr().out
    assert load_model(model).thresholds == load_model(copy).thresholds == (0.6, 0.7, 0.7)
    result = json.loads((tmp_path / "out" / "stages.json").read_text())
    assert (result["thresholds"], result["written"]) == ([0.3, 0.2, 0.1], [0.6, 0.7, 0.7])
    assert main(argv(photos, copy, tmp_path / "again", "--thresholds", ".6,.7,.7", "--last-stage", "rnet")) == 0
    again = json.loads((tmp_path / "again" / "stages.json").read_text())
    assert list(again["stages"]) == ["pnet", "rnet"]
    for kind, stage in again["stages"].items():
        assert stage["boxes_per_photo"] == result["stages"][kind]["boxes_per_photo"]
    assert again["stages"]["pnet"]["boxes_per_photo"] > 1
    assert main(argv(photos, model, tmp_path / "out", *moved)) == 2
    assert "--calibrate needs --write or --write-to" in capsys.readouterr().err


def write_spread_model(folder, landmarks):
    """P and R pass nearly all that noise has; O's scores go from 0 to 1, half of them above .5."""
    nets = {kind: build(NetSpec(kind, landmarks and kind == "onet")) for kind in NETS}
    for i, net in enumerate(nets.values()):
        initialise(net, seed=i)
    head = nets["onet"].face_head
    head.weight.set_data(300 * head.weight.data())
    noise = np.random.default_rng(5).integers(0, 256, (60, 70, 3), np.uint8)
    found = Detector(Model(nets=nets), thresholds=(0.3, 0.2, 0), look_again=False).stages(noise)["onet"].before
    middle = np.median(found[:, 4])
    nets["onet"] = shift_scores(nets["onet"], -float(np.log(middle / (1 - middle))))
    for net in nets.values():
        save_net(folder, net)
    return folder


@pytest.mark.parametrize(
    ("landmarks", "last", "more", "look_again"),
    [
        (False, 0.5, (), False),
        (True, 0.5, (), True),
        (True, 0.9, ("--lowest", ".1,.01,.0001"), True),  # at so low a threshold it finds two more faces
        (True, 0.5, ("--no-look-again",), False),
    ],
)
def test_the_figures_are_those_of_the_detector_at_the_thresholds(photos, tmp_path, landmarks, last, more, look_again):
    model = write_spread_model(tmp_path / "model", landmarks)
    thresholds = (0.3, 0.2, last)
    detector = Detector(model, thresholds=thresholds, look_again=look_again)
    assert main(argv(photos, model, tmp_path / "out", "--thresholds", f".3,.2,{last}", *more)) == 0
    result = json.loads((tmp_path / "out" / "stages.json").read_text())
    assert result["thresholds"] == list(thresholds)
    assert load_model(model).thresholds == (0.6, 0.7, 0.7)  # not without --write
    stages = [detector.stages(cv2.imread(str(photos / f"{name}.png"))) for name in "ab"]
    for kind in NETS:
        boxes = np.mean([len(found[kind].after) for found in stages])
        assert result["stages"][kind]["boxes_per_photo"] == boxes
    assert result["stages"]["pnet"]["boxes_per_photo"] > 1  # something to compare
    assert result["stages"]["onet"]["boxes_per_photo"] > 0


def test_stages_are_those_of_the_legacy_cascade(shared, tmp_path):
    folder = shared / "seanlinx"
    legacy = load_seanlinx({k: folder / "model" / k for k in NETS}, dict.fromkeys(NETS, 16))
    (tmp_path / "list.csv").write_text("image,x1,y1,x2,y2\ntest01.jpg,0,0,30,30\n")
    thresholds = (0.6, 0.7, 0.7)
    image = cv2.imread(str(folder / "test01.jpg"))
    expected = Detector(legacy, min_face=40, thresholds=thresholds).stages(image)
    low, boxes = Detector(legacy, min_face=40, thresholds=(0.1, 0.1, 0.1)), [np.zeros((0, 4))]
    for kind, threshold in zip(NETS, thresholds):
        found = run_stage(low, kind, [str(folder / "test01.jpg")], boxes, quiet=True)[0]
        passed = found[found[:, 4] > np.float32(threshold)]
        np.testing.assert_allclose(passed, expected[kind].after, atol=1e-4)  # batches differ, hence digits
        assert len(found) > len(passed) > 0
        boxes = [passed[:, :4]]


def test_a_target_out_of_reach_is_logged(photos, tmp_path, caplog):
    model = write_model(tmp_path / "model", NETS[:1])
    more = ("--lowest", ".99,.1,.1", "--target-recall", "1,1")
    assert main(argv(photos, model, tmp_path / "out", *more)) == 0
    assert "pnet: no threshold reaches 1 of the faces" in caplog.text
    result = json.loads((tmp_path / "out" / "stages.json").read_text())
    assert result["stages"]["pnet"]["threshold"] == 0.99


def test_last_threshold_by_precision(caplog):
    precise = Targets(precision=0.9)
    faces = FaceSet.of([photo("a", [square(0, 30), square(100, 30), square(200, 30)])])
    found = [rows([*square(0, 30), 0.9], [*square(100, 30), 0.8], [*square(500, 30), 0.5], [*square(200, 30), 0.4])]
    curve = sweep(faces, stage_scores(faces, found), np.array([0.1, 0.45, 0.6, 0.85]))
    assert pick("onet", curve, Targets()) == 0
    assert pick("onet", curve, precise) == 2
    assert not caplog.records
    none = sweep(faces, stage_scores(faces, [rows([*square(500, 30), 0.5])]), np.array([0.1, 0.6]))
    assert pick("onet", none, precise) == 1
    assert "onet: no threshold reaches a precision of 0.9" in caplog.text


def test_without_a_folder_the_same_values_come_back_and_no_file(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path / "model", NETS[:2])
    options = StagesOptions(photos, photos / "faces.csv", detector=DetectorOptions(model), quiet=True)
    result = evaluate_stages(options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert list(result.curves) == list(NETS[:2])
    assert main(argv(photos, model, tmp_path / "out")) == 0
    written = json.loads((tmp_path / "out" / "stages.json").read_text())
    for stage in (*written["stages"].values(), *result.summary["stages"].values()):
        assert stage.pop("milliseconds") > 0
    assert result.summary == written
    assert list(result.thresholds) == written["thresholds"]


@pytest.mark.parametrize("option", ["--min-face-sqrt-area", "--min-face-px"])
def test_small_faces_are_those_of_a_small_root_of_the_area(photos, tmp_path, option):
    """The faces have 24 x 24, 5 x 5 and 31 x 31 pixels."""
    model = write_model(tmp_path / "model", NETS[:1])
    for size, faces in ((31, 1), (24, 2), (5, 3)):
        assert main(argv(photos, model, tmp_path / "out", option, size)) == 0
        result = json.loads((tmp_path / "out" / "stages.json").read_text())
        assert (result["faces"], result["min_face_px"]) == (faces, size)


def test_bad_input_is_one_line_and_code_2(photos, tmp_path, capsys):
    model = write_model(tmp_path / "model", NETS[:1])

    def error(*more, base=photos):
        assert main(argv(base, model, tmp_path / "out", *more)) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    assert "expected faces of at least 200 px that are not ignored, got none" in error("--min-face-px", 200)
    assert "missing.csv: annotations not found" in error("--wider-annotations", photos / "missing.csv")
    (tmp_path / "faces.csv").write_text("image,x1,y1,x2,y2\nc.png,10,10,33,33\n")
    assert "c.png: photo not found" in error(base=tmp_path)
    write_model(tmp_path / "late", NETS[1:2])
    assert "the model has no pnet" in error("--model", tmp_path / "late")
    with pytest.raises(SystemExit, match="2"):
        main(argv(photos, model, tmp_path / "out", "--target-recall", "0.9"))
    assert "expected two numbers like .97,.95, got '0.9'" in capsys.readouterr().err


def test_write_thresholds_changes_nothing_else(tmp_path):
    folder = write_model(tmp_path / "model", NETS[:1])
    before = json.loads((folder / "model.json").read_text())
    write_thresholds(folder, (0.5, 0.25, 0.125))
    assert json.loads((folder / "model.json").read_text()) == {**before, "thresholds": [0.5, 0.25, 0.125]}
    with pytest.raises(InputError, match="expected three numbers from 0 to 1"):
        write_thresholds(folder, (0.5, 0.25))
    with pytest.raises(InputError, match="not a model folder"):
        write_thresholds(tmp_path, (0.5, 0.25, 0.25))
