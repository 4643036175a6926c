"""Images of every kind, many of them, threads, and the engines against each other."""

import gc
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.core.types import ENGINES, NETS, Detections

FAST = [engine for engine in ENGINES if engine != "plain"]


@pytest.fixture(scope="module")
def model():
    nets = {}
    for i, kind in enumerate(NETS):
        nets[kind] = build(NetSpec(kind, landmarks=kind == "onet"))
        initialise(nets[kind], seed=i)
    return Model(nets=nets, thresholds=(0.3, 0.3, 0.3))


@pytest.fixture(scope="module")
def detector(model):
    return Detector(model)


def noise(height, width, channels=3, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)


def same(a: Detections, b: Detections):
    np.testing.assert_array_equal(a.as_array(), b.as_array())
    np.testing.assert_array_equal(a.landmarks, b.landmarks)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("compat", [None, "seanlinx"])
@pytest.mark.parametrize(("pooling", "order"), [("full", "prelu_first"), ("valid", "pool_first")])
@pytest.mark.parametrize("shape", [(71, 131), (64, 300), (333, 41)])
def test_fast_engines_find_the_boxes_of_the_plain_path(engine, compat, pooling, order, shape):
    nets = {kind: build(NetSpec(kind, kind != "rnet", pooling, order)) for kind in NETS}
    for i, net in enumerate(nets.values()):
        initialise(net, seed=i + 3)
    model = Model(nets=nets, thresholds=(0.4, 0.4, 0.4), calibration="clipped")
    photo = noise(*shape, seed=sum(shape))
    plain = Detector(model, "plain", compat=compat).stages(photo)
    fast = Detector(model, engine, compat=compat).stages(photo)
    for kind in NETS:
        # in order of box: scores of random nets lie so near each other that rounding may exchange neighbours
        got, wanted = (stage[kind].after[np.lexsort(stage[kind].after[:, :4].round(1).T)] for stage in (fast, plain))
        assert len(wanted) > 3
        assert len(got) == len(wanted)
        np.testing.assert_allclose(got[:, :4], wanted[:, :4], rtol=0, atol=1e-2)
        np.testing.assert_allclose(got[:, 4], wanted[:, 4], rtol=0, atol=1e-4)


@pytest.mark.parametrize("engine", FAST)
def test_released_weights_find_the_same_on_a_photo(shared, engine):
    folder = shared / "seanlinx"
    legacy = load_seanlinx({k: folder / "model" / k for k in NETS}, dict.fromkeys(NETS, 16))
    photo = images.read(folder / "test01.jpg")[:301, :403]  # odd sides, pooled up
    plain, fast = (Detector(legacy, name, thresholds=(0.6, 0.7, 0.7)).detect(photo) for name in ("plain", engine))
    assert len(plain) == len(fast) >= 2
    np.testing.assert_allclose(fast.as_array(), plain.as_array(), rtol=0, atol=1e-3)


def test_kinds_of_arrays_give_what_their_pixels_mean(detector):
    photo = noise(60, 70)
    grey = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    wanted = detector.detect(photo)
    same(detector.detect(np.dstack([photo, photo[..., 0]])), wanted)
    same(detector.detect(photo.astype(np.uint16) * 256 + 99), wanted)
    same(detector.detect(photo.astype(">u2") * 256 + 99), wanted)
    same(detector.detect(photo.astype(np.float64)), wanted)
    same(detector.detect(photo.tolist()), wanted)
    same(detector.detect(np.asfortranarray(photo)), wanted)
    same(detector.detect(np.repeat(photo, 2, axis=1)[:, ::2]), wanted)
    same(detector.detect(photo[::-1, ::-1][::-1, ::-1]), wanted)
    same(detector.detect(grey), detector.detect(np.dstack([grey] * 3)))
    same(detector.detect(grey[..., None]), detector.detect(grey))
    with pytest.raises(InputError, match=r"an image must be .* but got \(60, 70, 2\)"):
        detector.detect(photo[..., :2])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((20, 20), np.nan), "finite numbers, but got NaN"),
        (np.full((20, 20), np.inf, np.float32), "finite numbers, but got NaN or infinity"),
        (np.zeros((20, 20), complex), "real numbers, but got complex128"),
        (np.zeros((20, 20), object), "real numbers, but got object"),
        ([[1, 2], [3]], "rows of different lengths"),
        ("photo.jpg", r"but got \(\)"),
        (None, r"but got \(\)"),
        (np.zeros((1, 20, 20, 3), np.uint8), r"but got \(1, 20, 20, 3\)"),
    ],
)
def test_what_is_no_image_is_refused(detector, image, message):
    with pytest.raises(InputError, match=message):
        detector.detect(image)


def test_a_pil_image_whose_file_is_cut_off_does_not_end_a_stream(detector, tmp_path):
    path = tmp_path / "cut.jpg"
    whole = cv2.imencode(".jpg", noise(100, 100))[1].tobytes()
    path.write_bytes(whole[: len(whole) // 2])
    found = list(detector.detect_many([Image.open(path), noise(30, 30)], errors="return"))
    assert [type(result) for result in found] == [InputError, Detections]
    assert str(found[0]).startswith(f"{path}: cannot be decoded: image file is truncated")


def test_min_face_that_is_no_number_is_refused(model):
    with pytest.raises(InputError, match=r"min face must be > 0 .* got nan"):
        Detector(model, min_face=float("nan"))


def test_pil_images_know_their_colours(detector):
    photo = noise(60, 70)
    rgb = Image.fromarray(photo[..., ::-1].copy())
    wanted = detector.detect(photo)
    same(detector.detect(rgb), wanted)
    same(detector.detect(rgb.convert("RGBA")), wanted)
    same(Detector(detector.model, color="rgb").detect(rgb), wanted)
    grey = rgb.convert("L")
    same(detector.detect(grey), detector.detect(np.asarray(grey)))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 256)
    assert deep.mode.startswith("I")
    same(detector.detect(deep), detector.detect(np.asarray(grey)))
    palette = rgb.convert("P")
    same(detector.detect(palette), detector.detect(palette.convert("RGB")))


def test_an_image_is_not_written_to(detector):
    photo = noise(50, 60)
    before = photo.copy()
    detector.detect(photo)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(0, 0, 3), (1, 1, 3), (1, 400, 3), (12, 12), (21, 21), (20000, 50, 3), (50, 20000)])
def test_odd_sizes_give_typed_results(model, engine, shape):
    if engine == "plain" and max(shape) > 1000:
        pytest.skip("as slow as the original on large images")
    one_look = max(shape) > 1000  # these nets find faces everywhere, thousands of them
    faces = Detector(model, engine, look_again=not one_look).detect(np.full(shape, 90, np.uint8))
    assert faces.boxes.shape == (len(faces), 4)
    assert faces.landmarks.shape == (len(faces), 5, 2)
    assert (faces.boxes.dtype, faces.scores.dtype, faces.landmarks.dtype) == (np.float32,) * 3


def test_batches_and_streams_give_what_single_images_give(detector, tmp_path):
    photos = [noise(h, w, seed=h) for h, w in ((60, 60), (41, 90), (1, 1), (100, 35))]
    wanted = [detector.detect(photo) for photo in photos]
    paths = []
    for i, photo in enumerate(photos):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), photo)
    for got in (
        detector.detect_batch(photos),
        list(detector.detect_many(iter(photos))),
        list(detector.detect_many(paths, workers=2)),
        list(detector.detect_many([str(paths[0]), photos[1], photos[2], paths[3]], workers=3)),
    ):
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted):
            same(a, b)


@pytest.mark.parametrize("engine", FAST)
def test_a_stream_is_taken_only_as_far_ahead_as_needed(model, engine):
    taken = []

    def photos():
        for i in range(40):
            taken.append(i)
            yield noise(30, 30, seed=i)

    results = Detector(model, engine).detect_many(photos(), workers=2)
    next(results)
    assert len(taken) <= 6
    results.close()


def test_an_unreadable_file_ends_a_stream_or_stands_in_its_place(detector, tmp_path):
    inputs = [noise(30, 30), tmp_path / "none.jpg", noise(31, 30)]
    results = detector.detect_many(inputs)
    next(results)
    with pytest.raises(InputError, match=r"none\.jpg: cannot be read"):
        next(results)
    kinds = [type(result) for result in detector.detect_many(inputs, errors="return")]
    assert kinds == [Detections, InputError, Detections]
    with pytest.raises(InputError, match="workers >= 1, got 'raise' and 0"):
        next(detector.detect_many(inputs, workers=0))


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_may_share_a_detector_or_have_clones(model, engine):
    shared = Detector(model, engine)
    photos = [noise(50 + i, 60, seed=i) for i in range(4)]
    wanted = [shared.detect(photo) for photo in photos]
    for detectors in ([shared] * 4, [shared.clone() for _ in photos]):
        found = [None] * 4

        def work(i, detectors=detectors, found=found):
            found[i] = detectors[i].detect(photos[i])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for a, b in zip(found, wanted):
            same(a, b)


def test_clones_that_are_gone_give_their_devices_back(model):
    """MXNet keeps a thread for every CPU device that was ever used."""
    detector = Detector(model)
    clones = [detector.clone() for _ in range(3)]
    numbers = {clone._cascade._engine._device.device_id for clone in clones}
    assert len(numbers) == 3
    assert 0 not in numbers
    del clones
    gc.collect()
    for _ in range(20):
        assert detector.clone()._cascade._engine._device.device_id <= max(numbers)
    photo = noise(50, 60)
    same(detector.clone().detect(photo), detector.detect(photo))


def test_the_earlier_name_of_test_time_augmentation_still_works(model):
    for name in ("look_again", "test_time_augmentation"):
        for value in (True, False):
            detector = Detector(model, **{name: value})
            assert detector.look_again is detector.test_time_augmentation is value
    assert Detector(model).test_time_augmentation  # its O-Net has a landmark head


def test_onnxruntime_that_is_not_installed_is_one_clear_line(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime cannot be imported .*: pip install 'gluon-mtcnn\[onnx\]'"):
        Detector(model, "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("engine", FAST)
def test_memory_stays_flat_over_images_of_random_sizes(model, engine):
    from gluon_mtcnn.tools.benchmark.measure import anonymous_bytes

    rng = np.random.default_rng(0)
    detector = Detector(model, engine, thresholds=(0.6, 0.6, 0.6))
    photos = (noise(*rng.integers(30, 700, 2), seed=i) for i in range(1000))
    peaks = [0, 0]
    for i, _ in enumerate(detector.detect_many(photos, workers=2)):
        peaks[i >= 200] = max(peaks[i >= 200], anonymous_bytes())
    assert peaks[1] < 1.05 * peaks[0]
