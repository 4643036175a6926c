import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.seanlinx.imdb import IMDB
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.data.pack.run import PackOptions, pack_imdb

LINES = [
    "12/positive/0 1 -0.05 0.11 -0.05 -0.11",
    "12/negative/1 0",
    "12/part/2 -1 0.1 0.2 0.3 0.4",
    "12/landmark/3 -2 " + " ".join(f"0.{i}" for i in range(10)),
]


@pytest.fixture
def root(tmp_path):
    """A Seanlinx layout with four crops."""
    data = tmp_path / "data" / "mtcnn"
    (data / "imglists").mkdir(parents=True)
    (data / "imglists" / "train_12.txt").write_text("\n".join(LINES) + "\n")
    for i, line in enumerate(LINES):
        path = data / "images" / f"{line.split()[0]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((12, 12, 3), 20 * i, np.uint8))
    return tmp_path / "data"


def pack(root, out, *options):
    return main(["pack", "--imdb", str(root), "--image-set", "train_12", "--out", str(out), "--quiet", *options])


def test_an_image_list_becomes_a_pack(root, tmp_path):
    assert pack(root, tmp_path / "pack") == 0
    packed = Pack(tmp_path / "pack")
    rows = packed.rows()
    assert rows[:, 0].tolist() == [1, 0, -1, -2]
    np.testing.assert_allclose(rows[0, 1:5], [-0.05, 0.11, -0.05, -0.11])
    np.testing.assert_allclose(rows[3, 5:], np.arange(10) / 10, atol=1e-6)
    np.testing.assert_allclose(packed.images(np.arange(4)).mean(axis=(1, 2, 3)), [0, 20, 40, 60], atol=1)


def test_targets_in_pixels_are_refused(root, tmp_path, capsys):
    path = root / "mtcnn" / "imglists" / "train_12.txt"
    pixels = "12/part/2 -1 3 5 -4 -6"
    path.write_text("\n".join([*LINES, *[LINES[0]] * 8, pixels]) + "\n")
    assert pack(root, tmp_path / "pack") == 0  # one of twelve
    path.write_text("\n".join([*LINES, *[LINES[0]] * 8, pixels, pixels]) + "\n")
    assert pack(root, tmp_path / "refused") == 2
    message = capsys.readouterr().err
    assert "train_12: 2 of 13 faces have offsets or landmarks beyond 4 sides of their crop (the first: " in message
    assert "part/2.jpg): this looks like pixels, expected fractions" in message
    assert pack(root, tmp_path / "pack", "--max-left-out", "1") == 0
    assert Pack(tmp_path / "pack").class_counts()["part"] == 3


def test_the_function_leaves_what_the_command_leaves(root, tmp_path):
    result = pack_imdb(PackOptions(root, "train_12", tmp_path / "function", quiet=True))
    assert pack(root, tmp_path / "command") == 0
    for name in ("train.rec", "train.idx", "manifest.json"):
        assert (tmp_path / "function" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    assert (result.folder, result.count, result.listed, result.skipped) == (tmp_path / "function", 4, 4, [])
    assert result.classes == dict.fromkeys(("positive", "negative", "part", "landmark"), 1)


@pytest.mark.parametrize(
    ("changed", "message"), [({"size": 13}, "size: expected one of"), ({"payload": "gif"}, "payl")]
)
def test_bad_values_are_refused_at_once(changed, message):
    with pytest.raises(InputError, match=f"^pack: {message}"):
        PackOptions("imdb", "train_12", "out", **changed)


def test_a_cache_without_its_list_becomes_the_same_pack(root, tmp_path):
    assert pack(root, tmp_path / "a") == 0
    IMDB("mtcnn", "train_12", root, root / "mtcnn", "train").gt_imdb()
    (root / "mtcnn" / "imglists" / "train_12.txt").unlink()
    assert pack(root, tmp_path / "b") == 0
    np.testing.assert_allclose(Pack(tmp_path / "a").rows()[:3, :5], Pack(tmp_path / "b").rows()[:3, :5])


def test_an_unreadable_crop_is_left_out_and_listed(root, tmp_path, caplog):
    (root / "mtcnn" / "images" / "12" / "part" / "2.jpg").write_text("text")
    caplog.set_level("INFO")
    assert pack(root, tmp_path / "pack") == 0
    assert Pack(tmp_path / "pack").rows()[:, 0].tolist() == [1, 0, -2]
    assert "2.jpg: expected an image, got 4 bytes" in caplog.text
    assert pack(root, tmp_path / "strict", "--strict") == 2
    assert not (tmp_path / "strict" / "train.rec").exists()


def test_bad_calls(root, tmp_path, capsys):
    out = ["--out", str(tmp_path / "p")]
    assert main(["pack", "--imdb", str(root), "--image-set", "fold-01", *out]) == 2
    assert "expected a name that ends in _12, _24 or _48, or give --size" in capsys.readouterr().err
    assert main(["pack", "--imdb", str(root), "--image-set", "train_24", *out]) == 2
    assert "train_24.txt: image list not found, nor a cache" in capsys.readouterr().err
    assert main(["pack", "--imdb", str(tmp_path / "none"), "--image-set", "train_12", *out]) == 2
    assert "imdb root not found" in capsys.readouterr().err
