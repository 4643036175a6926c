"""COCO, Pascal VOC and YOLO: the same photos in the three forms, and files that are wrong or hostile."""

import json

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations import coco, pascal_voc, yolo
from gluon_mtcnn.prepare_data.annotations.coco import read_coco
from gluon_mtcnn.prepare_data.annotations.listed_objects import digest_of
from gluon_mtcnn.prepare_data.annotations.pascal_voc import read_voc, voc_files
from gluon_mtcnn.prepare_data.annotations.yolo import read_yolo, yolo_files

# columns 10 to 39 and rows 20 to 59; columns 50 to 69 and rows 4 to 27, ignored where the form can say so
FACES = [[10, 20, 39, 59], [50, 4, 69, 27]]
WIDTH, HEIGHT = 80, 64


def coco_content():
    return {
        "images": [{"id": 7, "file_name": "e/a.jpg"}, {"id": "b", "file_name": "e\\b.png"}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40]},
            {"image_id": 7, "category_id": 1, "bbox": [50, 4, 20.0, 24], "iscrowd": 1},
        ],
    }


def write_coco(folder, content):
    (folder / "faces.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "faces.json"


VOC = """<annotation><folder>x</folder><filename>a</filename><size><width>80</width></size>
<object><name>face</name><part><name>nose</name></part><bndbox>
<xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>
<object><bndbox><ymax>28</ymax><ymin>5</ymin><xmin>51</xmin><xmax>70</xmax></bndbox><name>face</name>
<difficult>1</difficult></object></annotation>"""


def write_voc(folder, first=VOC):
    for name in ("Annotations/e", "JPEGImages"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "Annotations" / "e" / "a.xml").write_bytes(first if isinstance(first, bytes) else first.encode())
    (folder / "Annotations" / "e" / "b.xml").write_text("<annotation></annotation>")
    return folder


def write_yolo(folder, lines="0 0.3125 0.625 0.375 0.625\n\n0 .75 .25 .25 .375\n"):
    for name in ("images/e", "labels/e"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("a.jpg", "b.png"):
        cv2.imwrite(str(folder / "images" / "e" / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (folder / "labels" / "e" / "a.txt").write_text(lines)
    return folder


def test_the_three_forms_give_the_same_photos(tmp_path):
    for photos, images in (
        (list(read_coco(write_coco(tmp_path, coco_content()), tmp_path / "p")), tmp_path / "p"),
        (list(read_voc(write_voc(tmp_path))), tmp_path / "JPEGImages"),
        (list(read_yolo(write_yolo(tmp_path))), tmp_path / "images"),
    ):
        first, second = photos
        assert first.name == "e/a.jpg"
        assert first.image == str(images / "e" / "a.jpg")
        np.testing.assert_allclose(first.boxes, FACES)
        assert (second.name[:3], len(second.boxes)) == ("e/b", 0)
    ignored = [
        next(reader).ignore.tolist()
        for reader in (read_coco(tmp_path / "faces.json"), read_voc(tmp_path), read_yolo(tmp_path))
    ]
    assert ignored == [[False, True], [False, True], [False, False]]


def test_which_classes_are_faces(tmp_path):
    content = coco_content()
    content["categories"].append({"id": 2, "name": "Hand"})
    content["annotations"][0]["category_id"] = 2
    path = write_coco(tmp_path, content)
    with pytest.raises(InputError, match=r"annotation 2: expected objects of one class, got 'face' after 'Hand'"):
        list(read_coco(path))
    assert [len(photo.boxes) for photo in read_coco(path, face_classes=["FACE"])] == [1, 0]
    folder = write_voc(tmp_path, VOC.replace("<name>face", "<name>hand", 1))
    with pytest.raises(InputError, match=r"a\.xml:4: expected objects of one class, got 'face' after 'hand'"):
        list(read_voc(folder))
    assert len(next(read_voc(folder, face_classes=["hand", "face"])).boxes) == 2
    folder = write_yolo(tmp_path, "3 .5 .5 .25 .25\n1 .5 .5 .5 .5\n")
    with pytest.raises(InputError, match=r"a\.txt:2: expected objects of one class, got '1' after '3'"):
        list(read_yolo(folder))
    np.testing.assert_allclose(next(read_yolo(folder, ["1"])).boxes, [[20, 16, 59, 47]])
    (folder / "labels" / "classes.txt").write_text("a\nb\nc\nface\n")
    np.testing.assert_allclose(next(read_yolo(folder, ["face"])).boxes, [[30, 24, 49, 39]])


def change(key, index=0, **values):
    content = coco_content()
    content[key][index].update(values)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected COCO's JSON, with a list of objects 'images'"),
        ('{"images": [1]}', "expected COCO's JSON, with a list"),
        ("[" * 100_000, "expected JSON"),
        ('{"images": ' + "9" * 10_000 + "}", "expected JSON that can be read|expected COCO's JSON"),
        (change("images", id=None), "image 1: expected an id as a number or text, got None"),
        (change("images", id="b"), "image 2: expected every id and file name once, got 'b'"),
        (change("images", 1, file_name="e/a.jpg"), "image 2: expected every id and file name once"),
        (change("images", file_name="../../secret.jpg"), r"image 1: .* '\.\./\.\./secret\.jpg', which leads out of it"),
        (change("images", file_name="/etc/passwd"), "image 1: .* which leads out of it"),
        (change("images", file_name="a\nb.jpg"), "image 1: expected the file name of a photo"),
        (change("images", file_name=5), "image 1: expected the file name of a photo, got 5"),
        (change("annotations", image_id=8), "annotation 1: expected a listed image and category, got image 8"),
        (change("annotations", category_id=8), "annotation 1: expected a listed image and category, got category 8"),
        (
            change("annotations", bbox=[1, 2, 3]),
            r"annotation 1: .* four numbers bbox: x y w h .* got \[1, 2, 3\]",
        ),
        (change("annotations", bbox=[1, 2, True, 4]), "annotation 1: expected four numbers"),
        (change("annotations", bbox=[1, 2, float("nan"), 4]), "annotation 1: expected four numbers"),
        (change("annotations", bbox=[1, 2, 1e30, 4]), r"annotation 1: expected four numbers .* up to 1e\+06"),
        (
            change("annotations", bbox=[100, 90, -40, 30]),
            "expected x y w h, got 100 90 -40 30: a negative",
        ),
        (change("annotations", bbox=[0.1, 0.2, 0.3, 0.4]), "annotation 1: expected pixels, .* as YOLO writes them"),
    ],
)
def test_wrong_or_hostile_coco(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        list(read_coco(write_coco(tmp_path, content)))


BOMB = """<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>
<annotation><filename>&c;</filename></annotation>"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, r"a\.xml:1: expected XML of Pascal VOC without a document type"),
        ("<annotation>" + "<a>" * 40, r"a\.xml:1: expected XML of Pascal VOC, got the element 'a'"),
        ("<html></html>", r"a\.xml:1: expected XML of Pascal VOC, got the element 'html'"),
        ("<annotation>", r"a\.xml: expected XML of Pascal VOC: no element found"),
        (b"<?xml version='1.0' encoding='nonsense'?><annotation/>", r"a\.xml: expected XML of Pascal VOC: unknown enc"),
        (b"\xff\xfe\x00", r"a\.xml: expected XML of Pascal VOC"),
        (VOC.replace("<filename>a", "<filename>../../../a"), "which leads out of it"),
        (VOC.replace("<xmin>11", "<xmin>x"), r"a\.xml:2: expected four numbers xmin ymin xmax ymax .* got \['x', 21"),
        (VOC.replace("<xmin>11</xmin>", ""), r"a\.xml:2: expected four numbers .* got \[None, 21"),
        (VOC.replace("<xmin>11", "<xmin>nan"), r"a\.xml:2: expected four numbers"),
        (VOC.replace("<xmin>11", "<xmin>90"), r"a\.xml:2: expected x1 y1 x2 y2, got 90 21 40 60: a negative size"),
    ],
)
def test_wrong_or_hostile_voc(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        list(read_voc(write_voc(tmp_path, content)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0 .5 .5 .2\n", r"a\.txt:1: expected `class cx cy w h`, got '0 \.5 \.5 \.2'$"),
        ("0 .5 .5 .2 .2 .9\n", r"a\.txt:1: .* \(key points, polygons and scores are not read\)"),
        ("face .5 .5 .2 .2\n", r"a\.txt:1: expected `class cx cy w h`"),
        ("\n0 40 30 20 10\n", r"a\.txt:2: expected fractions .* got '40 30 20 10': this looks like pixels"),
        ("0 .5 .5 -.2 .2\n", r"a\.txt:1: expected fractions .* from 0 to 1"),
        ("0 .5 .5 nan .2\n", r"a\.txt:1: expected fractions"),
        ("0 .5 .5 x .2\n", r"a\.txt:1: expected fractions"),
        ("9" * 5000 + " .5 .5 .2 .2\n", r"a\.txt:1: expected `class cx cy w h`"),
    ],
)
def test_wrong_or_hostile_yolo(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        list(read_yolo(write_yolo(tmp_path, lines)))


def test_files_that_are_too_large(tmp_path, monkeypatch):
    for module, limit in ((coco, 99), (pascal_voc, 99), (yolo, 9)):
        monkeypatch.setattr(module, "MAX_BYTES", limit)
    for reader, path in (
        (read_coco, write_coco(tmp_path, coco_content())),
        (read_voc, write_voc(tmp_path)),
        (read_yolo, write_yolo(tmp_path)),
    ):
        with pytest.raises(InputError, match="MB, got more"):
            list(reader(path))


def test_empty_folders(tmp_path):
    for reader, message in ((read_voc, "expected XML files"), (read_yolo, "expected label files of YOLO")):
        with pytest.raises(InputError, match=message):
            list(reader(tmp_path))


def test_yolo_reports_photos_and_label_files_without_the_other(tmp_path, caplog):
    folder = write_yolo(tmp_path)
    (folder / "labels" / "gone.txt").write_text("")
    list(read_yolo(folder))
    assert "1 of 2 photos have no label file: photos without faces" in caplog.text
    assert f"1 label files have no photo (the first: {folder / 'labels' / 'gone.txt'})" in caplog.text


def test_a_bad_photo_is_left_to_the_preparation(tmp_path):
    folder = write_yolo(tmp_path)
    (folder / "images" / "e" / "a.jpg").write_bytes(b"no photo")
    assert [len(photo.boxes) for photo in read_yolo(folder)] == [0, 0]


def test_faces_without_size_are_counted(tmp_path, caplog):
    content = coco_content()
    content["annotations"] += [{"image_id": "b", "category_id": 1, "bbox": [5, 5, 0, 9]}]
    assert [len(photo.boxes) for photo in read_coco(write_coco(tmp_path, content))] == [2, 0]
    assert "left out 1 of 3 faces: 1 without size" in caplog.text


def test_the_digest_of_a_folder_follows_names_and_contents(tmp_path):
    folder = write_voc(tmp_path)
    before = digest_of(voc_files(folder), folder)
    (folder / "Annotations" / "e" / "b.xml").write_text("<annotation> </annotation>")
    changed = digest_of(voc_files(folder), folder)
    (folder / "Annotations" / "e" / "b.xml").rename(folder / "Annotations" / "e" / "c.xml")
    assert len({before, changed, digest_of(voc_files(folder), folder)}) == 3
    assert [path.name for path in yolo_files(write_yolo(tmp_path))] == ["a.txt"]
