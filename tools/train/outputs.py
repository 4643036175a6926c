"""What a training run leaves in --out: weights, history, TensorBoard logs, summary. Imports MXNet."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Any

from gluon_mtcnn import __version__
from gluon_mtcnn.core.backend.threads import threads
from gluon_mtcnn.core.convert.export import write_seanlinx
from gluon_mtcnn.core.files.atomic import read_json, write_json
from gluon_mtcnn.core.nets.batch_norm import folded
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import Net
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.training import history
from gluon_mtcnn.core.training.config import TrainConfig
from gluon_mtcnn.core.training.learner import dead_kernels
from gluon_mtcnn.core.training.tensorboard import EventLog
from gluon_mtcnn.core.training.trainer import Trainer, criterion
from gluon_mtcnn.tools.train.options import TrainOptions

logger = logging.getLogger(__name__)

TIMES = ("samples_per_second", "seconds")  # not in model.json: the same run gives the same bytes


class RunFiles:
    """Writes the files of one run, epoch by epoch.

    Parameters
    ----------
    options : TrainOptions
    net : Net
    config : TrainConfig
    """

    def __init__(self, options: TrainOptions, net: Net, config: TrainConfig) -> None:
        self._options, self._net, self._config, self._out = options, net, config, Path(options.out)
        self._events: Any = None

    def begin(self, epoch: int) -> None:
        """Note the epoch, counted from 0, at which the run begins or goes on."""
        self._events = EventLog(self._out / "tensorboard" / self._options.net, epoch + 1)

    def write_epoch(self, rows: list[dict[str, Any]], improved: bool) -> None:
        """Keep the weights if they are the best so far; bring history and logs up to date."""
        epoch, net, kept = len(rows), self._options.net, folded(self._net)
        if improved:
            origin = {"trained_with": f"gluon-mtcnn {__version__}", "epoch": epoch, "config": self._config.as_dict()}
            figures = {name: value for name, value in rows[-1].items() if name not in TIMES}
            save_net(self._out, kept, origin={**origin, "figures": figures})
        if self._options.seanlinx_checkpoints:
            write_seanlinx(kept, self._options.seanlinx_checkpoints, epoch)
        history.write_csv(self._out / "history.csv", rows, net)
        history.plot(self._out / "history.png", history.read_csv(self._out / "history.csv"))
        self._events.add(rows[-1])

    def finish(self, trainer: Trainer, pack: Pack) -> dict[str, Any]:
        """Write summary.json: this run's figures on the top level, the last run of every net below ``nets``.

        Returns
        -------
        dict
            The figures of this run.
        """
        self._events.close()
        net, summary = self._config.net, self._summarise(trainer, pack)
        path = self._out / "summary.json"
        others = read_json(path).get("nets", {}) if path.is_file() else {}
        write_json(path, {**summary, "nets": {**others, net: summary}})
        logger.info("%s: best epoch %d of %d; wrote %s", net, summary["best_epoch"], summary["epochs"], self._out)
        return summary

    def _summarise(self, trainer: Trainer, pack: Pack) -> dict[str, Any]:
        net, rows = self._config.net, trainer.history
        judged = [row for row in rows if criterion(row) is not None]
        best = min(judged, key=lambda row: criterion(row) or 0.0) if judged else rows[-1]
        dead = dead_kernels(folded(self._net))
        if dead:
            logger.warning("%s: dead kernels (all weights below 1e-5): %s", net, dead)
        wall, cpu = trainer.wall_seconds, trainer.cpu_seconds
        return {
            "net": net,
            **best,
            "best_epoch": best["epoch"],
            "epochs": len(rows),
            "samples_per_second": trainer.samples / wall if wall else rows[-1]["samples_per_second"],
            "samples_per_cpu_second": trainer.samples / cpu if cpu else None,
            "seconds": trainer.seconds,
            "threads": threads(),
            "classes": pack.class_counts(),
            "dead_kernels": dead,
            "last_epoch": rows[-1],
            **trainer.run,
            "versions": {"gluon_mtcnn": __version__, "python": platform.python_version(), **trainer.run["versions"]},
        }
