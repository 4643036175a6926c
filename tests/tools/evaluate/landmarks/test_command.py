import json
import re
from argparse import ArgumentParser

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Annotation, Detections
from gluon_mtcnn.tools.cli.detector_options import options_with_detector
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.cli.options import add_common
from gluon_mtcnn.tools.evaluate.landmarks import command as landmark_eval
from gluon_mtcnn.tools.evaluate.landmarks import run as landmark_run
from gluon_mtcnn.tools.evaluate.landmarks.errors import normalised_errors, photo_errors, summarise
from gluon_mtcnn.tools.evaluate.landmarks.run import LandmarkOptions, evaluate_landmarks

POINTS = np.array([[20.0, 20], [40, 20], [30, 30], [22, 40], [38, 40]])  # eyes 20 px apart
BOX = [10.0, 10, 49, 49]
SHIFT, ASIDE = np.array([3, 4]), np.array([100, 0])


def face(points=POINTS, box=BOX):
    return Annotation("a.png", [box], [False], [points], "a.png")


def test_error_is_the_mean_distance_over_that_of_the_eyes():
    moved = POINTS + SHIFT  # 5 px
    assert normalised_errors(moved[None], POINTS[None]) == pytest.approx([0.25])
    one = POINTS.copy()
    one[2] += [0, 10]  # 10 px in one of five points
    assert normalised_errors(one[None], POINTS[None]) == pytest.approx([0.1])


def test_error_does_not_change_with_scale_or_place():
    rng = np.random.default_rng(0)
    points, truth = rng.normal(size=(9, 5, 2)), rng.normal(size=(9, 5, 2))
    np.testing.assert_allclose(normalised_errors(points * 7 + 100, truth * 7 + 100), normalised_errors(points, truth))


def test_the_overlap_chooses_the_detection_not_the_score():
    found = Detections([[100, 100, 140, 140], BOX], [0.99, 0.71], [POINTS, POINTS + SHIFT])
    assert photo_errors(face(), found) == pytest.approx([0.25])


@pytest.mark.parametrize(("height", "missed"), [(16, False), (15, True)])
def test_overlap_of_two_fifths_is_enough(height, missed):
    found = Detections([[10, 10, 49, 9 + height]], [0.9], [POINTS])  # 40 x height of 40 x 40
    assert np.isnan(photo_errors(face(), found)).tolist() == [missed]


def test_no_detection_is_a_miss():
    assert np.isnan(photo_errors(face(), Detections.empty(landmarks=True))).all()


def test_two_faces_of_one_photo():
    photo = Annotation("a.png", [BOX, [110, 10, 149, 49]], [False] * 2, [POINTS, POINTS + ASIDE], "a.png")
    found = Detections([[110, 10, 149, 49]], [0.9], [POINTS + ASIDE + SHIFT])
    errors = photo_errors(photo, found)
    assert np.isnan(errors[0])
    assert errors[1] == pytest.approx(0.25)


def test_misses_are_left_out_of_the_mean():
    assert summarise(np.array([0.02, 0.1, 0.3, np.nan])) == {
        "mean": pytest.approx(0.14),
        "median": pytest.approx(0.1),
        "fail10": pytest.approx(1 / 3),  # .1 itself does not fail
        "missed": 1,
        "n": 4,
    }
    assert summarise(np.full(2, np.nan)) == {"mean": None, "median": None, "fail10": None, "missed": 2, "n": 2}


def test_model_without_landmarks():
    with pytest.raises(InputError, match="the model has no landmark head"):
        photo_errors(face(), Detections.empty())


class Shifted:
    """Finds the face 5 px off where the photo is white, none where it is black."""

    def clone(self):
        return self

    def detect(self, image):
        if not image.any():
            return Detections.empty(landmarks=True)
        return Detections([BOX], [0.8], [POINTS + SHIFT])


def parse(argv):
    parser = ArgumentParser()
    landmark_eval.add_arguments(parser)
    add_common(parser, landmark_eval.COMMON)
    return options_with_detector(LandmarkOptions, parser.parse_args([str(value) for value in argv]))


@pytest.fixture
def data(tmp_path):
    numbers = " ".join(map(str, [10, 49, 10, 49, *POINTS.ravel()]))  # x1 x2 y1 y2
    (tmp_path / "images").mkdir()
    for name, value in (("white", 255), ("black", 0)):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.full((60, 60, 3), value, np.uint8))
    (tmp_path / "list.txt").write_text(f"images\\white.png {numbers}\nimages\\black.png {numbers}\n")
    return tmp_path


def test_command(data, capsys, monkeypatch):
    monkeypatch.setattr(landmark_run, "open_detector", lambda options, thresholds: (Shifted(), 0.7))
    argv = ["--landmark-images", data, "--landmark-annotations", data / "list.txt", "--out", data / "out", "--quiet"]
    assert main(["evaluate", "landmarks", *map(str, argv)]) == 0
    figures, time = capsys.readouterr().out.splitlines()
    assert figures == "mean 0.2500  median 0.2500  failed 100.0%  missed 1 of 2"
    assert re.fullmatch(r"processor time \d+\.\d\d s for 2 photos, \d+\.\d ms a photo", time)
    result = json.loads((data / "out" / "landmarks.json").read_text())
    assert result == {"mean": pytest.approx(0.25), "median": pytest.approx(0.25), "fail10": 1, "missed": 1, "n": 2}
    assert sorted(path.name for path in (data / "out").iterdir()) == ["landmarks.json", "landmarks.png"]


def test_missing_photo_is_an_error_or_a_miss(data):
    (data / "images" / "black.png").unlink()
    argv = ["--landmark-images", data, "--landmark-annotations", data / "list.txt", "--out", data / "out", "--quiet"]
    with pytest.raises(InputError, match=r"black\.png: photo not found"):
        evaluate_landmarks(parse(argv), Shifted())
    evaluate_landmarks(parse([*argv, "--missing-as-empty"]), Shifted())
    assert json.loads((data / "out" / "landmarks.json").read_text())["missed"] == 1
    (data / "images" / "black.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"black\.png: expected an image"):
        evaluate_landmarks(parse(argv), Shifted())
    evaluate_landmarks(parse([*argv, "--missing-as-empty"]), Shifted())
    assert json.loads((data / "out" / "landmarks.json").read_text())["missed"] == 1


def test_eyes_that_coincide_are_found_before_the_detector_runs(data):
    numbers = " ".join(map(str, [10, 49, 10, 49, *[20] * 10]))
    with open(data / "list.txt", "a") as file:
        file.write(f"images\\white.png {numbers}\n")
    argv = ["--landmark-images", data, "--landmark-annotations", data / "list.txt", "--out", data / "out"]
    with pytest.raises(InputError, match=r"list\.txt: images/white\.png: expected five landmarks with the eyes apart"):
        evaluate_landmarks(parse(argv))  # nor is a model opened


def test_list_without_photos(data):
    (data / "list.txt").write_text("\n")
    with pytest.raises(InputError, match=r"list\.txt: expected annotated photos, got none"):
        evaluate_landmarks(
            parse(["--landmark-images", data, "--landmark-annotations", data / "list.txt", "--out", data / "o"])
        )


def test_without_a_folder_the_values_come_back_and_no_file(data):
    before = sorted(data.rglob("*"))
    result = evaluate_landmarks(LandmarkOptions(data, data / "list.txt", quiet=True), Shifted())
    assert sorted(data.rglob("*")) == before
    assert (result.mean, result.median, result.fail10, result.missed, result.n) == (
        pytest.approx(0.25),
        pytest.approx(0.25),
        1,
        1,
        2,
    )
    np.testing.assert_allclose(result.errors, [0.25, np.nan])
