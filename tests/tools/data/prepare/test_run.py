"""Preparation as a function: options in, packs and a result out, without a subprocess."""

import hashlib
import json
import math
import subprocess
import sys

import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.data.prepare.options import PrepareOptions
from gluon_mtcnn.tools.data.prepare.run import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("painted"), SyntheticSpec(16, 1, 8, 1, 1, 1), 0, quiet=True)


def photos_of(data):
    wider = {"wider_images": data.wider_images, "wider_annotations": data.wider_train_annotations}
    return {**wider, "landmark_images": data.landmark_images, "landmark_annotations": data.landmark_annotations}


def words_of(values):
    """Return the words of the command line that mean the same as some options."""
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("net", ["pnet", "rnet"])
def test_the_function_leaves_what_the_command_leaves(data, tmp_path, net):
    common = {"val_fraction": 0.25, "seed": 3, "num_workers": 1, "negatives_per_photo": 20}
    options = PrepareOptions(
        net,
        tmp_path / "function",
        **photos_of(data),
        **common,
        ratio=[1, 2, 1, 1],
        per_face=[1, 2, 3, 4],
        ignore={"blur": 2},
        quiet=True,
    )
    result = prepare(options)
    words = ["--ratio", "1:2:1:1", "--per-face", "1,2,3,4", "--ignore", "blur=2", "--quiet"]
    argv = ["prepare", net, "--out", str(tmp_path / "command"), *words_of({**photos_of(data), **common}), *words]
    assert main(argv) == 0
    left = digests(tmp_path / "function")
    assert left == digests(tmp_path / "command")
    assert {"train.rec", "train.idx", "val.rec", "val.idx", "manifest.json"} <= set(left)
    assert ("detections.pkl" in left) == (net == "rnet")
    assert result.folder == tmp_path / "function"
    assert result.sets == {name: Pack(result.folder, name).class_counts() for name in ("train", "val")}
    assert all(result.planned["train"][name] >= count for name, count in result.sets["train"].items())
    assert (result.photos, result.skipped) == (24, [])


def test_skipped_photos_are_named(data, tmp_path):
    annotations = tmp_path / "faces.txt"
    annotations.write_text(data.wider_train_annotations.read_text() + "gone.jpg\n1\n1 2 30 40 0 0 0 0 0 0\n")
    result = prepare(
        PrepareOptions(
            "pnet",
            tmp_path / "out",
            wider_images=data.wider_images,
            wider_annotations=annotations,
            num_workers=1,
            quiet=True,
        )
    )
    ((name, reason),) = result.skipped
    assert name == "gone.jpg"
    assert "No such file" in reason


def test_the_manifest_of_a_path_is_json(data, tmp_path):
    """Paths are given as text or as Path objects; the manifest has them as text."""
    prepare(PrepareOptions("pnet", tmp_path, **photos_of(data), num_workers=1, quiet=True))
    sources = json.loads((tmp_path / "manifest.json").read_text())["sets"]["train"]["metadata"]["sources"]
    assert [source["annotations"] for source in sources] == [
        str(data.wider_train_annotations),
        str(data.landmark_annotations),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"net": "qnet"}, "prepare: net: expected one of pnet, rnet, onet, got 'qnet'"),
        ({"payload": "gif"}, "prepare: payload: expected one of bmp, jpg, png, got 'gif'"),
        ({"recipe": "mine"}, "prepare: recipe: expected one of default, seanlinx, got 'mine'"),
        ({"cell": 13}, "prepare: cell: expected one of 12, 20, got 13"),
        ({"net": "rnet", "cell": 12}, "prepare rnet: expected no --cell"),
        ({"limit": 0}, "prepare: limit: expected a finite number above 0, got 0"),
        ({"min_face": math.nan}, "prepare: min_face: expected a finite number above 0, got nan"),
        ({"negatives_per_photo": -1}, "prepare: negatives_per_photo: expected a finite number at least 0, got -1"),
        ({"val_fraction": 1}, "--val-fraction: expected less than 1, got 1"),
        ({"ratio": (1, 3)}, r"prepare: ratio: expected 4 numbers of at least 0, got \(1, 3\)"),
        ({"counts": (0, 3, 1, 1)}, "prepare: counts: expected positives"),
        ({"per_face": (1, 2, 3)}, "prepare: per_face: expected 4 numbers"),
        ({"model": "m", "mine_rescaled": (1.4, 0.7)}, "prepare: mine_rescaled: expected two factors"),
        ({"model": "m", "thresholds": (0.6, 0.7, 1.7)}, "prepare: thresholds: expected numbers from 0 to 1"),
        ({"thresholds": (0.5, 0.5, 0.5)}, "prepare pnet: --thresholds needs --model"),
        ({"landmark_shift": math.inf}, "prepare: landmark_shift: expected a finite number, got inf"),
        ({"ratio": (1, 3, 1, 2), "counts": (1, 1, 1, 1)}, "--ratio and --counts: expected one of them, got both"),
    ],
)
def test_bad_values_are_refused_at_once(changed, message):
    with pytest.raises(InputError, match=f"^{message}"):
        PrepareOptions(**{"net": "pnet", "out": "out", **changed})


def test_no_photos_and_half_a_pair(tmp_path):
    with pytest.raises(InputError, match="prepare: expected photos"):
        prepare(PrepareOptions("pnet", tmp_path / "out"))
    with pytest.raises(InputError, match="--wider-images and --wider-annotations: expected both, got one"):
        prepare(PrepareOptions("pnet", tmp_path / "out", wider_images=tmp_path))


def test_zero_positives_of_small_faces_are_allowed():
    assert PrepareOptions("pnet", "out", per_face=[0, 0, 3, 0]).per_face == (0, 0, 3, 0)


def test_options_and_function_are_imported_without_mxnet(checkout):
    code = "import sys; sys.modules['mxnet'] = None; import gluon_mtcnn.tools.data.prepare.run as r, "
    code += "gluon_mtcnn.tools.data.prepare.command"
    ran = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
