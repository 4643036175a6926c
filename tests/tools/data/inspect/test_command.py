import json
import shutil

import numpy as np
import pytest

from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.packs.pack import PackWriter
from gluon_mtcnn.core.seanlinx.detection_files import write_detections
from gluon_mtcnn.core.seanlinx.imdb import IMDB
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.data.inspect.run import describe, problems


def inspect(path, capsys, code=0):
    """Return what --json prints, and check that the text says as much."""
    assert main(["inspect", str(path)]) == code
    text = capsys.readouterr()
    assert main(["inspect", str(path), "--json"]) == code
    about = json.loads(capsys.readouterr().out)
    assert about["kind"] in text.out
    return about, text


def refuse(path, capsys):
    assert main(["inspect", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


@pytest.fixture
def pack(tmp_path):
    rows = np.zeros((5, 15), np.float32)
    rows[:, 0] = [1, 0, 0, -1, -2]
    with PackWriter(tmp_path / "pack", metadata={"seed": 3, "skipped": list(range(100))}) as writer:
        writer.append(np.zeros((5, 12, 12, 3), np.uint8), rows)
    return tmp_path / "pack"


def test_a_pack(pack, capsys):
    about, text = inspect(pack, capsys)
    entry = about["sets"]["train"]
    assert (entry["count"], entry["stride"], entry["image_shape"]) == (5, 580, [12, 12, 3])
    assert entry["classes"] == {"positive": 1, "negative": 2, "part": 1, "landmark": 1}
    assert entry["sha256_matches"] is entry["classes_match"] is entry["index_matches"] is True
    assert len(entry["metadata"]["skipped"]) == 100
    assert "... (100 in all)" in text.out
    assert entry["sha256"] in text.out
    assert inspect(pack / "train.rec", capsys)[0] == about


def test_the_function_returns_what_the_command_prints(pack, capsys):
    assert describe(pack) == inspect(pack, capsys)[0]
    assert list(problems(describe(pack))) == []
    (pack / "train.idx").write_text("")
    assert list(problems(describe(pack))) == ["train.idx does not list the 5 records of train.rec"]


def test_a_pack_that_is_not_what_its_manifest_says(pack, capsys):
    data = bytearray((pack / "train.rec").read_bytes())
    data[300] ^= 1
    (pack / "train.rec").write_bytes(data)
    about, text = inspect(pack, capsys, code=2)
    assert about["sets"]["train"]["sha256_matches"] is False
    assert "train.rec has another digest than manifest.json says" in text.err
    assert text.err.count("\n") == 1
    (pack / "train.rec").write_bytes(data[:-4])
    assert "train.rec" in refuse(pack, capsys)


def test_a_pack_whose_index_is_cut_off(pack, capsys):
    index = (pack / "train.idx").read_text()
    (pack / "train.idx").write_text(index[:4])  # its first line
    about, text = inspect(pack, capsys, code=2)
    assert about["sets"]["train"]["index_matches"] is False
    assert "train.idx does not list the 5 records of train.rec" in text.err
    (pack / "train.idx").unlink()
    assert inspect(pack, capsys)[0]["sets"]["train"]["index_matches"] is None


def test_a_model(tmp_path, capsys):
    net = build(NetSpec("pnet", landmarks=True))
    initialise(net, seed=0)
    parameters = net._collect_params_with_prefix()
    slopes = parameters["stage1.prelu.alpha"].data()
    slopes[:3] = -0.5
    weight = parameters["stage2.conv.weight"].data()
    weight[4] = 0
    weight[5, 0, 0, 0] = 1e-40
    save_net(tmp_path, net, {"seed": 1}, (0.5, 0.6, 0.7))
    about, text = inspect(tmp_path, capsys)
    assert (about["format"], about["calibration"], about["thresholds"]) == (1, "unclipped", [0.5, 0.6, 0.7])
    pnet = about["nets"]["pnet"]
    assert (pnet["landmarks"], pnet["pooling"], pnet["origin"]) == (True, net.spec.pooling, {"seed": 1})
    assert pnet["parameters"] == sum(p.data().size for p in parameters.values()) == 6632 + 330
    assert pnet["layers"]["stage1.prelu"] == {"slopes": 10, "negative_slopes": 3}
    assert pnet["layers"]["stage2.conv"] == {"kernels": 16, "dead_kernels": 1}
    assert pnet["denormals"] == 1
    assert "slopes 10  negative_slopes 3" in text.out
    (tmp_path / "pnet.params").write_bytes(b"x")
    assert "pnet.params: not the file that " in refuse(tmp_path, capsys)


def test_checkpoints_of_others(shared, capsys):
    about, _ = inspect(shared / "seanlinx/model/pnet-0016.params", capsys)
    assert about["arrays"]["arg:conv1_weight"] == [10, 3, 3, 3]
    assert about["parameters"] == 6632
    assert about["layers"]["prelu1"] == {"slopes": 10, "negative_slopes": 4}  # spec: "4 of 10"


def test_files_of_python_2(shared, capsys):
    about, text = inspect(shared / "seanlinx/python2/mtcnn_train_12_gt_roidb.pkl", capsys)
    assert (about["mode"], about["rows"]) == ("train", 40)
    assert about["classes"] == {"positive": 15, "negative": 14, "part": 11, "landmark": 0}
    assert "image list was not found" in text.out
    assert inspect(shared / "seanlinx/python2/train_12.txt", capsys)[0]["classes"] == about["classes"]
    about, _ = inspect(shared / "seanlinx/python2/fddb_fold-01_gt_roidb.pkl", capsys)
    assert (about["mode"], about["rows"]) == ("test", 2)
    about, _ = inspect(shared / "seanlinx/python2/detections.pkl", capsys)
    assert (about["images"], about["images_without"], about["boxes"]) == (4, 1, 11)


@pytest.fixture
def root(tmp_path):
    """A layout of two crops, one of them missing, and its cache."""
    dataset = tmp_path / "my_data"
    (dataset / "imglists").mkdir(parents=True)
    (dataset / "images").mkdir()
    for name in "ab":
        (dataset / "images" / f"{name}.jpg").touch()
    (dataset / "imglists/train_12.txt").write_text("a 1 .1 .2 .3 .4\nb 0\n")
    IMDB("my_data", "train_12", tmp_path, dataset).gt_imdb()
    (dataset / "images/b.jpg").unlink()
    return tmp_path


def test_a_fresh_and_a_stale_cache(root, capsys):
    cache = root / "cache/my_data_train_12_gt_roidb.pkl"
    about, _ = inspect(cache, capsys)
    assert about["stale"] == "no"
    assert (about["rows"], about["missing_images"], about["flipped"]) == (2, 1, 0)
    assert about["manifest"]["count"] == 2
    (root / "my_data/imglists/train_12.txt").write_text("a 1 .1 .2 .3 .5\nb 0\n")
    about, text = inspect(cache, capsys)
    assert about["stale"] == "imglist_sha256 changed"
    assert "imglist_sha256 changed" in text.out
    cache.with_suffix(".json").unlink()
    assert inspect(cache, capsys)[0]["stale"] == "row 0 (a) has other values than the list"


def test_image_lists(root, capsys):
    about, _ = inspect(root / "my_data/imglists/train_12.txt", capsys)
    assert (about["mode"], about["lines"], about["missing_images"]) == ("train", 2, 1)
    assert about["classes"] == {"positive": 1, "negative": 1, "part": 0, "landmark": 0}
    fold = root / "my_data/imglists/fold-01.txt"
    fold.write_text("2002/07/19/big/img_135\na\n")
    about, _ = inspect(fold, capsys)
    assert (about["mode"], about["lines"], about["missing_images"]) == ("test", 2, 1)
    fold.write_text("a 3\n")
    assert "fold-01.txt:1: expected label 1, 0, -1 or -2" in refuse(fold, capsys)
    fold.write_text("\n")
    assert "expected an image list, found no line" in refuse(fold, capsys)


def test_detections_and_what_they_were_made_with(tmp_path, capsys):
    path = tmp_path / "detections.pkl"
    write_detections(path, [np.array([[0, 0, 9, 9, 0.5], [0, 0, 9, 9, 0.25]]), np.zeros((0, 5))])
    about, _ = inspect(path, capsys)
    assert (about["images"], about["images_without"], about["boxes"], about["scores"]) == (2, 1, 2, [0.25, 0.5])
    assert about["sha256_matches"] is None
    path.with_suffix(".json").write_text(json.dumps({"sha256": "other", "mining": {"min_face": 20}}))
    about, text = inspect(path, capsys, code=2)
    assert about["origin"] == {"mining": {"min_face": 20}}
    assert "another than detections.json says" in text.err


def test_bad_input_is_one_line(tmp_path, capsys, pack):
    assert "none: not found" in refuse(tmp_path / "none", capsys)
    assert "expected a pack (train.rec ...) or a model (model.json), found neither" in refuse(tmp_path, capsys)
    for name, message in (
        ("x.jpg", "expected a .rec, .params, .pkl or .txt file"),
        ("x.pkl", "x.pkl: "),
        ("x.params", "expected an MXNet parameter file"),
        ("x.rec", "x.rec"),
        ("y_gt_roidb.pkl", "y_gt_roidb.pkl"),
    ):
        (tmp_path / name).write_text("nothing of the kind")
        assert message in refuse(tmp_path / name, capsys)
    shutil.rmtree(pack)
    pack.mkdir()
    (pack / "manifest.json").write_text("{}")
    assert "manifest.json: expected the manifest" in refuse(pack, capsys)
