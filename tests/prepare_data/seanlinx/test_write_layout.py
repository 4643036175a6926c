import hashlib
import os
import shutil

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.layout import encode_records
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.seanlinx.imdb import IMDB
from gluon_mtcnn.core.seanlinx.imdb_cache import read_cache, read_manifest
from gluon_mtcnn.core.types import LABEL_NAMES
from gluon_mtcnn.prepare_data.executors.processes import Workers
from gluon_mtcnn.prepare_data.seanlinx import write_layout as gen_imdb
from gluon_mtcnn.prepare_data.seanlinx.write_layout import MARKS, check_layout, write_layout
from gluon_mtcnn.tools.cli.main import main

COUNT = 50


def records_of(folder, seed=0, count=COUNT, name="train", size=12):
    """Write random BMP records; return their images and rows."""
    rng = np.random.default_rng(seed)
    images = np.repeat(rng.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8), size, axis=1).repeat(size, axis=2)
    rows = rng.uniform(-1, 1, (count, 15)).astype(np.float32)
    rows[:, 0] = np.arange(count) % 4 - 2  # landmark, part, negative, positive
    rows[rows[:, 0] == 0, 1:] = 0
    rows[rows[:, 0] > -2, 5:] = 0
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.rec").write_bytes(encode_records(images, rows, 0).tobytes())
    return images, rows


def write(work, root, job="job", workers=1, count=COUNT):
    with Workers(workers) as pool:
        write_layout(work, root, {"train": count}, 12, job, pool, quiet=True)


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    monkeypatch.setattr(gen_imdb, "UNIT", 8)


@pytest.fixture
def made(tmp_path):
    images, rows = records_of(tmp_path / "work")
    write(tmp_path / "work", tmp_path / "root")
    return tmp_path / "root", images, rows


def test_the_files_are_those_of_the_original(made):
    root, images, _ = made
    names = [f"12/{LABEL_NAMES[i % 4 - 2]}/{i}" for i in range(COUNT)]
    lines = (root / "mtcnn/imglists/train_12.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == names
    assert [len(line.split()) for line in lines[:4]] == [16, 6, 2, 6]
    for name, image in zip(names, images):
        crop = cv2.imread(str(root / f"mtcnn/images/{name}.jpg"))
        np.testing.assert_allclose(crop.astype(int), image, atol=4)
    found = [path for path in (root / "mtcnn/images").rglob("*.jpg")]
    assert len(found) == COUNT
    assert sorted(os.listdir(root / "cache")) == ["mtcnn_train_12_gt_roidb.json", "mtcnn_train_12_gt_roidb.pkl"]


def test_the_cache_is_the_list_s_and_not_stale(made, caplog):
    root, _, rows = made
    before = hashlib.sha256((root / "cache/mtcnn_train_12_gt_roidb.pkl").read_bytes()).hexdigest()
    assert read_manifest(root / "cache/mtcnn_train_12_gt_roidb.pkl")["count"] == COUNT
    imdb = IMDB("mtcnn", "train_12", root, os.path.join(root, "mtcnn"), mode="train")
    entries = imdb.gt_imdb()
    assert "stale" not in caplog.text
    assert hashlib.sha256((root / "cache/mtcnn_train_12_gt_roidb.pkl").read_bytes()).hexdigest() == before
    cached = read_cache(root / "cache/mtcnn_train_12_gt_roidb.pkl")
    assert [entry["image"] for entry in cached] == [entry["image"] for entry in entries]
    np.testing.assert_array_equal([entry["bbox_target"] for entry in cached], rows[:, 1:5])
    assert [os.path.exists(entry["image"]) for entry in cached] == [True] * COUNT


@pytest.mark.parametrize("source", ["list", "cache"])
def test_packing_it_gives_the_same_rows(made, tmp_path, source):
    root, images, rows = made
    if source == "cache":
        (root / "mtcnn/imglists/train_12.txt").unlink()
    out = ["--out", str(tmp_path / "pack"), "--quiet"]
    assert main(["pack", "--imdb", str(root), "--image-set", "train_12", *out]) == 0
    pack = Pack(tmp_path / "pack")
    np.testing.assert_array_equal(pack.rows(), rows)
    np.testing.assert_allclose(pack.images(np.arange(COUNT)).astype(int), images, atol=4)


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_goes_on_after_it_was_broken_off(made, tmp_path, monkeypatch):
    root, *_ = made
    done, original = [], gen_imdb.write_crops

    def breaking(path, size, unit, folder):
        if unit == 3 and not done.count("broken"):
            done.append("broken")
            raise KeyboardInterrupt
        done.append(unit)
        return original(path, size, unit, folder)

    monkeypatch.setattr(gen_imdb, "write_crops", breaking)
    again = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "work", again)
    assert not (again / "mtcnn/imglists").exists()  # nothing vouches for crops that are not there
    write(tmp_path / "work", again)
    assert done == [0, 1, 2, "broken", 3, 4, 5, 6]
    expected, found = tree(root), tree(again)
    assert expected.keys() == found.keys()
    same = {name for name in found if expected[name] == found[name]}
    assert found.keys() - same == {"cache/mtcnn_train_12_gt_roidb.pkl", "cache/mtcnn_train_12_gt_roidb.json"}


def test_the_same_files_with_more_workers(made, tmp_path, monkeypatch):
    root, *_ = made
    before = tree(root)
    monkeypatch.setattr(gen_imdb, "UNIT", 4096)  # the workers' own
    shutil.rmtree(root)
    write(tmp_path / "work", root, workers=2)
    assert tree(root) == before


def test_crops_of_other_records_are_replaced(made, tmp_path):
    root, *_ = made
    records_of(tmp_path / "other", seed=1, count=20)
    write(tmp_path / "other", root, "another", count=20)
    assert len(list((root / "mtcnn/images").rglob("*.jpg"))) == 20
    assert len((root / "mtcnn/imglists/train_12.txt").read_text().splitlines()) == 20


def test_what_another_program_made_is_left_alone(tmp_path):
    crop = tmp_path / "mtcnn/images/12/positive/0.jpg"
    crop.parent.mkdir(parents=True)
    crop.write_text("theirs")
    with pytest.raises(InputError, match=r"images/12: made by another program"):
        check_layout(tmp_path, ["train"], 12)
    check_layout(tmp_path, ["train"], 24)
    shutil.rmtree(tmp_path / "mtcnn")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/mtcnn_train_12_gt_roidb.pkl").write_text("theirs")
    with pytest.raises(InputError, match=r"gt_roidb\.pkl: made by another program"):
        check_layout(tmp_path, ["train"], 12)
    with pytest.raises(InputError, match="expected a folder, found a file"):
        check_layout(tmp_path / "cache/mtcnn_train_12_gt_roidb.pkl", ["train"], 12)


def test_validation_crops_have_their_own_folder_and_list(tmp_path):
    records_of(tmp_path / "work")
    records_of(tmp_path / "work", seed=1, count=12, name="val")
    with Workers(1) as pool:
        write_layout(tmp_path / "work", tmp_path / "root", {"train": COUNT, "val": 12}, 12, "job", pool, quiet=True)
    assert len(list((tmp_path / "root/mtcnn/images/12").rglob("*.jpg"))) == COUNT
    assert len(list((tmp_path / "root/mtcnn/images/val_12").rglob("*.jpg"))) == 12
    assert (tmp_path / "root/mtcnn/imglists/val_12.txt").read_text().startswith("val_12/landmark/0 -2 ")


def test_marks_are_gone_but_the_one_that_says_whose_it_is(made):
    root, *_ = made
    assert os.listdir(root / "mtcnn/images/12" / MARKS) == ["job.json"]
