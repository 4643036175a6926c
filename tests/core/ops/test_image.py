import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops import image as images


def test_read_gives_bgr_and_names_a_bad_file(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 250  # blue
    cv2.imwrite(str(tmp_path / "a b.c.png"), picture)
    np.testing.assert_array_equal(images.read(tmp_path / "a b.c.png"), picture)
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"text\.jpg: expected an image, got 13 bytes"):
        images.read(tmp_path / "text.jpg")
    with pytest.raises(InputError, match=r"empty\.jpg: expected an image, got 0 bytes"):
        images.read(tmp_path / "empty.jpg")
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        images.read(tmp_path / "a\0.jpg")
    with pytest.raises(InputError, match=r"none\.jpg: cannot be read: No such file"):
        images.read(tmp_path / "none.jpg")


def test_read_ignores_exif_unless_asked(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert images.read(tmp_path / "turned.jpg").shape == (4, 8, 3)
    assert images.read(tmp_path / "turned.jpg", exif=True).shape == (8, 4, 3)


@pytest.mark.parametrize("orientation", range(9))
def test_webp_is_turned_as_opencv_turns_png(tmp_path, orientation):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))
    picture.save(tmp_path / "a.png", exif=exif)
    picture.save(tmp_path / "a.webp", exif=exif, lossless=True)
    turned = images.read(tmp_path / "a.webp", exif=True)
    np.testing.assert_array_equal(turned, images.read(tmp_path / "a.png", exif=True))
    assert turned.shape == ((6, 4, 3) if orientation > 4 else (4, 6, 3))
    assert images.read(tmp_path / "a.webp").shape == (4, 6, 3)


def test_bad_png_is_one_message_of_our_own(tmp_path, capfd):
    data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))[1].tobytes()
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 255
    for name, content, message in (
        ("cut.png", data[:-5], f"a PNG that is cut off after {len(data) - 5} bytes"),
        ("half.png", data[: len(data) // 2], "cut off"),
        ("damaged.png", bytes(damaged), "damaged at byte 33"),  # behind the signature and the header's chunk
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            images.read(tmp_path / name)
    (tmp_path / "more.png").write_bytes(data + b"text after the end")
    assert images.read(tmp_path / "more.png").shape == (40, 40, 3)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        pytest.param(np.full((2, 2), 7, np.uint8), 7, id="grey"),
        pytest.param(np.full((2, 2, 1), 7, np.uint8), 7, id="grey with a channel axis"),
        pytest.param(np.full((2, 2, 4), 7, np.uint8), 7, id="alpha is dropped"),
        pytest.param(np.full((2, 2, 3), 7 * 256 + 3, np.uint16), 7, id="16 bits"),
        pytest.param(np.full((2, 2, 3), 6.6), 7, id="float"),
        pytest.param(np.ones((2, 2), bool), 255, id="bool"),
    ],
)
def test_as_bgr_accepts(array, expected):
    got = images.as_bgr(array)
    assert got.shape == (2, 2, 3)
    assert got.dtype == np.uint8
    assert (got == expected).all()


def test_as_bgr_swaps_rgb_and_refuses_the_rest():
    rgb = np.array([[[1, 2, 3]]], np.uint8)
    assert images.as_bgr(rgb, "rgb").tolist() == [[[3, 2, 1]]]
    assert images.as_bgr(rgb[:, ::-1]).flags["C_CONTIGUOUS"]
    with pytest.raises(InputError, match=r"must be \(h, w\).*but got \(2, 2, 2\)"):
        images.as_bgr(np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(InputError, match="finite numbers"):
        images.as_bgr(np.full((2, 2, 3), np.nan))
    with pytest.raises(InputError, match="'bgr' or 'rgb', but got 'hsv'"):
        images.as_bgr(rgb, "hsv")


def test_pyramid_by_hand():
    # 480 x 640 at min face 20: .6, then * .709; 480 * .6 * .709**9 = 13.03 -> 13 > 12, the next is 9
    scales = images.pyramid_scales(480, 640, 20)
    assert len(scales) == 10
    assert scales[0] == 0.6
    assert scales[1] == pytest.approx(0.6 * 0.709)
    assert images.pyramid_scales(19, 640, 20) == []
    assert images.pyramid_scales(1, 1, 20) == []
    for bad in ((0, 0.709), (20, 1.0), (20, 0)):
        with pytest.raises(InputError, match="min face must be > 0"):
            images.pyramid_scales(100, 100, *bad)


def test_crops_by_hand():
    picture = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    boxes = np.array([[1, 1, 3, 3], [-1, -1, 1, 1], [4, 3, 6, 5], [20, 20, 22, 22], [-9, 0, -7, 2]])
    crops = images.crop_and_resize(picture, boxes, 3)
    np.testing.assert_array_equal(crops[0], picture[1:4, 1:4])
    np.testing.assert_array_equal(crops[1][1:, 1:], picture[:2, :2])
    assert not crops[1][0].any()
    assert not crops[1][:, 0].any()
    np.testing.assert_array_equal(crops[2][:2, :2], picture[3:, 4:])
    assert not crops[2][2].any()
    assert not crops[3:].any()
    assert images.crop_and_resize(picture, np.zeros((0, 4), int), 12).shape == (0, 12, 12, 3)


def test_normalise_by_hand():
    got = images.normalise(np.array([[[[0, 127, 255]]]], np.uint8))
    np.testing.assert_allclose(got[0, :, 0, 0], [-0.99609375, -0.00390625, 0.99609375])


@pytest.mark.parametrize("box", [(2, 1, 4, 3), (-3, -2, 1, 1), (4, 3, 9, 9), (-5, -5, 20, 20)])
def test_what_is_cut_out_is_zero_beyond_the_image(box):
    image = np.random.default_rng(0).integers(1, 256, (5, 7, 3), np.uint8)
    x1, y1, x2, y2 = box
    wanted = np.pad(image, ((30, 30), (30, 30), (0, 0)))[30 + y1 : 31 + y2, 30 + x1 : 31 + x2]
    np.testing.assert_array_equal(images.cut_out(image, *box), wanted)
