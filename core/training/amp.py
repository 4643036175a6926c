"""Mixed precision: convolutions and matrix products in 16 bits, weights, losses and updates in 32.

MXNet inserts the casts into one graph (`mx.contrib.amp.convert_symbol`), so nothing else in the process changes:
validation and what is saved stay float32. Small gradients would vanish in float16, so the loss is scaled up, and the
update down again; the scale halves when a gradient overflows, and that step is left out (Micikevicius et al. 2018).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import HybridBlock, mx
from gluon_mtcnn.core.errors import InputError

logger = logging.getLogger(__name__)

FIRST_SCALE, LARGEST_SCALE = 2.0**16, 2.0**24
STEPS_TO_DOUBLE = 2000


def check_devices(dtype: str, contexts: Sequence[Any]) -> None:
    """Check that devices can compute with a type.

    Raises
    ------
    InputError
        MXNet has no float16 convolutions on CPUs.
    """
    if dtype == "float16" and any(context.device_type != "gpu" for context in contexts):
        raise InputError("amp: MXNet computes with float16 on GPUs only: use --devices gpu:0, or train without --amp")


def mixed_precision(block: HybridBlock, dtype: str) -> HybridBlock:
    """Return a block with the same parameters that convolves and multiplies matrices in a 16-bit type.

    Parameters
    ----------
    block : HybridBlock with parameters and one input, `core.nets.mtcnn.FromPixels`
    dtype : {"float16", "bfloat16"}
        Its outputs are of this type or float32.
    """
    data = mx.sym.var("pixels", dtype="uint8")
    graph = mx.sym.Group(list(block(data)))
    converted = mx.contrib.amp.convert_symbol(graph, target_dtype=dtype, data_names=["pixels"])
    return mx.gluon.SymbolBlock(converted, data, params=block.collect_params())


class LossScale:
    """The factor by which losses are multiplied, and their gradients divided again.

    Attributes
    ----------
    value : float
    steps : int
        Since it last changed.
    """

    def __init__(self) -> None:
        self.value, self.steps = FIRST_SCALE, 0

    def check(self, gradients: Sequence[Any]) -> bool:
        """Return whether all gradients, arrays of one device, are finite; adapt the scale for the next step."""
        finite = mx.nd.multi_all_finite(*gradients, num_arrays=len(gradients)).asscalar() == 1
        self.steps += 1
        if not finite:
            self.value, self.steps = self.value / 2, 0
            logger.debug("a gradient overflowed: the loss scale is now %g", self.value)
        elif self.steps == STEPS_TO_DOUBLE:
            self.value, self.steps = min(self.value * 2, LARGEST_SCALE), 0
        return finite

    def state(self) -> np.ndarray:
        """Return what a checkpoint needs, (2,)."""
        return np.array([self.value, self.steps])

    def load_state(self, state: np.ndarray) -> None:
        """Take over what `state` returned."""
        self.value, self.steps = float(state[0]), int(state[1])
