"""Model folders: ``pnet.params``, ``rnet.params``, ``onet.params`` (one, two or three) and ``model.json``.

``model.json`` says all that the weights do not: format version, and per net its digest, colour order, normalisation,
pooling convention, layer order and landmark head, and of a P-Net the cell if it is not 12; for the cascade its
calibration, thresholds and origin, and presets where there are some (`core.nets.presets`). A folder is read and written
without MXNet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, sha256, write_json
from gluon_mtcnn.core.nets.params_file import load_arrays, write_params
from gluon_mtcnn.core.nets.presets import DEFAULT, ChosenOptions, Preset, choose, parse_presets
from gluon_mtcnn.core.nets.spec import NetSpec
from gluon_mtcnn.core.nets.weights import AnyNet, NetWeights
from gluon_mtcnn.core.ops.image import MEAN, SCALE
from gluon_mtcnn.core.types import NETS

log = logging.getLogger(__name__)
FORMAT_VERSION = 1
CONFIG_NAME = "model.json"
DEFAULT_THRESHOLDS = (0.6, 0.7, 0.7)
LANDMARK_LAYOUT = "interleaved"  # x1 y1 ... x5 y5; importers reorder x1..x5 y1..y5 heads, so models never differ in it


class Nets(MutableMapping[str, Any]):
    """The Gluon nets of a model by kind, each built from arrays when it is first asked for.

    From then on the Gluon net is the model's: what is done to its parameters shows in `Model.weights`.
    """

    def __init__(self, given: Mapping[str, AnyNet]) -> None:
        self._held = dict(given)

    def __getitem__(self, kind: str) -> Any:
        held = self._held[kind]
        if isinstance(held, NetWeights):
            from gluon_mtcnn.core.nets.mtcnn import from_weights  # MXNet, which only these nets need

            held = self._held[kind] = from_weights(held)
        return held

    def __setitem__(self, kind: str, net: AnyNet) -> None:
        self._held[kind] = net

    def __delitem__(self, kind: str) -> None:
        del self._held[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._held  # the inherited one would build the net

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def as_they_are(self) -> Mapping[str, AnyNet]:
        """Return the nets by kind, as arrays or in Gluon."""
        return self._held


@dataclass
class Model:
    """A cascade, or the part of one that has been trained.

    Attributes
    ----------
    nets : mapping of str to core.nets.mtcnn.Net
        Gluon nets by kind. May be given as `NetWeights` too; Gluon nets are built from those when they are asked for.
    thresholds : (3,) floats
        Face scores that the stages require.
    calibration : {"clipped", "unclipped"}
        Whether R- and O-Net offsets count from the square clipped to the photo (Seanlinx) or from the whole square.
    origin : dict of str to dict
        Where each net came from, by kind.
    path : str
        The folder, for messages.
    presets : dict of str to Preset
        Options of a detector, chosen for these weights.

    Examples
    --------
    >>> from gluon_mtcnn.model import DEFAULT_MODEL
    >>> model = load_model(DEFAULT_MODEL)
    >>> {kind: model.spec(kind).landmarks for kind in model.nets}
    {'pnet': False, 'rnet': False, 'onet': True}
    """

    nets: MutableMapping[str, Any] = field(default_factory=dict)
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    calibration: str = "unclipped"
    origin: dict[str, dict] = field(default_factory=dict)
    path: str = ""
    presets: dict[str, Preset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.nets, Nets):
            self.nets = Nets(self.nets)

    def spec(self, kind: str) -> NetSpec:
        """Return what a net is; without MXNet."""
        return self._as_they_are()[kind].spec

    def weights(self, kind: str) -> NetWeights:
        """Return a net's parameters as they are now; without MXNet, if its Gluon net has not been asked for."""
        return self._as_they_are()[kind].weights()

    def _as_they_are(self) -> Mapping[str, AnyNet]:
        assert isinstance(self.nets, Nets)
        return self.nets.as_they_are()

    def detector_options(self, given: Preset, preset: Union[str, Preset, None] = None) -> ChosenOptions:
        """Return the options of a detector: given ones, then those of a preset, then the model's and the defaults.

        Parameters
        ----------
        given : Preset
            Options that win over the preset.
        preset : str or Preset, optional
            Default: the preset "default", if the model has it.

        Raises
        ------
        InputError
            The model has no preset of this name.
        """
        chosen = preset if isinstance(preset, Preset) else choose(self.presets, preset, self.path or "model")
        return ChosenOptions.of(given.over(chosen), tuple(self.thresholds))

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


def load_model(folder: PathLike) -> Model:
    """Open a model folder with all the nets it has.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        No such folder, no model.json, a newer format, or weights that do not match it.

    Examples
    --------
    >>> from gluon_mtcnn import Detector
    >>> from gluon_mtcnn.model import DEFAULT_MODEL
    >>> model = load_model(DEFAULT_MODEL)
    >>> Detector(model, preset="fast").thresholds == model.presets["fast"].thresholds
    True
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
            model.nets[kind] = _load_weights(folder, kind, entry)
            model.origin[kind] = dict(entry.get("origin", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{config_path}: not a valid description of a model: {error!r}") from None
    model.presets = parse_presets(config.get("presets", {}), str(config_path))
    if len(model.thresholds) != 3 or model.calibration not in ("clipped", "unclipped"):
        raise InputError(f"{config_path}: expected three thresholds and calibration clipped or unclipped")
    return model


def _load_weights(folder: Path, kind: str, entry: dict) -> NetWeights:
    path = folder / f"{kind}.params"
    if not path.is_file():
        raise InputError(f"{path}: parameter file not found")
    if sha256(path) != entry["sha256"]:
        raise InputError(f"{path}: not the file that {folder / CONFIG_NAME} describes (sha256 differs)")
    arrays = load_arrays(path)
    expected = {"color": "bgr", "mean": MEAN, "scale": SCALE}
    for name, value in expected.items():
        if entry[name] != value:
            raise InputError(f"{folder / CONFIG_NAME}: {kind}: {name} must be {value!r}, got {entry[name]!r}")
    spec = NetSpec(kind, bool(entry["landmarks"]), entry["pooling"], entry["order"], entry.get("cell", 12))
    return NetWeights.checked(spec, arrays, path)


def save_net(
    folder: PathLike,
    net: AnyNet,
    origin: Optional[dict] = None,
    thresholds: Optional[tuple[float, ...]] = None,
    calibration: Optional[str] = None,
) -> None:
    """Write a net into a model folder, beside those already there; create or update ``model.json``.

    Presets that the folder has stay only if the weights are those that it has already: they were chosen for them.

    Parameters
    ----------
    folder : created when missing
    net : Net or NetWeights
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
    write_params(path, net.weights().arrays)
    if thresholds is not None:
        _set_thresholds(config, thresholds, config_path)
    if calibration is not None:
        config["calibration"] = calibration
    digest = sha256(path)
    if config.get("presets") and config["nets"].get(kind, {}).get("sha256") != digest:
        say_dropped(config.pop("presets"), config_path)
    config["nets"][kind] = {
        "sha256": digest,
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
    """Change the three thresholds in a folder's ``model.json``, and that of a preset "default", which would hide them.

    Raises
    ------
    InputError
        Not three numbers from 0 to 1, or not a model folder that can be read.
    """
    if len(thresholds) != len(NETS) or not all(0 <= t <= 1 for t in thresholds):
        raise InputError(f"thresholds: expected three numbers from 0 to 1, got {thresholds}")
    load_model(folder)  # refuse to update what cannot be read
    path = Path(folder) / CONFIG_NAME
    config = read_json(path)
    _set_thresholds(config, thresholds, path)
    write_json(path, config)


def _set_thresholds(config: dict[str, Any], thresholds: tuple[float, ...], path: Path) -> None:
    """Set the thresholds in what ``model.json`` holds; a preset "default" loses its own, if they are others."""
    config["thresholds"] = [float(t) for t in thresholds]
    default = config.get("presets", {}).get(DEFAULT, {})
    if default.get("thresholds", config["thresholds"]) != config["thresholds"]:
        del default["thresholds"]
        log.warning("%s: preset %r: now with the model's thresholds, which were written", path, DEFAULT)


def write_presets(folder: PathLike, presets: Mapping[str, Preset]) -> None:
    """Put presets into a folder's ``model.json``, in place of those that it has; none at all removes the key.

    Raises
    ------
    InputError
        A value out of range, or not a model folder that can be read.
    """
    load_model(folder)  # refuse to update what cannot be read
    path = Path(folder) / CONFIG_NAME
    value = {name: preset.as_json() for name, preset in presets.items()}
    parse_presets(value, str(path))
    config = {key: item for key, item in read_json(path).items() if key != "presets"}
    write_json(path, {**config, **({"presets": value} if value else {})})


def say_dropped(presets: Mapping[str, Any], where: PathLike) -> None:
    """Log that presets do not go on with other weights."""
    log.warning("%s: presets %s were chosen for other weights: dropped", where, ", ".join(presets))
