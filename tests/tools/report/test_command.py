import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.pack import Pack, PackWriter
from gluon_mtcnn.core.training import history
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.evaluate.origin import Origin, read_origin, write_origin
from gluon_mtcnn.tools.evaluate.stages.counts import FaceSet, at_proposals, stage_scores, sweep
from gluon_mtcnn.tools.evaluate.wider.files import read_ground_truth
from gluon_mtcnn.tools.report import page, training
from gluon_mtcnn.tools.report.contact_sheet import BOX_COLOR, GAP, TILE, class_sheets, contact_sheet, sample_tiles
from gluon_mtcnn.tools.report.run import ReportOptions, write_report
from gluon_mtcnn.tools.report.run_parts import find_evaluated, find_parts
from gluon_mtcnn.tools.report.svg_chart import Axis, Line, line_chart, log_ticks, ticks
from gluon_mtcnn.tools.report.worst_errors import draw_error, worst_false_positives, worst_misses

HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
VOID = {"meta", "link", "img", "br"}


def rows(*values):
    return np.array(values, np.float64).reshape(-1, 5)


def test_a_deleted_pack_is_known_by_its_manifest(tmp_path):
    write_pack(tmp_path / "packs" / "12")
    (before,) = training.data_rows(find_parts(tmp_path), tmp_path / "packs" / "12")
    for path in (tmp_path / "packs" / "12").glob("*.rec"):
        path.unlink()
    parts = find_parts(tmp_path)
    assert parts.packs == [tmp_path / "packs" / "12"]
    assert training.data_rows(parts, parts.packs[0]) == [[*before[:-1], "deleted"]]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"format": "gluon-mtcnn pipeline", "stages": {}}')
    (tmp_path / "packs" / "12" / "manifest.json").write_text("no JSON")
    assert find_parts(tmp_path).packs == []


def test_the_function_leaves_what_the_command_leaves(tmp_path, capsys):
    with PackWriter(tmp_path / "run" / "pack") as writer:
        writer.append(np.zeros((2, 12, 12, 3), np.uint8), np.zeros((2, 15), np.float32))
    path = write_report(ReportOptions(tmp_path / "run", tmp_path / "function.html", title="a page"))
    assert path == tmp_path / "function.html"
    command = tmp_path / "command.html"
    assert main(["report", str(tmp_path / "run"), "--out", str(command), "--title", "a page"]) == 0
    assert capsys.readouterr().out == f"{command}\n"
    assert "a page" in path.read_text()
    assert len(path.read_text()) == len(command.read_text())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing to report"):
        write_report(ReportOptions(tmp_path / "empty", tmp_path / "page.html"))


def test_trainings_are_told_of_once(tmp_path):
    p, r = {"net": "pnet", "epochs": 1}, {"net": "rnet", "epochs": 1}
    for folder, nets in (("model", [p, r]), ("p", [p]), ("r-first", [{**r, "epochs": 2}]), ("r", [r])):
        (tmp_path / folder).mkdir()
        value = {"nets": {net["net"]: net for net in nets}}
        (tmp_path / folder / "summary.json").write_text(json.dumps(value))
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "model.json").write_text("{}")
    assert [path.name for path in find_parts(tmp_path).models] == ["model", "r-first", "z"]


# --- the page


def test_text_is_escaped_everywhere():
    evil = '"><script>alert(1)</script>'
    parts = [
        page.heading(evil),
        page.note(evil),
        page.paragraph(evil),
        page.table(evil, [evil], [[evil, evil]]),
        page.tiles([(evil, evil, evil)]),
        page.details(evil, ""),
        page.picture("data:,", evil, evil, (1, 1)),
        page.grid(["x"], evil),
        line_chart(evil, [Line(evil, [0, 1], [0, 1]), Line(evil, [0, 1], [1, 1])], Axis(evil), Axis(evil)),
        page.page(evil, evil, [page.Section(evil, evil, [])], evil),
    ]
    for part in parts:
        assert "<script" not in part
        assert "&lt;script&gt;" in part
    assert page.escape("caf\udce9") == "caf?"  # a file name that is not UTF-8


def test_numbers():
    assert [page.number(value) for value in (0.5, 12345, None, "x", True, float("nan"))] == [
        "0.5000",
        "12,345",
        "–",
        "–",
        "–",
        "–",
    ]
    assert page.number(1234.56, 1) == "1,234.6"


def test_album_stays_below_its_limit(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    size = len(page.Album(10**6).add(picture))
    album = page.Album(2 * size)
    assert [album.add(picture) is None for _ in range(4)] == [False, False, True, True]
    assert album.left_out == 2
    (tmp_path / "a.png").write_text("no png")
    assert page.Album(10**6).add_png(tmp_path / "a.png") is None


# --- charts


def test_ticks():
    np.testing.assert_allclose(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(ticks(0.082, 0.101), [0.085, 0.09, 0.095, 0.1])
    assert ticks(3, 3) == [3]
    assert log_ticks(1, 10000) == [1, 10, 100, 1000, 10000]
    np.testing.assert_allclose(log_ticks(3, 30), [5, 10, 20])


def test_a_chart_leaves_out_what_cannot_be_drawn():
    nan = float("nan")
    assert line_chart("t", [Line("a", [nan], [1])], Axis("x"), Axis("y")) == ""
    drawn = line_chart("t", [Line("a", [0, 1, 10], [0, 0.5, 1], mark=1)], Axis("x", log=True), Axis("y", 0, 1))
    points = re.search(r'points="([^"]*)"', drawn)[1].split()
    assert points == ["54,119", "388,10"]  # x = 0 has no place on a logarithmic axis
    assert 'cx="54.0" cy="119.0"' in drawn  # the mark moved along
    assert "nan" not in line_chart("t", [Line("a", [1, 2, 3], [1, nan, 3])], Axis("x"), Axis("y"))


def test_a_long_curve_is_thinned_and_one_point_is_seen():
    x = np.linspace(0, 1, 100_000)
    assert len(line_chart("t", [Line("a", x, x)], Axis("x"), Axis("y"))) < 30_000
    assert "<circle" in line_chart("t", [Line("a", [1], [1])], Axis("x", whole=True), Axis("y"))


# --- contact sheets


def test_contact_sheet_by_hand():
    tiles = [np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = contact_sheet(tiles, 2)
    assert sheet.shape == (4 + GAP, 4 + GAP, 3)
    assert (sheet[0, 0, 0], sheet[0, 2, 0], sheet[0, 2 + GAP, 0], sheet[2 + GAP, 1, 0]) == (1, 128, 2, 3)
    assert sheet[-1, -1, 0] == 128
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], 2)


def label_row(label, offsets=(0, 0, 0, 0), points=()):
    return np.array([label, *offsets, *(points or [0] * 10)], np.float32)


def test_the_face_is_drawn_where_the_offsets_say():
    image = np.zeros((1, 12, 12, 3), np.uint8)
    (tile,) = sample_tiles(image, label_row(1, (0.25, 0.25, -0.25, -0.25))[None])
    drawn = np.argwhere((tile == BOX_COLOR).all(axis=2))
    # Pixels 3 to 8 of the sample are centred at 3.5 and 8.5 of 12 in the tile.
    np.testing.assert_allclose(drawn.min(axis=0), TILE * 3.5 / 12, atol=2)
    np.testing.assert_allclose(drawn.max(axis=0), TILE * 8.5 / 12, atol=2)
    (tile,) = sample_tiles(image, label_row(0, (0.25, 0.25, -0.25, -0.25))[None])
    assert not tile.any()
    assert image.max() == 0


def write_pack(folder, size=12, labels=(1, 1, 0, 0, 0, -1, -2)):
    rng = np.random.default_rng(size)
    with PackWriter(folder, "train", size, metadata={"photos": 3}) as writer:
        values = np.stack([label_row(label, rng.uniform(-0.3, 0.3, 4), rng.random(10).tolist()) for label in labels])
        writer.append(rng.integers(0, 256, (len(labels), size, size, 3), np.uint8), values)


def test_class_sheets(tmp_path):
    write_pack(tmp_path)
    sheets = class_sheets(Pack(tmp_path))
    assert {name: sheet.shape[1] for name, sheet in sheets.items()} == {
        "positive": 2 * TILE + GAP,
        "negative": 3 * TILE + 2 * GAP,
        "part": TILE,
        "landmark": TILE,
    }
    with PackWriter(tmp_path / "none", "train", 12):
        pass
    assert class_sheets(Pack(tmp_path / "none")) == {}


# --- worst errors


@pytest.fixture
def annotated(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((100, 200, 3), 100, np.uint8))
    boxes = [[0, 0, 29, 29], [50, 0, 99, 49], [120, 0, 139, 19], [150, 0, 159, 9]]
    first = Annotation(str(tmp_path / "a.png"), boxes, [False, False, False, True], name="a.png")
    other = Annotation(str(tmp_path / "gone.png"), [[0, 0, 39, 39]], [False], name="gone.png")
    found = {
        "a.png": rows(
            [120, 0, 139, 19, 0.9],  # a hit
            [121, 0, 139, 19, 0.8],  # again
            [50, 25, 99, 74, 0.7],  # a third of the second face
            [0, 60, 19, 79, 0.95],  # on nothing
            [150, 0, 159, 9, 0.9],  # on an ignored face
            [0, 0, 29, 29, 0.1],  # right, but below the threshold
        )
    }
    return [first, other], found


def test_worst_misses(annotated):
    errors, count = worst_misses(*annotated, threshold=0.5, limit=10)
    assert count == 3
    assert [(error.photo.name, error.size) for error in errors] == [("a.png", 50), ("gone.png", 40), ("a.png", 30)]
    assert [error.reason for error in errors] == [
        "nearest box: IoU 0.33, score 0.70",
        "no box near",
        "nearest box: IoU 1.00, score 0.10",
    ]
    assert len(worst_misses(*annotated, threshold=0.5, limit=1)[0]) == 1
    assert worst_misses([], {}, 0.5, 5) == ([], 0)


def test_worst_false_positives(annotated):
    errors, count = worst_false_positives(*annotated, threshold=0.5, limit=10)
    assert count == 3
    assert [(error.score, error.reason) for error in errors] == [
        (0.95, "no face near"),
        (0.8, "second box on a face"),
        (0.7, "IoU 0.33 with a face"),
    ]
    assert worst_false_positives(*annotated, threshold=0.99, limit=5) == ([], 0)


def test_an_error_is_in_the_middle_of_its_picture(annotated):
    photos, found = annotated
    (miss, gone), _ = worst_misses(photos, found, 0.5, 2)
    picture = draw_error(miss, found, 0.5)
    green = np.argwhere((picture == (80, 220, 60)).all(axis=2))
    np.testing.assert_allclose(green.mean(axis=0), 96, atol=6)
    assert picture.shape == (192, 192, 3)
    assert draw_error(gone, found, 0.5) is None  # its photo is not there
    huge = worst_false_positives(photos, {"a.png": rows([-1e9, -1e9, 1e9, 1e9, 1])}, 0.5, 1)[0][0]
    assert draw_error(huge, found, 0.5) is not None


# --- parts of a run


def test_parts_and_annotations_are_found(tmp_path):
    write_pack(tmp_path / "packs" / "12")
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "boxes.json").write_text("{}")
    (tmp_path / "eval" / "detections.json").write_text('{"e/a.png": [[0, 0, 9, 9, 0.5]]}')
    (tmp_path / "x" / "images" / "e").mkdir(parents=True)
    (tmp_path / "x" / "images" / "e" / "a.png").write_text("")
    (tmp_path / "x" / "other_bbx_gt.txt").write_text("e/b.png\n0\n0 0 0 0 0 0 0 0 0 0\n")
    (tmp_path / "x" / "table.csv").write_text("time,loss\n1,2\n")
    (tmp_path / "x" / "val_bbx_gt.txt").write_text("e/a.png\n1\n1 1 9 9 0 0 0 0 0 0\ne/b.png\n0\n0 0 0 0 0 0 0 0 0 0\n")
    (tmp_path / ".hidden" / "m").mkdir(parents=True)
    (tmp_path / ".hidden" / "m" / "model.json").write_text("{}")
    parts = find_parts(tmp_path)
    assert (parts.packs, parts.models, parts.curves) == ([tmp_path / "packs" / "12"], [], [])
    assert parts.results["boxes.json"] == [tmp_path / "eval" / "boxes.json"]
    assert parts.name(tmp_path / "packs" / "12") == "packs/12"
    assert parts.name(tmp_path) == tmp_path.name
    evaluated = find_evaluated(parts, tmp_path / "eval")
    assert [photo.image for photo in evaluated.photos] == [str(tmp_path / "x" / "images" / "e" / "a.png")]
    assert find_evaluated(parts, tmp_path / "x") is None
    with pytest.raises(InputError, match=r"table\.csv:1: expected the columns"):
        find_evaluated(parts, tmp_path / "eval", tmp_path / "x" / "table.csv")


def test_faces_and_rule_are_those_that_the_evaluation_names(tmp_path):
    image = cv2.imencode(".png", np.zeros((90, 120, 3), np.uint8))[1].tobytes()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(image)
    faces = ["10 10 30 30 2 0 0 0 0 0", "60 10 40 50 1 0 0 0 0 0", "1 1 5 9 0 0 0 0 0 0"]
    (tmp_path / "faces.txt").write_text("\n".join(["a.png", "3", *faces, ""]))
    (tmp_path / "found.json").write_text('{"a.png": [[60, 10, 99, 59, 0.9]]}')
    argv = ["--annotations", tmp_path / "faces.txt", "--detections", tmp_path / "found.json", "--ignore", "blur=1"]
    argv += ["--min-face-px", 8, "--out", tmp_path / "run" / "eval"]
    assert main(["evaluate", "boxes", *map(str, argv)]) == 0
    parts = find_parts(tmp_path / "run")
    evaluated = find_evaluated(parts, tmp_path / "run" / "eval")
    assert evaluated.photos[0].ignore.tolist() == [True, True, True]
    write_origin(tmp_path / "run" / "eval", Origin(str(tmp_path / "faces.txt"), images=str(tmp_path / "photos")))
    evaluated = find_evaluated(parts, tmp_path / "run" / "eval")
    assert evaluated.photos[0].ignore.tolist() == [True, False, False]  # the default rule, any size
    assert cv2.imread(evaluated.photos[0].image).shape == (90, 120, 3)
    (tmp_path / "faces.txt").unlink()
    assert find_evaluated(parts, tmp_path / "run" / "eval") is None


def test_faces_of_a_ground_truth(tmp_path, shared):
    truth = read_ground_truth(shared / "wider" / "ground_truth")
    number = next(i for i, masks in enumerate(truth.counted["hard"]) if masks.any() and not masks.all())
    name = f"{truth.names[number]}.jpg"
    (tmp_path / "found.json").write_text(json.dumps({name: [[0, 0, 9, 9, 0.5]]}))
    (tmp_path / "list.txt").write_text(name)
    argv = ["--ground-truth", shared / "wider" / "ground_truth", "--detections", tmp_path / "found.json"]
    argv += ["--image-list", tmp_path / "list.txt", "--out", tmp_path / "run"]
    assert main(["evaluate", "wider", *map(str, argv)]) == 0
    (photo,) = find_evaluated(find_parts(tmp_path / "run"), tmp_path / "run").photos
    assert photo.name == name
    np.testing.assert_array_equal(photo.boxes, truth.faces[number])
    np.testing.assert_array_equal(photo.ignore, ~truth.counted["hard"][number])


def test_origin_is_read_as_written_wherever_the_run_is_moved(tmp_path):
    origin = Origin(str(tmp_path / "run/data/faces.csv"), None, str(tmp_path / "run/photos"), "none", 12)
    (tmp_path / "run" / "eval").mkdir(parents=True)
    write_origin(tmp_path / "run" / "eval", origin)
    (tmp_path / "run").rename(tmp_path / "moved")
    read = read_origin(tmp_path / "moved" / "eval")
    assert Path(read.annotations).resolve() == tmp_path / "moved/data/faces.csv"
    assert Path(read.images).resolve() == tmp_path / "moved/photos"
    assert (read.ground_truth, read.ignore, read.min_face_px) == (None, "none", 12)
    assert read_origin(tmp_path) == Origin()
    for text, said in (("[1]", "a JSON object of"), ('{"x": 1}', "a JSON object of"), ('{"ignore": 1}', "as text")):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(InputError, match=rf"evaluation\.json: expected .*{said}"):
            read_origin(tmp_path)


# --- the command


def write_evaluation(root):
    """Photos with hostile names, and what evaluate boxes leaves of them."""
    images = root / "data" / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines, found = [], {}
    for name in (HOSTILE, "plain.png"):
        image = cv2.imencode(".png", rng.integers(0, 256, (90, 120, 3), np.uint8))[1]
        (images / name).write_bytes(image.tobytes())
        lines += [name, "2", "10 10 30 30 0 0 0 0 0 0", "60 10 40 50 0 0 0 0 0 0"]
        found[name] = [[10, 10, 39, 39, 0.9], [70, 60, 99, 89, 0.8]]
    (root / "data" / "faces_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    (root / "found.json").write_text(json.dumps(found))
    argv = ["--annotations", root / "data" / "faces_bbx_gt.txt", "--detections", root / "found.json"]
    argv += ["--operating-point", 0.5, "--out", root / "test"]
    assert main(["evaluate", "boxes", *map(str, argv)]) == 0


def write_stages(path):
    faces = FaceSet.of([Annotation("", [[0, 0, 29, 29], [50, 0, 149, 99]], [False, False], name="a")])
    scores = stage_scores(faces, [rows([0, 0, 29, 29, 0.9], [50, 0, 149, 99, 0.3], [0, 50, 29, 79, 0.2])])
    curve = sweep(faces, scores, np.array([0.1, 0.2, 0.5]))
    stage = {**curve.at(1), "milliseconds": 3.5, "at_proposals": at_proposals(faces, scores)}
    value = {"photos": 1, "faces": 2, "min_face_px": 20, "faces_by_size": {"20-40": 1, "80-160": 1}}
    path.parent.mkdir()
    path.write_text(json.dumps({**value, "stages": {"pnet": {**stage, "curve": curve.as_lists()}}}))


def write_model(folder):
    folder.mkdir()
    epochs = [{"epoch": i, "train_loss": 1 / i, "val_loss": 1.1 / i, "val_box_error": None} for i in (1, 2, 3)]
    for net in ("pnet", "rnet"):
        history.write_csv(folder / "history.csv", epochs, net)
    summary = {"net": "pnet", "epochs": 3, "best_epoch": 3, "val_loss": 0.36, "config": {"lr": 0.01, "loss": {"a": 1}}}
    (folder / "summary.json").write_text(json.dumps({**summary, "versions": {"mxnet": "1.9.1"}}))
    nets = {"pnet": {"sha256": "0123456789abcdef", "landmarks": False, "pooling": "full", "order": "pool_first"}}
    (folder / "model.json").write_text(json.dumps({"nets": nets, "thresholds": [0.6, 0.7, 0.7]}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "a <b> run"
    root.mkdir()
    write_evaluation(root)
    write_stages(root / "stages" / "stages.json")
    write_model(root / "model")
    write_pack(root / "packs" / "12")
    write_pack(root / "packs" / "24-val", 24)
    (root / "fddb").mkdir()
    (root / "fddb" / "DiscROC.txt").write_text("0.9 20 0.1\n0.5 3 0.5\n0.1 0 0.9\n")
    (root / "fddb" / "ap.json").write_text('{"mean": 0.75, "faces": 10}')
    (root / "wider").mkdir()
    point = {"threshold": 0.5, "TP": 3, "FP": 4, "recall": 0.5, "precision": 0.42}
    (root / "wider" / "wider.json").write_text(
        json.dumps({"easy": {"AP": 0.8125, "faces": 6, "operating_point": point}})
    )
    (root / "points").mkdir()
    (root / "points" / "landmarks.json").write_text('{"mean": 0.0625, "n": 4, "missed": 1}')
    return root


class Outline(HTMLParser):
    """Checks that tags are balanced; collects headings, references, alt texts and captions."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.references, self.images, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.references += [value for key, value in attributes.items() if key in ("src", "href", "action", "srcset")]
        if tag == "img":
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append((self.open[-1], data))
        self.words.append(data)


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["report", str(run), "--out", str(out)]) == 0
    return out


def test_report_holds_every_part(report):
    outline = Outline(report.read_text())
    titles = [text for level, text in outline.headings if level == "h2"]
    assert titles == [
        "Results",
        "Curves",
        "Stages of the cascade",
        "Worst errors",
        "Training",
        "Data",
        "Configuration",
    ]
    assert outline.headings[0] == ("h1", "Report: a <b> run")
    assert ("h3", "test: 2 of 4 faces missed (boxes that score above 0.5)") in outline.headings
    assert ("h3", "test: 2 false positives (boxes that score above 0.5)") in outline.headings
    words = outline.words
    for figure in ("0.8125", "0.0625", "0123456789ab", "config.lr", "Trained with mxnet 1.9.1.", "packs/24-val/train"):
        assert figure in words, figure
    # the discrete rate at 50 false positives lies beyond the curve's end; mean AP of ap.json
    assert "0.9000*" in words
    assert any("mean AP of the folds 0.7500" in word for word in words)
    assert len(outline.images) == 4 + 2 * 4  # two misses, two false positives, four classes in each pack
    assert all(image["alt"] and image["width"] for image in outline.images)
    assert any(HOSTILE in image["alt"] for image in outline.images)
    charts = report.read_text().count('role="img"')
    assert charts == 1 + 1 + 3 + 2  # precision-recall, ROC, stages, loss of two nets


def test_report_asks_for_nothing_and_repeats(report, run, tmp_path):
    text = report.read_text()
    references = Outline(text).references
    assert references
    assert all(value.startswith(("data:", "#")) for value in references)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "<script" not in text
    assert "@import" not in text
    assert len(text) < 6_000_000
    assert main(["report", str(run), "--out", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text() == text


def test_missing_parts_are_a_line_each(tmp_path):
    write_pack(tmp_path / "run" / "12")
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "r.html"), "--title", "Mine"]) == 0
    text = (tmp_path / "r.html").read_text()
    assert "<title>Mine</title>" in text
    for line in ("No precision-recall or ROC curves.", "No stages.json", "No history.csv", "No detections.json"):
        assert f'<p class="note">{line}' in text
    assert text.count('class="note"') == 6


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("boxes.json", b"{", "boxes.json:1: expected JSON"),
        ("boxes.json", b"[1]", "boxes.json: expected a JSON object, got list"),
        ("boxes.json", b"\xff\xfe\x00", "boxes.json: expected JSON text, got binary data"),
        ("wider.json", b'{"easy": 3}', "wider.json: not of the form"),
        ("stages.json", b"{}", "stages.json: not of the form"),
        ("history.csv", b"net,epoch\n\xff,1\n", "history.csv: expected a history as CSV text"),
        ("history.csv", b"a,b\n1,2\n", "history.csv:1: expected a history with a column net"),
        ("summary.json", b'{"nets": 3}', "not of the form"),
        ("model.json", b'{"nets": []}', "not of the form"),
        ("DiscROC.txt", b"x\n", "DiscROC.txt:1: expected"),
        ("train.rec", b"not a pack", "train.rec"),
    ],
)
def test_a_part_that_cannot_be_read_is_a_line_on_the_page(tmp_path, caplog, name, content, said):
    write_pack(tmp_path / "run" / "12")
    (tmp_path / "run" / "bad").mkdir()
    (tmp_path / "run" / "bad" / name).write_bytes(content)
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "r.html")]) == 0
    assert said in caplog.text
    text = (tmp_path / "r.html").read_text()
    Outline(text)
    assert said in text.replace("&#x27;", "'")
    assert "12/train" in text  # the rest is there


def test_photos_and_annotations_from_elsewhere(run, tmp_path):
    folder = tmp_path / "run" / "eval"
    folder.mkdir(parents=True)
    for name in ("boxes.json", "detections.json", "precision_recall.png"):
        (folder / name).write_bytes((run / "test" / name).read_bytes())
    argv = ["report", str(tmp_path / "run"), "--out", str(tmp_path / "r.html")]
    assert main(argv) == 0
    assert "No detections.json whose photos are annotated" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "r.html").read_text().count("data:image/png") == 1  # the command's own curve
    assert main([*argv, "--annotations", str(run / "data" / "faces_bbx_gt.txt")]) == 0
    assert len(Outline((tmp_path / "r.html").read_text()).images) == 4  # found beside the annotations
    moved = tmp_path / "faces_bbx_gt.txt"
    moved.write_bytes((run / "data" / "faces_bbx_gt.txt").read_bytes())
    assert main([*argv, "--annotations", str(moved)]) == 0
    assert "--images says where they are" in (tmp_path / "r.html").read_text()
    assert main([*argv, "--annotations", str(moved), "--images", str(run / "data")]) == 0
    assert len(Outline((tmp_path / "r.html").read_text()).images) == 4


def test_bad_usage(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for run, out, said in (
        ("gone", "r.html", "gone: run not found"),
        ("empty", "r.html", "empty: nothing to report"),
        ("empty", ".", "expected the name of a page to write, got a folder"),
    ):
        assert main(["report", str(tmp_path / run), "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


# --- in a real browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory, checkout):
    import importlib.util

    # Test folders are no packages.
    spec = importlib.util.spec_from_file_location("browser", checkout / "tests" / "tools" / "report" / "browser.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.CHROMIUM.is_file():
        pytest.skip(f"no browser: {module.CHROMIUM} not found (Debian: apt-get install chromium)")
    with module.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1280])
def test_in_chromium(browser, report, tmp_path, width):
    browser.requests.clear()
    browser.open(report, width)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("[...document.images].every(i => i.loading != 'lazy')")  # else blank in print
    browser.evaluate("Promise.all([...document.images].map(i => i.decode()))")
    assert browser.evaluate("document.title") == "Report: a <b> run"
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    assert browser.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    assert browser.evaluate("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width > 0)")
    assert browser.evaluate("document.scripts.length") == 0
    outside = [url for url in browser.requests if not url.startswith("data:")]
    assert outside == [report.resolve().as_uri()]
    browser.screenshot(tmp_path / "page.png")
    assert cv2.imread(str(tmp_path / "page.png")).shape[1] == width


def test_dark_and_light_in_chromium(browser, report):
    grounds = []
    for dark in (False, True):
        browser.open(report, 390, dark)
        colors = browser.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        ground, text = (np.mean([int(v) for v in re.findall(r"\d+", color)[:3]]) for color in colors)
        assert abs(ground - text) > 150
        grounds.append(ground)
    assert grounds[0] > 200 > 60 > grounds[1]
