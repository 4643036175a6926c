"""Training checkpoints: all that a run needs to go on as if it had never stopped, in one file each.

A file is a NumPy ``.npz`` without pickles: the weights, the optimizer's state, and a JSON head (position,
configuration, pack digest, threads, history so far). It is written under a temporary name and renamed; a damaged one is
skipped for the one before it. Batches, augmentation and learning rate are functions of seed and position, so the
position is also the state of the random numbers.
"""

from __future__ import annotations

import io
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
KEEP = 3
_PATTERN = "step-*.npz"


def run_record_path(out: PathLike, net: str) -> Path:
    """Return the path of the JSON file with what a net's run depends on: configuration, pack digests, threads."""
    return Path(out) / "checkpoints" / net / "run.json"


@dataclass
class TrainState:
    """A run between two steps.

    Attributes
    ----------
    epoch, batch : int
        The next step to take.
    run : dict
        What must not change on resuming: configuration, pack digests, thread count, versions; JSON values.
    arrays : dict of str to array
        ``weight/NAME``, ``state/INDEX/PART`` and ``tally``.
    updates : dict of str to int
        How many updates each parameter has had, by the optimizer's index.
    history : list of dict
        One row for each finished epoch.
    best : float or None
        The best validation figure so far.
    seconds : float
        Time spent in training so far.
    """

    epoch: int
    batch: int
    run: dict[str, Any]
    arrays: dict[str, np.ndarray]
    updates: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Optional[float] = None
    seconds: float = 0.0


_HEAD_FIELDS = ("epoch", "batch", "run", "updates", "history", "best", "seconds")


def pack_state(state: TrainState) -> bytes:
    """Return a checkpoint as the bytes of its file."""
    head = {"format": FORMAT_VERSION, **{name: getattr(state, name) for name in _HEAD_FIELDS}}
    head["arrays"] = list(state.arrays)  # one wrong bit in a zip file's directory hides members
    file = io.BytesIO()
    np.savez(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **state.arrays)
    return file.getvalue()


def unpack_state(data: bytes, path: PathLike) -> TrainState:
    """Return a checkpoint from the bytes of its file; `path` is for messages.

    Raises
    ------
    InputError
        It is damaged, or of a newer format.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays.pop("head").tobytes())
        if head["format"] != FORMAT_VERSION:
            raise InputError(f"{path}: expected checkpoint format {FORMAT_VERSION}, got {head['format']!r}")
        if list(arrays) != head.get("arrays", list(arrays)):
            raise ValueError("arrays are missing")
        return TrainState(arrays=arrays, **{name: head[name] for name in _HEAD_FIELDS})
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, lzma and NumPy's header parser raise nearly anything
        raise InputError(f"{path}: expected a checkpoint of this program, got a damaged file: {error}") from None


def save_state(folder: PathLike, state: TrainState, step: int, keep: int = KEEP) -> Path:
    """Write ``step-0000123.npz`` into a folder and remove all but the `keep` newest; return its path."""
    path = Path(folder) / f"step-{step:09d}.npz"
    with replacing(path) as temporary:
        temporary.write_bytes(pack_state(state))
    for old in list_states(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def list_states(folder: PathLike) -> list[Path]:
    """Return the checkpoints in a folder, the newest first."""
    return sorted(Path(folder).glob(_PATTERN), reverse=True)


def load_state(path: PathLike) -> TrainState:
    """Read one checkpoint.

    Raises
    ------
    InputError
        It is missing, damaged, or of a newer format.
    """
    try:
        return unpack_state(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: checkpoint not found") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def newest_state(folder: PathLike) -> Optional[TrainState]:
    """Return the newest readable checkpoint of a folder, or None when there is none; damaged ones are reported."""
    for path in list_states(folder):
        try:
            return load_state(path)
        except InputError as error:
            logger.warning("%s; trying the checkpoint before it", error)
    return None


def remove_abandoned(folder: PathLike) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for path in Path(folder).glob(".*.tmp"):
        if not _alive(path.name.split(".")[-2]):
            path.unlink(missing_ok=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def check_same_run(path: PathLike, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to resume a run under other conditions; other library versions give a warning only.

    Raises
    ------
    InputError
        Names the first value that differs, what the checkpoint has and what was asked for.
    """
    if old.get("versions") != new.get("versions"):
        logger.warning("%s: begun with %s, resumed with %s", path, old.get("versions"), new.get("versions"))
    old_values, new_values = (_flat({**values, "versions": None}) for values in (old, new))
    for name in sorted(old_values.keys() | new_values.keys()):
        was, now = old_values.get(name), new_values.get(name)
        if was != now:
            raise InputError(
                f"{path}: cannot resume: {name} was {was!r} and is now {now!r}; use the same options and packs, or "
                "train without --resume"
            )


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat.update(_flat(item, f"{prefix}{name}."))
        else:
            flat[prefix + name] = list(item) if isinstance(item, tuple) else item
    return flat
