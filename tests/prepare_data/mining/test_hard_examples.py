import hashlib
import json
import shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import save_net, write_presets
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.ops.image import read
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.seanlinx.detection_files import read_detections
from gluon_mtcnn.core.types import ALL_FACES, NEGATIVE, PART, POSITIVE, Annotation
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.mining.hard_examples import (
    MINING,
    HardExamplePlanner,
    Mining,
    candidate_squares,
    detect_rescaled,
    hard_examples,
    negatives_at_face,
    open_detector,
)
from gluon_mtcnn.prepare_data.packing.build import Options, Source, prepare
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES, Faces

NO_JITTER = replace(RECIPES["default"]["rnet"], near_negatives=0, tries=(0,) * 4)
FACE = [100, 100, 149, 149]
PHOTOS = 12  # two chunks, the last one short


def faces_of(*boxes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Faces(boxes, np.ones(len(boxes), bool))


def mine(squares, faces, mining=MINING["default"]["rnet"], recipe=NO_JITTER):
    return hard_examples(np.random.default_rng(0), np.array(squares).reshape(-1, 4), faces, 400, 400, recipe, mining)


def test_candidates_are_squared_rounded_and_in_order_of_score():
    found = np.array(
        [
            [10, 10, 29.4, 39, 0.5],  # 20.4 x 30: the square's left edge is 10 + 10.2 - 15 = 5.2
            [50, 50, 79, 79, 0.9],
            [50, 50, 68, 68, 0.8],  # 19 px
            [-50, -50, -20, -20, 0.7],  # outside
            [-10, 0, 19, 29, 0.6],  # crosses the border
        ]
    )
    squares = candidate_squares(found, 80, 80, padded=True)
    np.testing.assert_array_equal(squares, [[50, 50, 79, 79], [-10, 0, 19, 29], [5, 10, 34, 39]])
    np.testing.assert_array_equal(candidate_squares(found, 80, 80, padded=False), squares[[0, 2]])
    assert candidate_squares(np.zeros((0, 5)), 80, 80, True).shape == (0, 4)


def test_under_the_original_s_rule_only_the_width_counts():
    found = np.array([[0.4, 0.6, 18.9, 19.1, 0.5], [0.6, 0.4, 19.1, 18.9, 0.4]])  # side 19.5: 20 x 19 and 19 x 20 px
    np.testing.assert_array_equal(candidate_squares(found, 80, 80, False, by_width=True), [[0, 1, 19, 19]])
    assert len(candidate_squares(found, 80, 80, False)) == 0


def test_the_seanlinx_recipe_leaves_small_faces_out_for_the_12_net_only():
    least = {net: RECIPES["seanlinx"][net].min_face for net in ("pnet", "rnet", "onet")}
    assert least == {"pnet": 40, "rnet": 0, "onet": 0}
    small = Annotation("photo.jpg", np.array([[100, 100, 123, 129]], np.float32), np.zeros(1, bool))
    squares = [[97, 100, 126, 129], [100, 108, 129, 137], [100, 200, 129, 229]]  # IoU 0.80, 0.42, 0
    for net in ("rnet", "onet"):
        recipe, mining = RECIPES["seanlinx"][net], MINING["seanlinx"][net]
        crops = mine(squares, Faces.of(small, recipe.min_face), mining, recipe)
        assert crops.labels.tolist() == [POSITIVE, PART, NEGATIVE]


def test_detections_are_labelled_by_their_best_face():
    squares = [FACE, [121, 100, 170, 149], [122, 100, 171, 149], [0, 0, 29, 29], [50, 50, 249, 249]]
    crops = mine(squares, faces_of(FACE))
    np.testing.assert_array_equal(crops.labels, [POSITIVE, PART, NEGATIVE])
    np.testing.assert_array_equal(crops.boxes, [squares[0], squares[1], squares[3]])
    np.testing.assert_allclose(crops.offsets, [[0] * 4, [-0.42, 0, -0.42, 0], [0] * 4], atol=1e-6)


def test_the_highest_scores_are_kept():
    squares = [[i, 200, i + 29, 229] for i in range(10)]
    crops = mine(squares, faces_of(FACE), Mining(negatives=3))
    np.testing.assert_array_equal(crops.boxes, squares[:3])


def test_squares_around_faces_fill_up_what_was_not_mined():
    recipe = replace(NO_JITTER, tries=(200,) * 4, positives=(10,) * 4, parts=(10,) * 4)
    faces = faces_of(FACE, [200, 200, 249, 249])
    crops = mine([FACE] * 4, faces, recipe=recipe)
    first = (crops.boxes[:, 0] < 175) & (crops.labels == POSITIVE)
    assert np.count_nonzero(first) == 10  # 4 mined and 6 made
    assert np.count_nonzero(crops.labels == POSITIVE) == 20
    assert np.count_nonzero(crops.labels == PART) == 20
    crops = mine([FACE] * 40, faces, recipe=recipe)
    assert np.count_nonzero(crops.labels == POSITIVE) == 40 + 10


def test_photos_without_faces_or_without_detections():
    assert mine([[0, 0, 29, 29]], faces_of()).labels.tolist() == [NEGATIVE]
    assert len(mine([], faces_of())) == 0
    assert len(mine([], faces_of(FACE), recipe=RECIPES["default"]["rnet"])) > 0


def test_with_one_listed_face_only_false_alarms_that_touch_it_are_negatives():
    squares = np.array([[128, 100, 177, 149], [0, 0, 29, 29], FACE])
    crops = negatives_at_face(squares, faces_of(FACE), Mining())
    np.testing.assert_array_equal(crops.boxes, squares[:1])
    assert len(negatives_at_face(squares, faces_of(), Mining())) == 0


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_boxes_of_rescaled_photos_are_those_of_the_photo(factor):
    """A bright rectangle is found by its pixels, and comes back where it was, mirrored or not."""
    image = np.zeros((120, 80, 3), np.uint8)
    image[20:60, 8:32] = 255
    seen = []

    def find(photo):
        seen.append(photo)
        rows, columns = np.nonzero(photo[:, :, 0] > 127)
        return [[columns.min(), rows.min(), columns.max(), rows.max(), 0.9]]

    for seed in range(8):
        found = detect_rescaled(image, find, (factor, factor), np.random.default_rng(seed))
        np.testing.assert_allclose(found, [[8, 20, 31, 59, 0.9]], atol=1e-5)
    assert all(photo.shape == (120 * factor, 80 * factor, 3) for photo in seen)
    assert len({int(photo[:, : photo.shape[1] // 2].sum()) for photo in seen}) == 2  # some are mirrored
    nothing = detect_rescaled(image, lambda photo: np.zeros((0, 5)), (0.7, 1.4), np.random.default_rng(0))
    assert nothing.shape == (0, 5)


def test_random_negatives_come_beside_those_that_are_mined():
    recipe = replace(RECIPES["default"]["pnet"], near_negatives=0, tries=(0,) * 4, negatives=7)
    crops = mine([[0, 0, 29, 29]], faces_of(FACE), recipe=recipe)
    assert crops.labels.tolist() == [NEGATIVE] * 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for i, kind in enumerate(("pnet", "rnet")):
        net = build(NetSpec(kind))
        initialise(net, seed=i)
        save_net(folder, net)
    return folder


def make(small_wider, model, out, net, compat=None, **options):
    images, annotations = small_wider
    source = Source(islice(read_wider(annotations, images), PHOTOS), ALL_FACES, {"annotations": "gt.txt"})
    mining = Mining(str(model), thresholds=(0.3, 0.3, 0.3), min_face=30, compat=compat)
    planner = HardExamplePlanner(net, RECIPES["default"][net], mining)
    return prepare(planner, [source], out, Options(quiet=True, **options))


def test_the_cascade_runs_once_and_the_packs_do_not_depend_on_the_workers(small_wider, model, tmp_path):
    own = tmp_path / "model"
    shutil.copytree(model, own)
    result = make(small_wider, own, tmp_path / "a", "onet", num_workers=1, val_fraction=0.2)
    assert result["planned"]["train"]["negative"] > 0
    assert Pack(tmp_path / "a").size == 48
    found = read_detections(tmp_path / "a" / "detections.pkl")
    assert len(found) == PHOTOS
    assert sum(map(len, found)) > PHOTOS
    assert all((np.diff(item[:, 4]) <= 0).all() for item in found)
    about = json.loads((tmp_path / "a" / "detections.json").read_text())
    assert about["sha256"] == hashlib.sha256((tmp_path / "a" / "detections.pkl").read_bytes()).hexdigest()

    make(small_wider, own, tmp_path / "b", "onet", num_workers=2, val_fraction=0.2)
    files = ("train.rec", "val.rec", "manifest.json", "detections.pkl")
    before = {name: (tmp_path / "a" / name).read_bytes() for name in files}
    for name in files:
        assert (tmp_path / "b" / name).read_bytes() == before[name], name

    for path in own.glob("*.params"):
        path.unlink()  # so that detecting again would fail
    make(small_wider, own, tmp_path / "a", "onet", seed=1, val_fraction=0.2)
    assert (tmp_path / "a" / "train.rec").read_bytes() != before["train.rec"]
    assert (tmp_path / "a" / "detections.pkl").read_bytes() == before["detections.pkl"]
    after = (tmp_path / "a" / "train.rec").read_bytes()

    config = json.loads((own / "model.json").read_text())
    config["nets"]["pnet"]["sha256"] = "another"
    (own / "model.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"pnet\.params: parameter file not found"):
        make(small_wider, own, tmp_path / "a", "onet", val_fraction=0.2)
    assert (tmp_path / "a" / "train.rec").read_bytes() == after


def test_the_seanlinx_recipe_mines_with_the_original_s_arithmetic(small_wider, model, tmp_path):
    for net in ("rnet", "onet"):
        assert MINING["seanlinx"][net].compat == "seanlinx"
        assert (MINING["seanlinx"][net].thresholds, MINING["seanlinx"][net].min_face) == ((0.6, 0.7, 0.7), 24)
    make(small_wider, model, tmp_path / "out", "rnet", compat="seanlinx")
    detector = Detector(model, "mxnet", 30, (0.3, 0.3, 0.3), last_stage="pnet", compat="seanlinx")
    photos = islice(read_wider(small_wider[1], small_wider[0]), PHOTOS)
    found = read_detections(tmp_path / "out" / "detections.pkl")
    for boxes, photo in zip(found, photos):
        expected = detector.detect(read(photo.image)).as_array()
        assert boxes.shape == expected.shape
        np.testing.assert_allclose(boxes, expected, atol=1e-3)
    pickled = (tmp_path / "out" / "detections.pkl").read_bytes()
    make(small_wider, model, tmp_path / "out", "rnet")  # the same but for the arithmetic: nothing is reused
    assert (tmp_path / "out" / "detections.pkl").read_bytes() != pickled


def test_the_p_net_learns_from_the_cells_that_it_took_for_faces(small_wider, model, tmp_path):
    make(small_wider, model, tmp_path / "out", "pnet")
    detector = Detector(model, "mxnet", 30, (0.3, 0.3, 0.3), last_stage="pnet")
    photos = islice(read_wider(small_wider[1], small_wider[0]), PHOTOS)
    for boxes, photo in zip(read_detections(tmp_path / "out" / "detections.pkl"), photos):
        expected = detector.stages(read(photo.image))["pnet"].before
        np.testing.assert_allclose(boxes, expected, atol=1e-3)
    assert Pack(tmp_path / "out").size == 12


def test_a_net_s_own_scores(small_wider, model, tmp_path):
    images, annotations = small_wider
    source = Source(islice(read_wider(annotations, images), PHOTOS), ALL_FACES, {"annotations": "gt.txt"})
    mining = Mining(str(model), thresholds=(0.3, 0.45, 0.3), min_face=30, own=True)
    planner = HardExamplePlanner("rnet", RECIPES["default"]["rnet"], mining)
    prepare(planner, [source], tmp_path / "out", Options(quiet=True))
    detector = Detector(model, "mxnet", 30, (0.3, 0.45, 0.3), last_stage="rnet")
    photos = islice(read_wider(annotations, images), PHOTOS)
    for boxes, photo in zip(read_detections(tmp_path / "out" / "detections.pkl"), photos):
        expected = detector.stages(read(photo.image))["rnet"].before
        assert (expected[:, 4] > 0.45).all()
        np.testing.assert_allclose(boxes, expected, atol=1e-3)
    with pytest.raises(InputError, match="expected a model with pnet and rnet and onet: no 'onet'"):
        prepare(replace(planner, net="onet"), [source], tmp_path / "out", Options(quiet=True))


def test_rescaled_photos_give_other_detections_and_the_same_for_any_workers(small_wider, model, tmp_path):
    images, annotations = small_wider
    found = {}
    for name, workers, rescale, seed in (
        ("a", 1, (0.7, 1.4), 1),
        ("b", 2, (0.7, 1.4), 1),
        ("c", 2, (0.7, 1.4), 2),
        ("d", 2, (), 1),
    ):
        source = Source(islice(read_wider(annotations, images), PHOTOS), ALL_FACES, {"annotations": "gt.txt"})
        mining = Mining(str(model), thresholds=(0.3, 0.3, 0.3), min_face=30, rescale=rescale, seed=seed)
        planner = HardExamplePlanner("rnet", RECIPES["default"]["rnet"], mining)
        prepare(planner, [source], tmp_path / name, Options(quiet=True, num_workers=workers))
        found[name] = (tmp_path / name / "detections.pkl").read_bytes()
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 3


def test_a_model_without_the_net_that_is_run(small_wider, model, tmp_path):
    with pytest.raises(InputError, match=r"model.json: cannot be read"):
        make(small_wider, tmp_path, tmp_path / "out", "rnet")
    shutil.copytree(model, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "model.json").read_text())
    del config["nets"]["rnet"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="expected a model with pnet and rnet: no 'rnet'"):
        make(small_wider, tmp_path / "model", tmp_path / "out", "onet")


def test_mining_does_not_depend_on_the_presets_of_a_model(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    write_presets(folder, {"default": Preset((0.9, 0.9, 0.9), 60, 0.5, True)})
    mining = replace(MINING["default"]["onet"], model=str(folder), thresholds=(0.1, 0.2, 0.3), min_face=24)
    detector = open_detector("onet", mining)
    assert (detector.thresholds, detector.min_face, detector.scale_factor) == ((0.1, 0.2, 0.3), 24, 0.709)
    assert not detector.test_time_augmentation
