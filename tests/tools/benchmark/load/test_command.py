import json

from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.tools.benchmark.load.command import write_pack
from gluon_mtcnn.tools.cli.main import main


def test_every_figure_is_measured(tmp_path, capsys):
    assert main(["benchmark", "load", "--records", "4000", "--images", "900", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["images_per_cpu_second"]) == {"12", "24", "48"}
    for rates in result["images_per_cpu_second"].values():
        assert len(rates) == 5
        assert all(rate > 0 for rate in rates.values())
    small, large = (result["opening"][f"records_{n}"] for n in (40, 4000))
    assert small["open_megabytes"] < 5
    assert large["open_megabytes"] < 5
    assert large["epoch_megabytes"] > 0


def test_the_pack_is_of_all_classes_in_the_usual_ratio(tmp_path):
    counts = Pack(write_pack(tmp_path, 12, 700, 0)).class_counts()
    assert counts == {"positive": 100, "negative": 300, "part": 100, "landmark": 200}
