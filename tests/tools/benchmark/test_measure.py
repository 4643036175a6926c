import json
import mmap
import time
from pathlib import Path

import numpy as np
import pytest

from gluon_mtcnn.tools.benchmark.measure import anonymous_bytes, environment, finish, spent


def fresh(count):
    """Return touched pages of their own: malloc may hand out some that earlier tests have left in the heap."""
    block = np.frombuffer(mmap.mmap(-1, count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    block[:] = 1
    return block


def test_memory_counts_what_is_touched():
    before = anonymous_bytes()
    block = fresh(50_000_000)
    assert 45e6 < anonymous_bytes() - before < 60e6
    assert block.sum() == 50_000_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_memory_is_what_linux_calls_anonymous():
    block = fresh(30_000_000)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert anonymous_bytes() == pytest.approx(int(status["RssAnon"].split()[0]) * 1024, abs=1e6)
    assert block.sum() == 30_000_000


def test_the_peak_is_seen_though_it_is_gone_at_the_end():
    with spent(memory=True) as used:
        block = fresh(40_000_000)
        deadline = time.monotonic() + 60
        while used.peak_bytes < 35e6 and time.monotonic() < deadline:
            time.sleep(0.01)  # the thread that looks may wait for its turn
        del block
    assert 35e6 < used.peak_bytes < 50e6


def test_mapped_files_are_not_counted(tmp_path):
    (tmp_path / "file").write_bytes(bytes(30_000_000))
    with spent(memory=True) as used:
        assert not np.memmap(tmp_path / "file", np.uint8, "r").any()
        time.sleep(0.05)
    assert used.peak_bytes < 10e6


def test_wall_and_processor_time_differ():
    with spent() as used:
        time.sleep(0.2)
    assert used.seconds >= 0.2
    assert used.cpu_seconds < used.seconds
    with spent() as used:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    assert used.cpu_seconds >= 0.05


def test_the_result_says_where_it_was_measured(tmp_path, capsys):
    assert finish({"figure": 1}, str(tmp_path / "out" / "figures.json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "figures.json").read_text())
    assert printed["figure"] == 1
    assert printed["environment"]["versions"]["numpy"] == np.__version__
    assert environment()["cores"] >= 1
