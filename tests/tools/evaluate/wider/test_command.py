import json
from argparse import ArgumentParser

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.cli.detector_options import options_with_detector
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.cli.options import add_common
from gluon_mtcnn.tools.detect.media import Frame, MediaSource
from gluon_mtcnn.tools.detect.outputs import Found, WiderOutput
from gluon_mtcnn.tools.evaluate.detections import read_json_detections
from gluon_mtcnn.tools.evaluate.wider import command as wider_eval
from gluon_mtcnn.tools.evaluate.wider.files import SETTINGS, GroundTruth, read_ground_truth, read_image_list
from gluon_mtcnn.tools.evaluate.wider.protocol import align, evaluate_settings, normalise_scores
from gluon_mtcnn.tools.evaluate.wider.run import WiderOptions, evaluate_wider

PNG = b"\x89PNG"


def make_truth(*photos):
    """Return the ground truth of ``(faces, numbers from 0 that every setting counts)`` per photo."""
    faces = [np.array(boxes, np.float64).reshape(-1, 4) for boxes, _ in photos]
    masks = [np.isin(np.arange(len(boxes)), chosen) for boxes, (_, chosen) in zip(faces, photos)]
    return GroundTruth([f"e/{i}" for i in range(len(photos))], faces, dict.fromkeys(SETTINGS, masks))


def rows(*values):
    return np.array(values, np.float64).reshape(-1, 5)


def parse(argv):
    parser = ArgumentParser()
    wider_eval.add_arguments(parser)
    add_common(parser, wider_eval.COMMON)
    return options_with_detector(WiderOptions, parser.parse_args([str(value) for value in argv]))


def write_tiny_truth(folder):
    """Write the ground truth of e/a (two faces, hard counts both, easy the first) and e/b (one face, hard)."""

    def cell(*items):
        column = np.empty((len(items), 1), object)
        for i, item in enumerate(items):
            column[i, 0] = item
        return column

    folder.mkdir()
    common = {"event_list": cell("e"), "file_list": cell(cell("a", "b"))}
    faces = np.array([[10, 10, 20, 20], [50, 10, 20, 20]], np.int32)
    savemat(folder / "wider_face_val.mat", {**common, "face_bbx_list": cell(cell(faces, faces[:1]))})
    none = np.zeros((0, 1), np.uint8)
    for setting, numbers in (("easy", ([1], none)), ("medium", ([1], none)), ("hard", ([1, 2], [1]))):
        chosen = [np.array(n, np.uint8).reshape(-1, 1) for n in numbers]
        savemat(folder / f"wider_{setting}_val.mat", {**common, "gt_list": cell(cell(*chosen))})
    return folder


def write_detections(path, sets):
    path.write_text(json.dumps(sets))
    return path


def test_golden_ap(shared):
    folder = shared / "wider"
    golden = json.loads((folder / "golden" / "expected.json").read_text())
    found = read_json_detections(folder / "golden" / "detections.json")
    truth = read_ground_truth(folder / "ground_truth").select(
        read_image_list(folder / "golden" / "images.txt"), "images"
    )
    results = evaluate_settings(truth, align(truth, found, "golden", False))
    for setting in SETTINGS:
        assert results[setting].faces == golden[setting]["faces"]
        assert results[setting].ap == pytest.approx(golden[setting]["AP"], abs=1e-9)


def test_what_detect_writes_is_read_back(tmp_path):
    truth = write_tiny_truth(tmp_path / "truth")
    found = {
        "e/a.jpg": Detections([[10, 10, 30.25, 30], [55, 12, 73, 31]], [0.875, 0.5]),
        "e/b.jpg": Detections.empty(),
    }
    sources = {name: MediaSource(str(tmp_path / "WIDER_val" / name), "image", f"WIDER_val/{name}") for name in found}
    output = WiderOutput(str(tmp_path / "result"), list(sources.values()))
    for name, faces in found.items():
        output.add(Found(Frame(sources[name], np.zeros((1, 1, 3), np.uint8)), faces))
    assert (tmp_path / "result/e/a.txt").read_text() == "e/a.jpg\n2\n10 10 20.25 20 0.875\n55 12 18 19 0.5\n"
    as_json = write_detections(tmp_path / "d.json", {name: faces.as_array().tolist() for name, faces in found.items()})
    for out, detections in (("from_text", tmp_path / "result"), ("from_json", as_json)):
        argv = ["--ground-truth", truth, "--detections", detections, "--out", tmp_path / out]
        evaluate_wider(parse(argv))
    results = [json.loads((tmp_path / out / "wider.json").read_text()) for out in ("from_text", "from_json")]
    assert results[0]["hard"]["AP"] == results[1]["hard"]["AP"] > 0
    same = MediaSource(str(tmp_path / "other/e/a.png"), "image", "other/e/a.png")
    with pytest.raises(InputError, match="--wider: two of the inputs would both be called e/a"):
        WiderOutput("x", [*sources.values(), same])


def test_scores_are_stretched():
    np.testing.assert_allclose(normalise_scores(np.array([-3.0, 1, 0])), [0, 1, 0.75])
    assert normalise_scores(np.array([0.3, 0.3])).tolist() == [1, 1]
    assert normalise_scores(np.zeros(0)).shape == (0,)


def test_ap_by_hand():
    # Scores 1 (hit), .5 (false), 0 (hit) after stretching; two faces: recall 1/2 at precision 1, 2/2 at 2/3.
    truth = make_truth(([[10, 10, 30, 30], [50, 10, 70, 30]], [0, 1]))
    found = [rows([10, 10, 30, 30, 0.9], [80, 80, 99, 99, 0.5], [50, 10, 70, 30, 0.1])]
    result = evaluate_settings(truth, found, threshold=0.4)["hard"]
    assert result.ap == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert result.summary()["operating_point"] == {
        "threshold": 0.4,
        "TP": 1,
        "FP": 1,
        "recall": 0.5,
        "precision": 0.5,
    }


def test_faces_outside_the_setting_count_in_neither():
    truth = make_truth(([[10, 10, 30, 30], [50, 10, 70, 30]], [0]))
    found = [rows([50, 10, 70, 30, 1.0], [50, 10, 70, 30, 0.9], [10, 10, 30, 30, 0.0])]
    result = evaluate_settings(truth, found, threshold=-1)["easy"]
    assert result.ap == pytest.approx(1)
    assert (result.point["TP"], result.point["FP"]) == (1, 0)


def test_photos_without_faces_contribute_nothing_but_their_scores():
    truth = make_truth(([[10, 10, 30, 30]], [0]), ([], []))
    hit, wrong = [10, 10, 30, 30, 0.5], [60, 60, 80, 80, 0.4]
    # Stretched to 0..1 by the photo without faces, the scores .5 and .4 stay as they are.
    results = evaluate_settings(truth, [rows(hit, wrong), rows([1, 1, 9, 9, 0.0], [1, 1, 9, 9, 1.0])])
    assert results["easy"].ap == pytest.approx(1)
    assert results["easy"].recall[498:500].tolist() == [0, 1]  # at .501 and .5
    assert results["easy"].precision[599] == pytest.approx(0.5)  # at .4


def test_boxes_of_negative_size_are_false_positives():
    truth = make_truth(([[10, 10, 30, 30]], [0]))
    result = evaluate_settings(truth, [rows([30, 30, 10, 10, 1.0], [10, 10, 30, 30, 0.5])], threshold=0)["hard"]
    assert (result.point["TP"], result.point["FP"]) == (1, 1)
    assert result.ap == pytest.approx(0.5)


def test_setting_without_faces_has_no_ap():
    result = evaluate_settings(make_truth(([[10, 10, 30, 30]], [])), [rows([10, 10, 30, 30, 1.0])])["easy"]
    assert result.summary() == {"AP": None, "faces": 0}


def test_no_detection_at_all_is_ap_zero():
    result = evaluate_settings(make_truth(([[10, 10, 30, 30]], [0])), [rows()], threshold=0.5)["easy"]
    assert result.ap == 0
    assert (result.point["recall"], result.point["precision"]) == (0, None)


def test_many_boxes_on_one_photo():
    truth = make_truth(([[10, 10, 30, 30], [500, 500, 560, 560]], [0, 1]))
    rng = np.random.default_rng(0)
    corner = rng.uniform(100, 400, (200_000, 2))
    many = np.concatenate([corner, corner + 20, rng.random((200_000, 1)) * 0.5], axis=1)
    found = np.concatenate([many, rows([10, 10, 30, 30, 1.0])])
    result = evaluate_settings(truth, [found], threshold=-1)["hard"]
    assert (result.point["TP"], result.point["FP"]) == (1, 200_000)
    assert result.ap == pytest.approx(0.5)


def test_only_listed_photos_are_normalised_over():
    truth = make_truth(([[10, 10, 30, 30]], [0]))
    listed = rows([10, 10, 30, 30, 0.5], [60, 60, 80, 80, 0.25])
    alone = align(truth, {"e/0.jpg": listed}, "d.json", False)
    among = align(truth, {"e/0.jpg": listed, "other/1.jpg": rows([1, 1, 2, 2, 99.0])}, "d.json", False)
    np.testing.assert_array_equal(
        evaluate_settings(truth, alone)["easy"].precision, evaluate_settings(truth, among)["easy"].precision
    )


def test_align_names_what_is_missing():
    truth = make_truth(([], []), ([], []))
    with pytest.raises(InputError, match=r"d\.json: no entry for 1 of 2 photos, the first is e/1\.jpg"):
        align(truth, {"e/0.jpg": rows()}, "d.json", False)
    assert len(align(truth, {"e/0": rows([1, 1, 2, 2, 1.0])}, "d.json", True)[1]) == 0
    with pytest.raises(InputError, match=r"expected entries like e/0\.jpg, got none of the 2"):
        align(truth, {"wrong/0.jpg": rows()}, "d.json", True)
    with pytest.raises(InputError, match=r"d\.json: no entry for 2 of 2 photos, the first is e/0\.jpg"):
        align(truth, {}, "d.json", False)
    assert [boxes.shape for boxes in align(truth, {}, "d.json", True)] == [(0, 5)] * 2
    with pytest.raises(InputError, match="two entries for e/0"):
        align(truth, {"e/0.jpg": rows(), "e/0": rows()}, "d.json", True)


def test_command_on_json_and_on_its_own_text_files(tmp_path, capsys):
    truth = write_tiny_truth(tmp_path / "truth")
    # x + w without "- 1": the first box is the first face exactly.
    sets = {"e/a.jpg": [[10, 10, 30, 30, 0.9], [200, 200, 220, 220, 0.6]], "e/b.jpg": [[10, 10, 30, 30, 0.3]]}
    found = write_detections(tmp_path / "d.json", sets)
    common = ["evaluate", "wider", "--ground-truth", str(truth), "--operating-point", ".5"]
    out, official = tmp_path / "out", tmp_path / "official"
    assert main([*common, "--detections", str(found), "--out", str(out), "--wider", str(official)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "easy    AP 1.0000  faces 1  above 0.5: TP 1  FP 1"
    result = json.loads((out / "wider.json").read_text())
    assert result["easy"]["AP"] == pytest.approx(1)
    # hard: recall 1/3 at precision 1, then 2/3 at 2/3
    assert result["hard"]["AP"] == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert result["hard"]["operating_point"]["recall"] == pytest.approx(1 / 3)
    assert (out / "precision_recall.png").read_bytes().startswith(PNG)
    assert json.loads((out / "detections.json").read_text()) == sets
    files = ["detections.json", "evaluation.json", "precision_recall.png", "wider.json"]
    assert sorted(p.name for p in out.iterdir()) == files
    assert json.loads((out / "evaluation.json").read_text())["ground_truth"] == "../truth"
    again = tmp_path / "again"
    assert main([*common, "--detections", str(official), "--out", str(again)]) == 0
    assert json.loads((again / "wider.json").read_text()) == result


class OneFace:
    """Finds the first face of every photo, surely, and another box on each with a low score."""

    def clone(self):
        return self

    def detect(self, image):
        assert image.shape == (60, 80, 3)
        return Detections([[10, 10, 30, 30], [60, 40, 75, 55]], [0.9, 0.1])


@pytest.fixture
def photos(tmp_path):
    for name in ("a", "b"):
        path = tmp_path / "WIDER_val" / "images" / "e" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((60, 80, 3), np.uint8))
    return tmp_path / "WIDER_val"


@pytest.mark.parametrize("below", ["", "images"])
def test_command_on_photos(tmp_path, photos, below):
    truth, out = write_tiny_truth(tmp_path / "truth"), tmp_path / "out"
    args = parse(
        ["--ground-truth", truth, "--images", photos / below, "--out", out, "--quiet", "--operating-point", 0.5]
    )
    evaluate_wider(args, OneFace())
    result = json.loads((out / "wider.json").read_text())
    point = {"threshold": 0.5, "TP": 2, "FP": 0, "recall": pytest.approx(2 / 3), "precision": 1}
    assert result["hard"] == {"AP": pytest.approx(2 / 3), "faces": 3, "operating_point": point}
    stored = json.loads((out / "detections.json").read_text())
    assert stored["e/b.jpg"] == pytest.approx(np.array([[10, 10, 30, 30, 0.9], [60, 40, 75, 55, 0.1]]))


def test_missing_photo(tmp_path, photos):
    truth, out = write_tiny_truth(tmp_path / "truth"), tmp_path / "out"
    (photos / "images" / "e" / "b.jpg").unlink()
    argv = ["--ground-truth", truth, "--images", photos, "--out", out, "--quiet"]
    with pytest.raises(InputError, match=r"b\.jpg: photo not found .*--missing-as-empty"):
        evaluate_wider(parse(argv), OneFace())
    assert not out.exists()
    evaluate_wider(parse([*argv, "--missing-as-empty"]), OneFace())
    assert json.loads((out / "wider.json").read_text())["hard"]["AP"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ('{"e/a.jpg": [[1, 2, 3, 4, NaN]], "e/b.jpg": []}', "d.json: 'e/a.jpg': row 1: expected finite numbers"),
        ('{"e/a.jpg": []}', "no entry for 1 of 2 photos, the first is e/b.jpg"),
        ("\0\1", "d.json:1: expected JSON"),
    ],
)
def test_bad_detections_are_one_line_and_code_2(tmp_path, capsys, sets, message):
    truth, found = write_tiny_truth(tmp_path / "truth"), tmp_path / "d.json"
    found.write_text(sets)
    argv = ["evaluate", "wider", "--ground-truth", str(truth), "--detections", str(found), "--out", str(tmp_path / "o")]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_image_list_restricts(tmp_path):
    truth = write_tiny_truth(tmp_path / "truth")
    found = write_detections(tmp_path / "d.json", {"e/b.jpg": [[10, 10, 30, 30, 0.9]]})
    (tmp_path / "list.txt").write_text("e/b.jpg\n")
    argv = ["--ground-truth", truth, "--detections", found, "--image-list", tmp_path / "list.txt"]
    evaluate_wider(parse([*argv, "--out", tmp_path / "o"]))
    result = json.loads((tmp_path / "o" / "wider.json").read_text())
    assert result == {
        "easy": {"AP": None, "faces": 0},
        "medium": {"AP": None, "faces": 0},
        "hard": {"AP": 1.0, "faces": 1},
    }


def test_results_cannot_go_into_a_file(tmp_path, photos):
    truth = write_tiny_truth(tmp_path / "truth")
    (tmp_path / "file").write_text("")
    argv = ["--ground-truth", truth, "--images", photos, "--quiet", "--out"]
    for out in ("file", "file/below"):
        with pytest.raises(InputError, match="expected a folder to write to"):
            evaluate_wider(parse([*argv, tmp_path / out]), OneFace())


def test_operating_point_must_be_a_number(capsys):
    with pytest.raises(SystemExit):
        parse(["--ground-truth", "t", "--detections", "d", "--out", "o", "--operating-point", "nan"])
    assert "expected a finite number" in capsys.readouterr().err


def test_folder_that_is_no_model(tmp_path, photos, capsys):
    truth = write_tiny_truth(tmp_path / "truth")
    argv = ["evaluate", "wider", "--ground-truth", str(truth), "--images", str(photos), "--out", str(tmp_path / "o")]
    assert main([*argv, "--model", str(tmp_path / "none")]) == 2
    assert "none: not a model folder" in capsys.readouterr().err


def test_without_a_folder_the_values_come_back_and_no_file(tmp_path, photos):
    truth = write_tiny_truth(tmp_path / "truth")
    before = sorted(tmp_path.rglob("*"))
    result = evaluate_wider(WiderOptions(truth, images=photos, operating_point=0.5, quiet=True), OneFace())
    assert sorted(tmp_path.rglob("*")) == before
    assert result.settings["hard"].ap == pytest.approx(2 / 3)
    assert result.settings["hard"].recall.shape == (1000,)
    assert result.summary()["hard"]["operating_point"]["TP"] == 2
    assert list(result.detections) == ["e/a.jpg", "e/b.jpg"]
    for both_or_neither in ({}, {"images": photos, "detections": tmp_path / "d.json"}):
        with pytest.raises(InputError, match="expected detections or images, got both or neither"):
            evaluate_wider(WiderOptions(truth, **both_or_neither))
