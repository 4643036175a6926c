import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.boxes import decode, iou
from gluon_mtcnn.core.ops.image import crop_and_resize, read
from gluon_mtcnn.core.packs.manifest import read_manifest
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.seanlinx.imdb import read_samples
from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE
from gluon_mtcnn.prepare_data.annotations.photo_size import image_size
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.packing import build as gen_record
from gluon_mtcnn.prepare_data.packing import disk_space as disk
from gluon_mtcnn.prepare_data.packing import units as record_units
from gluon_mtcnn.prepare_data.packing.build import Options, Source, prepare
from gluon_mtcnn.prepare_data.packing.work_folder import WORK, work_folder
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import DEFAULT

FILES = ("train.rec", "train.idx", "val.rec", "val.idx", "manifest.json")


def make(small_wider, out, recipe=DEFAULT, **options):
    images, annotations = small_wider
    source = Source(read_wider(annotations, images), ALL_FACES, {"annotations": "gt.txt"})
    return prepare(PNetPlanner(recipe), [source], out, Options(quiet=True, **options))


def digests(folder):
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES if (folder / name).exists()
    }


@pytest.fixture(scope="module")
def made(small_wider, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    return out, make(small_wider, out, val_fraction=0.2)


def test_the_pack_is_what_the_result_and_the_manifest_say(made):
    out, result = made
    assert sorted(os.listdir(out)) == sorted(FILES)
    manifest = read_manifest(out)
    for name in ("train", "val"):
        pack = Pack(out, name)
        assert pack.class_counts() == result["sets"][name] == manifest["sets"][name]["classes"]
        assert pack.size == 12
        used, planned = result["sets"][name], result["planned"][name]
        assert used["positive"] == planned["positive"] > 0
        assert used["negative"] == min(planned["negative"], 3 * used["positive"])
        assert used["part"] == min(planned["part"], used["positive"])
        assert used["landmark"] == 0
    metadata = manifest["sets"]["train"]["metadata"]
    assert (metadata["net"], metadata["seed"], metadata["photos"], metadata["skipped"]) == ("pnet", 0, 50, [])
    assert metadata["recipe"]["min_face"] == 20


def test_pixels_and_targets_are_those_of_a_face(small_wider, made):
    """Every positive of the pack is found again: its crop, resized, comes from where its target says the face is."""
    images, annotations = small_wider
    out, _ = made
    pack = Pack(out)
    index = np.flatnonzero(pack.labels() == 1)[::40]
    pixels, rows = pack.images(index), pack.rows(index)
    photos = [(read(a.image), a.boxes) for a in read_wider(annotations, images)]
    for crop, row in zip(pixels, rows):
        distances = [best_match(image, faces, crop, row[1:5]) for image, faces in photos]
        assert min(distances) <= 1


def best_match(image, faces, crop, offsets):
    """Return the least difference of a crop from the squares for which the offsets mean one of the faces."""
    best = 255
    for face in faces:
        # offsets of x1 and x2 give side and corner: face = square + offset * side
        side = round(float((face[2] - face[0] + 1) / (1 + offsets[2] - offsets[0])))
        corner = np.rint(face[:2] - offsets[:2] * side).astype(int)
        square = np.array([[*corner, *(corner + side - 1)]])
        if side < 1 or not np.allclose(decode(square, offsets[None]), face, atol=0.05):
            continue
        assert iou(square, face[None])[0, 0] >= 0.65
        best = min(best, int(np.abs(crop_and_resize(image, square, 12)[0].astype(int) - crop).max()))
    return best


@pytest.mark.parametrize("workers", [2, 4])
def test_the_same_bytes_with_more_workers(small_wider, made, tmp_path, workers):
    make(small_wider, tmp_path, val_fraction=0.2, num_workers=workers)
    assert digests(tmp_path) == digests(made[0])


def test_another_seed_gives_other_samples(small_wider, made, tmp_path):
    make(small_wider, tmp_path, val_fraction=0.2, seed=1)
    assert digests(tmp_path)["train.rec"] != digests(made[0])["train.rec"]


@pytest.mark.parametrize("function", ["plan_unit", "cut_unit"])
def test_a_run_that_was_broken_off_goes_on(small_wider, made, tmp_path, monkeypatch, function):
    done = []

    def counting(*args):
        done.append(args[1])
        return original(*args)

    def breaking(*args):
        if args[1] == 1:
            raise KeyboardInterrupt
        return counting(*args)

    original = getattr(record_units, function)
    monkeypatch.setattr(gen_record, function, breaking)
    with pytest.raises(KeyboardInterrupt):
        make(small_wider, tmp_path, val_fraction=0.2)
    assert os.listdir(tmp_path) == [WORK]  # nothing half-written under a pack's name
    monkeypatch.setattr(gen_record, function, counting)
    make(small_wider, tmp_path, val_fraction=0.2)
    assert done == [0, 1]  # the first unit was not done again
    assert digests(tmp_path) == digests(made[0])
    assert not (tmp_path / WORK).exists()


def test_work_of_other_options_is_not_taken_over(small_wider, made, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(gen_record, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make(small_wider, tmp_path, val_fraction=0.2, seed=5)
    make(small_wider, tmp_path, val_fraction=0.2)
    assert digests(tmp_path) == digests(made[0])


@pytest.mark.slow
def test_kill_9_at_ten_random_moments(small_wider, made, tmp_path):
    images, annotations = small_wider
    command = [
        sys.executable,
        "-m",
        "gluon_mtcnn",
        "prepare",
        "pnet",
        "--wider-images",
        str(images),
        "--wider-annotations",
    ]
    command += [
        str(annotations),
        "--out",
        str(tmp_path / "out"),
        "--val-fraction",
        ".2",
        "--num-workers",
        "2",
        "--quiet",
    ]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - started
    expected = digests(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    for moment in np.random.default_rng(0).uniform(0.2, 1, 10) * seconds:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert digests(tmp_path / "out") == expected
    assert expected["train.rec"] == digests(made[0])["train.rec"]


def test_an_old_pack_stays_until_the_new_one_is_done(small_wider, tmp_path, monkeypatch):
    make(small_wider, tmp_path, val_fraction=0.2)
    before = digests(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(gen_record, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make(small_wider, tmp_path, seed=3)
    assert digests(tmp_path) == before
    make(small_wider, tmp_path, seed=3)
    assert sorted(os.listdir(tmp_path)) == ["manifest.json", "train.idx", "train.rec"]  # no val.rec of another split
    assert list(read_manifest(tmp_path)["sets"]) == ["train"]


def copy_photos(small_wider, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(small_wider[0], folder)
    return folder, folder / "gt.txt"


def test_bad_photos_are_left_out_and_listed(small_wider, tmp_path):
    copy = copy_photos(small_wider, tmp_path)
    (copy[0] / "images/0--Event/0.png").unlink()
    (copy[0] / "images/1--Event/1.png").write_text("no image")
    result = make(copy, tmp_path / "out")
    assert [name for name, _ in result["skipped"]] == ["0--Event/0.png", "1--Event/1.png"]
    assert "No such file" in result["skipped"][0][1]
    assert "expected an image" in result["skipped"][1][1]
    assert read_manifest(tmp_path / "out")["sets"]["train"]["metadata"]["skipped"] == [
        list(s) for s in result["skipped"]
    ]
    with pytest.raises(InputError, match=r"0\.png: photo not found"):
        make(copy, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_a_photo_that_turns_out_not_to_decode_gives_no_sample(small_wider, tmp_path):
    """Its header is whole, so that it is planned; the pack is as if it had been known from the start."""
    copy = copy_photos(small_wider, tmp_path)
    path = copy[0] / "images/0--Event/34.png"
    data = path.read_bytes()
    path.write_bytes(data[:60])
    assert image_size(str(path)) == image_size(str(small_wider[0] / "images/0--Event/34.png"))
    result = make(copy, tmp_path / "a", val_fraction=0.2)
    assert [name for name, _ in result["skipped"]] == ["0--Event/34.png"]
    assert Pack(tmp_path / "a").class_counts() == result["sets"]["train"]
    path.write_bytes(b"")
    assert make(copy, tmp_path / "b", val_fraction=0.2)["sets"] == result["sets"]
    for name in ("train.rec", "val.rec"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    path.write_bytes(data[:60])
    with pytest.raises(InputError, match=r"34\.png: expected an image"):
        make(copy, tmp_path / "c", strict=True)


@pytest.mark.filterwarnings("error")
def test_a_photo_is_left_out_whose_faces_lie_beyond_it(small_wider, tmp_path):
    """Else its real faces, wherever they are, would be taken for background."""
    copy = copy_photos(small_wider, tmp_path)
    rows = copy[1].read_text().split("\n")
    rows[2] = "5000 5000 100 100 0 0 0 0 0 0"
    copy[1].write_text("\n".join(rows))
    result = make(copy, tmp_path / "out")
    (skipped,) = result["skipped"]
    assert skipped[0] == "0--Event/0.png"
    assert re.search(r"pixels, got x1 y1 x2 y2 = 5000 5000 5099 5099", skipped[1])
    rows[2] = "5000 5000 100 100 2 0 0 0 0 0"  # heavy blur: ignored
    copy[1].write_text("\n".join(rows))
    assert make(copy, tmp_path / "out")["skipped"] == []


def test_a_source_without_photos_is_refused(small_wider, tmp_path):
    sources = [
        Source(read_wider(small_wider[1], small_wider[0]), ALL_FACES, {"annotations": "gt.txt"}),
        Source(iter(()), ONE_FACE, {"annotations": "list.txt"}),
    ]
    with pytest.raises(InputError, match=r"^list\.txt: expected annotated photos, found none"):
        prepare(PNetPlanner(DEFAULT), sources, tmp_path / "out", Options(quiet=True))
    assert not (tmp_path / "out").exists()


def test_all_photos_missing(small_wider, tmp_path):
    source = Source(read_wider(small_wider[1], tmp_path), ALL_FACES, {"annotations": "gt.txt"})
    with pytest.raises(InputError, match=r"photo not found \(50 of 50 in gt.txt\)"):
        prepare(PNetPlanner(DEFAULT), [source], tmp_path / "out", Options(quiet=True))


def test_no_face_large_enough(small_wider, tmp_path):
    with pytest.raises(InputError, match="no positive sample: expected faces of at least 90 px"):
        make(small_wider, tmp_path / "out", DEFAULT.with_options(min_face=90))
    assert not (tmp_path / "out").exists()


def test_counts_are_limits(small_wider, tmp_path):
    result = make(small_wider, tmp_path, val_fraction=0.2, counts=(20, 30, 10**9, 5))
    train, val = result["sets"]["train"], result["sets"]["val"]
    assert (train["positive"], train["negative"], train["landmark"]) == (20, 30, 0)
    assert train["part"] == result["planned"]["train"]["part"]
    assert (val["positive"], val["negative"]) == (5, 8)  # 20 and 30 times 10 / 40 photos


@pytest.mark.parametrize("payload", ["jpg", "png"])
def test_coded_records_do_not_depend_on_the_workers(small_wider, made, tmp_path, payload):
    make(small_wider, tmp_path / "a", val_fraction=0.2, payload=payload)
    make(small_wider, tmp_path / "b", val_fraction=0.2, payload=payload, num_workers=2)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    bmp = Pack(made[0])
    pack = Pack(tmp_path / "a")
    assert pack.manifest["payload"] == payload
    assert pack.class_counts() == bmp.class_counts()
    np.testing.assert_array_equal(pack.rows(), bmp.rows())
    index = np.arange(0, len(pack), 50)
    difference = np.abs(pack.images(index).astype(int) - bmp.images(index)).mean()
    assert (difference == 0) == (payload == "png")
    assert difference < 45  # coloured noise is what JPEG is worst at; unrelated images differ by 85


def test_the_seanlinx_layout_is_written_too(small_wider, made, tmp_path):
    make(small_wider, tmp_path / "out", val_fraction=0.2, imdb=str(tmp_path / "root"))
    assert digests(tmp_path / "out") == digests(made[0])
    for name in ("train", "val"):
        _, rows = read_samples(tmp_path / "root", f"{name}_12")
        np.testing.assert_array_equal(rows, Pack(tmp_path / "out", name).rows())
    (tmp_path / "root/mtcnn/images/24").mkdir()
    (tmp_path / "root/mtcnn/images/24/x").touch()
    shutil.rmtree(tmp_path / "root/mtcnn/images/12/.gluon-mtcnn")
    with pytest.raises(InputError, match="made by another program"):
        make(small_wider, tmp_path / "out2", imdb=str(tmp_path / "root"))
    assert not (tmp_path / "out2").exists()


def test_no_room_on_the_disk(small_wider, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match="MB of free disk, got 0 MB"):
        make(small_wider, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_runs_into_one_folder(small_wider, tmp_path):
    with work_folder(tmp_path), pytest.raises(InputError, match="another prepare is writing there"):
        make(small_wider, tmp_path)


def test_out_cannot_be_a_folder(small_wider, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be made a folder"):
        make(small_wider, tmp_path / "file")


def test_the_exif_orientation_is_not_applied(tmp_path):
    """Annotations are in pixels as stored, and both the header and the decoder must see those."""
    image = np.zeros((40, 60, 3), np.uint8)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn by 90
    data = cv2.imencode(".jpg", image)[1].tobytes()
    path = tmp_path / "turned.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    assert image_size(str(path)) == (60, 40)
    assert read(path).shape == (40, 60, 3)


def test_metadata_is_json(made):
    json.dumps(read_manifest(made[0]))
