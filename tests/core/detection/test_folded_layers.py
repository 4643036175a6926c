"""Folded layers, to the last bit, as they were when nets were Gluon blocks (commit ca3af47)."""

import hashlib
import json

import pytest

from gluon_mtcnn.core.convert.official import load_mxnet_det
from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.detection.folding import LANES, fold
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.model import DEFAULT_MODEL

# model -> as engine_mxnet folds its P-, R- and O-Net, as engine_onnx does, and fold's own defaults
DIGESTS = {
    "default": [
        ["3a4685fd3994", "28f3b657b840", "05a5c7c35652"],
        ["bd99b2ee3f21", "28f3b657b840", "05a5c7c35652"],
        ["9ce23790711b", "28f3b657b840", "05a5c7c35652"],
    ],
    "official": [
        ["2614cc320767", "f62720ed8d6a", "a27ecb8b1900"],
        ["2e9c22fe6d1c", "f62720ed8d6a", "a27ecb8b1900"],
        ["8c8bdff0a6e0", "f62720ed8d6a", "a27ecb8b1900"],
    ],
    "model": [
        ["f63b5fb62dab", "fafdfd5eb390", "4763f69c7171"],
        ["9179faa237b1", "fafdfd5eb390", "4763f69c7171"],
        ["de9c9e082859", "fafdfd5eb390", "4763f69c7171"],
    ],
    "model_valid": [
        ["0906c73511f4", "dbafa71f3229", "64fc2a3bce43"],
        ["4b79186ece25", "dbafa71f3229", "64fc2a3bce43"],
        ["f4ebfef7090d", "dbafa71f3229", "64fc2a3bce43"],
    ],
}
SHIPPED = {
    "pnet": "1c5a8958a2c5",
    "rnet": "d7d8665c5e40",
    "onet": "816ac879a12c",
}  # sha256 of the shipped nets for which these digests were recorded


def digest(layers):
    found = hashlib.sha256()
    for layer in layers:
        settings = (layer.kind, layer.inputs, layer.relu, layer.stride, layer.kernel, layer.ceil)
        found.update(repr(settings).encode())
        for array in (layer.weight, layer.bias):
            found.update(b"none" if array is None else repr((array.shape, array.dtype.str)).encode() + array.tobytes())
    return found.hexdigest()[:12]


def check(name, model):
    ways = (
        lambda kind: {
            "outside": kind == "pnet",
            "landmarks": kind != "pnet",
            "head_lanes": LANES if kind == "pnet" else 1,
        },
        lambda kind: {"outside": kind == "pnet", "landmarks": kind != "pnet"},
        lambda kind: {},
    )
    assert [[digest(fold(model.weights(kind), **way(kind))) for kind in NETS] for way in ways] == DIGESTS[name]


def test_of_the_shipped_model():
    config = json.loads((DEFAULT_MODEL / "model.json").read_text())
    shipped = {kind: net["sha256"][:12] for kind, net in config["nets"].items()}
    assert shipped == SHIPPED, "another model ships: record its digests"
    check("default", load_model(DEFAULT_MODEL))


def test_of_the_official_nets(shared):
    check("official", load_mxnet_det(shared / "official_mxnet"))


@pytest.mark.parametrize("name", ["model", "model_valid"])
def test_of_seanlinxs_nets(shared, name):
    prefixes = {kind: shared / "seanlinx" / name / kind for kind in NETS}
    check(name, load_seanlinx(prefixes, dict.fromkeys(NETS, 16)))
