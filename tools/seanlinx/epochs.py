"""The original's ``--begin_epoch`` and ``--end_epoch`` as runs of ``gluon-mtcnn train --recipe seanlinx``."""

from __future__ import annotations

from dataclasses import dataclass

LR_EPOCHS = (8, 14)  # the learning rate falls to a tenth after these, counted from the first epoch of all
LONGEST = LR_EPOCHS[0]  # a run that begins later counts its own epochs from 0: it must end before its own first fall


@dataclass(frozen=True)
class Run:
    """One run: its number of epochs and its learning rate at the start."""

    epochs: int
    lr: float


def runs(begin: int, end: int, lr: float) -> list[Run]:
    """Return the runs that train the epochs from `begin` to `end`, each from the weights of the one before.

    Parameters
    ----------
    begin, end : int
        As the original counts: `begin` epochs are done, the last one is number `end`.
    lr : float
        Learning rate of the first epoch of all.

    Returns
    -------
    list of Run
        One run where nothing was done before. Otherwise the rate is constant within a run, because the recipe's rate
        falls at fixed epochs of a run. Empty if there is nothing to do.
    """
    if begin >= end:
        return []
    if begin == 0:
        return [Run(end, lr)]
    edges = [begin, *(epoch for epoch in LR_EPOCHS if begin < epoch < end), end]
    found = []
    for start, stop in zip(edges, edges[1:]):
        rate = lr * 0.1 ** sum(epoch <= start for epoch in LR_EPOCHS)
        found += [Run(min(LONGEST, stop - first), rate) for first in range(start, stop, LONGEST)]
    return found
