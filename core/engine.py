"""Running the nets of a model on pixels: what the detector asks of an inference engine, and MXNet's answer."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.checkpoint import Model
from gluon_mtcnn.core.network import FromPixels
from gluon_mtcnn.core.runtime import mx

MAX_BATCH = 256


class MxnetEngine:
    """The nets of a model, hybridized on one device.

    Shapes are few on purpose, since MXNet plans memory for every new one: R- and O-Net batches are powers of two.
    """

    def __init__(self, model: Model, device: Any = None) -> None:
        self._device = device or mx.cpu()
        self._nets = {}
        for kind, net in model.nets.items():
            net.collect_params().reset_ctx(self._device)
            block = FromPixels(net, channels_last=True, probability=True)
            block.hybridize()
            self._nets[kind] = block

    def run(self, kind: str, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """Run one net.

        Parameters
        ----------
        kind : {"pnet", "rnet", "onet"}
        pixels : (n, h, w, 3) uint8, BGR

        Returns
        -------
        probability : (n,) or for the P-Net (n, h', w') float32
        offsets : (n, 4[, h', w']) float32
        landmarks : (n, 10[, h', w']) float32, or None without a landmark head
        """
        outputs = self._nets[kind](mx.nd.array(pixels, ctx=self._device, dtype=np.uint8))
        arrays = [output.asnumpy() for output in outputs]
        return arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None

    def run_crops(self, kind: str, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """Run R- or O-Net on any number of crops (n, s, s, 3), in batches padded to a power of two."""
        parts: list[tuple] = []
        for start in range(0, len(crops), MAX_BATCH):
            batch = crops[start : start + MAX_BATCH]
            padded = np.zeros((1 << (len(batch) - 1).bit_length(), *batch.shape[1:]), np.uint8)
            padded[: len(batch)] = batch
            outputs = self.run(kind, padded)
            parts.append(tuple(None if output is None else output[: len(batch)] for output in outputs))
        scores, offsets, landmarks = zip(*parts)
        points = None if landmarks[0] is None else np.concatenate(landmarks)
        return np.concatenate(scores), np.concatenate(offsets), points
