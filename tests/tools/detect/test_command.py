import csv
import json
import os
import re
import signal
import sys
import time

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.detection.cascade import StageOutput
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.detect.frames import Choice, detect_frames, shrink
from gluon_mtcnn.tools.detect.media import Frame, MediaSource
from gluon_mtcnn.tools.detect.outputs import wider_name
from gluon_mtcnn.tools.detect.run import DetectOptions, ctrl_c_noted, detect
from gluon_mtcnn.tools.evaluate.fddb import files as fddb_files
from gluon_mtcnn.tools.evaluate.wider import files as wider_files


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A cascade with random weights and thresholds low enough for faces everywhere."""
    folder = tmp_path_factory.mktemp("model")
    for i, kind in enumerate(("pnet", "rnet", "onet")):
        net = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(net, seed=i)
        save_net(folder, net, thresholds=(0.3, 0.3, 0.3))
    return folder


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a b.png", "sub/c.d.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (60, 80, 3), np.uint8))
    return tmp_path / "photos"


def test_a_folder_with_every_output(model, photos, tmp_path):
    out = tmp_path / "out"
    argv = ["detect", str(photos), "--model", str(model), "--quiet"]
    files = ["--json", out / "f.json", "--csv", out / "f.csv", "--stages", out / "s.json", "--draw", out / "drawn"]
    assert main(argv + [str(a) for a in files]) == 0
    faces = json.loads((out / "f.json").read_text())
    assert list(faces) == [str(photos / "a b.png"), str(photos / "sub/c.d.png")]
    first = faces[str(photos / "a b.png")]["faces"]
    assert first
    assert np.shape([f["landmarks"] for f in first]) == (len(first), 5, 2)
    assert [f["score"] for f in first] == sorted((f["score"] for f in first), reverse=True)
    with open(out / "f.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(v["faces"]) for v in faces.values())
    assert float(rows[0]["x1"]) == first[0]["box"][0]
    assert float(rows[0]["right_mouth_y"]) == first[0]["landmarks"][4][1]
    stages = json.loads((out / "s.json").read_text())[str(photos / "a b.png")]
    assert list(stages) == ["pnet", "rnet", "onet"]
    np.testing.assert_allclose([r[:4] for r in stages["onet"]["boxes_c"]], [f["box"] for f in first], rtol=1e-6)
    drawn = cv2.imread(str(out / "drawn" / "sub" / "c.d.png"))
    assert drawn.shape == (60, 80, 3)
    assert (drawn != cv2.imread(str(photos / "sub/c.d.png"))).any()


def test_looks_can_be_saved(model, photos, capsys):
    """By default these nets' O-Net, which gives points, looks several times."""
    found = []
    for more in ([], ["--look-again"], ["--no-look-again"]):
        assert main(["detect", str(photos), "--model", str(model), "--quiet", *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] != found[2]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_names_that_are_no_utf8_or_very_long_go_into_every_output(model, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    content = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))[1].tobytes()
    names = [b"caf\xe9.png", b"x" * 250 + b".png"]
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(content)
    argv = ["detect", str(folder), "--model", str(model), "--quiet"]
    for option in ("json", "csv", "fddb", "wider", "draw"):
        argv += [f"--{option}", str(out / option)]
    assert main(argv) == 0
    assert sorted(os.listdir(os.fsencode(out / "draw"))) == sorted(names)
    written = [name[:-4] + b".txt" for name in names]
    assert sorted(os.listdir(os.fsencode(out / "wider" / "photos"))) == sorted(written)
    for name in names:
        assert name[:-4] + b"\n" in (out / "fddb").read_bytes()
        assert name in (out / "csv").read_bytes()
    assert set(json.loads((out / "json").read_text())) == {
        os.fsdecode(os.path.join(os.fsencode(folder), n)) for n in names
    }


def test_a_picture_whose_folder_has_no_name_has_an_event_all_the_same():
    assert wider_name(Frame(MediaSource("/x.jpg", "image"))) == "root/x.jpg"
    assert wider_name(Frame(MediaSource("/a/x.jpg", "image"))) == "a/x.jpg"


def test_json_goes_to_stdout_and_choices_apply(model, photos, capsys):
    def faces(*options):
        assert main(["detect", str(photos / "a b.png"), "--model", str(model), *options]) == 0
        return json.loads(capsys.readouterr().out)[str(photos / "a b.png")]["faces"]

    everything = faces()
    assert faces("--top-k", "2") == everything[:2]
    bar = sorted(f["score"] for f in everything)[len(everything) // 2]
    assert faces("--min-score", str(bar)) == [f for f in everything if f["score"] >= bar]

    def area(face):
        x1, y1, x2, y2 = face["box"]
        return (x2 - x1 + 1) * (y2 - y1 + 1)

    assert faces("--largest") == [max(everything, key=area)]
    clipped = np.array([f["box"] for f in faces("--clip")])
    assert clipped.min() >= 0
    assert clipped[:, [0, 2]].max() <= 79
    assert clipped[:, [1, 3]].max() <= 59
    assert len(faces("--last-stage", "pnet")) > 0
    assert "landmarks" not in faces("--last-stage", "pnet")[0]


def test_without_a_file_the_faces_come_back(model, photos, capsys):
    options = DetectOptions([photos], DetectorOptions(model), choice=Choice(top_k=2), quiet=True)
    found = list(detect(options))
    assert [one.frame.source.path for one in found] == [str(photos / "a b.png"), str(photos / "sub/c.d.png")]
    assert [one.faces.boxes.shape for one in found] == [(2, 4)] * 2
    assert capsys.readouterr().out == ""
    assert main(["detect", str(photos), "--model", str(model), "--top-k", "2", "--quiet"]) == 0
    written = json.loads(capsys.readouterr().out)
    for one in found:
        assert [face["box"] for face in written[one.frame.source.path]["faces"]] == one.faces.boxes.tolist()
    with pytest.raises(InputError, match="expected at least one input"):
        next(detect(DetectOptions([])))


def test_one_bad_photo_among_many_is_listed_and_code_2(model, photos, tmp_path, capsys):
    (photos / "text.jpg").write_text("hello")
    out = tmp_path / "f.json"
    argv = ["detect", str(photos), "--model", str(model), "--json", str(out), "--quiet"]
    assert main(argv) == 2
    faces = json.loads(out.read_text())
    assert len(faces) == 3
    assert "expected an image" in faces[str(photos / "text.jpg")]["error"]
    out.unlink()
    assert main([*argv, "--strict"]) == 2
    assert not out.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none.jpg", "none.jpg: no such file or folder"),
        (lambda d: (d / "t.jpg").write_text("x") and d / "t.jpg", "t.jpg: expected an image, got 1 bytes"),
        (lambda d: (d / "empty").mkdir() or d / "empty", "empty: the folder holds no image"),
    ],
)
def test_a_bad_input_is_one_line_and_code_2(model, tmp_path, capsys, make, message):
    assert main(["detect", str(make(tmp_path)), "--model", str(model)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err


def test_a_glob(model, photos, capsys):
    assert main(["detect", str(photos / "*.png"), "--model", str(model)]) == 0
    assert list(json.loads(capsys.readouterr().out)) == [str(photos / "a b.png")]


def test_a_video_with_every_output(model, tmp_path):
    path = tmp_path / "in" / "v.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 60))
    rng = np.random.default_rng(0)
    for _ in range(5):
        writer.write(rng.integers(0, 256, (60, 80, 3), np.uint8))
    writer.release()
    out = tmp_path / "out"
    argv = ["detect", path.parent, "--model", model, "--quiet", "--every", 2, "--top-k", 3]
    argv += ["--json", out / "f.json", "--csv", out / "f.csv", "--stages", out / "s.json", "--fddb", out / "f.txt"]
    argv += ["--wider", out / "wider", "--draw", out / "drawn", "--chips", out / "chips"]
    assert main([str(arg) for arg in argv]) == 0
    video = json.loads((out / "f.json").read_text())[str(path)]
    assert video["fps"] == 10
    assert [frame["index"] for frame in video["frames"]] == [0, 2, 4]
    assert all(len(frame["faces"]) == 3 for frame in video["frames"])
    stages = json.loads((out / "s.json").read_text())[str(path)]["frames"]
    assert [list(frame) for frame in stages] == [["index", "pnet", "rnet", "onet"]] * 3
    with open(out / "f.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0"] * 3 + ["2"] * 3 + ["4"] * 3
    assert list(fddb_files.read_fddb_detections(out / "f.txt")) == ["v.avi/000000", "v.avi/000002", "v.avi/000004"]
    assert list(wider_files.read_text_folder(out / "wider")) == ["v/000000", "v/000002", "v/000004"]
    assert len(list((out / "chips" / "v.avi").glob("*.png"))) == 9
    drawn = cv2.VideoCapture(str(out / "drawn" / "v.avi.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert drawn.get(cv2.CAP_PROP_FPS) == 5


def test_a_video_that_breaks_off_keeps_what_was_done(model, tmp_path, caplog):
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 60))
    for i in range(20):
        writer.write(np.full((60, 80, 3), 10 * i, np.uint8))
    writer.release()
    os.truncate(path, path.stat().st_size * 3 // 4)
    argv = ["detect", str(path), "--model", str(model), "--quiet", "--draw", str(tmp_path / "drawn")]
    argv += ["--thresholds", ".9,.9,.9"]
    assert main([*argv, "--json", str(tmp_path / "f.json")]) == 2
    video = json.loads((tmp_path / "f.json").read_text())[str(path)]
    assert 0 < len(video["frames"]) < 20
    assert "the video breaks off" in video["error"]
    assert caplog.messages[-1] == video["error"]
    drawn = cv2.VideoCapture(str(tmp_path / "drawn" / "v.avi.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == len(video["frames"])
    assert main([*argv, "--json", str(tmp_path / "strict.json"), "--strict"]) == 2
    assert not (tmp_path / "strict.json").exists()


def test_fddb_text_is_what_evaluate_writes_and_reads(model, photos, tmp_path):
    detector = ["--model", str(model), "--thresholds", ".3,.3,.3", "--quiet"]
    assert main(["detect", str(photos), "--fddb", str(tmp_path / "f.txt"), *detector]) == 0
    folds = tmp_path / "folds"
    folds.mkdir()
    (folds / "FDDB-fold-01.txt").write_text("a b\nsub/c.d\n")
    (folds / "FDDB-fold-01-ellipseList.txt").write_text("a b\n1\n9 7 0 20 20 1\nsub/c.d\n1\n9 7 0 30 30 1\n")
    evaluate = ["evaluate", "fddb", "--folds", str(folds)]
    assert main([*evaluate, "--images", str(photos), "--out", str(tmp_path / "own"), *detector]) == 0
    assert (tmp_path / "own/detections.txt").read_bytes() == (tmp_path / "f.txt").read_bytes()
    argv = [
        *evaluate,
        "--detections",
        str(tmp_path / "f.txt"),
        "--images",
        str(photos),
        "--out",
        str(tmp_path / "read"),
    ]
    assert main(argv) == 0
    assert (tmp_path / "read/DiscROC.txt").read_bytes() == (tmp_path / "own/DiscROC.txt").read_bytes()


class SquareDetector:
    """Finds one face: the white square."""

    kinds = ("pnet",)

    def detect(self, image):
        y, x = np.nonzero(image[..., 0] > 127)
        box = [x.min(), y.min(), x.max(), y.max()]
        return Detections([box], [0.9], np.full((1, 5, 2), (x.min(), y.min())))

    def stages(self, image):
        rows = self.detect(image).as_array().astype(np.float64)
        return {"pnet": StageOutput(rows, rows)}


def test_max_size_gives_boxes_in_the_whole_picture():
    image = np.zeros((200, 400, 3), np.uint8)
    image[40:80, 120:200] = 255
    frame = Frame(MediaSource("a.png", "image", "a.png"), image)
    (found,) = detect_frames(SquareDetector(), [frame], max_size=100)  # a quarter: the square is 30..49, 10..19
    np.testing.assert_array_equal(found.faces.boxes, [[120, 40, 199, 79]])
    np.testing.assert_array_equal(found.faces.landmarks[0, 0], [120, 40])
    assert found.frame.image.shape == (200, 400, 3)
    (found,) = detect_frames(SquareDetector(), [frame], max_size=100, with_stages=True)
    np.testing.assert_array_equal(found.stages["pnet"].after[:, :4], [[120, 40, 199, 79]])
    np.testing.assert_array_equal(found.stages["pnet"].before[:, 4], np.float32([0.9]))
    assert shrink(image, 400) is image
    assert shrink(image[:1], 100).shape == (1, 100, 3)
    assert shrink(image[:, :1], 1).shape == (1, 1, 3)


def write_odd_pictures(folder):
    """Write pictures that decode, and others that do not; return the names of the latter."""
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(folder / "one pixel.png"), image[:1, :1])
    cv2.imwrite(str(folder / "16 bit.png"), image.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "rgba.png"), np.dstack([image, image[..., 0]]))
    cv2.imwrite(str(folder / "grey.png"), image[..., 0])
    cv2.imwrite(str(folder / "wide.png"), np.tile(image[:50], (1, 250, 1)))
    Image.fromarray(image).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(image).save(folder / "moves.gif", save_all=True, append_images=[Image.fromarray(image[::-1])])
    (folder / "a folder.jpg").mkdir()
    jpg, png = (cv2.imencode(suffix, image)[1].tobytes() for suffix in (".jpg", ".png"))
    bad = {"cut.jpg": jpg[:400], "cut.png": png[:-20], "text.jpg": b"hello", "empty.png": b"", "text.mp4": b"hello"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    return list(bad)


def test_odd_pictures_are_read_or_listed(model, tmp_path, caplog, capfd):
    bad = write_odd_pictures(tmp_path / "in")
    argv = ["detect", tmp_path / "in", "--model", model, "--thresholds", ".9,.9,.9", "--quiet"]
    argv += ["--json", tmp_path / "f.json"]
    assert main([str(arg) for arg in [*argv, "--draw", tmp_path / "drawn", "--chips", tmp_path / "chips"]]) == 2
    found = json.loads((tmp_path / "f.json").read_text())
    assert len(found) == 12
    errors = {os.path.basename(path): entry["error"] for path, entry in found.items() if "error" in entry}
    assert sorted(errors) == sorted(bad)
    assert len(found[str(tmp_path / "in" / "moves.gif")]["frames"]) == 2
    assert found[str(tmp_path / "in" / "one pixel.png")] == {"faces": []}
    assert found[str(tmp_path / "in" / "wide.png")] == {"faces": []}
    assert caplog.messages[-len(bad) :] == list(errors.values())  # at the end, one line each
    assert capfd.readouterr().err == ""  # nothing by a decoder


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "text.jpg", "empty.png", "text.mp4", "a folder.jpg", "98"])
def test_one_bad_input_is_one_line(model, tmp_path, capfd, monkeypatch, name):
    write_odd_pictures(tmp_path / "in")
    monkeypatch.chdir(tmp_path / "in")
    assert main(["detect", name, "--model", str(model)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"{name}: ")


def test_bad_arguments_among_good_ones_do_not_stop_the_rest(model, photos, capsys, caplog):
    argv = ["detect", "none.jpg", str(photos / "a b.png"), "--model", str(model), "--quiet"]
    assert main(argv) == 2
    out = capsys.readouterr().out
    assert json.loads(out)["none.jpg"] == {"error": "none.jpg: no such file or folder"}
    assert json.loads(out)[str(photos / "a b.png")]["faces"]
    assert caplog.messages[-1] == "none.jpg: no such file or folder"
    assert main([*argv, "--strict"]) == 2
    assert capsys.readouterr() == ("", "none.jpg: no such file or folder\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "."], r"\.: expected a file to write, but it is a folder"),
        (["--draw", "file"], "file: expected a folder to write to, but file is not one"),
        (["--fddb", "file/x.txt"], "file: expected a folder to write to"),
        (["--draw", "in"], "--draw: in/a.png is an input: give another folder"),
        (["in/a.jpg", "--fddb", "f.txt"], "--fddb: two of the inputs would both be called a"),
        (["--chips", "c", "--chip-margin", "-.5"], "--chip-margin: expected more than -.5"),
        (["--chips", "c", "--chip-size", "100000"], "--chip-size: expected at most 4096, got 100000"),
        (["--json", "x", "--csv", "./x"], "^--json and --csv: both would write ./x"),
        (["--json", "in/a.png"], "^--json: in/a.png is an input"),
        (["in/a.jpg", "--csv", "link"], "^--csv: link is an input"),
        (["--draw", "d", "--stages", "d/a.png"], "^--draw: a drawn picture would take the place of d/a.png"),
        ([""], "^expected the name of a picture, a video or a folder, got none"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_work(model, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(f"in/{name}", np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "link").symlink_to("in/a.jpg")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    inputs = [] if options == [""] else ["in/a.png"]
    assert main(["detect", *inputs, *options, "--model", str(model), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


@pytest.fixture
def ctrl_c_interrupts():
    """Python's own handling of Ctrl-C: what a shell's & starts, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_is_noted_once():
    def twice():
        with ctrl_c_noted() as noted:
            os.kill(os.getpid(), signal.SIGINT)
            assert noted.wait(5)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_model(photos, tmp_path, capsys):
    assert main(["detect", str(photos), "--model", str(tmp_path)]) == 2
    assert "not a model folder: model.json not found" in capsys.readouterr().err
