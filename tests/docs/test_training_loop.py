"""The training loop in docs/training.md, as it stands there."""

import ast
import re
import subprocess
import sys

import numpy as np
import pytest

from gluon_mtcnn.core.packs.writer import PackWriter


@pytest.fixture
def pack(tmp_path):
    """Write packs/12: faces are bright in the middle, their targets constant."""
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -1, -2], 400, p=[0.3, 0.4, 0.15, 0.15])
    images = rng.integers(0, 100, (400, 12, 12, 3), dtype=np.uint8)
    images[:, 3:9, 3:9][labels != 0] += 100
    rows = np.full((400, 15), 0.3, np.float32)
    rows[:, 0] = labels
    with PackWriter(tmp_path / "packs" / "12", "train", 12) as writer:
        writer.append(images, rows)


def test_the_loop_in_the_docs_learns(pack, checkout, tmp_path):
    text = (checkout / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "for epoch" in block)
    assert len(code[code.index("for epoch") :].splitlines()) <= 11  # the loop; ten lines and the report
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    epochs = [line.split(" ", 2) for line in result.stdout.splitlines()]
    assert [number for number, _, _ in epochs] == ["0", "1", "2", "3", "4"]
    first, last = (float(loss) for _, loss, _ in (epochs[0], epochs[-1]))
    assert 0 < last < first / 2
    before, after = (ast.literal_eval(figures) for _, _, figures in (epochs[0], epochs[-1]))
    assert list(after) == ["accuracy", "log_loss", "box_error", "landmark_error"]
    assert after["accuracy"] > 0.95
    assert all(after[name] < before[name] for name in ("log_loss", "box_error", "landmark_error"))
