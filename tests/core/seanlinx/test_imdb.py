import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import imdb_cache
from gluon_mtcnn.core.seanlinx.imdb import IMDB, read_samples
from gluon_mtcnn.core.seanlinx.imdb_cache import mirror_entries, read_cache, read_manifest

POINTS = [0.1, 0.2, 0.9, 0.25, 0.5, 0.5, 0.2, 0.8, 0.8, 0.75]
LINES = [
    "12/positive/28 1 -0.05 0.11 -0.05 -0.11",
    "12/negative/5 0",
    "12/part/3 -1 0.5 0.25 -0.5 1",
    "12/landmark/7 -2 " + " ".join(map(str, POINTS)),
]


@pytest.fixture
def layout(tmp_path):
    """A small layout: ROOT/mtcnn with list and images, no cache."""
    write_list(tmp_path, LINES)
    return tmp_path


def write_list(root, lines, image_set="train_12"):
    path = root / "mtcnn" / "imglists" / f"{image_set}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    for line in lines:
        image = root / "mtcnn" / "images" / f"{line.split()[0]}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()


def open_imdb(root, image_set="train_12", mode="train") -> IMDB:
    return IMDB("mtcnn", image_set, root, root / "mtcnn", mode=mode)


def cache_of(root):
    return root / "cache" / "mtcnn_train_12_gt_roidb.pkl"


def test_rows_of_a_training_set(layout):
    imdb = open_imdb(layout)
    assert imdb.name == "mtcnn_train_12"
    assert imdb.num_images == 4
    assert imdb.image_set_index == ["12/positive/28", "12/negative/5", "12/part/3", "12/landmark/7"]
    rows = imdb.gt_imdb()
    assert [row["image"] for row in rows] == [f"{layout}/mtcnn/images/{name}.jpg" for name in imdb.image_set_index]
    assert [row["label"] for row in rows] == [1, 0, -1, -2]
    assert [row["flipped"] for row in rows] == [False] * 4
    assert [row["bbox_target"].tolist() for row in rows] == [
        [-0.05, 0.11, -0.05, -0.11],
        [0, 0, 0, 0],
        [0.5, 0.25, -0.5, 1],
        [0, 0, 0, 0],
    ]
    assert all(row["bbox_target"].dtype == np.float64 and type(row["label"]) is int for row in rows)
    assert ["landmark_target" in row for row in rows] == [False, False, False, True]
    assert rows[3]["landmark_target"].tolist() == POINTS


def test_rows_of_a_test_set(tmp_path):
    write_list(tmp_path, ["2002/08/11/big/img_591", "2002/08/26/big/img_265"], "fold-01")
    rows = open_imdb(tmp_path, "fold-01", mode="test").gt_imdb()
    assert rows == [
        {"image": f"{tmp_path}/mtcnn/images/2002/08/11/big/img_591.jpg"},
        {"image": f"{tmp_path}/mtcnn/images/2002/08/26/big/img_265.jpg"},
    ]
    assert read_cache(tmp_path / "cache" / "mtcnn_fold-01_gt_roidb.pkl") == rows


def test_the_cache_holds_the_rows_and_its_source(layout):
    rows = open_imdb(layout).gt_imdb()
    np.testing.assert_equal(read_cache(cache_of(layout)), rows)
    np.testing.assert_equal(pickle.loads(cache_of(layout).read_bytes(), encoding="latin1"), rows)
    manifest = json.loads((layout / "cache" / "mtcnn_train_12_gt_roidb.json").read_text())
    assert manifest["format_version"] == 1
    assert manifest["count"] == 4
    assert manifest["mode"] == "train"
    assert manifest["dataset_path"] == str(layout / "mtcnn")
    assert {"imglist_sha256", "cache_sha256"} <= manifest.keys()


def test_the_python_2_cache_equals_what_its_list_says(shared, tmp_path):
    """The list beside the cache, read and cached here, gives the rows that Python 2 cached."""
    text = (shared / "seanlinx/python2/train_12.txt").read_text()
    write_list(tmp_path, text.splitlines())
    ours = open_imdb(tmp_path).gt_imdb()
    theirs = read_cache(shared / "seanlinx/python2/mtcnn_train_12_gt_roidb.pkl")
    for row in theirs:
        row["image"] = f"{tmp_path}/{row['image'][len('data/') :]}"
    np.testing.assert_equal(ours, theirs)


def test_a_cache_of_the_same_list_is_left_alone(layout, caplog):
    open_imdb(layout).gt_imdb()
    before = cache_of(layout).stat().st_mtime_ns
    (layout / "mtcnn/images/12/part/3.jpg").unlink()  # looked at only when a cache is written
    assert len(open_imdb(layout).gt_imdb()) == 4
    assert cache_of(layout).stat().st_mtime_ns == before
    assert caplog.text == ""


def test_a_changed_list_is_noticed(layout, caplog):
    open_imdb(layout).gt_imdb()
    write_list(layout, [*LINES[:2], "12/part/3 -1 0.5 0.25 -0.5 0.9"])
    rows = open_imdb(layout).gt_imdb()
    assert len(rows) == 3
    np.testing.assert_equal(read_cache(cache_of(layout)), rows)
    assert "stale, written again: imglist_sha256, count changed" in caplog.text


def test_a_moved_data_set_is_noticed(layout, caplog):
    open_imdb(layout).gt_imdb()
    (layout / "mtcnn").rename(layout / "moved")
    rows = IMDB("mtcnn", "train_12", layout, layout / "moved").gt_imdb()
    assert rows[0]["image"].startswith(f"{layout}/moved/")
    np.testing.assert_equal(read_cache(cache_of(layout)), rows)
    assert "dataset_path changed" in caplog.text


def write_foreign(root, rows):
    cache_of(root).parent.mkdir(exist_ok=True)
    cache_of(root).write_bytes(pickle.dumps(rows, 2))


def foreign_rows(count=4):
    rows = [
        {"image": "data/mtcnn/images/12/positive/28.jpg", "label": 1, "bbox_target": [-0.05, 0.11, -0.05, -0.11]},
        {"image": "data/mtcnn/images/12/negative/5.jpg", "label": 0, "bbox_target": [0, 0, 0, 0]},
        {"image": "data/mtcnn/images/12/part/3.jpg", "label": -1, "bbox_target": [0.5, 0.25, -0.5, 1]},
        {"image": "data/mtcnn/images/12/landmark/7.jpg", "label": -2, "bbox_target": [0, 0, 0, 0]},
    ]
    for row in rows:
        row.update(flipped=False, bbox_target=np.array(row["bbox_target"], np.float64))
    rows[3]["landmark_target"] = np.array(POINTS)
    return rows[:count]


def test_a_foreign_cache_in_agreement_is_left_alone(layout, caplog):
    write_foreign(layout, foreign_rows())
    before = cache_of(layout).read_bytes()
    rows = open_imdb(layout).gt_imdb()
    assert rows[0]["image"] == f"{layout}/mtcnn/images/12/positive/28.jpg"
    assert cache_of(layout).read_bytes() == before
    assert caplog.text == ""


def relabelled():
    rows = foreign_rows()
    rows[1]["label"] = -1
    return rows


def retargeted():
    rows = foreign_rows()
    rows[2]["bbox_target"] = rows[2]["bbox_target"] + 0.01
    return rows


def renamed():
    rows = foreign_rows()
    rows[0]["image"] = "data/mtcnn/images/12/positive/128.jpg"
    return rows


def flipped():
    return foreign_rows() + mirror_entries(foreign_rows())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (relabelled, r"row 1 \(12/negative/5\) has other values"),
        (retargeted, r"row 2 \(12/part/3\) has other values"),
        (renamed, "row 0 is data/mtcnn/images/12/positive/128.jpg, the list has 12/positive/28"),
        (flipped, "8 rows, the list has 4"),
        (lambda: foreign_rows(3), "3 rows, the list has 4"),
        (lambda: [{"image": row["image"]} for row in foreign_rows()], "has other values"),
        (list, "0 rows"),
    ],
)
def test_a_foreign_cache_in_disagreement_is_replaced(layout, caplog, make, why):
    write_foreign(layout, make())
    rows = open_imdb(layout).gt_imdb()
    assert len(rows) == 4
    np.testing.assert_equal(read_cache(cache_of(layout)), rows)
    assert caplog.text.count("\n") == 1
    assert "stale, written again: " in caplog.text
    assert re.search(why, caplog.text)


def test_a_manifest_of_another_cache_does_not_vouch(layout):
    open_imdb(layout).gt_imdb()
    assert read_manifest(cache_of(layout)) is not None
    write_foreign(layout, relabelled())
    assert read_manifest(cache_of(layout)) is None
    assert open_imdb(layout).gt_imdb()[1]["label"] == 0
    assert read_cache(cache_of(layout))[1]["label"] == 0


def test_a_hostile_foreign_cache_is_refused_and_kept(layout):
    cache_of(layout).parent.mkdir()
    cache_of(layout).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"mtcnn_train_12_gt_roidb\.pkl: .*os\.system, which is refused"):
        open_imdb(layout).gt_imdb()
    assert cache_of(layout).read_bytes().startswith(b"cos")


def test_a_missing_image_is_named_and_leaves_no_cache(layout):
    (layout / "mtcnn/images/12/part/3.jpg").unlink()
    with pytest.raises(InputError, match=r"12/part/3\.jpg: image not found, named in .*train_12\.txt"):
        open_imdb(layout).gt_imdb()
    assert not (layout / "cache").exists()


def test_a_missing_or_wrong_list_is_named(layout):
    with pytest.raises(InputError, match=r"train_24\.txt: cannot be read"):
        open_imdb(layout, "train_24")
    with pytest.raises(InputError, match="mode must be 'train' or 'test', but got 'val'"):
        open_imdb(layout, mode="val")
    (layout / "mtcnn/imglists/train_12.txt").write_text("12/positive/28 1 0 0 0\n")
    with pytest.raises(InputError, match=r"train_12\.txt:1: expected 2, 6, 12 or 16 fields, got 5"):
        open_imdb(layout)


def test_flipped_rows_are_appended_and_never_cached(layout):
    imdb = open_imdb(layout)
    rows = imdb.gt_imdb()
    both = imdb.append_flipped_images(rows)
    assert len(rows) == 4
    assert both[:4] == rows
    assert [row["flipped"] for row in both] == [False] * 4 + [True] * 4
    assert [row["image"] for row in both[4:]] == [row["image"] for row in rows]
    assert [row["label"] for row in both[4:]] == [1, 0, -1, -2]
    assert both[4]["bbox_target"].tolist() == [0.05, 0.11, 0.05, -0.11]
    assert both[6]["bbox_target"].tolist() == [0.5, 0.25, -0.5, 1]
    assert rows[0]["bbox_target"].tolist() == [-0.05, 0.11, -0.05, -0.11]
    # x -> 1 - x; the eyes change places, and so do the corners of the mouth
    np.testing.assert_allclose(both[7]["landmark_target"], [0.1, 0.25, 0.9, 0.2, 0.5, 0.5, 0.2, 0.75, 0.8, 0.8])
    assert imdb.image_set_index == [row["image"].split("images/")[1][:-4] for row in both]
    assert imdb.num_images == 4
    assert len(read_cache(cache_of(layout))) == 4
    assert len(imdb.gt_imdb()) == 4


def test_test_rows_cannot_be_flipped(tmp_path):
    write_list(tmp_path, ["a"], "fold-01")
    imdb = open_imdb(tmp_path, "fold-01", mode="test")
    with pytest.raises(InputError, match="rows without targets"):
        imdb.append_flipped_images(imdb.gt_imdb())
    assert imdb.image_set_index == ["a"]


@given(st.lists(st.lists(st.floats(-2, 2), min_size=4, max_size=4), max_size=5))
def test_flipping_twice_gives_the_first_rows(targets):
    rows = [{"image": "a", "label": 1, "flipped": False, "bbox_target": np.array(target)} for target in targets]
    np.testing.assert_equal(mirror_entries(mirror_entries(rows)), rows)


def test_write_results(layout):
    imdb = open_imdb(layout)
    faces = np.array([[1, 2, 11, 22, 0.75]])
    path = imdb.write_results([faces, np.zeros(0), np.zeros((0, 5)), np.zeros(0)])
    assert path == f"{layout}/cache/results/train_12-out.txt"
    with open(path) as file:
        assert file.read() == (
            "12/positive/28\n1\n1.00 2.00 10.00 20.00 0.75000\n12/negative/5\n0\n12/part/3\n0\n12/landmark/7\n0\n"
        )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"image": "a"}, "expected a list of rows, got a dict"),
        ([{"image": "a"}, 3], "row 1: expected a dict with 'image'"),
        ([{"image": 3}], "row 0: expected a dict with 'image'"),
        ([{"image": "a"}, {"image": "a", "label": 1}], "row 1: expected a dict with 'image', no 'label'"),
        ([foreign_rows()[0], {"image": "a"}], "row 1: expected a dict with 'image' and 'label'"),
        ([dict(foreign_rows()[0], label=3)], "row 0: expected label 1, 0, -1 or -2, got 3"),
        ([dict(foreign_rows()[0], label=[1])], r"row 0: expected label 1, 0, -1 or -2, got \[1\]"),
        ([dict(foreign_rows()[0], flipped=2)], "row 0: expected flipped True or False, got 2"),
        ([dict(foreign_rows()[0], bbox_target=np.zeros(5))], "bbox_target of row 0: expected 4 finite numbers"),
        ([dict(foreign_rows()[0], bbox_target=np.full(4, np.nan))], "bbox_target of row 0: expected 4 finite"),
        ([dict(foreign_rows()[0], bbox_target=np.full(4, 1e39))], "bbox_target of row 0: expected 4 finite"),
        ([dict(foreign_rows()[0], bbox_target=[0, 0, 0, 0])], "bbox_target of row 0: expected 4 finite"),
        ([dict(foreign_rows()[0], landmark_target=np.zeros(4))], "landmark_target of row 0: expected 10 finite"),
    ],
)
def test_a_cache_with_other_content_names_the_row(tmp_path, rows, message):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(rows, 2))
    with pytest.raises(InputError, match=rf"x\.pkl: {message}"):
        read_cache(tmp_path / "x.pkl")


def test_paths_of_a_cache_are_read_as_utf8_and_with_slashes(tmp_path):
    names = {"é€.jpg".encode(): "é€.jpg", b"a\\b.jpg": "a/b.jpg", b"\xe9.jpg": "é.jpg"}
    for raw, name in names.items():
        text = b"\x80\x02]}U\x05imageU" + bytes([len(raw)]) + raw + b"sa."
        (tmp_path / "x.pkl").write_bytes(text)
        assert read_cache(tmp_path / "x.pkl") == [{"image": name}]


def test_samples_of_a_list(layout):
    paths, rows = read_samples(layout, "train_12")
    assert paths == [f"{layout}/mtcnn/images/{line.split()[0]}.jpg" for line in LINES]
    assert rows.dtype == np.float32
    expected = np.zeros((4, 15), np.float32)
    expected[:, 0] = [1, 0, -1, -2]
    expected[0, 1:5] = [-0.05, 0.11, -0.05, -0.11]
    expected[2, 1:5] = [0.5, 0.25, -0.5, 1]
    expected[3, 5:] = POINTS
    np.testing.assert_array_equal(rows, expected)
    assert not (layout / "cache").exists()


def test_samples_of_a_stale_cache_are_those_of_the_list(layout):
    write_foreign(layout, relabelled())
    assert read_samples(layout, "train_12")[1][:, 0].tolist() == [1, 0, -1, -2]


def test_samples_of_a_cache_whose_list_is_gone(layout):
    wanted = read_samples(layout, "train_12")
    write_foreign(layout, flipped())
    (layout / "mtcnn/imglists/train_12.txt").unlink()
    paths, rows = read_samples(layout, "train_12")
    assert paths == wanted[0]
    np.testing.assert_array_equal(rows, wanted[1])


def test_cached_paths_that_exist_stay_as_written(layout, monkeypatch):
    write_foreign(layout, foreign_rows())
    (layout / "mtcnn").rename(layout / "data")
    (layout / "data" / "imglists" / "train_12.txt").unlink()
    (layout / "data" / "mtcnn").mkdir()
    (layout / "data" / "images").rename(layout / "data" / "mtcnn" / "images")
    monkeypatch.chdir(layout)
    assert read_samples(layout, "train_12")[0][0] == "data/mtcnn/images/12/positive/28.jpg"
    elsewhere = layout / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    paths, _ = read_samples(layout, "train_12", dataset_path=layout / "data" / "mtcnn")
    assert paths[0] == f"{layout}/data/mtcnn/images/12/positive/28.jpg"
    paths, _ = read_samples(layout, "train_12")  # nowhere: where it should be
    assert paths[0] == f"{layout}/mtcnn/images/12/positive/28.jpg"


def test_a_cached_path_with_images_twice_is_found(layout):
    rows = foreign_rows(1)
    rows[0]["image"] = "/old/images/mtcnn/images/12/images/28.jpg"
    write_foreign(layout, rows)
    (layout / "mtcnn/imglists/train_12.txt").unlink()
    image = layout / "mtcnn/images/12/images/28.jpg"
    image.parent.mkdir()
    image.touch()
    assert read_samples(layout, "train_12")[0] == [str(image)]


def test_samples_of_the_python_2_cache(shared, tmp_path):
    (tmp_path / "cache").mkdir()
    cache_of(tmp_path).write_bytes((shared / "seanlinx/python2/mtcnn_train_12_gt_roidb.pkl").read_bytes())
    paths, rows = read_samples(tmp_path, "train_12")
    assert paths[0] == f"{tmp_path}/mtcnn/images/12/positive/150849.jpg"
    assert rows.shape == (40, 15)
    np.testing.assert_array_equal(rows[0, :5], np.float32([1, -0.34, 0.22, -0.05, 0.18]))


def test_neither_list_nor_cache(tmp_path):
    with pytest.raises(InputError, match=r"train_12\.txt: image list not found, nor a cache .*gt_roidb\.pkl"):
        read_samples(tmp_path, "train_12")


def test_a_test_cache_has_no_samples(layout):
    write_foreign(layout, [{"image": "a"}])
    (layout / "mtcnn/imglists/train_12.txt").unlink()
    with pytest.raises(InputError, match="expected training rows, got a test set"):
        read_samples(layout, "train_12")


def test_a_crash_between_cache_and_manifest_is_healed(layout, monkeypatch):
    open_imdb(layout).gt_imdb()
    write_list(layout, LINES[:2])
    monkeypatch.setattr(imdb_cache, "write_json", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        open_imdb(layout).gt_imdb()
    monkeypatch.undo()
    assert len(open_imdb(layout).gt_imdb()) == 2
    write_list(layout, LINES[:3])
    assert len(open_imdb(layout).gt_imdb()) == 3
    assert len(read_cache(cache_of(layout))) == 3
