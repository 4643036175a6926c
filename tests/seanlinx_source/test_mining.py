"""Hard examples of the Seanlinx recipe beside those of the original, run from its own sources.

Skipped without ``--seanlinx-source DIR`` (a checkout of Seanlinx/mtcnn) and the golden data. ``--seanlinx-python``
names a Python 2 with MXNet of 2017, numpy and OpenCV.
"""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.ops.boxes import iou
from gluon_mtcnn.core.ops.image import read
from gluon_mtcnn.core.types import INPUT_SIZE, NEGATIVE, NETS, PART, POSITIVE
from gluon_mtcnn.prepare_data.annotations.seanlinx_anno import read_anno, write_anno
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.mining.hard_examples import MINING, candidate_squares
from gluon_mtcnn.prepare_data.sampling.squares import NEITHER, RECIPES, Faces, label_squares

PHOTOS = 12
ONE_MORE = np.array([0, 0, 1, 1], np.float32)  # x2 = x + w


@pytest.fixture(scope="module")
def layout(shared, tmp_path_factory):
    """A folder with what the original's hard-coded paths expect, and 12 photos of WIDER FACE."""
    folder, wider = tmp_path_factory.mktemp("original"), shared / "wider"
    for name in ("data/wider/imglists", "prepare_data/wider_annotations", "prepare_data/rnet", "prepare_data/onet"):
        (folder / name).mkdir(parents=True)
    os.symlink(wider / "WIDER_train" / "images", folder / "data" / "wider" / "images")
    listed = read_wider(wider / "wider_face_split" / "wider_face_train_bbx_gt.txt", wider / "WIDER_train")
    photos = [photo for photo in listed if len(photo.boxes)]
    anno = folder / "prepare_data" / "wider_annotations" / "anno.txt"
    write_anno(anno, photos[:: len(photos) // PHOTOS][:PHOTOS])
    names = [line.split()[0] for line in anno.read_text().splitlines()]
    (folder / "data" / "wider" / "imglists" / "train.txt").write_text("\n".join(names) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(shared, tmp_path_factory):
    folder, weights = tmp_path_factory.mktemp("model"), shared / "seanlinx" / "model"
    loaded = load_seanlinx({kind: weights / kind for kind in NETS}, dict.fromkeys(NETS, 16))
    for kind in NETS:
        save_net(folder, loaded.weights(kind), loaded.origin[kind], calibration=loaded.calibration)
    return folder


def originals(pytestconfig, layout, mode):
    """Return the thresholds of the original's parser, and by photo its squares and labels."""
    source = pytestconfig.getoption("--seanlinx-source")
    if not source:
        pytest.skip("needs --seanlinx-source DIR, a checkout of Seanlinx/mtcnn")
    out = layout / f"{mode}.json"
    prefix = [os.path.abspath(os.path.join(source, "model", kind)) for kind in NETS]
    program = [pytestconfig.getoption("--seanlinx-python"), str(Path(__file__).with_name("original_mining.py"))]
    words = [*program, os.path.abspath(source), str(layout), mode, str(out), "--prefix", *prefix]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    crops: dict[str, list] = {}
    for photo, square, overlap in found["crops"]:
        label = NEGATIVE if overlap < 0.3 else POSITIVE if overlap >= 0.65 else PART if overlap >= 0.4 else NEITHER
        crops.setdefault(photo, []).append((tuple(square), label))
    return found["thresholds"], crops


@pytest.mark.parametrize(("net", "mode"), [("rnet", "pnet"), ("onet", "rnet")])
def test_squares_are_the_original_s_and_labels_but_for_two_rules(pytestconfig, layout, model, net, mode):
    thresholds, crops = originals(pytestconfig, layout, mode)
    mining, recipe = MINING["seanlinx"][net], RECIPES["seanlinx"][net]
    assert list(mining.thresholds) == thresholds
    detector = Detector(
        model, "mxnet", mining.min_face, mining.thresholds, last_stage=mode, compat="seanlinx", look_again=False
    )
    counts: Counter = Counter()
    anno = layout / "prepare_data" / "wider_annotations" / "anno.txt"
    for photo in read_anno(anno, layout / "data" / "wider" / "images"):
        image = read(photo.image)
        height, width = image.shape[:2]
        found = detector.detect(image).as_array()
        squares = candidate_squares(found, width, height, mining.padded, by_width=True)
        theirs = dict(crops.get(os.path.realpath(photo.image), []))
        assert sorted(map(tuple, squares.tolist())) == sorted(theirs)
        if not len(squares):
            continue
        labels, _ = label_squares(squares, Faces.of(photo, recipe.min_face))
        # the two rules of docs/seanlinx.md: boxes end at x + w there, and a negative may hold a whole face
        highest = iou(squares, photo.boxes + ONE_MORE).max(axis=1)
        without = np.select([highest < 0.3, highest >= 0.65, highest >= 0.4], [NEGATIVE, POSITIVE, PART], NEITHER)
        expected = [theirs[tuple(square)] for square in squares.tolist()]
        assert without.tolist() == expected
        counts.update(zip(labels.tolist(), expected))
    different = {pair: count for pair, count in counts.items() if pair[0] != pair[1]}
    print(f"{INPUT_SIZE[net]}-net: {sum(counts.values())} squares, ours to original's labels {different}")
    assert sum(different.values()) < 0.1 * sum(counts.values())
