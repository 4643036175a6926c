"""The processor time that each evaluation gives beside its accuracy."""

import json
import re
import time

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.evaluate import processor_time as module
from gluon_mtcnn.tools.evaluate.boxes import run as boxes_run
from gluon_mtcnn.tools.evaluate.fddb import run as fddb_run
from gluon_mtcnn.tools.evaluate.landmarks import run as landmarks_run
from gluon_mtcnn.tools.evaluate.processor_time import ProcessorTime, processor_time
from gluon_mtcnn.tools.evaluate.wider import run as wider_run

BUSY = 0.02  # processor seconds a photo of the detector below
BOX = [10, 10, 30, 30]
LINE = re.compile(r"processor time (\d+\.\d\d) s for 2 photos, (\d+\.\d) ms a photo")


class Busy:
    """Works a while at each photo, and finds one face."""

    def clone(self):
        return self

    def detect(self, image):
        end = time.process_time() + BUSY
        while time.process_time() < end:
            pass
        return Detections([BOX], [0.9], np.full((1, 5, 2), 20.0))


def cells(*values):
    """Return a MATLAB cell array, a column."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def wider(folder):
    names = cells(np.array(["a"]), np.array(["b"]))
    truth = {"event_list": cells(np.array(["e"])), "file_list": cells(names)}
    faces = cells(*[np.array([[10.0, 10, 20, 20]])] * 2)
    savemat(str(folder / "wider_face_val.mat"), {**truth, "face_bbx_list": cells(faces)})
    for setting in ("easy", "medium", "hard"):
        savemat(str(folder / f"wider_{setting}_val.mat"), {**truth, "gt_list": cells(cells(*[np.array([[1]])] * 2))})
    return ["--ground-truth", folder, "--images", folder]


def boxes(folder):
    (folder / "faces.csv").write_text("image,x1,y1,x2,y2\ne/a.jpg,10,10,30,30\ne/b.jpg,10,10,30,30\n")
    return ["--annotations", folder / "faces.csv", "--images", folder]


def fddb(folder):
    (folder / "FDDB-fold-01.txt").write_text("e/a\ne/b\n")
    ellipses = "".join(f"e/{name}\n1\n10 10 0 20 20  1\n" for name in "ab")
    (folder / "FDDB-fold-01-ellipseList.txt").write_text(ellipses)
    return ["--folds", folder, "--images", folder]


def landmarks(folder):
    numbers = "10 30 10 30 15 15 25 15 20 20 15 25 25 25"
    (folder / "list.txt").write_text("".join(f"e/{name}.jpg {numbers}\n" for name in "ab"))
    return ["--landmark-images", folder, "--landmark-annotations", folder / "list.txt"]


EVALUATIONS = {"wider": (wider, wider_run), "boxes": (boxes, boxes_run), "fddb": (fddb, fddb_run)}
EVALUATIONS["landmarks"] = (landmarks, landmarks_run)


@pytest.fixture(params=sorted(EVALUATIONS))
def evaluation(request, tmp_path, monkeypatch):
    """Return the words of an evaluation of two photos, but for what is printed."""
    for name in "ab":
        path = tmp_path / "e" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((60, 80, 3), np.uint8))
    words, run = EVALUATIONS[request.param]
    monkeypatch.setattr(run, "open_detector", lambda *_: (Busy(), 0.7))
    argv = ["evaluate", request.param, *words(tmp_path), "--out", tmp_path / "out", "--quiet", "--num-workers", 1]
    return [str(word) for word in argv]


def test_it_is_a_line_of_the_text_and_part_of_the_json(evaluation, tmp_path, capsys):
    assert main([*evaluation, "--json", str(tmp_path / "figures.json")]) == 0
    seconds, each = map(float, LINE.fullmatch(capsys.readouterr().out.splitlines()[-1]).groups())
    figures = json.loads((tmp_path / "figures.json").read_text())
    taken = figures.pop("processor_time")
    assert taken["photos"] == 2
    assert 2 * BUSY <= taken["seconds"] < 2
    assert taken["ms_per_photo"] == pytest.approx(500 * taken["seconds"])
    assert (seconds, each) == pytest.approx((taken["seconds"], taken["ms_per_photo"]), abs=0.051)
    assert figures  # the accuracy beside it


def test_json_without_a_file_takes_the_place_of_the_text(evaluation, capsys):
    assert main([*evaluation, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["processor_time"]["photos"] == 2


def test_the_results_in_the_folder_do_not_depend_on_it(evaluation, tmp_path):
    assert main(evaluation) == 0
    for path in (tmp_path / "out").glob("*.json"):
        assert "processor" not in path.read_text()


def test_reading_detections_takes_none(tmp_path, capsys):
    words = boxes(tmp_path)
    (tmp_path / "d.json").write_text(json.dumps({f"e/{name}.jpg": [[*BOX, 0.9]] for name in "ab"}))
    words = ["evaluate", "boxes", *words[:2], "--detections", tmp_path / "d.json", "--out", tmp_path / "out", "--json"]
    assert main([str(word) for word in words]) == 0
    assert "processor_time" not in json.loads(capsys.readouterr().out)


def test_children_and_no_photos(monkeypatch):
    clock = iter([1.0, 3.5])
    monkeypatch.setattr(module, "processor_seconds", lambda: next(clock))
    with processor_time(5) as taken:
        pass
    assert taken.summary() == {"seconds": 2.5, "photos": 5, "ms_per_photo": 500}
    assert ProcessorTime(0).line() == "processor time 0.00 s for 0 photos"
