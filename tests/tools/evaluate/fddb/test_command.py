"""FDDB: files, matching, curves, AP, and the command."""

import json
import math
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.evaluate.fddb import matcher as fddb_match
from gluon_mtcnn.tools.evaluate.fddb import run as fddb
from gluon_mtcnn.tools.evaluate.fddb.ap import average_precision, ellipse_boxes
from gluon_mtcnn.tools.evaluate.fddb.files import (
    image_name,
    image_sizes,
    read_ellipses,
    read_fddb_detections,
    read_folds,
    read_sizes,
    write_fddb_detections,
)
from gluon_mtcnn.tools.evaluate.fddb.matcher import evaluate, match_image
from gluon_mtcnn.tools.evaluate.fddb.regions import ellipse_patches, pixel_iou, rectangle_spans
from gluon_mtcnn.tools.evaluate.fddb.run import FddbOptions, evaluate_fddb

FACE = np.array([[20, 15, math.pi / 2, 50, 40]], float)
TINY_CASES = [
    "01_single_hit",
    "02_miss_and_fp",
    "03_score_ties",
    "04_duplicates",
    "05_no_detections",
    "06_some_images_empty",
    "07_face_free_image",
    "08_no_faces_at_all",
    "09_ellipse_outside",
    "10_hungarian_vs_greedy",
    "11_best_total_not_best_count",
    "12_iou_exactly_half",
    "13_fractional_coords",
    "14_box_outside_image",
    "15_negative_and_large_scores",
    "16_ellipse_detections",
    "17_rotated_faces",
]


def make_folds(folder, folds, ellipses="20 15 1.570796 50 40  1"):
    """Write folds {number: [names]}, one face in every image."""
    folder.mkdir(exist_ok=True)
    for number, names in folds.items():
        (folder / f"FDDB-fold-{number:02d}.txt").write_text("".join(f"{name}\n" for name in names))
        (folder / f"FDDB-fold-{number:02d}-ellipseList.txt").write_text(
            "".join(f"{name}\n1\n{ellipses}\n" for name in names)
        )
    return folder


# ------------------------------------------------------------------ the official program's output


def tiny_lines(case):
    roc = evaluate(
        read_ellipses(case / "ellipseList.txt"), read_fddb_detections(case / "dets.txt"), read_sizes(case / "sizes.txt")
    )
    return list(roc.disc_lines()), list(roc.cont_lines())


def expected_lines(case):
    return [(case / f"expected_{kind}ROC.txt").read_text().splitlines(keepends=True) for kind in ("Disc", "Cont")]


@pytest.mark.parametrize("case", TINY_CASES)
def test_tiny_case_is_byte_for_byte_official(shared, case):
    folder = shared / "fddb" / "tiny" / case
    assert tiny_lines(folder) == tuple(expected_lines(folder))


def test_tiny_case_18_differs_only_where_the_official_solver_stops_short(shared):
    folder = shared / "fddb" / "tiny" / "18_official_solver_flaw"
    disc, cont = tiny_lines(folder)
    official_disc, official_cont = expected_lines(folder)
    assert disc == official_disc
    assert cont[0] == "0.308708 3\n"
    assert official_cont[0] == "0.29747 3\n"
    assert cont[1:] == official_cont[1:]


def test_tiny_iou(shared):
    for folder in sorted((shared / "fddb" / "tiny").glob("*/")):
        ellipses, detections = read_ellipses(folder / "ellipseList.txt"), read_fddb_detections(folder / "dets.txt")
        sizes = read_sizes(folder / "sizes.txt")
        for line in (folder / "iou.txt").read_text().splitlines()[1:]:
            name, face, detection, *_, iou = line.split()
            patches = ellipse_patches(ellipses[name], sizes[name])
            found = pixel_iou(patches, detections[name], sizes[name])[int(face), int(detection)]
            assert found == pytest.approx(float(iou), abs=5.1e-7), line


def test_command_reproduces_the_official_curves_and_the_fold_ap(shared, tmp_path, capsys):
    data = shared / "fddb"
    command = ["evaluate", "fddb", "--folds", str(data / "FDDB-folds"), "--out", str(tmp_path), "--detections"]
    sizes = ["--image-sizes", str(data / "image_sizes.txt")]
    assert main([*command, str(data / "detections" / "MTCNN.txt"), *sizes]) == 0
    for kind in ("Disc", "Cont"):
        official = (data / "official_roc" / f"MTCNN_{kind}ROC.txt").read_bytes()
        assert (tmp_path / f"{kind}ROC.txt").read_bytes() == official
    assert (tmp_path / "detections.txt").read_bytes() == (data / "detections" / "MTCNN.txt").read_bytes()
    expected = [float(v) for v in read_expected_ap(data / "expected_ap" / "MTCNN_sorted.txt")]
    ap = json.loads((tmp_path / "ap.json").read_text())
    assert [*ap["folds"].values(), ap["mean"]] == pytest.approx(expected, abs=1e-6)
    assert (ap["images"], ap["faces"]) == (2845, 5171)
    assert "0.8418" in capsys.readouterr().out


def test_ap_in_file_order(shared):
    data = shared / "fddb"
    folds, annotations = read_folds(data / "FDDB-folds")
    ap = average_precision(folds, annotations, read_fddb_detections(data / "detections" / "MTCNN.txt"), by_score=False)
    expected = [float(v) for v in read_expected_ap(data / "expected_ap" / "MTCNN_fileorder.txt")]
    assert [*ap.values(), fddb.mean_ap(ap)] == pytest.approx(expected, abs=1e-6)


def read_expected_ap(path):
    return [line.split(":")[1] for line in path.read_text().splitlines() if "AP:" in line]


def test_fallback_size_is_within_its_promise(shared):
    data = shared / "fddb"
    _, annotations = read_folds(data / "FDDB-folds")
    roc = evaluate(annotations, read_fddb_detections(data / "detections" / "MTCNN.txt"))
    for kind, rates in (("Disc", roc.discrete), ("Cont", roc.continuous)):
        official = np.loadtxt(data / "official_roc" / f"MTCNN_{kind}ROC.txt", usecols=0)
        assert 0 < np.abs(official - rates).max() < 0.005


# ------------------------------------------------------------------ regions


def test_rectangle_covers_both_rounded_corners_and_is_clipped():
    rows = np.array(
        [
            [34.5, 19.5, 30.4, 40.6, 1],  # 34.5 -> 34, 19.5 -> 20 (half to even); 64.9 -> 65, 60.1 -> 60
            [-10, 70, 500, 500, 1],
            [-50, -50, 20, 20, 1],
            [10, 10, 0, 0, 1],
            [30, 30, -10, 5, 1],
        ]
    )
    spans = rectangle_spans(rows, (100, 80))
    assert spans[:2].tolist() == [[34, 20, 66, 61], [0, 70, 100, 80]]
    areas = np.prod(spans[:, 2:] - spans[:, :2], axis=1)
    assert areas.tolist() == [32 * 41, 100 * 10, 0, 1, 0]


@given(
    st.tuples(st.integers(20, 120), st.integers(20, 120)),
    st.tuples(st.floats(0, 90), st.floats(0, 90)),
    st.floats(-4, 4),
    st.tuples(st.floats(-60, 180), st.floats(-60, 180)),
)
def test_ellipse_in_its_window_is_the_ellipse_in_the_whole_image(size, radii, angle, centre):
    (patch,) = ellipse_patches(np.array([[*radii, angle, *centre]]), size)
    whole = np.zeros(size[::-1], np.uint8)
    rounded = [int(np.rint(np.float32(c))) for c in centre]
    degrees = float(np.rint(np.degrees(angle)))
    cv2.ellipse(whole, rounded, (int(radii[0]), int(radii[1])), degrees, 0, 360, 1, -1)
    pasted = np.zeros_like(whole)
    height, width = patch.mask.shape
    pasted[patch.y : patch.y + height, patch.x : patch.x + width] = patch.mask
    assert (pasted == whole).all()


def test_ellipse_detection_equal_to_its_face_has_iou_1():
    roc = evaluate({"a": FACE}, {"a": np.append(FACE, [[0.9]], axis=1)})
    assert list(roc.disc_lines()) == ["1 0 0.9\n"]
    assert list(roc.cont_lines()) == ["1 0\n"]


# ------------------------------------------------------------------ matching


def brute_force(iou, scores, threshold):
    """Return hits and overlap of the best matching of all detections that pass."""
    kept = iou[:, scores >= threshold]
    pairs = kept[linear_sum_assignment(kept, maximize=True)]
    return np.count_nonzero(pairs > 0.5), pairs.sum()


def random_image(rng, faces, detections):
    centres = rng.uniform(20, 180, (faces, 2))
    ellipses = np.concatenate([rng.uniform(8, 30, (faces, 2)), rng.uniform(-2, 2, (faces, 1)), centres], axis=1)
    near = centres[rng.integers(0, faces, detections)] + rng.normal(0, 12, (detections, 2))
    sides = rng.uniform(10, 60, (detections, 2))
    scores = rng.integers(0, 12, (detections, 1)) / 8  # many ties
    return ellipses, np.concatenate([near - sides / 2, sides, scores], axis=1)


@pytest.mark.parametrize("block", [5, 4096])
@pytest.mark.parametrize("faces", [1, 2, 6, 14])
def test_incremental_matching_is_the_best_matching_at_every_score(monkeypatch, faces, block):
    monkeypatch.setattr(fddb_match, "BLOCK", block)
    for seed in range(12):
        ellipses, rows = random_image(np.random.default_rng([seed, faces]), faces, 40)
        roc = evaluate({"a": ellipses}, {"a": rows}, {"a": (200, 200)})
        iou = pixel_iou(ellipse_patches(ellipses, (200, 200)), rows, (200, 200))
        assert roc.thresholds.tolist() == sorted(set(rows[:, -1]))
        assert roc.kept.tolist() == [np.count_nonzero(rows[:, -1] >= t) for t in roc.thresholds]
        expected = [brute_force(iou, rows[:, -1], t) for t in roc.thresholds]
        assert roc.hits.tolist() == [hits for hits, _ in expected]
        assert roc.overlap == pytest.approx(np.array([overlap for _, overlap in expected]))


def test_order_of_images_and_boxes_does_not_matter():
    rng = np.random.default_rng(3)
    images = {f"i{i}": random_image(rng, 3, 9) for i in range(5)}
    faces, boxes = ({name: pair[i] for name, pair in images.items()} for i in (0, 1))
    shuffled = {name: rng.permutation(boxes[name]) for name in reversed(list(boxes))}
    assert list(evaluate(faces, boxes).cont_lines()) == list(evaluate(faces, shuffled).cont_lines())


def test_hundred_thousand_boxes_on_one_image():
    n = 100_000
    rng = np.random.default_rng(0)
    scores = rng.permutation(n) / n
    rows = np.concatenate([rng.uniform(0, 300, (n, 2)), rng.uniform(5, 100, (n, 2)), scores[:, None]], axis=1)
    roc = evaluate({"a": np.repeat(FACE, 2, axis=0)}, {"a": rows})
    iou = pixel_iou(ellipse_patches(FACE, (450, 450)), rows, (450, 450))[0]
    assert roc.overlap[0] == pytest.approx(np.sort(iou)[-2:].sum())
    assert len(roc.thresholds) == n
    assert roc.kept[0] == n


def test_one_hit_in_two_images_by_hand():
    box = np.array([[35, 20, 30, 40, 0.9]])
    roc = evaluate({"a": FACE, "b": FACE}, {"a": box, "b": np.zeros((0, 5))}, {"a": (100, 80), "b": (100, 80)})
    # 989 pixels of the ellipse lie in the 31 x 41 of the rectangle
    assert list(roc.disc_lines()) == ["0.5 0 0.9\n", "0 0 1.79769e+308\n"]
    assert roc.overlap.tolist() == [989 / 1271, 0]


def test_box_of_negative_size_is_a_false_positive():
    roc = evaluate({"a": FACE}, {"a": np.array([[65, 60, -30, -40, 0.9]])})
    assert list(roc.disc_lines()) == ["0 1 0.9\n"]


def test_face_outside_the_image_cannot_be_found():
    face = np.array([[20, 15, 0, 500, 40]], float)
    assert match_image(face, np.array([[0, 0, 99, 79, 1.0]]), (100, 80)).shape == (0, 3)


def test_arguments_are_not_written_to():
    ellipses, rows = random_image(np.random.default_rng(0), 3, 9)
    before = ellipses.copy(), rows.copy()
    evaluate({"a": ellipses}, {"a": rows})
    average_precision({"f": ["a"]}, {"a": ellipses}, {"a": rows})
    assert (ellipses == before[0]).all()
    assert (rows == before[1]).all()


@pytest.mark.parametrize(
    ("detections", "sizes", "match"),
    [({}, None, "no detections entry for image a"), ({"a": np.zeros((0, 5))}, {}, "no size for image a")],
)
def test_evaluate_names_what_is_missing(detections, sizes, match):
    with pytest.raises(InputError, match=match):
        evaluate({"a": FACE}, detections, sizes)


def test_no_images():
    with pytest.raises(InputError, match="at least one image"):
        evaluate({}, {})


# ------------------------------------------------------------------ box AP


def ap_of(*rows, faces=FACE):
    return average_precision({"f": ["a"]}, {"a": faces}, {"a": np.array(rows, float).reshape(-1, 5)})["f"]


def test_outline_box():
    # upright: half width 15, half height 20, and one past the last pixel
    assert ellipse_boxes(FACE).tolist() == [[35, 20, 66, 61]]
    assert ellipse_boxes(np.array([[5, 5, 0, -100, 40]], float)).tolist() == [[0, 0, 0, 0]]


def test_canvas_grows_with_the_image():
    face = np.array([[20, 15, math.pi / 2, 1500, 40]], float)
    assert ellipse_boxes(face).tolist() == [[0, 0, 0, 0]]
    assert ellipse_boxes(face, (2000, 100)).tolist() == [[1485, 20, 1516, 61]]


def test_ap_by_hand():
    hit, miss = [35, 20, 31, 41], [200, 200, 20, 20]
    assert ap_of([*hit, 0.5]) == 1
    assert ap_of([*miss, 0.9], [*hit, 0.1]) == 0.5  # the face comes second: precision 1/2
    assert ap_of([*hit, 0.9], [*miss, 0.1]) == 1
    assert ap_of([*miss, 0.9]) == 0
    assert ap_of() == 0
    assert ap_of([*hit, 0.9], faces=np.repeat(FACE, 2, axis=0)) == 0.5  # one of two boxes at the same place


def test_duplicates_lower_precision():
    faces = np.repeat(FACE, 2, axis=0)
    faces[1, 3] += 200
    hit, hit2 = [35, 20, 31, 41], [235, 20, 31, 41]
    # precision 1 until the first face; with the duplicate the second face is found by 2 of 3 proposals
    assert ap_of([*hit, 0.9], [*hit, 0.8], [*hit2, 0.1], faces=faces) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_fold_without_faces_has_no_ap():
    rows = {"a": np.array([[35, 20, 31, 41, 0.5]]), "b": np.array([[0, 0, 9, 9, 1.0]])}
    ap = average_precision({"f": ["a"], "g": ["b"]}, {"a": FACE, "b": np.zeros((0, 5))}, rows)
    assert ap == {"f": 1.0, "g": None}
    assert fddb.mean_ap(ap) == 1
    assert fddb.mean_ap({"g": None}) is None


# ------------------------------------------------------------------ files


def test_detections_survive_line_ends_marks_and_blank_lines(tmp_path):
    expected = {"x/a": [[1, 2, 3, 4, 0.5]], "x/b": []}
    for i, text in enumerate(
        [
            b"x/a\n1\n1 2 3 4 0.5\nx/b\n0\n",
            b"x/a\r\n1\r\n1 2 3 4 0.5\r\nx/b\r\n0\r\n\x1a",
            b"x/a\r1\r1 2 3 4 0.5\rx/b\r0",
            b"\xef\xbb\xbf\nx\\a.jpg\n\n1 \n 1\t2  3 4 5e-1\n\nx/b.JPG\n0\n\n",
        ]
    ):
        path = tmp_path / f"{i}.txt"
        path.write_bytes(text)
        assert {name: rows.tolist() for name, rows in read_fddb_detections(path).items()} == expected


def test_detections_of_a_folder(tmp_path):
    (tmp_path / "fold-01-out.txt").write_text("a\n1\n1 2 3 4 0.5\n")
    (tmp_path / "fold-02-out.txt").write_text("b\n0\n")
    (tmp_path / "notes.txt").write_text("not detections")
    assert list(read_fddb_detections(tmp_path)) == ["a", "b"]
    (tmp_path / "fold-03-out.txt").write_text("a\n0\n")
    with pytest.raises(InputError, match=r"fold-03-out.txt: a is in another file"):
        read_fddb_detections(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a\n1\n1 2 3 4 nan\n", r"d.txt:3: expected finite numbers, got '1 2 3 4 nan'"),
        ("a\n1\n1 2 3 4 inf\n", r"d.txt:3: expected finite numbers"),
        ("a\n1\n1 2 3e7 4 1\n", r"d.txt:3: expected coordinates up to 1e\+06"),
        ("a\n\n1\n1 2 3 4\n", r"d.txt:4: expected 5 numbers \(left top width height score\) or 6 numbers"),
        ("a\n2\n1\n2\n", r"d.txt:3: expected 5 numbers"),
        ("a\n2\n1 2 3 4 1\n1 2 3 x 1\n", r"d.txt:4: expected 5 numbers \(left.*got '1 2 3 x 1'"),
        ("a\n2\n1 2 3 4 1\n1 2 3 4 5 1\n", r"d.txt:4: expected 5 numbers"),
        ("a\n1\n1 2 3 4 1\nb\n1\n1 2 3 4 5 1\n", r"d.txt:6: expected 5 numbers \(left top width height score\), got"),
        ("a\n1 2 3 4 1\n", r"d.txt:2: expected the number of detections of a, got '1 2 3 4 1'"),
        ("a\nb\n0\n", r"d.txt:2: expected the number of detections of a, got 'b'"),
        ("a\n", r"d.txt: expected the number of detections of a, but the file ends"),
        ("a\n-1\n", r"d.txt:2: expected the number of detections of a, got '-1'"),
        ("a\n" + "9" * 5000 + "\n", r"d.txt:2: expected the number of detections of a, got '999"),
        ("a\n3\n1 2 3 4 1\n", r"d.txt:2: expected at most the 1 detections that follow, got '3'"),
        ("a\n2\n1 2 3 4 1\nb\n0\n", r"d.txt:4: expected 5 numbers"),
        ("a\n1\n1 2 3 4 1\n1 2 3 4 1\n", r"d.txt:4: expected an image name \(is the count above it right"),
        ("a\n0\na\n0\n", r"d.txt:3: expected every image once"),
        ("a\n1\n-3 4 0 9 9 1\n", r"d.txt: a: expected radii of at least 0, got -3 and 4"),
        ("\x00\x01\x02", r"d.txt: expected a text file, got binary data"),
    ],
)
def test_bad_detections_give_one_line(tmp_path, text, match):
    path = tmp_path / "d.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=match) as error:
        read_fddb_detections(path)
    assert "\n" not in str(error.value)


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "d.jpg").write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match=r"d.jpg: expected a text file, got binary data"):
        read_fddb_detections(tmp_path / "d.jpg")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_fddb_detections(tmp_path / "none.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected files fold-01-out.txt, ..., found none"):
        read_fddb_detections(tmp_path / "empty")


def test_negative_sizes_are_reported(tmp_path, caplog):
    (tmp_path / "d.txt").write_text("a\n1\n1 2 -3 4 1\n")
    assert read_fddb_detections(tmp_path / "d.txt")["a"].tolist() == [[1, 2, -3, 4, 1]]
    assert "1 images have boxes of negative size (first: a)" in caplog.text


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4, st.floats(-1e300, 1e300)), max_size=4))
def test_written_detections_read_back_the_same(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("d") / "d.txt"
    rows = np.array(rows, float).reshape(-1, 5)
    write_fddb_detections(path, ["a"], {"a": rows})
    assert (read_fddb_detections(path)["a"] == rows).all()


def test_folds(tmp_path):
    folds, annotations = read_folds(make_folds(tmp_path / "f", {1: ["a", "b"], 10: ["c"]}))
    assert folds == {"FDDB-fold-01": ["a", "b"], "FDDB-fold-10": ["c"]}
    assert annotations["b"].tolist() == [[20, 15, 1.570796, 50, 40]]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: (f / "FDDB-fold-02.txt").write_text("a\n"), r"FDDB-fold-02.txt:1: expected every image once"),
        (lambda f: (f / "FDDB-fold-02.txt").write_text("z\n"), r"FDDB-fold-02.txt:1: expected an image that .* annot"),
        (lambda f: (f / "FDDB-fold-01-ellipseList.txt").unlink(), r"FDDB-fold-01-ellipseList.txt: cannot be read"),
        (lambda f: shutil.rmtree(f) or f.mkdir(), r"expected FDDB-fold-01.txt and FDDB-fold-01-ellipseList.txt"),
    ],
)
def test_bad_folds(tmp_path, change, match):
    folder = make_folds(tmp_path / "f", {1: ["a"], 2: ["b"]})
    change(folder)
    with pytest.raises(InputError, match=match):
        read_folds(folder)


@pytest.mark.parametrize("line", ["a 10", "a 10 0", "a ten 10", "a 999999 999999", "a 10 -3"])
def test_bad_sizes(tmp_path, line):
    (tmp_path / "s.txt").write_text(f"b 10 20\n{line}\n")
    with pytest.raises(InputError, match=r"s.txt:2: expected name width height"):
        read_sizes(tmp_path / "s.txt")


def test_sizes_with_spaces_in_names_and_contradictions(tmp_path):
    (tmp_path / "s.txt").write_text("my photo.jpg 10 20\nmy photo 10 20\n")
    assert read_sizes(tmp_path / "s.txt") == {"my photo": (10, 20)}
    (tmp_path / "s.txt").write_text("a 10 20\na 20 10\n")
    with pytest.raises(InputError, match=r"s.txt:2: expected 10 20 for this image"):
        read_sizes(tmp_path / "s.txt")


def test_sizes_from_images(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((20, 30, 3), np.uint8))
    assert image_sizes({"a": tmp_path / "a.jpg"}) == {"a": (30, 20)}
    (tmp_path / "b.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"b.jpg: expected an image"):
        image_sizes({"b": tmp_path / "b.jpg"})


def test_image_name():
    assert image_name(" 2002\\08/11/big/img_591.jpg ") == "2002/08/11/big/img_591"
    assert image_name("photo.v2") == "photo.v2"


# ------------------------------------------------------------------ the command


@pytest.fixture
def small_set(tmp_path):
    """Two folds of three images in all, photos, and a file of detections in another order."""
    make_folds(tmp_path / "folds", {1: ["x/a", "x/b"], 2: ["c"]})
    (tmp_path / "photos" / "x").mkdir(parents=True)
    for name in ("x/a.jpg", "x/b.png", "c.JPG"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.zeros((80, 100, 3), np.uint8))
    (tmp_path / "d.txt").write_text("c\n1\n35 20 30 40 0.5\nx/b\n0\nx/a\n1\n35 20 30 40 0.9\n")
    return tmp_path


def run_command(folder, *options):
    return main(["evaluate", "fddb", "--folds", str(folder / "folds"), "--out", str(folder / "out"), *options])


def test_command_leaves_its_files(small_set, capsys):
    options = ["--detections", str(small_set / "d.txt"), "--images", str(small_set / "photos")]
    assert run_command(small_set, *options) == 0
    out = small_set / "out"
    expected = "0.666667 0 0.5\n0.333333 0 0.9\n0 0 1.79769e+308\n"
    assert (out / "DiscROC.txt").read_text() == expected
    assert (out / "ContROC.txt").read_text() == f"{2 * 989 / 1271 / 3:g} 0\n{989 / 1271 / 3:g} 0\n0 0\n"
    assert (out / "detections.txt").read_text() == "x/a\n1\n35 20 30 40 0.9\nx/b\n0\nc\n1\n35 20 30 40 0.5\n"
    assert json.loads((out / "ap.json").read_text()) == {
        "mean": 0.75,
        "folds": {"FDDB-fold-01": 0.5, "FDDB-fold-02": 1.0},
        "images": 3,
        "faces": 3,
        "matcher": "optimal",
    }
    assert sorted(p.name for p in out.iterdir()) == ["ContROC.txt", "DiscROC.txt", "ap.json", "detections.txt"]
    printed = capsys.readouterr().out
    assert "mean AP of 2 folds: 0.7500" in printed
    assert "matcher: optimal\n" in printed
    assert run_command(small_set, *options, "--matcher", "official") == 0
    assert (out / "DiscROC.txt").read_text() == expected
    assert json.loads((out / "ap.json").read_text())["matcher"] == "official"
    assert "matcher: official\n" in capsys.readouterr().out


def test_command_without_sizes_says_so(small_set, caplog):
    assert run_command(small_set, "--detections", str(small_set / "d.txt")) == 0
    assert "every image is taken as 450 x 450 pixels" in caplog.text


def test_command_with_a_missing_image(small_set, capsys, caplog):
    (small_set / "d.txt").write_text("c\n1\n35 20 30 40 0.5\nz\n0\n")
    assert run_command(small_set, "--detections", str(small_set / "d.txt")) == 2
    assert "got none for 2, such as x/a" in capsys.readouterr().err
    assert not (small_set / "out").exists()
    assert run_command(small_set, "--detections", str(small_set / "d.txt"), "--missing-as-empty") == 0
    assert "1 images are in no fold" in caplog.text
    assert (small_set / "out" / "DiscROC.txt").read_text() == "0.333333 0 0.5\n0 0 1.79769e+308\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected --detections FILE_OR_DIR, or --images DIR"),
        (["--detections", "d.txt", "--model", "m"], "got both"),
        (["--detections", "none.txt"], "none.txt: cannot be read"),
        (["--images", "none"], "none: folder of photos not found"),
        (["--detections", "d.txt", "--image-sizes", "s.txt"], "s.txt: expected the size of every image, x/b has none"),
    ],
)
def test_command_explains_bad_usage(small_set, monkeypatch, capsys, options, message):
    monkeypatch.chdir(small_set)
    (small_set / "s.txt").write_text("x/a 100 80\nc 100 80\n")
    assert run_command(small_set, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


class FakeDetector:
    """Finds one face in every photo whose first pixel is not black."""

    def clone(self):
        return self

    def detect(self, image):
        if not image[0, 0].any():
            return Detections.empty()
        return Detections(np.array([[35.004, 20, 65, 60.127]]), np.array([0.987654321]))


def test_command_runs_a_detector(small_set, monkeypatch):
    monkeypatch.setattr(fddb, "open_detector", lambda args: (FakeDetector(), 0.7))
    cv2.imwrite(str(small_set / "photos" / "x" / "b.png"), np.full((80, 100, 3), 255, np.uint8))
    assert run_command(small_set, "--images", str(small_set / "photos"), "--quiet") == 0
    out = small_set / "out"
    # w = x2 - x1
    written = (out / "detections.txt").read_text()
    assert written == "x/a\n0\nx/b\n1\n35.00 20.00 30.00 40.13 0.98765\nc\n0\n"
    assert (out / "DiscROC.txt").read_text() == "0.333333 0 0.98765\n0 0 1.79769e+308\n"
    for content in (b"no image", cv2.imencode(".png", np.zeros((80, 100, 3), np.uint8))[1].tobytes()[:-20]):
        (small_set / "photos" / "c.JPG").write_bytes(content)
        assert run_command(small_set, "--images", str(small_set / "photos"), "--quiet") == 2
        assert run_command(small_set, "--images", str(small_set / "photos"), "--quiet", "--missing-as-empty") == 0
        assert (out / "detections.txt").read_text() == written
        (out / "detections.txt").unlink()
    (small_set / "photos" / "c.JPG").unlink()
    assert run_command(small_set, "--images", str(small_set / "photos"), "--quiet") == 2
    assert run_command(small_set, "--images", str(small_set / "photos"), "--quiet", "--missing-as-empty") == 0
    assert (out / "detections.txt").read_text() == written


def test_without_a_folder_the_values_of_the_files_come_back_and_no_file(small_set):
    before = sorted(small_set.rglob("*"))
    cv2.imwrite(str(small_set / "photos" / "x" / "b.png"), np.full((80, 100, 3), 255, np.uint8))
    options = FddbOptions(small_set / "folds", images=small_set / "photos", quiet=True)
    result = evaluate_fddb(options, FakeDetector())
    assert sorted(small_set.rglob("*")) == before
    assert result.detections["x/b"].tolist() == [[35, 20, 30, 40.13, 0.98765]]  # as a file has them
    assert result.disc.tpr.tolist() == [1 / 3, 0]
    assert result.disc.fp.tolist() == result.cont.fp.tolist() == [0, 0]
    assert result.roc.thresholds[0] == 0.98765
    assert 0 < result.cont.tpr[0] < 1 / 3
    assert result.ap == {"FDDB-fold-01": 0.5, "FDDB-fold-02": 0.0}
    assert result.mean_ap == 0.25


def png_head(width: int, height: int) -> bytes:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""))
    coded = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


@pytest.mark.filterwarnings("error")  # Pillow's, of large images
def test_sizes_of_files_have_the_limit_of_sizes_in_a_list(tmp_path):
    (tmp_path / "a.png").write_bytes(png_head(1 << 14, 1 << 14))
    (tmp_path / "b.png").write_bytes(png_head(1 << 14, (1 << 14) + 1))
    (tmp_path / "sizes.txt").write_text(f"a {1 << 14} {1 << 14}\n")
    assert image_sizes({"a": tmp_path / "a.png"}) == read_sizes(tmp_path / "sizes.txt") == {"a": (1 << 14, 1 << 14)}
    with pytest.raises(InputError, match=r"b\.png: expected an image: it has 16384 x 16385 pixels, 268435456 are"):
        image_sizes({"b": tmp_path / "b.png"})
    assert image_sizes({"b": tmp_path / "b.png"}, skip_bad=True) == {}
