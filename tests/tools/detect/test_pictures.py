import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.detect.media import Frame, MediaSource, read_frames
from gluon_mtcnn.tools.detect.outputs import Found
from gluon_mtcnn.tools.detect.pictures import ChipsOutput, DrawOutput, chip_names, drawn_names, video_file, write_image

FACE = Detections([[10, 10, 29, 29]], [0.9])


def picture(name):
    return MediaSource(f"in/{name}", "image", name)


def test_drawn_copies_keep_their_names_where_opencv_can_write_them():
    names = ["a.jpg", "sub/a.jpg", "scan", "scan.png", "old.pgm", "x.TIFF"]
    sources = [
        *map(picture, names),
        MediaSource("in/v.mp4", "video", "v.mp4"),
        MediaSource("in/v.avi", "video", "v.avi"),
    ]
    assert list(drawn_names(sources).values()) == [
        "a.jpg",
        "sub/a.jpg",
        "scan_.png",  # the next one has that name
        "scan.png",
        "old.pgm.png",
        "x.TIFF",
        "v.mp4",
        "v.avi.mp4",
    ]


def test_chips_of_different_files_have_different_names():
    sources = [*map(picture, ["a.jpg", "a.png", "b.c.jpg", "sub/a.jpg"]), MediaSource("in/a.mp4", "video", "a.mp4")]
    assert list(chip_names(sources).values()) == ["a.jpg", "a.png", "b.c", "sub/a", "a.mp4"]


def test_a_drawn_video_has_the_frames_and_their_rate(tmp_path):
    source = MediaSource("in/v.avi", "video", "sub/v.avi")
    frames = [Frame(source, np.full((48, 64, 3), 60 * i, np.uint8), 2 * i, 25) for i in range(3)]
    frames.append(
        Frame(source, np.full((96, 128, 3), 180, np.uint8), 6, 25)
    )  # a stream that grows: same size as before
    with DrawOutput(str(tmp_path), [source], every=2) as output:
        for frame in frames:
            output.add(Found(frame, Detections.empty()))
        assert not (tmp_path / "sub/v.avi.mp4").exists()
        output.end(source, 4, "")
        assert [p.name for p in (tmp_path / "sub").iterdir()] == ["v.avi.mp4"]
    drawn = list(read_frames([MediaSource(str(tmp_path / "sub/v.avi.mp4"), "video", "v")]))
    assert [frame.fps for frame in drawn] == [12.5] * 4
    np.testing.assert_allclose([frame.image.mean() for frame in drawn], [0, 60, 120, 180], atol=4)
    assert drawn[3].image.shape == (48, 64, 3)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (63, 47)])
def test_a_video_of_odd_sides_loses_nothing(tmp_path, width, height):
    with video_file(tmp_path / "v.mp4", 10, (height, width, 3)) as write:
        write(np.full((height, width, 3), 120, np.uint8))
    (frame,) = read_frames([MediaSource(str(tmp_path / "v.mp4"), "video", "v")])
    assert frame.image.shape == (height + 1, width + 1, 3)
    np.testing.assert_allclose(frame.image, 120, atol=4)


def test_an_interrupted_video_leaves_nothing(tmp_path):
    source = MediaSource("in/v.mp4", "video", "v.mp4")

    def interrupted():
        with DrawOutput(str(tmp_path), [source]) as output:
            output.add(Found(Frame(source, np.zeros((48, 64, 3), np.uint8)), FACE))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_drawn_picture_shows_the_box(tmp_path):
    image = np.zeros((40, 40, 3), np.uint8)
    output = DrawOutput(str(tmp_path), [picture("sub/a.png")])
    output.add(Found(Frame(picture("sub/a.png"), image), FACE))
    drawn = cv2.imread(str(tmp_path / "sub/a.png"))
    assert drawn[29, 15].any()
    assert not drawn[35, 15].any()
    assert not image.any()


def test_chips_are_numbered_by_face_and_frame(tmp_path):
    video = MediaSource("in/v.mp4", "video", "v.mp4")
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    two = Detections([[10, 10, 29, 29], [0, 0, 9, 9]], [0.9, 0.8])
    output = ChipsOutput(str(tmp_path), [picture("sub/a.jpg"), video], size=20, margin=0)
    output.add(Found(Frame(picture("sub/a.jpg"), image), two))
    output.add(Found(Frame(video, image, 25), FACE))
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    assert files == ["sub/a_0.png", "sub/a_1.png", "v.mp4/000025_0.png"]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "sub/a_0.png")), image[10:30, 10:30])


@pytest.mark.parametrize("make", [DrawOutput, lambda d, s: ChipsOutput(d, s, 112, None)], ids=["draw", "chips"])
def test_inputs_are_not_overwritten(tmp_path, make):
    sources = [MediaSource(str(tmp_path / name), "image", name) for name in ("a.png", "a_0.png")]
    with pytest.raises(InputError, match=r"--(draw|chips): .*png is an input: give another folder"):
        make(str(tmp_path), sources)


def test_what_a_format_cannot_hold_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg: 70000 x 2 pixels cannot be written in this format"):
        write_image(tmp_path / "a.jpg", np.zeros((2, 70_000, 3), np.uint8))
    with (
        pytest.raises(InputError, match=r"v\.mp4: a video of .* cannot be written"),
        video_file(tmp_path / "v.mp4", 25, (0, 0, 3)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
