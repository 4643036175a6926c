import json

from gluon_mtcnn.tools.benchmark.train import command as benchmark_train
from gluon_mtcnn.tools.cli.main import main


def test_every_figure_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(benchmark_train.ROUND_STEPS, "pnet", 2)
    few = ("--nets", "pnet", "--batch-size", "32", "--rounds", "1", "--records", "4000", "--quiet")
    assert main(["benchmark", "train", *few, "--json", str(tmp_path / "figures.json")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "figures.json").read_text())
    rates = result["pnet"]
    ways = {"held", "pack", "pack_augmented", "original", "two_devices"}
    assert set(rates["samples_per_cpu_second"]) == set(rates["samples_per_second"]) == ways
    ratios = ("pack_to_held", "pack_augmented_to_held", "held_to_original", "two_devices_to_one")
    assert all(rates[name] > 0 for name in ratios)
    assert set(result["memory"]) == {"records_40", "records_4000"}


def test_an_unknown_net(capsys):
    assert main(["benchmark", "train", "--nets", "pnet,qnet"]) == 2
    assert "--nets: expected some of pnet, rnet, onet" in capsys.readouterr().err
