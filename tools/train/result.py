"""What a training run comes to. Imports no MXNet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional


@dataclass(frozen=True)
class TrainResult:
    """The end of a training run.

    Attributes
    ----------
    net : {"pnet", "rnet", "onet"}
    folder : Path
        The model folder, which holds the weights of the best epoch.
    history : list of dict
        A row for each epoch, as history.csv has them; None where a figure does not exist.
    best_epoch : int or None
        Counted from 1: that of the lowest recalibrated validation loss; the last one without validation.
    metrics : dict of str to (float or None)
        Validation figures of the best epoch, for example ``loss`` and ``mean_accuracy``; empty without validation.
    samples_per_second : float or None
        Training throughput of this process.
    seconds : float
        Spent in training steps; with the part before a resume.
    summary : dict
        All that summary.json says of the net; empty in a worker of a job that is not its first.

    Examples
    --------
    >>> from pathlib import Path
    >>> rows = [{"epoch": 1, "val_loss": 0.6}, {"epoch": 2, "val_loss": 0.5}]
    >>> result = TrainResult("pnet", Path("runs/first"), rows, best_epoch=2, metrics={"loss": 0.5})
    >>> result.history[result.best_epoch - 1]["val_loss"] == result.metrics["loss"]
    True
    """

    net: str
    folder: Path
    history: list[dict[str, Any]]
    best_epoch: Optional[int] = None
    metrics: dict[str, Optional[float]] = field(default_factory=dict)
    samples_per_second: Optional[float] = None
    seconds: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_summary(cls, folder: Path, history: list[dict[str, Any]], summary: dict[str, Any]) -> TrainResult:
        """Return the result of a run that has written its summary."""
        figures = {name[4:]: value for name, value in summary.items() if name.startswith("val_")}
        figures.pop("pack", None)  # ``val_pack`` is a digest
        names = ("net", "best_epoch", "samples_per_second", "seconds")
        return cls(folder=folder, history=history, metrics=figures, summary=summary, **{n: summary[n] for n in names})


@dataclass(frozen=True)
class SanityResult:
    """How well a net learned a few samples by heart.

    Attributes
    ----------
    passed : bool
        All figures are below the limits of `core.training.overfit_check`.
    samples, steps : int
    metrics : dict of str to float
        Figures on these samples; nan where a figure does not exist.
    """

    passed: bool
    samples: int
    steps: int
    metrics: dict[str, float]
