import json

import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.model_folder import load_model, save_net, write_presets, write_thresholds
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.training import history
from gluon_mtcnn.tools.cli.main import main


def trained(folder, kind, threshold, calibration="unclipped"):
    """Leave what a training would: one net, its threshold, history and summary."""
    net = build(NetSpec(kind))
    net.initialize(mx.init.Xavier())
    save_net(folder, net, {"from": folder.name}, calibration=calibration)
    write_thresholds(folder, (threshold,) * 3)
    history.write_csv(folder / "history.csv", [{"epoch": 1, "train_loss": threshold}], kind)
    entry = {"net": kind, "epochs": 1}
    (folder / "summary.json").write_text(json.dumps({**entry, "nets": {kind: entry}}))
    return str(folder)


def test_nets_of_several_folders(tmp_path, capsys):
    p, r = trained(tmp_path / "p", "pnet", 0.25), trained(tmp_path / "r", "rnet", 0.5)
    trained(tmp_path / "out", "onet", 0.75)  # is replaced
    assert main(["assemble", "--pnet", p, "--rnet", r, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"pnet from {p}\nrnet from {r}\n"
    model = load_model(tmp_path / "out")
    assert list(model.nets) == ["pnet", "rnet"]
    assert model.thresholds == (0.25, 0.5, 0.7)
    assert model.origin == {"pnet": {"from": "p"}, "rnet": {"from": "r"}}
    assert (tmp_path / "out" / "pnet.params").read_bytes() == (tmp_path / "p" / "pnet.params").read_bytes()
    assert not (tmp_path / "out" / "onet.params").exists()
    assert [row["net"] for row in history.read_csv(tmp_path / "out" / "history.csv")] == ["pnet", "rnet"]
    assert list(json.loads((tmp_path / "out" / "summary.json").read_text())["nets"]) == ["pnet", "rnet"]
    assert (tmp_path / "out" / "history.png").is_file()


def test_what_is_refused(tmp_path, capsys):
    p, r = trained(tmp_path / "p", "pnet", 0.25), trained(tmp_path / "r", "rnet", 0.5)
    o = trained(tmp_path / "o", "onet", 0.5, "clipped")
    for words, message in (
        ([], "assemble: expected a model folder for a net at least"),
        (["--rnet", p], "the model has no rnet (it has: pnet)"),
        (["--rnet", r, "--onet", o], f"expected nets of the same calibration, got {r}: unclipped, {o}: clipped"),
        (["--pnet", str(tmp_path / "none")], "model folder not found"),
        (["--pnet", p, "--out", p], "expected another folder than those that nets are taken from"),
    ):
        assert main(["assemble", "--out", str(tmp_path / "out"), *words]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("half", ["--landmark-images", "--landmark-annotations"])
def test_split_wants_both_of_a_pair(half, tmp_path, capsys):
    (tmp_path / "list.txt").touch()
    faces = ["--wider-images", str(tmp_path), "--wider-annotations", str(tmp_path / "list.txt")]
    assert main(["split", *faces, half, str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "expected both, got one" in capsys.readouterr().err


def test_presets_come_along_with_all_of_their_nets(tmp_path, caplog):
    for kind, folder in (("pnet", "a"), ("rnet", "a"), ("rnet", "b")):
        trained(tmp_path / folder, kind, 0.5)
    a, b, presets = str(tmp_path / "a"), str(tmp_path / "b"), {"fast": Preset((0.8, 0.9, 0.7))}
    write_presets(a, presets)
    assert main(["assemble", "--pnet", a, "--rnet", a, "--out", str(tmp_path / "whole")]) == 0
    assert load_model(tmp_path / "whole").presets == presets
    assert not caplog.records
    assert main(["assemble", "--pnet", a, "--rnet", b, "--out", str(tmp_path / "mixed")]) == 0
    assert load_model(tmp_path / "mixed").presets == {}
    assert [record.getMessage() for record in caplog.records] == [
        f"{a}: presets fast were chosen for other weights: dropped"
    ]
