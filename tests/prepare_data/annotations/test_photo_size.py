import cv2
import numpy as np
import pytest
from PIL import Image

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations import photo_size as image_header
from gluon_mtcnn.prepare_data.annotations.photo_size import image_size, jpeg_size

PICTURE = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": bytes(30_000)}, {"comment": b"\xff" * 300}])
def test_jpegs(tmp_path, options):
    """A frame beyond the head that is looked at is found all the same."""
    path = tmp_path / "x.jpg"
    Image.fromarray(PICTURE).save(path, **options)
    assert image_size(str(path)) == (60, 40)


def test_the_frame_by_hand():
    frame = b"\xff\xc2\x00\x0b\x08\x01\x02\x03\x04"
    assert jpeg_size(b"\xff\xd8" + frame) == (0x304, 0x102)
    table = b"\xff\xc4\x00\x06\xff\xc0\x00\x00"  # a table whose content looks like a frame
    assert jpeg_size(b"\xff\xd8" + table + b"\xff\xff" + frame) == (0x304, 0x102)
    for head in (b"", b"\xff\xd8", b"\xff\xd8" + frame[:-1], b"\x89PNG" + frame, b"\xff\xd8\x00" + frame):
        assert jpeg_size(head) is None
    assert (
        jpeg_size(b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x03\x04") is None
    )  # the number of lines comes after the scan


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif"])
def test_other_formats(tmp_path, suffix):
    path = str(tmp_path / f"x{suffix}")
    cv2.imwrite(path, PICTURE)
    assert image_size(path) == (60, 40)


def test_what_only_opencv_reads(tmp_path, monkeypatch):
    def refuse(_):
        raise SyntaxError("not for Pillow")

    path = str(tmp_path / "x.png")
    cv2.imwrite(path, PICTURE)
    monkeypatch.setattr(image_header.Image, "open", refuse)
    assert image_size(path) == (60, 40)


def test_no_image(tmp_path):
    path = tmp_path / "x.jpg"
    with pytest.raises(InputError, match=r"x\.jpg: cannot be read: No such file"):
        image_size(str(path))
    for content in (b"", b"text", b"\xff\xd8\xff\xe0"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.jpg: expected an image"):
            image_size(str(path))


def test_the_golden_photos(shared):
    paths = sorted((shared / "wider/WIDER_train/images").rglob("*.jpg"))[::100]
    assert paths
    for path in paths:
        height, width = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION).shape[:2]
        assert jpeg_size(path.read_bytes()[:16384]) == (width, height)
