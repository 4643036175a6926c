"""Nets of several model folders -> one model folder.

Example: gluon-mtcnn assemble --pnet runs/p --rnet runs/r --out runs/cascade

So that each net can be trained in a folder of its own, and earlier ones are kept when a later one is trained again.
Each net brings its threshold, origin, history and summary along. Nets that --out had before are replaced, or removed.
Presets come along only where all nets of a folder do, since they were chosen for these together.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, write_json
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.options import existing_dir, output_dir

COMMON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``assemble``."""
    for net in NETS:
        parser.add_argument(f"--{net}", metavar="DIR", help=f"model folder to take the {net} from")
    parser.add_argument("--out", required=True, metavar="DIR", help="model folder to make")


def run(args: argparse.Namespace) -> int:
    """Write the model folder; print what is in it."""
    out = output_dir(args.out)
    sources = {net: existing_dir(getattr(args, net), "model folder") for net in NETS if getattr(args, net)}
    if not sources:
        raise InputError("assemble: expected a model folder for a net at least: --pnet, --rnet or --onet")
    if out.resolve() in [folder.resolve() for folder in sources.values()]:
        raise InputError(f"{out}: expected another folder than those that nets are taken from")
    assemble(sources, out)
    for net, folder in sources.items():
        print(f"{net} from {folder}")
    return 0


def assemble(sources: dict[str, Path], out: PathLike) -> None:
    """Make a model folder of nets of others, in place of the model that it holds.

    Parameters
    ----------
    sources : dict of kind to model folder
    out : folder, made when missing

    Raises
    ------
    InputError
        A folder lacks the net, or the nets differ in what R- and O-Net's offsets count from.
    """
    from gluon_mtcnn.core.nets.model_folder import (
        CONFIG_NAME,
        DEFAULT_THRESHOLDS,
        load_model,
        save_net,
        write_thresholds,
    )

    models = {net: load_model(folder) for net, folder in sources.items()}
    for net, model in models.items():
        model.require((net,))
    later = {net: model.calibration for net, model in models.items() if net != "pnet"}
    if len(set(later.values())) > 1:
        told = ", ".join(f"{sources[net]}: {value}" for net, value in later.items())
        raise InputError(f"assemble: expected nets of the same calibration, got {told}")
    for name in (CONFIG_NAME, *(f"{net}.params" for net in NETS)):
        (Path(out) / name).unlink(missing_ok=True)
    calibration = next(iter(later.values()), models[next(iter(models))].calibration)
    for net, model in models.items():
        save_net(out, model.weights(net), model.origin[net], calibration=calibration)
    thresholds = zip(NETS, DEFAULT_THRESHOLDS)
    write_thresholds(
        out, tuple(models[net].thresholds[i] if net in models else t for i, (net, t) in enumerate(thresholds))
    )
    _bring_presets({folder: models[net].presets for net, folder in sources.items()}, out)
    _join_companions(sources, Path(out))


def _bring_presets(presets: dict[Path, dict[str, Preset]], out: PathLike) -> None:
    """Give the new folder the presets of a source that has the same nets; say which are left out."""
    from gluon_mtcnn.core.nets.model_folder import CONFIG_NAME, say_dropped, write_presets

    def digests(folder: PathLike) -> dict[str, str]:
        return {net: entry["sha256"] for net, entry in read_json(Path(folder) / CONFIG_NAME)["nets"].items()}

    for folder, own in presets.items():
        if own and digests(folder) == digests(out):
            write_presets(out, own)
        elif own:
            say_dropped(own, folder)


def _join_companions(sources: dict[str, Path], out: Path) -> None:
    """Bring the nets' histories and summaries together, as a folder that all were trained in has them."""
    from gluon_mtcnn.core.training import history

    for name in ("history.csv", "history.png", "summary.json"):
        (out / name).unlink(missing_ok=True)
    nets: dict[str, Any] = {}
    for net, folder in sources.items():
        rows = [row for row in history.read_csv(folder / "history.csv") if row["net"] == net]
        if rows:
            history.write_csv(out / "history.csv", rows, net)
        summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else {}
        if net in summary.get("nets", {}):
            nets[net] = summary["nets"][net]
    if nets:
        write_json(out / "summary.json", {**list(nets.values())[-1], "nets": nets})
    if (out / "history.csv").is_file():
        history.plot(out / "history.png", history.read_csv(out / "history.csv"))
