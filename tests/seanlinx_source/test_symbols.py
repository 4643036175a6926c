"""Exported symbols in the MXNet of 2017 that ``--seanlinx-python`` has; skipped without ``--seanlinx-source``."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.export import export_seanlinx, export_symbol
from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.types import NETS

SHAPES = {"pnet": (2, 3, 21, 34), "rnet": (3, 3, 24, 24), "onet": (3, 3, 48, 48)}


@pytest.mark.parametrize("form", ["seanlinx", "symbol"])
def test_nets_compute_the_same_there(pytestconfig, shared, tmp_path, form):
    if not pytestconfig.getoption("--seanlinx-source"):
        pytest.skip("needs --seanlinx-source DIR and --seanlinx-python with MXNet of 2017")
    model = load_seanlinx({kind: shared / "seanlinx" / "model" / kind for kind in NETS}, dict.fromkeys(NETS, 16))
    if form == "seanlinx":
        export_seanlinx(model, tmp_path)
    else:
        export_symbol(model, tmp_path, (0, 9))
    for kind, shape in SHAPES.items():
        images = np.random.default_rng(4).uniform(-1, 1, shape).astype(np.float32)
        logits, offsets = model.nets[kind](mx.nd.array(images))
        np.save(tmp_path / f"{kind}_in.npy", images)
        np.save(tmp_path / f"{kind}_0.npy", mx.nd.softmax(logits, axis=1).asnumpy())
        np.save(tmp_path / f"{kind}_1.npy", offsets.asnumpy())
    program = [pytestconfig.getoption("--seanlinx-python"), str(Path(__file__).with_name("load_symbols.py"))]
    words = [*program, str(tmp_path), "16" if form == "seanlinx" else "0"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    version, *differences = result.stdout.split()
    print(f"MXNet {version}: {', '.join(differences)}")
    assert len(differences) == 3
    assert max(map(float, differences)) < 1e-6
