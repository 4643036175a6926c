import os

import cv2
import numpy as np
import pytest

from gluon_mtcnn.tools.detect.media import MediaSource, count_frames, find_media, quiet_opencv, read_frames

SIZE = (64, 48)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    quiet_opencv()


def write_video(path, frames, fps=12.5, fourcc="mp4v"):
    """Frame i is of one colour, 10 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, SIZE)
    for i in range(frames):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 10 * i, np.uint8))
    writer.release()
    return path


def write_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint8))
    return path


def names(inputs, **options):
    return [(source.kind, source.name) for source in find_media(map(str, inputs), **options)]


def test_a_folder_is_searched_with_names_below_it(tmp_path):
    for name in ("b.JPG", "a.png", "sub/deep/c.jpeg", "film.mp4", "loop.gif", ".hidden.jpg", ".git/x.jpg", "text.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert names([tmp_path]) == [
        ("image", "a.png"),
        ("image", "b.JPG"),
        ("video", "film.mp4"),
        ("image", "gone.jpg"),  # reading it will say so
        ("video", "loop.gif"),
        ("image", "sub/deep/c.jpeg"),
    ]
    assert ("image", "sub/deep/c.jpeg") not in names([tmp_path], skip=[str(tmp_path / "sub")])


def test_names_start_from_what_the_inputs_share(tmp_path):
    one, two = write_picture(tmp_path / "x/1/a.jpg"), write_picture(tmp_path / "x/2/a.jpg")
    assert names([one]) == [("image", "a.jpg")]
    assert names([one, two]) == [("image", "1/a.jpg"), ("image", "2/a.jpg")]
    assert names([tmp_path / "x"]) == names([one, two])
    assert names([tmp_path / "x", one, f"{tmp_path}/./x/1/../1/a.jpg"]) == names([one, two])  # each file once
    assert names([tmp_path]) == [("image", "x/1/a.jpg"), ("image", "x/2/a.jpg")]
    assert names([tmp_path / "x" / "*" / "a.jpg"]) == names([one, two])
    assert names([tmp_path / "**" / "*.jpg"]) == names([tmp_path])
    assert names([tmp_path / "x" / "[2]"]) == [("image", "2/a.jpg")]


def test_a_name_that_looks_like_a_glob_or_a_webcam_is_a_file_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "a[1].jpg")
    (tmp_path / "0").write_bytes((tmp_path / "a[1].jpg").read_bytes())
    assert names(["a[1].jpg"]) == [("image", "a[1].jpg")]
    assert names(["0"]) == [("image", "0")]
    assert names(["7"]) == [("camera", "camera-7")]


def test_arguments_that_mean_nothing_are_sources_with_a_problem(tmp_path):
    (tmp_path / "empty").mkdir()
    inputs = [tmp_path / "none.jpg", tmp_path / "*.bmp", tmp_path / "empty", write_picture(tmp_path / "a.jpg")]
    problems = [source.problem for source in find_media(map(str, inputs))]
    assert problems[0].endswith("none.jpg: no such file or folder")
    assert problems[1].endswith("*.bmp: no such file or folder")
    assert "empty: the folder holds no image (.jpg" in problems[2]
    assert problems[3] == ""


@pytest.mark.parametrize(("suffix", "fourcc"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")])
def test_every_nth_frame_with_its_index(tmp_path, suffix, fourcc):
    source = MediaSource(str(write_video(tmp_path / f"v{suffix}", 11, fourcc=fourcc)), "video", "v")
    frames = list(read_frames([source], every=3))
    assert [frame.index for frame in frames] == [0, 3, 6, 9]
    assert [frame.fps for frame in frames] == [12.5] * 4
    np.testing.assert_allclose([frame.image.mean() for frame in frames], [0, 30, 60, 90], atol=4)
    assert frames[0].image.shape == (48, 64, 3)
    assert [frame.index for frame in read_frames([source], every=3, limit=2)] == [0, 3]
    assert len(list(read_frames([source]))) == count_frames([source]) == 11
    assert count_frames([source], every=3) == 4
    assert count_frames([source], limit=5) == 5
    assert count_frames([source, MediaSource("0", "camera", "camera-0")]) is None


def test_an_animated_gif_is_a_video(tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(np.full((30, 40, 3), value, np.uint8)) for value in (0, 100, 200)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    frames = list(read_frames(find_media([str(tmp_path / "a.gif")])))
    assert [frame.image.shape for frame in frames] == [(30, 40, 3)] * 3
    np.testing.assert_allclose([frame.image.mean() for frame in frames], [0, 100, 200], atol=4)


def test_a_video_that_breaks_off_gives_what_it_has_and_says_so(tmp_path, capfd):
    path = write_video(tmp_path / "v.avi", 20, fourcc="MJPG")
    os.truncate(path, path.stat().st_size * 3 // 4)
    *frames, last = read_frames(find_media([str(tmp_path / "v.avi")]))
    assert 0 < len(frames) < 20
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert last.image is None
    assert last.index == len(frames)
    assert last.problem.endswith(f"v.avi: the video breaks off: {len(frames)} of 20 frames decode")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.mp4", b"hello", "expected a video, got 5 bytes that do not open as one"),
        ("empty.avi", b"", "expected a video, got 0 bytes"),
        ("text.gif", b"hello", "expected a video"),
        ("text.jpg", b"hello", "expected an image, got 5 bytes"),
        ("none.mp4", None, "cannot be read: No such file or directory"),
    ],
)
def test_what_does_not_decode_is_one_frame_with_a_problem(tmp_path, capfd, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    source = MediaSource(str(path), "image" if name.endswith("jpg") else "video", name)
    (frame,) = read_frames([source])
    assert frame.image is None
    assert frame.index == 0
    assert f"{name}: {message}" in frame.problem
    assert capfd.readouterr().err == ""


def test_a_video_without_frames(tmp_path, capfd):
    source = MediaSource(str(write_video(tmp_path / "v.avi", 0, fourcc="MJPG")), "video", "v.avi")
    (frame,) = read_frames([source])
    assert "v.avi: expected a video, got one without a frame that decodes" in frame.problem
    assert capfd.readouterr().err == ""


def test_no_webcam():
    (frame,) = read_frames([MediaSource("98", "camera", "camera-98")])
    assert "no webcam of this index can be opened" in frame.problem


def test_exif_is_followed_unless_told_otherwise(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    sources = find_media([str(tmp_path / "a.jpg")])
    assert next(read_frames(sources)).image.shape == (8, 4, 3)
    assert next(read_frames(sources, exif=False)).image.shape == (4, 8, 3)
