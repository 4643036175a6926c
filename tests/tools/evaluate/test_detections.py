import json
import re

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.evaluate.detections import (
    check_rows,
    detect_photos,
    existing_photos,
    iterate_photos,
    read_json_detections,
    write_json_detections,
)


class MeanDetector:
    """Finds one face whose score is the mean of the pixels, none in a black photo."""

    def detect(self, image):
        mean = image.mean() / 255
        return Detections([[1, 2, 3, 4]], [mean]) if mean else Detections.empty()


def write_photo(path, value):
    cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))
    return path


def test_photos_come_back_by_name_as_float64(tmp_path):
    photos = {"b": write_photo(tmp_path / "1.png", 51), "a": write_photo(tmp_path / "2.png", 0)}
    found = detect_photos(MeanDetector(), photos, quiet=True)
    assert list(found) == ["b", "a"]
    assert found["a"].shape == (0, 5)
    assert found["b"].dtype == np.float64
    np.testing.assert_allclose(found["b"], [[1, 2, 3, 4, 0.2]], rtol=1e-6)


def test_bar_is_drawn_unless_quiet(tmp_path, capsys):
    photos = {"a": write_photo(tmp_path / "1.png", 51)}
    list(iterate_photos(MeanDetector(), photos, quiet=True))
    assert capsys.readouterr().err == ""
    list(iterate_photos(MeanDetector(), photos))
    assert "1/1" in capsys.readouterr().err


def test_broken_photo_is_named(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.jpg: expected an image"):
        detect_photos(MeanDetector(), {"bad": tmp_path / "bad.jpg"}, quiet=True)


def test_broken_photo_is_empty_when_told_so(tmp_path, caplog):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    photos = {"bad": tmp_path / "bad.jpg", "good": write_photo(tmp_path / "1.png", 51)}
    found = dict(iterate_photos(MeanDetector(), photos, quiet=True, bad_as_empty=True))
    assert list(map(len, found.values())) == [0, 1]
    assert found["bad"].landmarks.shape == (0, 5, 2)
    assert len(caplog.messages) == 1
    assert re.search(r"bad\.jpg: expected an image.*: counted as a photo without detections", caplog.messages[0])
    with pytest.raises(InputError, match=r"bad\.jpg: expected an image"):  # all of them
        detect_photos(MeanDetector(), {"bad": tmp_path / "bad.jpg"}, quiet=True, bad_as_empty=True)


def test_existing_photos(tmp_path):
    photos = {"here": write_photo(tmp_path / "1.png", 9), "gone": tmp_path / "2.png", "too": tmp_path / "3.png"}
    assert list(existing_photos(photos, missing_as_empty=True)) == ["here"]
    with pytest.raises(InputError, match=r"2\.png: photo not found, nor 1 others of 3"):
        existing_photos(photos)
    with pytest.raises(InputError, match=r"2\.png: photo not found, nor 1 others of 3$"):
        existing_photos(photos, missing_as_empty=None)
    with pytest.raises(InputError, match="not found"):
        existing_photos({"gone": tmp_path / "2.png"}, missing_as_empty=True)


def test_json_gives_back_the_same_numbers(tmp_path):
    rng = np.random.default_rng(0)
    sets = {"a/é.jpg": rng.random((3, 5)) * 1000, "b.jpg": np.zeros((0, 5))}
    write_json_detections(tmp_path / "d.json", sets)
    back = read_json_detections(tmp_path / "d.json")
    assert list(back) == list(sets)
    for name, rows in sets.items():
        np.testing.assert_array_equal(back[name], rows)
    assert back["b.jpg"].shape == (0, 5)


def test_rows_are_copied():
    rows = np.array([[0.0, 0, 1, 1, 0.5]])
    checked = check_rows(rows, "here")
    checked += 1
    assert rows[0, 0] == 0


def test_integers_and_negative_sizes_pass():
    assert check_rows([[5, 5, 1, 1, 1]], "here").dtype == np.float64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [[1, 2, 3, 4, NaN]]}', r"d\.json: 'a': row 1: expected finite numbers up to 1e9, got .*nan"),
        ('{"a": [[1, 2, 3, 4, 0.5], [1, 2, Infinity, 4, 0.5]]}', "row 2: expected finite"),
        ('{"a": [[1, 2, 3, 4, 1e300]]}', "row 1: expected finite numbers up to 1e9"),
        ('{"a": [[1, 2, 3, 4]]}', r"rows of five numbers x1 y1 x2 y2 score, got \[1, 2, 3, 4\] in row 1"),
        ('{"a": [[1, 2, 3, 4, 5], [1, 2, 3, 4]]}', r"got \[1, 2, 3, 4\] in row 2"),
        ('{"a": [["1", "2", "3", "4", "5"]]}', "in row 1"),
        ('{"a": [[1, 2, 3, 4, null]]}', "null"),
        ('{"a": [[true, true, true, true, true]]}', "in row 1"),
        ('{"a": [1, 2, 3, 4, 5]}', "got 1 in row 1"),
        ('{"a": 7}', "got 7"),
        ('{"a": {"faces": []}}', "got .*faces"),
        ('{"a": "text"}', 'got "text"'),
        ('{"a": [[' + "9" * 400 + ", 1, 1, 1, 1]]}", "numbers too large|finite"),
        ('{"a": [[' + "9" * 5000 + ", 1, 1, 1, 1]]}", r"d\.json: "),
        ("[" * 100_000, r"d\.json: expected JSON that can be read"),
        ('{"a": []\n "b": []}', r"d\.json:2: expected JSON"),
        ('{"a": [], "a": []}', r"d\.json: 'a' is there twice"),
        ("[1]", "expected a JSON object of photo names, got list"),
        ("", r"d\.json:1: expected JSON"),
    ],
)
def test_hostile_json_is_one_clear_line(tmp_path, text, message):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_json_detections(tmp_path / "d.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "d.json").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="expected JSON text, got binary data"):
        read_json_detections(tmp_path / "d.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_json_detections(tmp_path / "none.json")


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "d.json"
    write_json_detections(path, {"a": np.zeros((0, 5))})
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_json_detections(path, {"a": [[1]]})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["d.json"]
    assert json.loads(before) == {"a": []}
