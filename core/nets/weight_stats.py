"""What can be seen of a net's health in its weights alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

DEAD = 1e-3  # a kernel whose norm is below this share of its layer's largest does nothing
SMALLEST_NORMAL = np.finfo(np.float32).tiny
_NAME = re.compile(r"(?:arg:)?(.+)[._](weight|alpha|gamma)")


def describe_weights(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return counts of a net's parameters.

    Parameters
    ----------
    arrays : mapping of str to float32 array
        By names as ``stage1.conv.weight``, ``stage1.prelu.alpha``, or ``arg:conv1_weight``, ``arg:prelu1_gamma``.

    Returns
    -------
    dict
        ``parameters``: how many numbers; ``denormals``: how many of them are denormal, which slows arithmetic down;
        ``not_finite``; and by layer ``kernels``, ``dead_kernels`` (a norm of less than a thousandth of the layer's
        largest), and for PReLU ``slopes`` and ``negative_slopes``.
    """
    layers: dict[str, dict[str, int]] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        layer, kind = match.groups() if match else ("", "")
        if kind == "weight":
            norms = np.linalg.norm(array.reshape(len(array), -1).astype(np.float64), axis=1)
            layers[layer] = {"kernels": len(norms), "dead_kernels": int(np.count_nonzero(_dead(norms)))}
        elif match:
            layers[layer] = {"slopes": array.size, "negative_slopes": int(np.count_nonzero(array < 0))}
    values = np.concatenate([np.zeros(0, np.float32), *(array.ravel() for array in arrays.values())])
    return {
        "parameters": values.size,
        "denormals": int(np.count_nonzero((values != 0) & (np.abs(values) < SMALLEST_NORMAL))),
        "not_finite": int(np.count_nonzero(~np.isfinite(values))),
        "layers": layers,
    }


def _dead(norms: np.ndarray) -> np.ndarray:
    return norms <= DEAD * norms.max(initial=0.0)
