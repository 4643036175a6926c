"""What `inspect` says of a model folder and of a parameter file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.files.atomic import read_json, sha256
from gluon_mtcnn.core.nets.model_folder import CONFIG_NAME, load_model
from gluon_mtcnn.core.nets.params_file import load_arrays
from gluon_mtcnn.core.nets.weight_stats import describe_weights


def describe_model(folder: Path) -> dict[str, Any]:
    """Return the cascade's settings and, by net, what it is, where it came from and the state of its weights.

    Raises
    ------
    InputError
        The folder is no whole model.
    """
    model, config = load_model(folder), read_json(folder / CONFIG_NAME)
    nets = {}
    for kind in model.nets:
        net = model.weights(kind)
        hidden = ("kind",) if kind == "pnet" else ("kind", "cell")
        spec = {name: value for name, value in asdict(net.spec).items() if name not in hidden}
        nets[kind] = {
            **spec,
            "sha256": config["nets"][kind]["sha256"],
            "origin": model.origin[kind],
            **describe_weights(net.arrays),
        }
    return {
        "kind": "model",
        "format": config["format"],
        "calibration": model.calibration,
        "thresholds": list(model.thresholds),
        **({"presets": {name: preset.as_json() for name, preset in model.presets.items()}} if model.presets else {}),
        "nets": nets,
    }


def describe_params(path: Path) -> dict[str, Any]:
    """Return the arrays of a ``.params`` file of any origin.

    Raises
    ------
    InputError
        It is no such file.
    """
    arrays = load_arrays(path)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    return {"kind": "parameter file", "sha256": sha256(path), "arrays": shapes, **describe_weights(arrays)}
