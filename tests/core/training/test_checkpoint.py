"""Training checkpoints as files."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.training.checkpoint import (
    TrainState,
    check_same_run,
    list_states,
    load_state,
    newest_state,
    pack_state,
    remove_abandoned,
    save_state,
    unpack_state,
)


def make_state(batch=3):
    arrays = {
        "weight/stage1.conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
        "state/0/0": np.full((2, 3), 1e-30, np.float32),
        "tally": np.zeros(10, np.float32),
    }
    run = {"config": {"net": "pnet", "lr": 0.02}, "threads": 1}
    return TrainState(2, batch, run, arrays, {"0": 17}, [{"epoch": 1, "val_loss": 0.1, "x": None}], 0.1 + 0.2, 1.5)


def test_what_is_saved_comes_back_exactly(tmp_path):
    state = make_state()
    loaded = load_state(save_state(tmp_path, state, 7))
    for name, array in state.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)
    assert loaded.arrays.keys() == state.arrays.keys()
    for name in ("epoch", "batch", "run", "updates", "history", "best", "seconds"):
        assert getattr(loaded, name) == getattr(state, name)


def test_the_newest_are_kept(tmp_path):
    for step in (1, 2, 10, 9, 100):
        save_state(tmp_path, make_state(step), step, keep=3)
    assert [path.name for path in list_states(tmp_path)] == [f"step-{s:09d}.npz" for s in (100, 10, 9)]
    assert newest_state(tmp_path).batch == 100


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, damage):
    save_state(tmp_path, make_state(1), 1)
    path = save_state(tmp_path, make_state(2), 2)
    content = bytearray(path.read_bytes())
    place = content.index(np.float32(1 / 7).tobytes())
    content[place] ^= 0xFF
    path.write_bytes({"empty": b"", "truncated": path.read_bytes()[:-40], "flipped": content, "text": b"hello"}[damage])
    with caplog.at_level(logging.WARNING):
        assert newest_state(tmp_path).batch == 1
    assert "step-000000002.npz: expected a checkpoint" in caplog.text


def test_any_wrong_bit_is_met_with_a_refusal_or_does_not_matter():
    state, accepted = make_state(2), 0
    data = pack_state(state)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        try:
            loaded = unpack_state(bytes(damaged), "x.npz")
        except InputError:
            continue
        accepted += 1  # dates, attributes: what a zip file says of its members besides
        assert loaded.run == state.run
        assert loaded.arrays.keys() == state.arrays.keys()
        for name, array in state.arrays.items():
            np.testing.assert_array_equal(loaded.arrays[name], array)
    assert accepted < len(data) / 4


def test_a_checkpoint_that_wants_to_run_code_is_refused(tmp_path):
    path = tmp_path / "step-000000001.npz"
    np.savez(path, head=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged file"):
        load_state(path)


def test_no_checkpoint(tmp_path):
    assert newest_state(tmp_path) is None
    assert newest_state(tmp_path / "missing") is None
    with pytest.raises(InputError, match=r"x\.npz: checkpoint not found"):
        load_state(tmp_path / "x.npz")


def test_what_a_killed_process_left_is_cleared(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / f".step-000000004.npz.{dead.stdout.strip()}.tmp"
    mine = tmp_path / f".step-000000005.npz.{os.getpid()}.tmp"
    for path in (left, mine):
        path.write_bytes(b"half")
    kept = save_state(tmp_path, make_state(), 3)
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == [mine, kept]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": 2}, "threads was 1 and is now 2"),
        ({"config": {"net": "pnet", "lr": 0.01}}, r"config\.lr was 0\.02 and is now 0\.01"),
        ({"extra": "x"}, "extra was None and is now 'x'"),
    ],
)
def test_a_changed_run_is_refused_in_one_line(change, message):
    run = make_state().run
    check_same_run("out", run, {**run, "config": {"net": "pnet", "lr": 0.02}})
    with pytest.raises(InputError, match=f"^out: cannot resume: {message}; [^\n]+$"):
        check_same_run("out", run, {**run, **change})
