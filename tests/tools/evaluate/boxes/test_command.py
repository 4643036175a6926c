import json
from argparse import ArgumentParser

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Annotation, Detections
from gluon_mtcnn.tools.cli.detector_options import options_with_detector
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.cli.options import add_common
from gluon_mtcnn.tools.evaluate.annotated_photos import read_annotations
from gluon_mtcnn.tools.evaluate.boxes import command as boxes_eval
from gluon_mtcnn.tools.evaluate.boxes import run as boxes_run
from gluon_mtcnn.tools.evaluate.boxes.protocol import score_boxes
from gluon_mtcnn.tools.evaluate.boxes.run import BoxesOptions, evaluate_boxes


def photo(name, boxes, ignore=None):
    return Annotation("", boxes, [False] * len(boxes) if ignore is None else ignore, name=name)


def rows(*values):
    return np.array(values, np.float64).reshape(-1, 5)


def parse(argv):
    parser = ArgumentParser()
    boxes_eval.add_arguments(parser)
    add_common(parser, boxes_eval.COMMON)
    return options_with_detector(BoxesOptions, parser.parse_args([str(value) for value in argv]))


def test_by_hand():
    photos = [photo("a", [[0, 0, 9, 9], [20, 0, 29, 9]]), photo("b", []), photo("c", [[0, 0, 9, 9]])]
    found = {"a": rows([0, 0, 9, 9, 0.9], [20, 0, 29, 9, 0.5]), "b": rows([0, 0, 9, 9, 0.7])}
    summary, curve = score_boxes(photos, found, threshold=0.6)
    assert summary == {
        "AP": pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3),
        "recall": pytest.approx(1 / 3),
        "precision": 0.5,
        "true_positives": 1,
        "false_positives": 1,
        "false_positives_per_photo": pytest.approx(1 / 3),
        "threshold": 0.6,
        "photos": 3,
        "faces": 3,
        "ignored": 0,
    }
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])


def test_ignored_and_small_faces_count_in_neither():
    photos = [photo("a", [[0, 0, 9, 9], [20, 0, 29, 4], [40, 0, 49, 9]], [True, False, False])]
    found = {"a": rows([0, 0, 9, 9, 0.9], [20, 0, 29, 4, 0.8], [40, 0, 49, 9, 0.7])}
    summary, _ = score_boxes(photos, found, min_shorter_side=6)
    assert (summary["faces"], summary["ignored"], summary["AP"], summary["false_positives"]) == (1, 2, 1, 0)
    # Five pixels high is not smaller than five.
    assert score_boxes(photos, found, min_shorter_side=5)[0]["faces"] == 2


def test_without_threshold_all_boxes_count():
    summary, curve = score_boxes([photo("a", [[0, 0, 9, 9]])], {"a": rows([50, 50, 60, 60, 0.001])})
    assert (summary["false_positives"], summary["threshold"], summary["recall"]) == (1, None, 0)
    assert curve.point is None


def test_without_faces_or_boxes():
    summary, _ = score_boxes([photo("a", [])], {}, threshold=0.5)
    assert (summary["AP"], summary["recall"], summary["precision"], summary["false_positives"]) == (None, None, None, 0)
    json.dumps(summary, allow_nan=False)


def test_csv_and_wider_text_mean_the_same(tmp_path):
    (tmp_path / "faces.csv").write_text(
        "image,x1,y1,x2,y2,ignore\ne/a.jpg,10,20,29,59,0\ne/a.jpg,1,1,4,4,1\ne/b.jpg,,,,,\n"
    )
    (tmp_path / "faces.txt").write_text(
        "e/a.jpg\n2\n10 20 20 40 0 0 0 0 0 0\n1 1 4 4 2 0 0 0 0 0\ne/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
    )
    for name in ("faces.csv", "faces.txt"):
        first, second = read_annotations(tmp_path / name, tmp_path, "blur=2")
        assert first.boxes.tolist() == [[10, 20, 29, 59], [1, 1, 4, 4]]
        assert first.ignore.tolist() == [False, True]
        assert second.boxes.shape == (0, 4)
    assert not read_annotations(tmp_path / "faces.txt", tmp_path, "none")[0].ignore.any()


def test_bad_annotations(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InputError, match=r"empty\.txt: expected annotated photos, got none"):
        read_annotations(tmp_path / "empty.txt", tmp_path, "none")
    (tmp_path / "twice.txt").write_text("a.jpg\n1\n1 1 4 4\na.jpg\n1\n9 9 4 4\n")
    with pytest.raises(InputError, match=r"twice\.txt: a\.jpg is there twice"):
        read_annotations(tmp_path / "twice.txt", tmp_path, "none")


class Corner:
    """Finds a face in the corner of every photo."""

    def clone(self):
        return self

    def detect(self, image):
        return Detections([[0, 0, 9, 9]], [0.75])


@pytest.fixture
def data(tmp_path):
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "faces.csv").write_text("image,x1,y1,x2,y2\na.png,0,0,9,9\nb.png,20,20,29,29\n")
    return tmp_path


def test_command(data, capsys, monkeypatch):
    monkeypatch.setattr(boxes_run, "open_detector", lambda options: (Corner(), 0.25))
    out = data / "out"
    argv = ["--annotations", data / "faces.csv", "--images", data, "--out", out, "--quiet", "--operating-point", 0.7]
    assert main(["evaluate", "boxes", *map(str, argv)]) == 0
    figures, time = capsys.readouterr().out.splitlines()
    assert figures == "AP 0.2500  recall 0.5000  false positives 1  faces 2"
    assert time.startswith("processor time ")
    summary = json.loads((out / "boxes.json").read_text())
    assert (summary["AP"], summary["false_positives_per_photo"]) == (0.25, 0.5)
    files = ["boxes.json", "detections.json", "evaluation.json", "precision_recall.png"]
    assert sorted(path.name for path in out.iterdir()) == files
    # the detections that it leaves give the same result
    argv = ["evaluate", "boxes", "--annotations", data / "faces.csv", "--detections", out / "detections.json"]
    assert main([*map(str, argv), "--operating-point", "0.7", "--out", str(data / "again")]) == 0
    assert json.loads((data / "again" / "boxes.json").read_text()) == summary


def test_missing_photos_and_entries(data):
    argv = ["--annotations", data / "faces.csv", "--images", data, "--out", data / "out", "--quiet"]
    (data / "b.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.png: expected an image"):
        evaluate_boxes(parse(argv), Corner())
    evaluate_boxes(parse([*argv, "--missing-as-empty"]), Corner())
    assert json.loads((data / "out" / "boxes.json").read_text())["AP"] == 0.5
    (data / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png: photo not found"):
        evaluate_boxes(parse(argv), Corner())
    evaluate_boxes(parse([*argv, "--missing-as-empty"]), Corner())
    assert json.loads((data / "out" / "boxes.json").read_text())["AP"] == 0.5
    (data / "d.json").write_text('{"a.png": []}')
    argv = ["--annotations", data / "faces.csv", "--detections", data / "d.json", "--out", data / "out"]
    with pytest.raises(InputError, match=r"d\.json: no entry for 1 of 2 photos, the first is b\.png"):
        evaluate_boxes(parse(argv))
    evaluate_boxes(parse([*argv, "--missing-as-empty"]))
    (data / "d.json").write_text('{"other.png": []}')
    with pytest.raises(InputError, match=r"d\.json: no entry for 2 of 2 photos"):
        evaluate_boxes(parse([*argv, "--missing-as-empty"]))
    (data / "d.json").write_text("{}")
    evaluate_boxes(parse([*argv, "--missing-as-empty"]))
    assert json.loads((data / "out" / "boxes.json").read_text())["recall"] == 0


def test_without_a_folder_the_values_come_back_and_no_file(data):
    before = sorted(data.rglob("*"))
    result = evaluate_boxes(BoxesOptions(data / "faces.csv", images=data, operating_point=0.7, quiet=True), Corner())
    assert sorted(data.rglob("*")) == before
    assert (result.ap, result.summary["recall"], result.summary["false_positives_per_photo"]) == (0.25, 0.5, 0.5)
    assert {name: rows.tolist() for name, rows in result.detections.items()} == {
        name: [[0, 0, 9, 9, 0.75]] for name in ("a.png", "b.png")
    }
    assert result.curve.recall.tolist() == [0.5]
    for both_or_neither in ({}, {"images": data, "detections": data / "d.json"}):
        with pytest.raises(InputError, match="expected detections or images, got both or neither"):
            evaluate_boxes(BoxesOptions(data / "faces.csv", **both_or_neither))


@pytest.mark.parametrize("option", ["--min-face-shorter-side", "--min-face-px"])
def test_small_faces_are_those_of_a_short_shorter_side(data, option):
    (data / "faces.csv").write_text("image,x1,y1,x2,y2\na.png,0,0,9,9\nb.png,20,20,29,39\n")
    (data / "d.json").write_text('{"a.png": [], "b.png": []}')
    argv = ["evaluate", "boxes", "--annotations", data / "faces.csv", "--detections", data / "d.json"]
    for size, faces in ((10, 2), (11, 0)):
        assert main([*map(str, argv), "--out", str(data / "out"), option, str(size)]) == 0
        assert json.loads((data / "out" / "boxes.json").read_text())["faces"] == faces
        assert json.loads((data / "out" / "evaluation.json").read_text())["min_face_px"] == size
