"""Checkpoints of other MTCNN projects: their names, and how they become our nets.

Seanlinx/mtcnn (commit feacb3b) saves ``prefix-0016.params`` with keys ``arg:NAME``; the layout of every array is the
one that MXNet Gluon uses, so only names differ. Its pooling convention changed with its commit 2d00cb4 and shows in the
size of the first fully connected layer; the P-Net's file is the same in both and follows the R-Net's convention.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, sha256
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.params_file import load_arrays
from gluon_mtcnn.core.nets.spec import NetSpec
from gluon_mtcnn.core.nets.weights import NetWeights
from gluon_mtcnn.core.types import NETS

# Seanlinx layer -> our block; conv and fc layers have _weight and _bias, PReLUs have _gamma.
SEANLINX_LAYERS = {
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
        "fc1": "fc.dense",
        "prelu1": "stage1.prelu",
        "prelu2": "stage2.prelu",
        "prelu3": "stage3.prelu",
        "prelu4": "fc.prelu",
        "fc2": "face_head",
        "fc3": "box_head",
    },
    "onet": {
        "conv1": "stage1.conv",
        "conv2": "stage2.conv",
        "conv3": "stage3.conv",
        "conv4": "stage4.conv",
        "fc1": "fc.dense",
        "prelu1": "stage1.prelu",
        "prelu2": "stage2.prelu",
        "prelu3": "stage3.prelu",
        "prelu4": "stage4.prelu",
        "prelu5": "fc.prelu",
        "fc2": "face_head",
        "fc3": "box_head",
    },
}
# Inputs of fc1 -> pooling convention.
FC_INPUTS = {"rnet": {576: "full", 256: "valid"}, "onet": {1152: "full", 512: "valid"}}


def checkpoint_path(prefix: PathLike, epoch: int) -> Path:
    """Return the file of MXNet's ``prefix`` and ``epoch``: ``model/pnet`` and 16 -> ``model/pnet-0016.params``."""
    return Path(f"{os.fspath(prefix)}-{epoch:04d}.params")


def seanlinx_names(kind: str) -> dict[str, str]:
    """Return Seanlinx's parameter name -> ours, for every parameter of a net."""
    return block_names(SEANLINX_LAYERS[kind])


def block_names(layers: dict[str, str]) -> dict[str, str]:
    """Return MXNet's parameter name -> ours for a table of layer -> block."""
    names = {}
    for layer, block in layers.items():
        if layer.startswith("prelu"):
            names[f"{layer}_gamma"] = f"{block}.alpha"
        else:
            names.update({f"{layer}_weight": f"{block}.weight", f"{layer}_bias": f"{block}.bias"})
    return names


def strip_prefix(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Return the arrays without MXNet's ``arg:`` prefix; auxiliary states have no place in these nets."""
    for name in arrays:
        if not name.startswith("arg:"):
            raise InputError(f"{path}: expected parameters named arg:NAME, got {name!r}")
    return {name[len("arg:") :]: array for name, array in arrays.items()}


def _pooling(kind: str, arrays: dict[str, np.ndarray], path: Path) -> str:
    inputs = arrays["fc1_weight"].shape[-1] if "fc1_weight" in arrays else None
    if inputs not in FC_INPUTS[kind]:
        expected = " or ".join(str(n) for n in FC_INPUTS[kind])
        raise InputError(f"{path}: not a Seanlinx {kind}: expected fc1_weight with {expected} inputs, got {inputs}")
    return FC_INPUTS[kind][inputs]


def _load_seanlinx_net(kind: str, path: Path, arrays: dict[str, np.ndarray], pooling: str) -> NetWeights:
    names = seanlinx_names(kind)
    for name in sorted(set(names) ^ set(arrays)):
        problem = "missing" if name in names else "unknown"
        raise InputError(f"{path}: not a Seanlinx {kind}: parameter {name} is {problem}")
    spec = NetSpec(kind, landmarks=False, pooling=pooling, order="prelu_first")
    return NetWeights.checked(spec, {names[name]: array for name, array in arrays.items()}, path)


def load_seanlinx(prefixes: dict[str, PathLike], epochs: dict[str, int], pooling: Optional[str] = None) -> Model:
    """Read released or self-trained Seanlinx checkpoints.

    Parameters
    ----------
    prefixes : dict of net kind to checkpoint prefix
        ``{"pnet": "model/pnet", ...}``; one, two or three nets.
    epochs : dict of net kind to epoch number
    pooling : {"full", "valid"}, optional
        Overrides what the fully connected layers tell. A P-Net alone does not tell; it is taken as "full".

    Raises
    ------
    InputError
        A file is missing, is not a checkpoint of that net, or contradicts `pooling`.
    """
    model = Model(calibration="clipped")
    found, sources = {}, {}
    for kind in (k for k in NETS if k in prefixes):
        path = checkpoint_path(prefixes[kind], epochs[kind])
        sources[kind] = path, strip_prefix(load_arrays(path), path)
        if kind in FC_INPUTS:
            found[kind] = _pooling(kind, sources[kind][1], path)
            if pooling is not None and pooling != found[kind]:
                raise InputError(f"{path}: this {kind} was trained with pooling {found[kind]!r}, not {pooling!r}")
    found["pnet"] = pooling or found.get("rnet") or found.get("onet") or "full"
    for kind, (path, arrays) in sources.items():
        model.nets[kind] = _load_seanlinx_net(kind, path, arrays, found[kind])
        model.origin[kind] = {"format": "seanlinx", "file": path.name, "sha256": sha256(path)}
    return model
