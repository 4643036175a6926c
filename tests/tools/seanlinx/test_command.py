"""The scripts in example/, by the functions that they are made of, on a tiny Seanlinx layout."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.seanlinx import checkpoint_path, seanlinx_names
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.seanlinx import command as options


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Random nets, saved as the original saves them; returns the three prefixes."""
    folder = tmp_path_factory.mktemp("legacy")
    for kind in NETS:
        net = build(NetSpec(kind, order="prelu_first"))
        initialise(net, seed=1)
        ours = net._collect_params_with_prefix()
        arrays = {f"arg:{theirs}": ours[name].data() for theirs, name in seanlinx_names(kind).items()}
        mx.nd.save(str(checkpoint_path(folder / kind, 16)), arrays)
    return [str(folder / kind) for kind in NETS]


@pytest.fixture
def root(tmp_path):
    """ROOT with 60 crops of 12 px and a list of two photos."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(60):
        label = (1, 0, 0, -1)[i % 4]
        name = f"12/{i}"
        lines.append(f"{name} {label}" + ("" if label == 0 else " 0.1 0.1 -0.1 -0.1"))
        write(tmp_path / "mtcnn" / "images" / f"{name}.jpg", rng.integers(0, 256, (12, 12, 3), np.uint8))
    write_text(tmp_path / "mtcnn" / "imglists" / "train_12.txt", lines)
    for name in ("a/1", "a/2"):
        write(tmp_path / "fddb" / "images" / f"{name}.jpg", rng.integers(0, 256, (60, 80, 3), np.uint8))
    write_text(tmp_path / "fddb" / "imglists" / "fold-01.txt", ["a/1", "a/2"])
    return tmp_path


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def paths(root, name):
    return ["--root_path", str(root), "--dataset_path", str(root / name)]


def test_train_packs_once_and_trains(root, tmp_path, checkpoints):
    out = tmp_path / "model"
    argv = [*paths(root, "mtcnn"), "--prefix", str(out / "pnet"), "--end_epoch", "1", "--lr", "0.001", "--gpus", "-1"]
    argv += ["--pretrained", checkpoints[0], "--epoch", "16", "--frequent", "10"]
    assert options.train("pnet", argv) == 0
    assert list(load_model(out).nets) == ["pnet"]
    assert (root / "packs" / "train_12" / "train.rec").is_file()


def words_of(monkeypatch):
    """Record the commands of a script, and run none of them."""
    words = []
    monkeypatch.setattr(options, "_command", lambda *arguments: words.append([str(a) for a in arguments]) or 0)
    return words


def value(words, option):
    return words[words.index(option) + 1]


def train_options(root, out, *more):
    (root / "packs" / "train_12").mkdir(parents=True, exist_ok=True)
    (root / "packs" / "train_12" / "manifest.json").write_text("{}")
    return [*paths(root, "mtcnn"), "--prefix", str(out / "pnet"), *more]


def test_pretrained_counts_together_with_resume_only(root, tmp_path, checkpoints, monkeypatch, caplog):
    words, out = words_of(monkeypatch), tmp_path / "model"
    start = ["--pretrained", checkpoints[0], "--epoch", "16"]
    caplog.set_level("INFO")
    assert options.train("pnet", train_options(root, out, *start)) == 0
    assert "--pretrained" not in words[0]
    assert "starting from random weights" in caplog.text
    assert options.train("pnet", train_options(root, out, *start, "--resume")) == 0
    assert "--pretrained" in words[1]
    assert "--resume" not in words[1]  # a run of its own: only the weights are taken over, as in the original
    assert options.train("pnet", train_options(root, out, "--resume")) == 0
    assert "--resume" in words[2]


def test_begin_epoch_trains_the_epochs_that_are_left_at_their_rates(root, tmp_path, monkeypatch, caplog):
    words, out = words_of(monkeypatch), tmp_path / "model"
    caplog.set_level("INFO")
    for begin, end, expected in (
        (0, 16, [("16", "0.01")]),
        (8, 14, [("6", "0.001")]),
        (6, 16, [("2", "0.01"), ("6", "0.001"), ("2", "0.0001")]),
        (16, 26, [("8", "0.0001"), ("2", "0.0001")]),
        (16, 16, []),
    ):
        words.clear()
        more = ("--resume", "--begin_epoch", begin, "--end_epoch", end)
        assert options.train("pnet", train_options(root, out, *map(str, more))) == 0
        assert [(value(run, "--epochs"), value(run, "--lr")) for run in words] == expected
        if begin:
            assert all(value(run, "--pretrained") == str(out) for run in words)
    assert "nothing to train: --begin_epoch 16, --end_epoch 16" in caplog.text


def test_more_epochs_after_fewer(root, tmp_path):
    """One epoch, then up to two: refused without --begin_epoch, which says where to count from."""
    argv = [*paths(root, "mtcnn"), "--prefix", str(tmp_path / "model" / "pnet"), "--lr", "0.001", "--end_epoch"]
    assert options.train("pnet", [*argv, "1"]) == 0
    with pytest.raises(InputError, match=r"one of 1 epochs: .* up to --end_epoch 2, say with --begin_epoch"):
        options.train("pnet", [*argv, "2", "--resume"])
    first = (tmp_path / "model" / "pnet.params").read_bytes()
    assert options.train("pnet", [*argv, "2", "--resume", "--begin_epoch", "1"]) == 0
    assert (tmp_path / "model" / "pnet.params").read_bytes() != first
    assert json.loads((tmp_path / "model" / "checkpoints" / "pnet" / "run.json").read_text())["config"]["epochs"] == 1


def test_fddb_writes_a_result_for_every_photo(root, checkpoints, capsys):
    argv = [
        *paths(root, "fddb"),
        "--prefix",
        *checkpoints,
        "--epoch",
        "16",
        "16",
        "16",
        "--thresh",
        "0.3",
        "0.3",
        "0.3",
    ]
    argv += ["--batch_size", "2048", "256", "16", "--min_face", "24", "--stride", "2", "--gpu", "-1"]
    assert options.detect_fddb(argv) == 0
    result = root / "cache" / "results" / "fold-01-out.txt"
    assert capsys.readouterr().out.strip() == str(result)
    lines = result.read_text().splitlines()
    assert lines[0] == "a/1"
    assert lines[int(lines[1]) + 2] == "a/2"
    assert options.detect_fddb([*argv, "--test_mode", "pnet"]) == 0


def test_demo_draws(root, tmp_path, checkpoints):
    photo = root / "fddb" / "images" / "a" / "1.jpg"
    assert options.demo([str(photo), "--prefix", *checkpoints, "--out", str(tmp_path / "drawn")]) == 0
    assert (tmp_path / "drawn" / "1.jpg").is_file()


def test_demo_without_a_photo_takes_the_original_s(root, checkpoints, monkeypatch):
    words = words_of(monkeypatch)
    assert options.demo(["--prefix", *checkpoints]) == 0
    assert words[-1][:2] == ["detect", "test01.jpg"]


def test_our_own_model_is_used_where_there_is_no_checkpoint(root, tmp_path, checkpoints):
    folder = options._model_folder(checkpoints, [16, 16, 16], str(tmp_path / "ours"))
    assert folder == str(tmp_path / "ours")
    assert options._model_folder([f"{folder}/{kind}" for kind in NETS], [3, 3, 3], str(tmp_path / "x")) == folder


def test_gen_hard_example_mines_for_the_next_net(root, tmp_path, checkpoints):
    write_text(root / "anno.txt", ["a/1 10 10 50 50", "a/2 20 15 60 55 "])
    argv = [*paths(root, "fddb"), "--annotations", str(root / "anno.txt"), "--prefix", *checkpoints]
    argv += ["--thresh", "0.3", "0.3", "0.3", "--out", str(tmp_path / "p24")]
    assert options.gen_hard_example([*argv, "--test_mode", "pnet"]) == 0
    assert (tmp_path / "p24" / "train.rec").is_file()
    assert (tmp_path / "p24" / "detections.pkl").is_file()


def test_gen_hard_example_has_the_thresholds_of_the_original_s_parser(root, checkpoints, monkeypatch):
    """0.6 0.7 0.7: they override the 0.6 0.6 0.7 in the signature of the original's test_net."""
    words = words_of(monkeypatch)
    assert options.gen_hard_example([*paths(root, "fddb"), "--prefix", *checkpoints, "--test_mode", "rnet"]) == 0
    assert value(words[-1], "--thresholds") == "0.6,0.7,0.7"
    assert value(words[-1], "--min-face") == "24"


def test_gen_imglist_gathers(root, tmp_path, capsys):
    for stem, line in (("pos", "12/0 1 0 0 0 0"), ("neg", "12/1 0"), ("part", "12/3 -1 0 0 0 0")):
        write_text(tmp_path / "lists" / f"{stem}_12.txt", [line])
    assert options.gen_imglist([*paths(root, "mtcnn"), "--size", "12", "--lists", str(tmp_path / "lists")]) == 0
    assert (root / "mtcnn" / "imglists" / "train_12.txt").read_text().count("\n") == 3


@pytest.mark.parametrize(("gpus", "devices"), [("-1", "cpu"), ("", "cpu"), ("0,1", "gpu:0,gpu:1"), ("2", "gpu:2")])
def test_gpu_numbers_become_devices(gpus, devices):
    assert options._devices(gpus) == devices


def test_bad_input_is_one_line(tmp_path, capsys):
    assert options.guarded(options.detect_fddb, ["--dataset_path", str(tmp_path)]) == 2
    assert "expected lists fold-01.txt to fold-10.txt, got none" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train_pnet", "train_rnet", "train_onet", "test_fddb", "demo", "gen_hard_example"])
def test_every_script_shows_its_help(checkout, name):
    command = [sys.executable, "-W", "ignore", str(checkout / "example" / f"{name}.py"), "--help"]
    result = subprocess.run(command, env={"PYTHONPATH": str(checkout)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "--prefix" in result.stdout
