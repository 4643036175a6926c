"""A net as NumPy arrays: what model folders, engines on folded nets and ONNX files are made from. No MXNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.nets.spec import NetSpec


@dataclass(frozen=True)
class NetWeights:
    """A net with its numbers.

    Attributes
    ----------
    spec : NetSpec
    arrays : dict of str to float32 array
        One for each of ``spec.shapes()``, by the names that Gluon gives parameters below the net
        (``stage1.conv.weight``).
    """

    spec: NetSpec
    arrays: dict[str, np.ndarray]

    @classmethod
    def checked(cls, spec: NetSpec, arrays: Mapping[str, np.ndarray], source: PathLike) -> NetWeights:
        """Return a net of arrays that come from outside, converted to float32.

        Raises
        ------
        InputError
            A parameter is missing, unknown, of another shape or not finite; the message names it and `source`.
        """
        wanted = spec.shapes()
        for name in sorted(set(wanted) ^ set(arrays)):
            problem = "missing" if name in wanted else "unknown to this net"
            raise InputError(f"{source}: {spec.kind} parameter {name} is {problem}")
        converted = {}
        for name, shape in wanted.items():
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
                array = np.ascontiguousarray(arrays[name], np.float32)
            if array.shape != shape:
                raise InputError(f"{source}: {spec.kind} parameter {name}: expected {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise InputError(f"{source}: {spec.kind} parameter {name} is not finite")
            converted[name] = array
        return cls(spec, converted)

    def weights(self) -> NetWeights:
        """Return the net itself: see `AnyNet`."""
        return self


class AnyNet(Protocol):
    """A net as arrays (`NetWeights`) or in Gluon (`core.nets.mtcnn.Net`)."""

    @property
    def spec(self) -> NetSpec:
        """Return what the net is."""

    def weights(self) -> NetWeights:
        """Return its numbers as they are now."""
