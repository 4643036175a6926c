import logging

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.box_forms import guess_form, separator_hint
from gluon_mtcnn.prepare_data.annotations.csv_boxes import read_csv
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, first_photos
from gluon_mtcnn.prepare_data.annotations.seanlinx_anno import read_anno
from gluon_mtcnn.prepare_data.annotations.wider import read_wider

XYWH = [56, 216, 62, 64]  # a face of 62 x 64 pixels at (56, 216)
CORNERS = [56, 216, 118, 280]
RIGHT = "235 80 260 80 248 92 238 105 258 105"  # of a face at 216 56 278 120
POINTS = "75 240 100 240 88 252 78 265 98 265"


def text(values) -> str:
    return " ".join(f"{value:g}" for value in values)


def write(tmp_path, content, name="list.txt"):
    (tmp_path / name).write_text(content)
    return tmp_path / name


def read(reader, path, *arguments):
    return list(reader(path, path.parent, *arguments))


def test_corners_are_read_as_before(tmp_path):
    (photo,) = read(read_anno, write(tmp_path, f"a {text(CORNERS)}\n"))
    np.testing.assert_array_equal(photo.boxes, [[56, 216, 117, 279]])


@pytest.mark.parametrize(
    ("values", "guess"),
    [
        (XYWH, ": this looks like x y w h"),
        ([56, 118, 216, 280], None),  # x1 x2 y1 y2 that makes a box of positive size
        ([156, 218, 16, 80], ": this looks like x1 x2 y1 y2"),  # as x y w h it would be 16 x 80
        ([118, 20, 16, 8], ": this looks like x y w h"),
        ([118, 280, 16, 216], ": this looks like x1 x2 y1 y2"),
        ([500, 600, 480, -5], ""),
    ],
)
def test_negative_sizes_are_refused_with_line_and_guess(tmp_path, values, guess):
    path = write(tmp_path, f"b 1 2 30 40\na 5 5 9 9 {text(values)}\n", "anno.txt")
    if guess is None:
        assert len(read(read_anno, path)) == 2
        return
    with pytest.raises(InputError) as caught:
        read(read_anno, path)
    assert str(caught.value) == f"{path}:2: expected x1 y1 x2 y2, got {text(values)}: a negative size{guess}"


def test_a_slip_of_a_few_pixels_is_left_out_and_reported(tmp_path, caplog):
    """WIDER's own lists hold `705 326 -1 16` and `1026 474 -2 23`."""
    row = "0 0 0 0 0 0"
    good = f"10 20 30 40 {row}\n" * 20
    path = write(
        tmp_path, f"a.jpg\n23\n{good}705 326 -1 16 {row}\n485 65 0 1 {row}\n9 9 5 .5 {row}\nb.jpg\n1\n0 0 0 0 {row}\n"
    )
    with caplog.at_level(logging.WARNING):
        first, empty = read(read_wider, path, None, LeftOut(path, most=0.2))
    assert (len(first.boxes), len(empty.boxes)) == (20, 0)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: left out 3 of 23 faces: 1 of a negative size, down to -4 pixels (the first: {path}:23), "
        f"2 without size (the first: {path}:24)"
    ]
    with pytest.raises(InputError, match=r"left out 3 of 23 faces.*more than 0\.1 of them \(--max-left-out 1"):
        read(read_wider, path)
    path.write_text(path.read_text().replace("705 326 -1 16", "705 326 -30 16"))
    with pytest.raises(InputError, match=r"list\.txt:23: expected x y w h, got 705 326 -30 16: a negative size$"):
        read(read_wider, path)


def test_few_faces_are_reported_only(tmp_path, caplog):
    (photo,) = read(read_anno, write(tmp_path, "a 5 5 5 9 5 5 6 6\n"))
    assert len(photo.boxes) == 1
    assert "left out 1 of 2 faces: 1 without size" in caplog.text


def test_a_limit_reports_what_was_read(tmp_path):
    path = write(tmp_path, "a 5 5 5 9\n" * 12)
    left_out = LeftOut(path)
    with pytest.raises(InputError, match="left out 11 of 11 faces"):
        list(first_photos(read_anno(path, "", left_out), 11, left_out))


@pytest.mark.parametrize("values", ["0.16 0.35 0.12 0.09", "0.48 0.63 0.69 0.71"])
def test_fractions_are_named(tmp_path, values):
    sentence = "this looks like fractions of the photo's sides, as YOLO writes them"
    columns = values.split()
    for reader, content in (
        (read_anno, f"b 1 2 3 4\na {values}\n"),
        (read_wider, f"a\n1\n{values}\n"),
        (read_landmarks, f"a {values} {text(np.full(10, 0.5))}\n"),
    ):
        with pytest.raises(InputError, match=rf"list\.txt:\d: expected pixels, got {values}: {sentence}"):
            read(reader, write(tmp_path, content))
    with pytest.raises(InputError, match=sentence):
        read(read_csv, write(tmp_path, f"image,x1,y1,x2,y2\na.jpg,{','.join(columns)}\n"))


def test_other_separators_are_named(tmp_path):
    faces = "56;216;118;280"
    for reader, content, expected in (
        (read_anno, f"a.jpg;{faces}\n", "separated by ';', expected blanks"),
        (read_anno, f"a.jpg {faces}\n", "separated by ';', expected blanks"),
        (read_anno, "a.jpg 1, 2, 3, 4\n", "separated by ',', expected blanks"),
        (read_wider, f"a.jpg\n1\n{faces};0;0;0;0;0;0\n", "separated by ';', expected blanks"),
        (read_landmarks, f"a.jpg;{';'.join(['5'] * 14)}\n", "separated by ';', expected blanks"),
        (read_csv, f"image;x1;y1;x2;y2\na.jpg;{faces}\n", "separated by ';', expected ','"),
        (read_csv, "image\tx1\ty1\tx2\ty2\n", "separated by tabs, expected ','"),
        (read_csv, "image,x,y,w,h\n", "this looks like x y w h"),
    ):
        with pytest.raises(InputError, match=expected):
            read(reader, write(tmp_path, content))
    assert separator_hint("x,1,2,3,4.jpg") == ""
    assert separator_hint("a" + ";1" * 100_000) != ""


@pytest.mark.parametrize(
    ("box", "form"), [([216, 56, 278, 120], "x1 y1 x2 y2"), ([216, 56, 62, 64], "x y w h")], ids=["corners", "sizes"]
)
def test_landmarks_tell_the_form_of_their_box(tmp_path, box, form):
    path = write(tmp_path, f"a.jpg {text(box)} {RIGHT}\n")
    with pytest.raises(
        InputError, match=rf"list\.txt:1: expected x1 x2 y1 y2.*a negative size: this looks like {form}$"
    ):
        read(read_landmarks, path)
    (photo,) = read(read_landmarks, write(tmp_path, f"a.jpg 56 117 216 279 {POINTS}\n"))
    assert not photo.ignore[0]


def test_landmarks_outside_of_their_boxes_are_counted(tmp_path, caplog):
    fine, off = f"a.jpg 56 117 216 279 {POINTS}\n", f"a.jpg 5 30 20 45 {POINTS}\n"
    large = f"a.jpg 0 400 0 400 {POINTS}\n"
    path = write(tmp_path, fine * 18 + off + large)
    photos = read(read_landmarks, path)
    assert [bool(photo.ignore[0]) for photo in photos] == [False] * 18 + [True, True]
    assert f"left out 1 of 20 faces: 1 with landmarks outside of their box (the first: {path}:19)" in caplog.text
    assert f"of 20 faces 1 whose box is too large for their landmarks: not used (the first: {path}:20)" in caplog.text
    with pytest.raises(InputError, match="left out 4 of 14 faces: 4 with landmarks outside of their box"):
        read(read_landmarks, write(tmp_path, fine * 10 + off * 4))


def test_csv_guesses_the_form(tmp_path):
    path = write(tmp_path, f"image,x1,y1,x2,y2\na.jpg,{','.join(map(str, XYWH))}\n")
    with pytest.raises(
        InputError, match=r"list\.txt:2: expected x1 <= x2 .* got 56 216 62 64: this looks like x y w h"
    ):
        read(read_csv, path)


def test_sound_lists_of_wider_lose_what_they_lost_before(shared, caplog):
    path = shared / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    left_out = LeftOut(path)
    photos = list(read_wider(path, "", left_out=left_out))
    assert (len(photos), sum(len(photo.boxes) for photo in photos)) == (2302, 28897)
    assert left_out.reasons == {"without size": 6, "of a negative size, down to -4 pixels": 1}


def test_guess_form_has_no_guess_where_nothing_fits():
    assert guess_form(np.array([5.0, 5, -50, 5]), "x y w h") == ""
