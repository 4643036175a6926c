"""Annotations in the forms of other programs, and lists in a wrong form, from options to packs."""

import json
import logging

import cv2
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.manifest import read_manifest
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.data.prepare.options import PrepareOptions
from gluon_mtcnn.tools.data.prepare.run import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return painted photos with their WIDER text, and folders with the same annotations in other forms."""
    folder = tmp_path_factory.mktemp("painted")
    painted = write_dataset(folder, SyntheticSpec(8, 1, 1, 1, 1, 1), 0, quiet=True)
    photos = list(read_wider(painted.wider_train_annotations, painted.wider_images))
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "hand"}]}
    anno = []
    for number, photo in enumerate(photos):
        content["images"].append({"id": number, "file_name": photo.name})
        x1, y1, x2, y2 = photo.boxes.astype(float).T
        rows = list(zip(x1, y1, x2 - x1 + 1, y2 - y1 + 1, photo.ignore.tolist()))
        for *box, ignored in rows:
            content["annotations"].append({"image_id": number, "category_id": 1, "bbox": box, "ignore": int(ignored)})
        objects = "".join(
            f"<object><name>face</name><difficult>{int(ignored)}</difficult><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}"
            f"</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
            for x, y, w, h, ignored in rows
        )
        xml = folder / "voc" / f"{number}.xml"
        xml.parent.mkdir(exist_ok=True)
        xml.write_text(f"<annotation><filename>{photo.name}</filename>{objects}</annotation>")
        pixels = cv2.imread(photo.image)
        height, width = pixels.shape[:2]
        for kind in ("images", "labels"):
            (folder / "yolo" / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "yolo" / "images" / f"{number}.png"), pixels)
        lines = [
            f"0 {(x + w / 2) / width:.9f} {(y + h / 2) / height:.9f} {w / width:.9f} {h / height:.9f}\n"
            for x, y, w, h, _ in rows
        ]
        (folder / "yolo" / "labels" / f"{number}.txt").write_text("".join(lines))
        anno.append(" ".join([photo.name, *(f"{v:g}" for row in rows for v in row[:4])]))
    content["annotations"].append({"image_id": 0, "category_id": 2, "bbox": [1, 1, 9, 9]})
    (folder / "coco.json").write_text(json.dumps(content))
    (folder / "anno_xywh.txt").write_text("\n".join(anno))
    return folder, painted


def make(out, **options):
    return prepare(PrepareOptions("pnet", out, **options, num_workers=1, quiet=True))


def description(folder):
    (source,) = read_manifest(folder)["sets"]["train"]["metadata"]["sources"]
    return source


def test_other_forms_give_the_same_pack_as_wider(data, tmp_path):
    folder, painted = data
    wider = make(tmp_path / "w", wider_images=painted.wider_images, wider_annotations=painted.wider_train_annotations)
    coco = make(tmp_path / "c", coco=folder / "coco.json", coco_images=painted.wider_images, face_class=("face",))
    voc = make(tmp_path / "v", voc=folder / "voc", voc_images=painted.wider_images)
    yolo = make(tmp_path / "y", yolo=folder / "yolo")
    packs = [(tmp_path / name / "train.rec").read_bytes() for name in "wcv"]
    assert packs[0] == packs[1] == packs[2]
    assert wider.sets == coco.sets == voc.sets
    assert (yolo.photos, yolo.skipped) == (8, [])
    assert yolo.sets["train"]["positive"] >= wider.sets["train"]["positive"]  # none can be marked as ignored
    assert [description(tmp_path / name)["kind"] for name in "wcvy"] == ["wider", "coco", "voc", "yolo"]
    assert len(description(tmp_path / "y")["sha256"]) == 64


def test_the_command_reads_them_too(data, tmp_path, capsys):
    folder, painted = data
    argv = ["prepare", "pnet", "--out", str(tmp_path / "c"), "--quiet", "--num-workers", "1"]
    coco = ["--coco", str(folder / "coco.json"), "--coco-images", str(painted.wider_images)]
    assert main([*argv, *coco, "--face-class", "face"]) == 0
    assert main([*argv, *coco]) == 2
    assert "expected objects of one class, got 'hand' after 'face'" in capsys.readouterr().err
    for words, message in (
        (["--coco-images", "x"], "--coco-images: expected --coco with it"),
        (["--face-class", "face"], "--face-class: expected --coco, --voc or --yolo with it"),
        (["--voc", str(tmp_path / "none")], "folder of XML files not found"),
    ):
        assert main([*argv, *words]) == 2
        assert message in capsys.readouterr().err


def test_a_list_of_another_form_is_refused(data, tmp_path, capsys):
    """Before, `x y w h` in an anno.txt left out most faces without a word, and cut them as negatives."""
    folder, painted = data
    anno = ["--seanlinx-images", str(painted.wider_images), "--seanlinx-annotations", str(folder / "anno_xywh.txt")]
    assert main(["prepare", "pnet", "--out", str(tmp_path / "out"), *anno]) == 2
    assert "a negative size: this looks like x y w h" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [None, 6])
def test_more_than_a_tenth_lost_stops_unless_told_otherwise(data, tmp_path, caplog, limit):
    _, painted = data
    lines = painted.wider_train_annotations.read_text().split("\n")
    lost = lines[: lines.index(next(line for line in lines[1:] if "/" in line))]
    attributes = " ".join(lost[2].split()[4:])
    path = tmp_path / "gt.txt"
    lost = [lost[0], str(int(lost[1]) + 30), *lost[2:], *[f"5 5 0 9 {attributes}"] * 30]
    path.write_text("\n".join([*lost, *lines[len(lost) - 30 :]]))
    options = {"wider_images": painted.wider_images, "wider_annotations": path, "limit": limit}
    with pytest.raises(InputError, match=r"left out 30 of \d+ faces: 30 without size .* \(--max-left-out 1"):
        make(tmp_path / "out", **options)
    with caplog.at_level(logging.WARNING):
        make(tmp_path / "out", **options, max_left_out=1)
    assert "left out 30 of" in caplog.text
