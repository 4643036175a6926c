import numpy as np
import pytest
from scipy.io import savemat

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.evaluate.wider.files import (
    plain_name,
    read_ground_truth,
    read_image_list,
    read_text_folder,
    write_text_folder,
)

EVENTS = {
    "0--A": {"a1": ([[10, 20, 30, 40], [5, 5, 2, 2]], {"easy": [1], "hard": [1, 2]}), "a2": ([], {})},
    "1--B": {"b1": ([[0, 0, 9, 9]], {"hard": [1]})},
}


def test_ground_truth(tmp_path, write_wider_truth):
    truth = read_ground_truth(write_wider_truth(tmp_path, EVENTS))
    assert truth.names == ["0--A/a1", "0--A/a2", "1--B/b1"]
    assert truth.faces[0].tolist() == [[10, 20, 40, 60], [5, 5, 7, 7]]  # x + w, y + h
    assert truth.faces[1].shape == (0, 4)
    assert [mask.tolist() for mask in truth.counted["easy"]] == [[True, False], [], [False]]
    assert [mask.tolist() for mask in truth.counted["hard"]] == [[True, True], [], [True]]


def test_selection_follows_the_list(tmp_path, write_wider_truth):
    truth = read_ground_truth(write_wider_truth(tmp_path, EVENTS)).select(["1--B/b1", "0--A/a1"], "list.txt")
    assert truth.names == ["1--B/b1", "0--A/a1"]
    assert [len(boxes) for boxes in truth.faces] == [1, 2]
    assert truth.counted["easy"][1].tolist() == [True, False]
    with pytest.raises(InputError, match=r"list\.txt: 1 of 2 photos are not in the ground truth: 2--C/c"):
        truth.select(["2--C/c", "1--B/b1"], "list.txt")


def test_bad_ground_truth(tmp_path, write_wider_truth):
    folder = write_wider_truth(tmp_path / "incomplete", EVENTS, settings=("easy", "hard"))
    with pytest.raises(InputError, match=r"wider_medium_val\.mat: ground truth not found"):
        read_ground_truth(folder)
    (folder / "wider_medium_val.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(InputError, match=r"wider_medium_val\.mat: expected a MATLAB 5 file"):
        read_ground_truth(folder)
    savemat(folder / "wider_medium_val.mat", {"something": 1})
    with pytest.raises(InputError, match="expected WIDER's event_list, file_list and gt_list"):
        read_ground_truth(folder)
    beyond = {"0--A": {"a1": ([[1, 2, 3, 4]], {"easy": [2]})}}
    with pytest.raises(InputError, match="0--A/a1: expected face numbers from 1 to 1"):
        read_ground_truth(write_wider_truth(tmp_path / "beyond", beyond))
    other = write_wider_truth(tmp_path / "other", {"0--A": {"a9": ([], {})}})
    (other / "wider_face_val.mat").write_bytes((folder / "wider_face_val.mat").read_bytes())
    with pytest.raises(InputError, match=r"wider_easy_val\.mat: expected the photos of wider_face_val\.mat"):
        read_ground_truth(other)


@pytest.mark.parametrize("event", ["../../escaped", "/absolute", ""])
def test_events_that_lead_out_of_the_folder_write_nothing(tmp_path, event):
    """Event names come from a ground truth .mat, which a stranger may have written."""
    rows = np.array([[0, 0, 9, 9, 0.5]])
    out = tmp_path / "a" / "b" / "out"
    with pytest.raises(InputError, match="out: expected a name of a file below this folder"):
        write_text_folder(out, {"0--A/good.jpg": rows, f"{event}/x.jpg": rows})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("0--A/a.jpg", "0--A/a"),
        ("0--A\\a.JPG\r", "0--A/a"),
        ("./0--A/a", "0--A/a"),
        ("0--A/a.b", "0--A/a.b"),  # no suffix of an image
    ],
)
def test_plain_name(name, plain):
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    "text",
    [
        "0--A/a1.jpg\n1--B/b1.jpg\n",
        "0--A/a1\r\n\r\n1--B/b1\r\n\x1a",
        "0--A/a1.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n1 2 3 4 0 0 0 0 0 0\n1--B/b1.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n",
        "0--A/a1.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n1--B/b1.jpg\n0\n",  # the line of zeros may be missing
    ],
)
def test_image_lists(tmp_path, text):
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert read_image_list(tmp_path / "list.txt") == ["0--A/a1", "1--B/b1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected names of photos, got none"),
        (b"a/b.jpg\na/b\n", "a/b is listed twice"),
        (b"a/b.jpg\n3\n1 2 3 4 0 0 0 0 0 0\n", r"list\.txt:4"),
        (bytes(range(256)), "binary"),
        (b"\xff\xfe\xfa", "binary"),
    ],
)
def test_bad_image_lists(tmp_path, data, message):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_image_list(tmp_path / "list.txt")


def test_official_text_has_x_y_w_h_without_plus_one(tmp_path):
    write_text_folder(tmp_path, {"0--A/a1.jpg": np.array([[1.5, 2, 11.5, 22, 0.25]]), "0--A/a2.jpg": np.zeros((0, 5))})
    assert (tmp_path / "0--A" / "a1.txt").read_text() == "0--A/a1.jpg\n1\n1.5 2 10 20 0.25\n"
    assert (tmp_path / "0--A" / "a2.txt").read_text() == "0--A/a2.jpg\n0\n"
    back = read_text_folder(tmp_path)
    assert back["0--A/a1"].tolist() == [[1.5, 2, 11.5, 22, 0.25]]
    assert back["0--A/a2"].shape == (0, 5)


def test_official_text_of_other_programs(tmp_path):
    (tmp_path / "0--A").mkdir()
    (tmp_path / "0--A" / "a1.txt").write_bytes(b"a1\r\n2\r\n1 2 3 4 .5\r\n\t5 6 -7 8 1e-3 \r\n\r\n\x1a")
    assert read_text_folder(tmp_path)["0--A/a1"].tolist() == [[1, 2, 4, 6, 0.5], [5, 6, -2, 14, 0.001]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a1\n", r"a1\.txt: expected the number of boxes, but the file ends"),
        (b"a1\n1 2 3 4 .5\n", r"a1\.txt:2: expected the number of boxes, got '1 2 3 4 \.5'"),
        (b"a1\n2\n1 2 3 4 .5\n", r"a1\.txt: expected 2 boxes, as stated, got 1 lines"),
        (b"a1\n999999999999\n1 2 3 4 .5\n", r"expected 999999999999 boxes, as stated, got 1"),
        (b"a1\n" + b"9" * 5000 + b"\n", r"a1\.txt:2: expected the number of boxes"),
        (b"a1\n-1\n", r"a1\.txt:2: expected the number of boxes, got '-1'"),
        (b"a1\n1\n1 2 3 4\n", r"a1\.txt:3: expected 5 numbers \(x y w h score\), got '1 2 3 4'"),
        (b"a1\n1\n1 2 3 four .5\n", r"a1\.txt:3: expected 5 numbers"),
        (b"a1\n2\n1 2 3 4 .5\n1 2 3 4 nan\n", r"a1\.txt:4: expected finite numbers"),
        (b"a1\n1\n1 2 3 1e10 .5\n", r"a1\.txt: row 1: expected finite numbers up to 1e9"),
        (b"\x00\x01\xff\xfe", "expected a text file, got binary data"),
        (b"", "expected the number of boxes, but the file ends"),
    ],
)
def test_hostile_official_text(tmp_path, data, message):
    (tmp_path / "0--A").mkdir()
    (tmp_path / "0--A" / "a1.txt").write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_text_folder(tmp_path)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_folder_without_text_files(tmp_path):
    with pytest.raises(InputError, match=r"expected text files event/name\.txt, found none"):
        read_text_folder(tmp_path)
