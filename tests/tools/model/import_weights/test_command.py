import json

import numpy as np
import pytest

from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.tools.cli.main import main


def test_seanlinx_prefixes_become_a_model_that_detects_as_the_original(shared, tmp_path):
    folder = shared / "seanlinx"
    prefixes = [str(folder / "model" / kind) for kind in ("pnet", "rnet", "onet")]
    out = str(tmp_path / "m")
    assert main(["import", "seanlinx", *prefixes, "--epoch", "16", "16", "16", "--out", out]) == 0
    model = load_model(out)
    assert model.calibration == "clipped"
    assert model.thresholds == (0.6, 0.7, 0.7)
    assert model.origin["onet"]["file"] == "onet-0016.params"
    stages = tmp_path / "stages.json"
    photo = str(folder / "test01.jpg")
    options = ["--compat", "seanlinx", "--min-face", "24", "--thresholds", ".6,.7,.7", "--stages", str(stages)]
    assert main(["detect", photo, "--model", out, *options]) == 0
    got = json.loads(stages.read_text())[photo]
    expected = json.loads((folder / "golden_test01.json").read_text())["runs"]["fddb_default_0.6_0.7_0.7_min24"]
    for kind in ("pnet", "rnet", "onet"):
        for name in ("boxes", "boxes_c"):
            np.testing.assert_allclose(sorted(got[kind][name]), sorted(expected[f"{kind}_{name}"]), rtol=0, atol=1e-2)


def test_old_checkpoints_keep_their_pooling(shared, tmp_path):
    prefixes = [str(shared / "seanlinx" / "model_valid" / kind) for kind in ("pnet", "rnet", "onet")]
    assert main(["import", "seanlinx", *prefixes, "--out", str(tmp_path)]) == 0
    assert {net.spec.pooling for net in load_model(tmp_path).nets.values()} == {"valid"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b", "c", "d"], "expected up to three prefixes, got 4"),
        (["a", "b", "--epoch", "1", "2", "3"], "expected 2 epochs, got 3"),
        (["nowhere/pnet", "--epoch", "3"], "nowhere/pnet-0003.params: parameter file not found"),
    ],
)
def test_bad_calls(arguments, message, tmp_path, capsys):
    assert main(["import", "seanlinx", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
