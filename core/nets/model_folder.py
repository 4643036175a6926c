"""Model folders: ``pnet.params``, ``rnet.params``, ``onet.params`` (one, two or three) and ``model.json``.

``model.json`` says all that the weights do not: format version, and per net its digest, colour order, normalisation,
pooling convention, layer order and landmark head, and of a P-Net the cell if it is not 12; for the cascade its
calibration, thresholds and origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, replacing, sha256, write_json
from gluon_mtcnn.core.nets.mtcnn import Net, NetSpec, build
from gluon_mtcnn.core.ops.image import MEAN, SCALE
from gluon_mtcnn.core.types import NETS

FORMAT_VERSION = 1
CONFIG_NAME = "model.json"
DEFAULT_THRESHOLDS = (0.6, 0.7, 0.7)
LANDMARK_LAYOUT = "interleaved"  # x1 y1 ... x5 y5; importers reorder planar heads, so models never differ in it


@dataclass
class Model:
    """A cascade, or the part of one that has been trained.

    Attributes
    ----------
    nets : dict of str to Net
        Loaded nets by kind.
    thresholds : (3,) floats
        Face scores that the stages require.
    calibration : {"clipped", "unclipped"}
        Whether R- and O-Net offsets count from the square clipped to the photo (Seanlinx) or from the whole square.
    origin : dict of str to dict
        Where each net came from, by kind.
    path : str
        The folder, for messages.
    """

    nets: dict[str, Net] = field(default_factory=dict)
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    calibration: str = "unclipped"
    origin: dict[str, dict] = field(default_factory=dict)
    path: str = ""

    def require(self, kinds: tuple[str, ...]) -> None:
        """Check that the nets a command needs are there.

        Raises
        ------
        InputError
            Names the folder and the first net it lacks.
        """
        for kind in kinds:
            if kind not in self.nets:
                have = ", ".join(self.nets) or "none"
                raise InputError(f"{self.path}: the model has no {kind} (it has: {have})")


def load_arrays(path: PathLike) -> dict[str, Any]:
    """Return the named arrays of a ``.params`` file (ours, or of any MXNet since 2016), on the CPU.

    Raises
    ------
    InputError
        The file is missing, truncated or not such a file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: parameter file not found")
    try:
        arrays = mx.nd.load(str(path))
    except (mx.base.MXNetError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "unreadable"
        raise InputError(f"{path}: expected an MXNet parameter file: {reason}") from None
    if not isinstance(arrays, dict):
        raise InputError(f"{path}: expected named arrays, got a list of {len(arrays)} without names")
    return arrays


def assign(net: Net, arrays: dict[str, Any], source: PathLike) -> None:
    """Give a net its parameters, by the names of ``net.collect_params`` below the net (``stage1.conv.weight``).

    Raises
    ------
    InputError
        A parameter is missing, unknown, of another shape or not finite; the message names it and `source`.
    """
    wanted = net._collect_params_with_prefix()
    for name in sorted(set(wanted) ^ set(arrays)):
        problem = "missing" if name in wanted else "unknown to this net"
        raise InputError(f"{source}: {net.spec.kind} parameter {name} is {problem}")
    for name, parameter in wanted.items():
        array = arrays[name].astype("float32")
        if array.shape != parameter.shape:
            raise InputError(
                f"{source}: {net.spec.kind} parameter {name}: expected {parameter.shape}, got {array.shape}"
            )
        if not mx.nd.contrib.isfinite(array).asnumpy().all():
            raise InputError(f"{source}: {net.spec.kind} parameter {name} is not finite")
        parameter._load_init(array, mx.cpu())


def load_model(folder: PathLike) -> Model:
    """Open a model folder with all the nets it has.

    Raises
    ------
    InputError
        No such folder, no model.json, a newer format, or weights that do not match it.
    """
    folder = Path(folder)
    config_path = folder / CONFIG_NAME
    if not config_path.is_file():
        raise InputError(f"{folder}: not a model folder: {CONFIG_NAME} not found")
    config = read_json(config_path)
    version = config.get("format") if isinstance(config, dict) else None
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise InputError(f"{config_path}: expected format 1 to {FORMAT_VERSION}, got {version!r}")
    try:
        model = Model(
            thresholds=tuple(float(t) for t in config["thresholds"]),
            calibration=str(config["calibration"]),
            path=str(folder),
        )
        entries = {kind: config["nets"][kind] for kind in sorted(config["nets"].keys(), key=NETS.index)}
        for kind, entry in entries.items():
            model.nets[kind] = _load_net(folder, kind, entry)
            model.origin[kind] = dict(entry.get("origin", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{config_path}: not a valid description of a model: {error!r}") from None
    if len(model.thresholds) != 3 or model.calibration not in ("clipped", "unclipped"):
        raise InputError(f"{config_path}: expected three thresholds and calibration clipped or unclipped")
    return model


def _load_net(folder: Path, kind: str, entry: dict) -> Net:
    path = folder / f"{kind}.params"
    arrays = load_arrays(path)
    if sha256(path) != entry["sha256"]:
        raise InputError(f"{path}: not the file that {folder / CONFIG_NAME} describes (sha256 differs)")
    expected = {"color": "bgr", "mean": MEAN, "scale": SCALE}
    for name, value in expected.items():
        if entry[name] != value:
            raise InputError(f"{folder / CONFIG_NAME}: {kind}: {name} must be {value!r}, got {entry[name]!r}")
    net = build(NetSpec(kind, bool(entry["landmarks"]), entry["pooling"], entry["order"], entry.get("cell", 12)))
    assign(net, arrays, path)
    return net


def save_net(
    folder: PathLike,
    net: Net,
    origin: Optional[dict] = None,
    thresholds: Optional[tuple[float, ...]] = None,
    calibration: Optional[str] = None,
) -> None:
    """Write a net into a model folder, beside those already there; create or update ``model.json``.

    Parameters
    ----------
    folder : created when missing
    net : Net with parameters
    origin : dict, optional
        Where the weights come from; JSON values.
    thresholds, calibration : optional
        New values for the cascade; None keeps what the folder has, or the defaults.
    """
    folder = Path(folder)
    kind = net.spec.kind
    path, config_path = folder / f"{kind}.params", folder / CONFIG_NAME
    config: dict[str, Any] = {"format": FORMAT_VERSION, "nets": {}}
    config.update({"calibration": "unclipped", "thresholds": list(DEFAULT_THRESHOLDS)})
    if config_path.is_file():
        load_model(folder)  # refuse to update what cannot be read
        config.update(read_json(config_path))
    with replacing(path) as temporary:
        net.save_parameters(str(temporary))
    if thresholds is not None:
        config["thresholds"] = [float(t) for t in thresholds]
    if calibration is not None:
        config["calibration"] = calibration
    config["nets"][kind] = {
        "sha256": sha256(path),
        "color": "bgr",
        "mean": MEAN,
        "scale": SCALE,
        "pooling": net.spec.pooling,
        "order": net.spec.order,
        "landmarks": net.spec.landmarks,
        **({"cell": net.spec.cell} if net.spec.cell != 12 else {}),
        "landmark_layout": LANDMARK_LAYOUT if net.spec.landmarks else None,
        "origin": origin or {},
    }
    config["nets"] = {name: config["nets"][name] for name in NETS if name in config["nets"]}
    write_json(config_path, config)


def write_thresholds(folder: PathLike, thresholds: tuple[float, ...]) -> None:
    """Change the three thresholds in a folder's ``model.json``, and nothing else.

    Raises
    ------
    InputError
        Not three numbers from 0 to 1, or not a model folder that can be read.
    """
    if len(thresholds) != len(NETS) or not all(0 <= t <= 1 for t in thresholds):
        raise InputError(f"thresholds: expected three numbers from 0 to 1, got {thresholds}")
    load_model(folder)  # refuse to update what cannot be read
    path = Path(folder) / CONFIG_NAME
    write_json(path, {**read_json(path), "thresholds": [float(t) for t in thresholds]})
