"""Model folders as files for other programs: Seanlinx checkpoints, symbol and parameters, ONNX."""

from __future__ import annotations

import logging
from pathlib import Path

from gluon_mtcnn.core.convert.seanlinx import SEANLINX_LAYERS, checkpoint_path
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.onnx_graph import build_onnx
from gluon_mtcnn.core.nets.params_file import write_params_of_2016
from gluon_mtcnn.core.nets.weights import AnyNet

log = logging.getLogger(__name__)
SEANLINX_EPOCH = 16
SEANLINX_MXNET = (0, 9)  # of early 2017, which the original was made for
CURRENT_MXNET = (1, 9)


def _write_pair(
    prefix: Path, epoch: int, net: AnyNet, names: dict[str, str], landmarks: bool, mxnet: tuple[int, int]
) -> list[Path]:
    """Write ``PREFIX-symbol.json``, for an MXNet of a version, and ``PREFIX-0016.params``; return the paths."""
    from gluon_mtcnn.core.nets.symbol_graph import build_symbol, symbol_json, symbol_parameters  # MXNet: not for ONNX

    paths = [prefix.with_name(f"{prefix.name}-symbol.json"), checkpoint_path(prefix, epoch)]
    with replacing(paths[0]) as temporary:
        temporary.write_text(symbol_json(build_symbol(net.spec, names, landmarks), mxnet) + "\n", encoding="utf-8")
    parameters = symbol_parameters(net, names, landmarks)
    write_params_of_2016(paths[1], {f"arg:{name}": array for name, array in parameters.items()})
    return paths


def write_seanlinx(net: AnyNet, prefix: PathLike, epoch: int, mxnet: tuple[int, int] = SEANLINX_MXNET) -> list[Path]:
    """Write a net without its landmark head as ``PREFIX-0016.params`` and ``PREFIX-symbol.json``; return the paths.

    Raises
    ------
    InputError
        The original's layers cannot express it.
    """
    check_seanlinx(net, prefix)
    return _write_pair(Path(prefix), epoch, net, seanlinx_symbol_names(net.spec.kind), False, mxnet)


def check_seanlinx(net: AnyNet, source: PathLike) -> None:
    """Check that the original's layers can express a net: 12-px cells, and PReLU before pooling.

    Raises
    ------
    InputError
        They cannot; the message names the net and begins with `source`.
    """
    if net.spec.cell != 12:
        raise InputError(
            f"{source}: the {net.spec.kind} looks at cells of {net.spec.cell} px, which Seanlinx's program cannot run: "
            "export symbol or onnx instead"
        )
    if net.spec.order == "pool_first":
        arrays = net.weights().arrays
        for stage in net.spec.stages():
            if stage.pool is not None and (arrays[f"{stage.prelu.name}.alpha"] < 0).any():
                raise InputError(
                    f"{source}: the {net.spec.kind} pools before its PReLUs and has negative slopes there, which "
                    "Seanlinx's nets cannot express: export symbol or onnx instead"
                )


def seanlinx_symbol_names(kind: str) -> dict[str, str]:
    """Return our block -> the original's layer, with the names of layers that have no parameters."""
    names = {block: layer for layer, block in SEANLINX_LAYERS[kind].items()}
    pools = {f"stage{number}.pool": f"pool{number}" for number in (1, 2, 3)}
    return {**names, **pools, "probability": "cls_prob"}


def export_seanlinx(
    model: Model, folder: PathLike, epoch: int = SEANLINX_EPOCH, mxnet: tuple[int, int] = SEANLINX_MXNET
) -> list[Path]:
    """Write ``pnet-0016.params`` and so on, as Seanlinx/mtcnn names and orders its nets; return the paths.

    Beside each lies ``pnet-symbol.json``, which the original does not need, in the form of the oldest MXNet that must
    read it (major, minor). Its nets have no landmark head: ours is left out, with a warning.

    Raises
    ------
    InputError
        A net that the original's layers cannot express.
    """
    nets = {kind: model.weights(kind) for kind in model.nets}
    for net in nets.values():
        check_seanlinx(net, model.path)
    paths = []
    for kind, net in nets.items():
        if net.spec.landmarks:
            log.warning("%s: Seanlinx's nets have no landmark head: left out", kind)
        if net.spec.pooling == "valid":
            log.warning("%s: pools by the convention that the original dropped with its commit 2d00cb4", kind)
        paths += write_seanlinx(net, Path(folder) / kind, epoch, mxnet)
    return paths


def export_symbol(model: Model, folder: PathLike, mxnet: tuple[int, int] = CURRENT_MXNET) -> list[Path]:
    """Write ``pnet-symbol.json``, ``pnet-0000.params`` and so on; return the paths.

    Layers are called ``stage1_conv`` .. ``fc_prelu``, outputs ``probability``, ``offsets`` and ``landmarks``. `mxnet`
    is the oldest MXNet that must read the symbol (major, minor).
    """
    paths = []
    for kind in model.nets:
        net = model.weights(kind)
        names = {layer.name: layer.name.replace(".", "_") for layer in net.spec.layers()}
        names.update(face_head="face_head", probability="probability", box_head="offsets", landmark_head="landmarks")
        paths += _write_pair(Path(folder) / kind, 0, net, names, True, mxnet)
    return paths


def export_onnx(model: Model, folder: PathLike, pixels: bool = False) -> list[Path]:
    """Write ``pnet.onnx`` and so on as `core.nets.onnx_graph.build_onnx` builds them; return the paths."""
    paths = []
    for kind in model.nets:
        paths.append(Path(folder) / f"{kind}.onnx")
        with replacing(paths[-1]) as temporary:
            temporary.write_bytes(build_onnx(model.weights(kind), pixels).SerializeToString(deterministic=True))
    return paths
