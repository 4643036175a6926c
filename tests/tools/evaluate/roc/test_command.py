"""ROC curves in files, the table, and the figure."""

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.evaluate.roc.curves import Method, RocCurve, curves_in, read_curve, read_methods, tpr_table
from gluon_mtcnn.tools.evaluate.roc.plot import COLORS, DASHES, RocPlotOptions, draw_roc, plot_roc


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.8 60 0.1\n0.5 50 0.5\n0.3 0 0.9\n", "ours: lowest threshold first, three columns"),
        ("0.8 60 0.1\n0.5 50 0.5\n0.3 0 0.9\n0 0 1.79769e+308\n", "sentinel"),
        ("0.8 60 0.1\r\n0.5 50 0.5\r\n0.3 0 0.9\r\n0 0 1e+020\r\n\x1a", "Windows"),
        ("0.3 0\n0.5 50\n0.8 60\n", "ascending, two columns"),
        ("0.8 60\n0.5 50\n0.3 0\n0 0\n", "sentinel in two columns"),
    ],
)
def test_quirks_of_published_files(tmp_path, text, reason):
    curve = read_curve(write(tmp_path / "c.txt", text))
    assert sorted(zip(curve.fp, curve.tpr)) == [(0, 0.3), (50, 0.5), (60, 0.8)], reason
    assert [curve.rate_at(fp) for fp in (0, 49, 50, 59.5, 60, 1e9)] == [0.3, 0.3, 0.5, 0.5, 0.8, 0.8]


def test_a_detector_that_found_nothing(tmp_path):
    curve = read_curve(write(tmp_path / "c.txt", "0 0 1.79769e+308\n"))
    assert (curve.tpr.tolist(), curve.fp.tolist()) == ([0], [0])


def test_rate_before_the_first_false_positive_count():
    assert RocCurve(np.array([0.5]), np.array([100])).rate_at(50) == 0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "c.txt: expected a ROC curve, got an empty file"),
        ("0.5\n", r"c.txt:1: expected 2 numbers \(true_positive_rate false_positives\) or 3"),
        ("0.5 1\n\n0.4 1 2\n", "c.txt:3: expected 2 numbers"),
        ("0.5 1\n0.4 x\n", "c.txt:2: expected 2 numbers"),
        ("0.5 1\nnan 1\n", "c.txt:2: expected finite numbers"),
        ("0.5 1\n10 0.5\n", "c.txt:2: expected a true positive rate from 0 to 1"),
        ("0.5 -1\n", "c.txt:1: expected a true positive rate from 0 to 1, then false positives"),
        ("\0", "expected a text file"),
    ],
)
def test_bad_curves(tmp_path, text, match):
    with pytest.raises(InputError, match=match):
        read_curve(write(tmp_path / "c.txt", text))


def test_points_are_distinct_ascending_and_end_behind_the_axis():
    curve = RocCurve(np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), np.array([300, 200, 100, 100, 0, 0]))
    assert [column.tolist() for column in curve.points(150)] == [[0, 100, 200], [0.5, 0.7, 0.8]]
    assert [column.tolist() for column in curve.points(100)] == [[0, 100, 200], [0.5, 0.7, 0.8]]
    assert [column.tolist() for column in curve.points(9999)] == [[0, 100, 200, 300], [0.5, 0.7, 0.8, 0.9]]
    # logarithmic: what costs no false positive is drawn at 1
    assert curve.points(100, 1)[0].tolist() == [1, 100, 200]


@pytest.fixture
def folder(tmp_path):
    for kind in ("Disc", "Cont"):
        write(tmp_path / "run" / f"{kind}ROC.txt", "0.8 1200 0.1\n0.5 40 0.5\n")
        write(tmp_path / "published" / f"pico-{kind}ROC.txt", "0.7 2000 0.1\n0.4 40 0.5\n")
        write(tmp_path / "published" / f"X_{kind}ROC_v1.txt", "0.6 20\n0.7 30\n")
    write(tmp_path / "published" / "Alone_DiscROC.txt", "0.1 20\n")
    write(tmp_path / "published" / "readme_roc.txt", "no curve")
    return tmp_path


def test_methods_from_folders_and_files(folder):
    published = folder / "published"
    methods = read_methods(
        [
            folder / "run",
            published / "pico-ContROC.txt",
            published / "pico-DiscROC.txt",
            published / "X_DiscROC_v1.txt",
            published / "Alone_DiscROC.txt",
            folder / "run" / "DiscROC.txt",
        ]
    )
    assert [method.label for method in methods] == ["run", "pico", "X_v1", "Alone"]
    assert methods[1].disc.tpr.max() == methods[1].cont.tpr.max() == 0.7
    assert methods[3].cont is None


def test_labels(folder):
    assert [m.label for m in read_methods([folder / "run"], ["ours"])] == ["ours"]
    with pytest.raises(InputError, match="--labels: expected 1, one for each method, got 2"):
        read_methods([folder / "run"], ["a", "b"])


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("none.txt", "none.txt: curve not found"),
        ("published", "expected DiscROC.txt and ContROC.txt in it"),
        ("published/readme_roc.txt", "expected Disc or Cont in the file's name"),
    ],
)
def test_bad_curve_arguments(folder, name, match):
    with pytest.raises(InputError, match=match):
        read_methods([folder / name])


def test_curves_in_a_folder(folder):
    names = [path.name for path in curves_in(folder / "published")]
    assert names == [
        "Alone_DiscROC.txt",
        "pico-ContROC.txt",
        "pico-DiscROC.txt",
        "X_ContROC_v1.txt",
        "X_DiscROC_v1.txt",
    ]
    assert [path.name for path in curves_in(folder)] == ["run"]
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected files such as pico-DiscROC.txt, found none"):
        curves_in(folder / "empty")


def test_table():
    full = Method("full", RocCurve(np.array([0.5, 0.75]), np.array([100, 1000])), None)
    short = Method("short", None, RocCurve(np.array([0.25]), np.array([60])))
    lines = tpr_table([full, short]).splitlines()
    assert lines[0].split()[-5:] == ["50", "100", "200", "500", "1000"]
    assert lines[1] == "discrete"
    assert lines[2].split() == ["full", "0.0000", "0.5000", "0.5000", "0.5000", "0.7500"]
    assert lines[3] == "continuous"
    assert lines[4].split() == ["short", "0.0000", "0.2500*", "0.2500*", "0.2500*", "0.2500*"]
    assert lines[5].startswith("* the curve ends before")
    assert "*" not in tpr_table([full])


def test_lines_are_told_apart_by_more_than_colour():
    styles = {(COLORS[i % len(COLORS)], DASHES[i % len(DASHES)]) for i in range(28)}
    assert len(styles) == 28


@pytest.mark.parametrize(("name", "magic"), [("r.png", b"\x89PNG"), ("r.svg", b"<?xml"), ("r.pdf", b"%PDF")])
def test_command_draws_and_prints(folder, capsys, name, magic):
    command = ["plot", "roc", str(folder / "run"), "--overlay", str(folder / "published"), "--out", str(folder / name)]
    assert main([*command, "--labels", "ours", "--max-fp", "1000"]) == 0
    first = (folder / name).read_bytes()
    assert first.startswith(magic)
    assert capsys.readouterr().out.count("ours") == 2
    assert main([*command, "--labels", "ours", "--max-fp", "1000"]) == 0
    assert (folder / name).read_bytes() == first
    assert [p.name for p in folder.glob(".*")] == []


def test_a_curve_of_one_point_is_seen(tmp_path):
    point = [Method("point", RocCurve(np.array([0.5]), np.array([100])), None)]
    beyond = [Method("point", RocCurve(np.array([0.5]), np.array([5000])), None)]
    draw_roc(tmp_path / "point.png", point)
    draw_roc(tmp_path / "beyond.png", beyond)
    seen, bare = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("point", "beyond"))
    assert np.count_nonzero((seen != bare).any(axis=2)) > 50


def test_svg_names_every_method(folder):
    methods = read_methods([folder / "run"], ["ours & <theirs>"])
    draw_roc(folder / "r.svg", methods, read_methods(curves_in(folder / "published")), log=True)
    text = (folder / "r.svg").read_text()
    for name in ("ours &amp; &lt;theirs&gt;", "pico", "X_v1", "Alone", "Discrete score", "Continuous score"):
        assert name in text


def test_only_discrete_curves_give_one_panel(folder):
    draw_roc(folder / "r.svg", read_methods([folder / "published" / "Alone_DiscROC.txt"]))
    assert "Continuous score" not in (folder / "r.svg").read_text()


def test_command_refuses_other_formats(folder, capsys):
    assert main(["plot", "roc", str(folder / "run"), "--out", str(folder / "r.gif")]) == 2
    assert "expected a file name that ends in .png, .svg or .pdf" in capsys.readouterr().err


def test_published_curves(shared):
    methods = {m.label: m for m in read_methods(curves_in(shared / "fddb" / "published_roc"))}
    assert len(methods) == 8
    assert all(m.disc and m.cont for m in methods.values())
    assert methods["Linkface_v1"].disc.rate_at(2) == 0.784526
    assert methods["ViolaJonesScore_n0"].disc.fp.max() == 175932
    assert methods["CasCNN"].disc.rate_at(0) == 0.599884
    assert methods["CasCNN"].disc.rate_at(1000) == 0.856701


def test_without_a_file_the_curves_come_back(folder):
    before = sorted(folder.rglob("*"))
    drawn = plot_roc(RocPlotOptions([folder / "run"], ["ours"], overlay=folder / "published"))
    assert sorted(folder.rglob("*")) == before
    assert [method.label for method in drawn.methods] == ["ours"]
    assert drawn.methods[0].disc.rate_at(40) == 0.5
    assert len(drawn.overlay) == 3
