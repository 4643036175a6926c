import json

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.packs.pack import Pack, read_manifest
from gluon_mtcnn.prepare_data.annotations.csv_boxes import BOX, POINTS
from gluon_mtcnn.tools.cli.main import main


@pytest.fixture
def data(tmp_path):
    """Twelve photos with a face each, in WIDER's, CNN_FacePoint's and our own layout."""
    rng = np.random.default_rng(0)
    wider, faces, table = [], [], [",".join(("image", *BOX, *POINTS))]
    points = [60, 60, 80, 60, 70, 70, 62, 82, 78, 82]
    for i in range(12):
        name = f"e{i % 2}/{i}.jpg"
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / name), rng.integers(0, 256, (150, 160, 3), dtype=np.uint8))
        wider += [name, "1", "45 45 50 55 0 0 0 0 0 0"]
        faces.append(f"e{i % 2}\\{i}.jpg 45 94 45 99 " + " ".join(map(str, points)))
        table.append(f"images/{name},45,45,94,99," + ",".join(map(str, points)))
    for name, lines in (("wider.txt", wider), ("points.txt", faces), ("own.csv", table)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def prepare(data, *options, net="pnet", wider=True):
    argv = ["prepare", net, "--out", str(data / "out"), "--quiet", "--num-workers", "1"]
    if wider:
        argv += ["--wider-images", str(data / "images"), "--wider-annotations", str(data / "wider.txt")]
    return main([*argv, *map(str, options)])


def test_all_sources(data, capsys):
    points = ("--landmark-images", data / "images", "--landmark-annotations", data / "points.txt")
    assert prepare(data, *points, "--csv", data / "own.csv", "--val-fraction", ".25") == 0
    out = capsys.readouterr().out
    for name in ("train", "val"):
        counts = Pack(data / "out", name).class_counts()
        assert all(count > 0 for count in counts.values())
        for label, count in counts.items():
            assert any(
                line.split()[:2] == [name, label] and line.split()[3] == f"{count:,}" for line in out.splitlines()
            )
    metadata = read_manifest(data / "out")["sets"]["train"]["metadata"]
    assert [source["kind"] for source in metadata["sources"]] == ["wider", "csv", "landmarks"]
    assert metadata["photos"] == 36
    assert len(metadata["sources"][0]["sha256"]) == 64


def test_options_reach_the_samples(data):
    assert prepare(data, "--negatives-per-photo", 4, "--ratio", "1:100:.5:0", "--limit", 5, "--min-face-px", 50) == 0
    entry = read_manifest(data / "out")["sets"]["train"]
    assert entry["metadata"]["photos"] == 5
    assert entry["metadata"]["recipe"]["min_face"] == 50
    # 4 anywhere and up to 3 near the face in each of the five photos
    assert 20 <= entry["classes"]["negative"] <= 35
    assert entry["classes"]["part"] <= round(entry["classes"]["positive"] / 2)
    assert prepare(data, "--min-face-longer-side", 56) == 2


def test_squares_per_face(data):
    assert prepare(data, "--per-face", "0,0,3,0", "--counts", "1e6:1e6:1e6:0") == 0
    entry = read_manifest(data / "out")["sets"]["train"]  # each photo's face is 55 px long
    assert entry["classes"]["positive"] == entry["classes"]["part"] == 3 * 12
    assert entry["metadata"]["recipe"]["tries"] == [0, 0, 18, 0]


@pytest.mark.parametrize(
    ("option", "value"), [("--per-face", "1,2,3"), ("--mine-rescaled", "1.4,.7"), ("--landmark-shift", "nan")]
)
def test_values_of_the_wrong_form(data, capsys, option, value):
    with pytest.raises(SystemExit) as stop:
        prepare(data, option, value)
    assert stop.value.code == 2
    assert f"argument {option}: expected" in capsys.readouterr().err


def test_the_seanlinx_recipe(data):
    assert prepare(data, "--recipe", "seanlinx") == 0
    entry = read_manifest(data / "out")["sets"]["train"]
    assert entry["metadata"]["recipe"]["min_face"] == 40
    assert entry["metadata"]["recipe"]["negatives"] == 50
    assert entry["metadata"]["counts"][1:3] == [600000, 300000]
    assert entry["classes"] == entry["metadata"]["planned"]


def test_the_shift_of_a_list_is_in_the_manifest_and_changes_none_without(data):
    assert prepare(data) == 0
    assert "landmark_shift" not in read_manifest(data / "out")["sets"]["train"]["metadata"]["recipe"]
    assert prepare(data, "--landmark-shift", 0.8) == 0
    assert read_manifest(data / "out")["sets"]["train"]["metadata"]["recipe"]["landmark_shift"] == 0.8


def test_skipped_photos_are_listed(data, caplog):
    (data / "images/e0/0.jpg").write_text("not an image")
    (data / "images/e1/1.jpg").unlink()
    assert prepare(data) == 0
    assert "skipped e0/0.jpg" in caplog.text
    assert "2 of 12 photos were skipped" in caplog.text
    assert prepare(data, "--strict") == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--wider-images", "nowhere"], "nowhere: folder of photos not found"),
        (["--wider-annotations", "nowhere.txt"], "nowhere.txt: annotations not found"),
        (["--csv", "nowhere.csv"], "nowhere.csv: annotations not found"),
        (["--landmark-images", "."], "--landmark-images and --landmark-annotations: expected both, got one"),
        (["--ratio", "1:3"], "--ratio: expected four numbers"),
        (["--counts", "1:1:1:1", "--ratio", "1:1:1:1"], "expected one of them, got both"),
        (["--val-fraction", "1"], "--val-fraction: expected less than 1"),
        (["--ignore", "blur"], "ignore rule: expected"),
        (["--model", "nowhere"], "model.json: cannot be read"),
        (["--thresholds", ".5,.5,.5"], "prepare pnet: --thresholds needs --model, whose P-Net is run"),
        (["--mine-rescaled", ".7,1.4"], "prepare pnet: --mine-rescaled needs --model"),
    ],
)
def test_bad_usage_is_one_line(data, capsys, change, message):
    assert prepare(data, *change) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_wrong_column_is_one_line(data, capsys):
    (data / "wider.txt").write_text("e0/0.jpg\n1\n1 2 3 4 5\n")
    assert prepare(data) == 2
    error = capsys.readouterr().err
    assert f"{data / 'wider.txt'}:3: expected 10 numbers a face" in error
    assert error.count("\n") == 1
    assert not (data / "out").exists()


def test_no_source(data, capsys):
    assert prepare(data, wider=False) == 2
    assert "expected photos: --wider-images and --wider-annotations, --csv, or" in capsys.readouterr().err


def test_photos_that_are_all_missing(data, capsys):
    assert prepare(data, "--wider-images", data / "images/e0") == 2
    assert "photo not found (12 of 12" in capsys.readouterr().err


@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_mining_needs_a_model(data, capsys, net):
    assert prepare(data, "--model", data, net=net) == 2
    assert "model.json: cannot be read" in capsys.readouterr().err


def test_the_manifest_is_json_with_the_command_s_options(data):
    assert prepare(data, "--seed", 3) == 0
    manifest = json.loads((data / "out" / "manifest.json").read_text())
    assert manifest["sets"]["train"]["metadata"]["seed"] == 3


def test_the_seanlinx_layout_round_trip(data):
    points = ("--landmark-images", data / "images", "--landmark-annotations", data / "points.txt")
    assert prepare(data, *points, "--imdb", data / "root", "--payload", "png") == 0
    assert Pack(data / "out").manifest["payload"] == "png"
    argv = ["pack", "--imdb", str(data / "root"), "--image-set", "train_12", "--out", str(data / "again"), "--quiet"]
    assert main(argv) == 0
    np.testing.assert_array_equal(Pack(data / "again").rows(), Pack(data / "out").rows())
    assert (data / "root/cache/mtcnn_train_12_gt_roidb.pkl").is_file()
