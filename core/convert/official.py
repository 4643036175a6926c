"""The official MTCNN weights (Zhang et al. 2016), as the det1..det3 checkpoints for MXNet and as caffemodels.

Both hold the same numbers. The official nets look at RGB images with x and y exchanged, since MATLAB stores columns
first; the MXNet dialect has every kernel (and the first fully connected layer's rows and columns) exchanged back and
conv1's input channels reversed, so that it takes upright BGR images as our nets do. The box head is the same in both:
its offsets were always in the order x1 y1 x2 y2 of the upright image. Landmarks are in the order
x1..x5 y1..y5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gluon_mtcnn.core.convert.caffe import CaffeNet, probe, read_caffemodel
from gluon_mtcnn.core.convert.seanlinx import block_names, checkpoint_path, strip_prefix
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, sha256
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.params_file import load_arrays
from gluon_mtcnn.core.nets.spec import NetSpec
from gluon_mtcnn.core.nets.weights import NetWeights
from gluon_mtcnn.core.types import INPUT_SIZE, NETS

FILES = dict(zip(NETS, ("det1", "det2", "det3")))
# Layer of the MXNet dialect -> our block; Caffe writes conv4-1 for conv4_1 and, in det1, PReLU1 for prelu1.
OFFICIAL_LAYERS = {
    "pnet": {
        "conv1": "stage1.conv",
        "conv2": "stage2.conv",
        "conv3": "stage3.conv",
        "prelu1": "stage1.prelu",
        "prelu2": "stage2.prelu",
        "prelu3": "stage3.prelu",
        "conv4_1": "face_head",
        "conv4_2": "box_head",
    },
    "rnet": {
        "conv1": "stage1.conv",
        "conv2": "stage2.conv",
        "conv3": "stage3.conv",
        "conv4": "fc.dense",
        "prelu1": "stage1.prelu",
        "prelu2": "stage2.prelu",
        "prelu3": "stage3.prelu",
        "prelu4": "fc.prelu",
        "conv5_1": "face_head",
        "conv5_2": "box_head",
    },
    "onet": {
        "conv1": "stage1.conv",
        "conv2": "stage2.conv",
        "conv3": "stage3.conv",
        "conv4": "stage4.conv",
        "conv5": "fc.dense",
        "prelu1": "stage1.prelu",
        "prelu2": "stage2.prelu",
        "prelu3": "stage3.prelu",
        "prelu4": "stage4.prelu",
        "prelu5": "fc.prelu",
        "conv6_1": "face_head",
        "conv6_2": "box_head",
        "conv6_3": "landmark_head",
    },
}
TOLERANCE = 1e-4  # between our net and OpenCV's, whose sums run in another order
INTERLEAVE = np.arange(10).reshape(2, 5).T.ravel()  # x1..x5 y1..y5 -> x1 y1 .. x5 y5: 0 5 1 6 2 7 3 8 4 9


def _official_net(kind: str, arrays: dict[str, np.ndarray], source: PathLike) -> NetWeights:
    """Return the net of arrays named as in the MXNet dialect."""
    names = block_names(OFFICIAL_LAYERS[kind])
    for name in sorted(set(names) ^ set(arrays)):
        problem = "missing" if name in names else "unknown"
        raise InputError(f"{source}: not an official {kind} ({FILES[kind]}): parameter {name} is {problem}")
    ours = {names[name]: array for name, array in arrays.items()}
    for name in ("landmark_head.weight", "landmark_head.bias"):
        if name in ours and len(ours[name]) == len(INTERLEAVE):
            ours[name] = ours[name][INTERLEAVE]
    spec = NetSpec(kind, landmarks=kind == "onet", pooling="full", order="prelu_first")
    return NetWeights.checked(spec, ours, source)


def _existing(folder: PathLike, names: list[str], what: str) -> list[Path]:
    """Return the paths of the files that an import needs."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder with {what}, got " + ("a file" if folder.exists() else "nothing")
        )
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"{folder}: expected {what}: {name} not found")
    return [folder / name for name in names]


def load_mxnet_det(folder: PathLike, epoch: int = 1) -> Model:
    """Read the official nets as mxnet_mtcnn_face_detection has them: ``det1-0001.params`` .. ``det3-0001.params``.

    Raises
    ------
    InputError
        A file is missing, is not a checkpoint, or holds another net.
    """
    names = [checkpoint_path(FILES[kind], epoch).name for kind in NETS]
    model = Model()
    for kind, path in zip(NETS, _existing(folder, names, f"{names[0]} .. {names[-1]}")):
        model.nets[kind] = _official_net(kind, strip_prefix(load_arrays(path), path), path)
        model.origin[kind] = {"format": "mxnet-det", "file": path.name, "sha256": sha256(path)}
    return model


def load_caffe(folder: PathLike) -> Model:
    """Read the official caffemodels: ``det1.prototxt`` and ``det1.caffemodel`` .. ``det3``.

    Raises
    ------
    InputError
        A file is missing, OpenCV cannot read it, or it is another net.
    """
    files = [f"{name}.{suffix}" for name in FILES.values() for suffix in ("prototxt", "caffemodel")]
    paths = _existing(folder, files, "det1 .. det3, each .prototxt and .caffemodel")
    model = Model()
    for kind, prototxt, path in zip(NETS, paths[::2], paths[1::2]):
        theirs = read_caffemodel(prototxt, path, INPUT_SIZE[kind])
        model.nets[kind] = _official_net(kind, _upright(kind, theirs.weights, path), path)
        _compare(model.nets[kind], theirs, prototxt)
        model.origin[kind] = {"format": "caffe", "file": path.name, "sha256": sha256(path)}
    return model


def _compare(net: Any, theirs: CaffeNet, prototxt: Path) -> None:
    """Check that a net computes what OpenCV does: the prototxt may describe other layers around the same weights.

    `net` is a core.nets.mtcnn.Net.
    """
    from gluon_mtcnn.core.backend.runtime import mx  # which reading the other format does without

    kind = net.spec.kind
    logits, *others = net(mx.nd.array(probe(INPUT_SIZE[kind])[:, ::-1].transpose(0, 1, 3, 2)))
    ours = [mx.nd.softmax(logits, axis=1), *others]
    layers = {block: layer.replace("_", "-") for layer, block in OFFICIAL_LAYERS[kind].items()}
    names = ["prob1", layers["box_head"], *([layers["landmark_head"]] if net.spec.landmarks else [])]
    if sorted(names) != sorted(theirs.outputs):
        raise InputError(f"{prototxt}: expected the outputs {', '.join(names)}, got {', '.join(theirs.outputs)}")
    for name, array in zip(names, ours):
        output = theirs.outputs[name].reshape(len(array), -1)
        output = output[:, INTERLEAVE] if name == layers.get("landmark_head") else output
        array = array.asnumpy().reshape(len(output), -1)
        if array.shape != output.shape or not np.allclose(array, output, rtol=0, atol=TOLERANCE):
            raise InputError(f"{prototxt}: not an official {kind}: its layers compute another {name}")


def _upright(kind: str, blobs: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Return Caffe's blobs as the arrays of the MXNet dialect: rows and columns exchanged, channels reversed."""
    arrays = {}
    for key, blob in blobs.items():
        layer, _, index = key.rpartition("/")
        layer = layer.lower().replace("-", "_")
        if layer.startswith("prelu"):
            arrays[f"{layer}_gamma"] = blob.ravel()
        elif index == "1":
            arrays[f"{layer}_bias"] = blob.ravel()
        else:
            arrays[f"{layer}_weight"] = _exchange(kind, layer, blob, path)
    return arrays


def _exchange(kind: str, layer: str, weight: np.ndarray, path: Path) -> np.ndarray:
    """Return a weight with rows and columns exchanged, where it has any."""
    if weight.ndim == 4:
        weight = weight.transpose(0, 1, 3, 2)
        return weight[:, ::-1] if layer == "conv1" else weight
    if OFFICIAL_LAYERS[kind].get(layer) != "fc.dense":
        return weight
    channels = {"rnet": 64, "onet": 128}[kind]
    side = round((weight.shape[1] / channels) ** 0.5)
    if channels * side * side != weight.shape[1]:
        raise InputError(f"{path}: {layer}: expected inputs of {channels} square maps, got {weight.shape[1]} inputs")
    return weight.reshape(-1, channels, side, side).transpose(0, 1, 3, 2).reshape(weight.shape)
