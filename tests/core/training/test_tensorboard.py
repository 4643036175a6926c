import os
import subprocess
import sys

import pytest

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

from gluon_mtcnn.core.training.tensorboard import EventLog  # noqa: E402

KILLED = """
import os, sys
from gluon_mtcnn.core.training.tensorboard import EventLog
log = EventLog(sys.argv[1])
for epoch in (1, 2, 3):
    log.add({"epoch": epoch, **{f"train_{i}": epoch * i for i in range(8)}})
os._exit(9)
"""


def read(folder):
    """Return {tag: [(step, value), ...]} as TensorBoard shows it."""
    events = accumulator.EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def write(folder, epochs, value=0.0):
    log = EventLog(folder, epochs[0])
    for epoch in epochs:
        log.add({"epoch": epoch, "train_loss": value})
    log.close()


def test_an_epoch_is_on_the_disk_when_add_returns(tmp_path):
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.returncode == 9
    assert read(tmp_path) == {f"{i}/train": [(1, i), (2, 2 * i), (3, 3 * i)] for i in range(8)}


def test_a_run_that_goes_on_within_the_same_second_keeps_the_file_before(tmp_path):
    write(tmp_path, [1])
    write(tmp_path, [2])
    assert read(tmp_path) == {"loss/train": [(1, 0), (2, 0)]}


def test_epochs_that_are_repeated_take_the_place_of_the_earlier(tmp_path):
    write(tmp_path, [1, 2, 3], 1.0)
    write(tmp_path, [2, 3], 5.0)
    assert read(tmp_path) == {"loss/train": [(1, 1), (2, 5), (3, 5)]}


def test_a_run_from_the_beginning_removes_the_files_of_another(tmp_path):
    write(tmp_path, [1, 2, 3])
    write(tmp_path, [1])
    assert read(tmp_path) == {"loss/train": [(1, 0)]}
    assert len(list(tmp_path.iterdir())) == 1


def test_figures_that_do_not_exist_are_left_out(tmp_path):
    log = EventLog(tmp_path)
    log.add({"epoch": 1, "lr": 0.5, "val_loss": None, "train_loss": float("nan"), "net": "pnet"})
    log.close()
    assert read(tmp_path) == {"lr": [(1, 0.5)]}
