import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model, save_net, write_presets
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.types import NETS, Annotation
from gluon_mtcnn.tools.benchmark.pareto.accuracy import AnnotatedSet
from gluon_mtcnn.tools.benchmark.pareto.choice import Choice, choose_presets
from gluon_mtcnn.tools.benchmark.pareto.grid import Grid, GridRun, log_odds_steps
from gluon_mtcnn.tools.benchmark.pareto.measured import Point, Tally, front, point_of
from gluon_mtcnn.tools.benchmark.pareto.run import ParetoResult
from gluon_mtcnn.tools.benchmark.peers import PEERS
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.evaluate.boxes.run import BoxesOptions, evaluate_boxes

PRESETS = {"fast": Preset((0.5, 0.5, 0.5), 40, 0.6, False), "default": Preset((0.3, 0.3, 0.3), 24, 0.6, True)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "own"
    for i, kind in enumerate(NETS):
        net = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(net, seed=i)
        save_net(folder, net, thresholds=(0.3, 0.4, 0.5))
    write_presets(folder, PRESETS)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two photos of noise with a face each."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), np.random.default_rng(i).integers(0, 256, (80, 90, 3), np.uint8))
    (folder / "faces.csv").write_text("image,x1,y1,x2,y2\n0.png,10,10,49,49\n1.png,60,50,79,69\n")
    return folder


def words(*given):
    return ["benchmark", "pareto", *map(str, given), "--quiet"]


def test_steps_are_equal_in_the_log_odds():
    steps = np.array(log_odds_steps(".6:.99:5"))
    assert (steps[0], steps[-1]) == (0.6, 0.99)
    np.testing.assert_allclose(np.diff(np.log(steps / (1 - steps)), n=2), 0, atol=0.01)
    assert log_odds_steps(".5,1") == (0.5, 1)
    for text in ("2", "0:.5:3", ".1:.5:0", ".1:.5", "a"):
        with pytest.raises((ValueError, IndexError)):
            log_odds_steps(text)


def test_every_setting_of_a_grid_is_what_a_detector_finds(shared):
    """What settings have in common is computed once, and does not change what each finds."""
    weights = {kind: shared / "seanlinx" / "model" / kind for kind in NETS}
    model = load_seanlinx(weights, dict.fromkeys(NETS, 16))
    photo = cv2.imread(str(shared / "seanlinx" / "test01.jpg"))
    grid = Grid((0.5, 0.8), (0.6, 0.95), (False, True), (24, 40), (0.6,))
    run = GridRun(grid, lambda **options: Detector(model, preset=Preset(), **options))
    run.warm_up(photo)
    run.add("test01", photo)
    assert len(run.tallies) == 16
    for setting, tally in run.tallies.items():
        options = setting.options()
        stages = Detector(model, preset=Preset(**{**options, "thresholds": tuple(options["thresholds"])})).stages(photo)
        np.testing.assert_allclose(tally.found["test01"], stages["onet"].after, atol=1e-4)
        assert tally.boxes == {"rnet": len(stages["pnet"].after), "onet": len(stages["rnet"].after)}
        assert len(stages["onet"].after) > 3
        assert set(tally.seconds) == set(NETS)
        assert min(tally.seconds.values()) > 0


def point(ms, ap, **settings):
    tally = Tally({"a": np.zeros((0, 5)), "b": np.zeros((0, 5))}, {"pnet": ms / 1000, "onet": ms / 1000})
    accuracy = {"s": {"AP": ap, "score": 0.81234}, "none": {"AP": None, "score": None}}
    return point_of(f"{ms} {ap}", "g", {"model": "m", "thresholds": [0.7, 0.8, 0.002], **settings}, tally, accuracy)


def test_the_front_is_what_no_other_beats():
    points = [point(30, 0.7), point(10, 0.5), point(20, 0.5), point(20, 0.6), point(40, 0.65), point(5, None)]
    assert [points[i].label for i in front(points)] == ["10 0.5", "20 0.6", "30 0.7"]
    assert points[0].processor_ms == pytest.approx(30)
    assert points[0].mean_ap == 0.7


def test_a_preset_is_the_best_within_its_time():
    points = [point(10, 0.5, min_face=24, test_time_augmentation=False), point(20, 0.6), point(30, 0.55)]
    result = ParetoResult([*points, Point("peer", "peer", {}, 2, 1, {}, {}, points[1].accuracy)], [], {}, 0.9)
    chosen = choose_presets(result, Choice({"fast": 15, "default": 35}))
    assert chosen["fast"] == Preset((0.7, 0.8, 0.812), 24, None, False)
    assert chosen["default"].thresholds == (0.7, 0.8, 0.812)
    for choice, message in (
        (Choice({"fast": 5}), "fast: expected a setting within 5 ms, the least is 10.0 ms"),
        (Choice({"fast": 15}, "x"), "expected one of s, none, got 'x'"),
        (Choice({"fast": 15}, "none"), "10 0.5: no score of none reaches the target precision"),
    ):
        with pytest.raises(InputError, match=message):
            choose_presets(result, choice)


def test_the_score_beside_an_ap_is_the_lowest_that_reaches_the_precision():
    photo = Annotation("a.png", [[0.0, 0, 19, 19], [50, 50, 99, 99]], [False] * 2, None, "a.png")
    rows = np.array(
        [[50.0, 50, 99, 99, 0.9], [200, 200, 220, 220, 0.8], [0, 0, 19, 19, 0.7], [300, 300, 320, 320, 0.6]]
    )
    figures = AnnotatedSet("s", [photo], (0, 30)).figures({"s/a.png": rows}, 0.6)
    assert figures["s 0"] == {"AP": pytest.approx(0.5 + 0.5 * 2 / 3), "faces": 2, "score": 0.7, "recall": 1.0}
    assert figures["s 30"] == {"AP": 1.0, "faces": 1, "score": 0.9, "recall": 1.0}
    none = AnnotatedSet("s", [photo], (0,)).figures({"s/a.png": rows[1:2]}, 0.6)
    assert none["s 0"] == {"AP": 0.0, "faces": 2, "score": None, "recall": 0.0}


def test_presets_engines_models_and_peers_in_one_run(model, photos, tmp_path, capsys, monkeypatch):
    bare = tmp_path / "bare"
    for kind in NETS:
        save_net(bare, load_model(model).weights(kind), thresholds=(0.3, 0.4, 0.5))
    box = np.array([[10.0, 10, 49, 49]])
    monkeypatch.setattr("gluon_mtcnn.tools.benchmark.peers.PEERS", PEERS)
    for name in list(PEERS):
        monkeypatch.delitem(PEERS, name)
    monkeypatch.setitem(PEERS, "unscored", (lambda *_: lambda image: box, ("numpy",)))
    monkeypatch.setitem(PEERS, "broken", (lambda *_: lambda image: 1 / 0, ()))
    monkeypatch.setitem(PEERS, "unfit", (lambda *_: 1 / 0, ()))
    argv = words("--images", photos, "--annotations", photos / "faces.csv", "--models", model, bare, "--peers")
    argv += ["--engines", "onnx", "--json", str(tmp_path / "p.json"), "--plot", str(tmp_path / "p.svg")]
    assert main(argv) == 0
    result = json.loads((tmp_path / "p.json").read_text())
    points = {p["label"]: p for p in result["points"]}
    assert list(points) == [
        *("own onnx fast", "own onnx default", "bare onnx one pass", "bare onnx augmented", "unscored"),
    ]
    for name, preset in PRESETS.items():
        at = points[f"own onnx {name}"]
        assert at["thresholds"] == list(preset.thresholds)
        detector = Detector(model, "onnx", preset=name, thresholds=(*preset.thresholds[:2], 0.002))
        same = BoxesOptions(photos / "faces.csv", photos, quiet=True)
        assert at["accuracy"]["faces 0"]["AP"] == at["mean_AP"] == evaluate_boxes(same, detector).ap
        assert at["processor_ms"] == pytest.approx(sum(at["stage_ms"].values()), abs=0.02)
        assert at["photos"] == 2
    assert points["unscored"]["mean_AP"] == pytest.approx(0.5 * 0.5)
    assert result["not_measured"]["broken"] == "not measured: it fails: ZeroDivisionError: division by zero"
    assert result["not_measured"]["unfit"].startswith("cannot be used")
    assert result["front"] == [
        p["label"] for p in sorted(result["points"], key=lambda p: p["processor_ms"]) if p["on_front"]
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["setting", "ms", "P"]
    assert sum(line.startswith("*  ") for line in lines) == len(result["front"])
    assert (tmp_path / "p.svg").read_text().count("<svg") == 1


def test_a_grid_on_wider_and_a_preset_written(model, photos, tmp_path, capsys):
    def cells(*values):
        column = np.empty((len(values), 1), object)
        column[:, 0] = values
        return column

    folder = tmp_path / "WIDER_val" / "e"
    folder.mkdir(parents=True)
    for name in "01":
        cv2.imwrite(str(folder / f"{name}.jpg"), cv2.imread(str(photos / f"{name}.png")))
    names = cells(np.array(["0"]), np.array(["1"]))
    truth = {"event_list": cells(np.array(["e"])), "file_list": cells(names)}
    faces = cells(*[np.array([[10.0, 10, 30, 30]])] * 2)
    savemat(str(tmp_path / "wider_face_val.mat"), {**truth, "face_bbx_list": cells(faces)})
    for setting in ("easy", "medium", "hard"):
        listed = cells(cells(*[np.array([[1]])] * 2))
        savemat(str(tmp_path / f"wider_{setting}_val.mat"), {**truth, "gt_list": listed})
    argv = words("--images", tmp_path / "WIDER_val", "--ground-truth", tmp_path, "--models", model, "--engines", "onnx")
    argv += ["--grid-pnet", ".3:.6:2", "--grid-rnet", ".4,.5", "--grid-min-face", "24", "--grid-augmentation", "both"]
    assert main([*argv, "--limit", "1", "--json", str(tmp_path / "g.json")]) == 0
    result = json.loads((tmp_path / "g.json").read_text())
    assert len(result["points"]) == 8
    assert result["points"][1]["label"] == "own onnx 0.3 0.4 augmented min face 24"
    assert {p["photos"] for p in result["points"]} == {1}
    assert list(result["points"][0]["accuracy"]) == ["easy", "medium", "hard"]
    capsys.readouterr()
    argv = words("--images", photos, "--annotations", photos / "faces.csv", "--models", model, "--engines", "onnx")
    argv += ["--grid-pnet", ".3", "--grid-rnet", ".4", "--choose", "new=100000", "--target-precision", "0", "--write"]
    assert main(argv) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1].removeprefix("new: "))
    presets = load_model(model).presets
    write_presets(model, PRESETS)
    assert list(presets) == ["fast", "default", "new"]
    assert presets["new"].as_json() == said
    assert said["thresholds"][:2] == [0.3, 0.4]


def test_bad_usage_is_one_line(model, photos, capsys):
    common = ("--images", photos, "--annotations", photos / "faces.csv", "--models", model)
    for given, message in (
        (("--presets", "slow"), "expected presets among default, fast, got 'slow'"),
        (("--grid-pnet", ".5"), "expected thresholds of P-Net and of R-Net, got none of one"),
    ):
        assert main(words(*common, *given)) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    for given in (("--grid-pnet", "3"), ("--choose", "fast")):
        with pytest.raises(SystemExit, match="2"):
            main(words(*common, *given))
