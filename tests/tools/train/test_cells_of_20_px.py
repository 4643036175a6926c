"""``--cell 20`` through the command line: prepare, train, inspect, detect, and what is refused."""

import json

import numpy as np
import pytest

from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.packs.pack import Pack, read_manifest
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import DEFAULT, random_sides
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.main import main

TINY = SyntheticSpec(
    train_photos=10,
    val_photos=2,
    landmark_photos=6,
    landmark_test_photos=1,
    test_photos=1,
    distractor_photos=0,
    folds=1,
)


def run(*arguments):
    return main([*map(str, arguments), "--quiet"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder with photos, packs of both sizes and a trained model."""
    root = tmp_path_factory.mktemp("chain")
    paths = write_dataset(root / "data", TINY, 0, quiet=True)
    photos = ("--wider-images", paths.wider_images, "--wider-annotations", paths.wider_train_annotations)
    points = ("--landmark-images", paths.landmark_images, "--landmark-annotations", paths.landmark_annotations)
    options = ("--val-fraction", ".2", "--num-workers", 1)
    assert run("prepare", "pnet", *photos, *points, *options, "--cell", 20, "--out", root / "20") == 0
    assert run("prepare", "pnet", *photos, *options, "--out", root / "12") == 0
    assert run("train", "pnet", "--data", root / "20", "--out", root / "model", "--epochs", 2) == 0
    return root, photos, paths


def test_the_pack_holds_images_of_20_px(made):
    root = made[0]
    assert [Pack(root / "20", name).size for name in ("train", "val")] == [20, 20]
    metadata = read_manifest(root / "20")["sets"]["train"]["metadata"]
    assert (metadata["cell"], metadata["recipe"]["smallest"]) == (20, 20)
    metadata = read_manifest(root / "12")["sets"]["train"]["metadata"]
    assert "cell" not in metadata
    assert metadata["recipe"]["smallest"] == 12


def test_the_smallest_square_follows_the_cell_down_to_the_smallest_face():
    assert PNetPlanner.for_cell(DEFAULT, 12) == PNetPlanner(DEFAULT)
    assert PNetPlanner.for_cell(DEFAULT, 20).recipe.smallest == 20
    assert PNetPlanner.for_cell(DEFAULT.with_options(min_face=15), 20).recipe.smallest == 15
    assert PNetPlanner.for_cell(DEFAULT.with_options(min_face=6), 20).recipe.smallest == 12
    for small in (True, False):
        assert random_sides(np.random.default_rng(0), 500, 90, 90, small, 20).min() == 20
    assert len(random_sides(np.random.default_rng(0), 5, 19, 90, True, 20)) == 0


def test_train_takes_the_cell_from_the_pack_and_detect_from_the_model(made, capsys):
    root, _, paths = made
    spec = load_model(root / "model").nets["pnet"].spec
    assert (spec.cell, spec.stride, spec.landmarks) == (20, 4, True)
    assert main(["inspect", str(root / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nets"]["pnet"]["cell"] == 20
    options = ("--model", root / "model", "--thresholds", ".05,.5,.5")
    assert run("detect", paths.wider_val_images, *options, "--json", root / "faces.json") == 0
    found = json.loads((root / "faces.json").read_text())
    assert len(found) == 2
    assert all(entry["faces"] for entry in found.values())


def test_the_next_net_learns_from_its_proposals(made):
    root, photos, _ = made
    mining = ("--model", root / "model", "--thresholds", ".05,.1,.1", "--num-workers", 1)
    assert run("prepare", "rnet", *photos, *mining, "--out", root / "24") == 0
    assert Pack(root / "24").size == 24
    assert Pack(root / "24").class_counts()["positive"] > 0


def test_it_learns_from_its_own_false_alarms(made):
    root, photos, _ = made
    mining = ("--model", root / "model", "--thresholds", ".05,.1,.1", "--num-workers", 1)
    assert run("prepare", "pnet", *photos, *mining, "--out", root / "20-mined") == 0
    assert Pack(root / "20-mined").size == 20
    metadata = read_manifest(root / "20-mined")["sets"]["train"]["metadata"]
    assert (metadata["cell"], metadata["recipe"]["smallest"]) == (20, 20)
    assert run("prepare", "pnet", *photos, *mining, "--cell", 12, "--limit", 4, "--out", root / "12-mined") == 0
    assert Pack(root / "12-mined").size == 12


def test_fine_tuning_and_the_same_cell_asked_for(made, tmp_path):
    options = ("--data", made[0] / "20", "--cell", 20, "--pretrained", made[0] / "model", "--no-landmarks")
    assert run("train", "pnet", *options, "--out", tmp_path, "--epochs", 1) == 0
    spec = load_model(tmp_path).nets["pnet"].spec
    assert (spec.cell, spec.landmarks) == (20, False)


def test_export_and_loose_crops(made, tmp_path):
    root, photos, _ = made
    for program in ("onnx", "symbol"):
        assert run("export", program, "--model", root / "model", "--out", tmp_path) == 0
    imdb = ("--imdb", tmp_path / "root", "--cell", 20, "--num-workers", 1)
    assert run("prepare", "pnet", *photos, *imdb, "--limit", 3, "--payload", "png", "--out", tmp_path / "20") == 0
    assert run("pack", "--imdb", tmp_path / "root", "--image-set", "train_20", "--out", tmp_path / "again") == 0
    np.testing.assert_array_equal(Pack(tmp_path / "again").rows(), Pack(tmp_path / "20").rows())
    assert Pack(tmp_path / "again").size == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train pnet --data 12 --cell 20", "12/train.rec: pnet needs images of 20 px, got 12 px"),
        ("train pnet --data 20 --cell 12", "20/train.rec: pnet needs images of 12 px, got 20 px"),
        ("train pnet --data 20 --val-data 12", "12/train.rec: pnet needs images of 20 px, got 12 px"),
        ("train pnet --data 12 --pretrained model", "model: its pnet looks at 20 px, but"),
        ("train pnet --data 20 --seanlinx-checkpoints s/pnet", "s/pnet: the pnet looks at cells of 20 px, which"),
        ("train rnet --data 20", "rnet needs images of 24 px, got 20 px"),
        ("train rnet --data 20 --cell 20", "train rnet: expected no --cell: only P-Nets look at cells"),
        ("prepare rnet --cell 20 --csv x.csv --model model", "prepare rnet: expected no --cell"),
        (
            "export seanlinx --model model",
            "model: the pnet looks at cells of 20 px, which Seanlinx's program cannot run",
        ),
        ("detect data --model model --compat official", "cells of 12 px only, got 20 px"),
    ],
)
def test_refusals_are_one_line(made, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(made[0])
    out = () if arguments.startswith("detect") else ("--out", tmp_path)
    assert run(*arguments.split(), *out) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
