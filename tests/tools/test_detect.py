import csv
import json

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.checkpoint import save_net
from gluon_mtcnn.core.network import NetSpec, build, initialise
from gluon_mtcnn.tools.cli import main


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


def test_no_model(photos, tmp_path, capsys):
    assert main(["detect", str(photos), "--model", str(tmp_path)]) == 2
    assert "not a model folder: model.json not found" in capsys.readouterr().err
