import json

import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.benchmark.measure import Spent
from gluon_mtcnn.tools.benchmark.prepare import command as benchmark_prepare
from gluon_mtcnn.tools.cli.main import main


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted")
    few = SyntheticSpec(
        train_photos=36, val_photos=0, landmark_photos=0, landmark_test_photos=0, test_photos=0, distractor_photos=0
    )
    return write_dataset(folder, few, 0, True)


def options(paths, *more):
    photos = ["--wider-images", paths.wider_images, "--wider-annotations", paths.wider_train_annotations]
    return [str(word) for word in ("benchmark", "prepare", *photos, "--quiet", *more)]


def check_rates(figures, what):
    """All are there; of one repeat the share is that of the two rates, whatever else the machine did meanwhile."""
    rate, least = figures["photos_per_second"], figures[f"{what}_photos_per_second"]
    lowest, highest = (rate - 0.005) / (least + 0.005), (rate + 0.005) / (least - 0.005)  # they are rounded
    assert lowest - 0.001 < figures[f"share_of_{what}_rate"] < highest + 0.001
    assert figures[f"share_of_{what}_rate_by_processor_time"] > 0


def test_every_figure_is_measured(painted, tmp_path, capsys):
    for kind in ("pnet", "rnet"):
        net = build(NetSpec(kind))
        initialise(net)
        bias = next(p for name, p in net.face_head.collect_params().items() if name.endswith("bias"))
        bias.set_data(bias.data() + mx.nd.array([3, 0]))  # few candidates: this is no test of the detector
        save_net(tmp_path / "model", net, {})
    few = ("--workers", "2", "--repeats", "1", "--mining-limit", "2", "--model", tmp_path / "model")
    assert main(options(painted, *few, "--json", tmp_path / "figures.json")) == 0
    result = json.loads((tmp_path / "figures.json").read_text())
    assert result == json.loads(capsys.readouterr().out)
    assert result["photos"] == 36
    sampling = result["pnet"]["workers_2"]
    assert sampling["crops_per_photo"] > 10
    check_rates(sampling, "decode")
    for net in ("rnet", "onet"):
        mining = result[net]["workers_2"]
        assert mining["photos"] == 2
        check_rates(mining, "detect")
    # ten times the photos, and nothing that is kept of each
    once, ten_times = (result["memory"][f"photos_{count}"] for count in (36, 360))
    assert ten_times["megabytes_above_the_first_photos"] < once["megabytes_above_the_first_photos"] + 5
    assert ten_times["megabytes_in_all"] > ten_times["megabytes_above_the_first_photos"]


def test_rates_are_medians_and_shares_are_those_of_pairs():
    decoding = [Spent(2.0, 1.0), Spent(8.0, 3.0), Spent(4.0, 2.0)]
    preparing = [Spent(4.0, 4.0), Spent(10.0, 4.0), Spent(5.0, 4.0)]
    assert benchmark_prepare._compare(100, "decode", decoding, preparing) == {
        "decode_photos_per_second": 25.0,  # in 4 s
        "photos_per_second": 20.0,  # in 5 s
        "share_of_decode_rate": 0.8,  # of .5, .8, .8
        "share_of_decode_rate_by_processor_time": 0.5,  # of .25, .75, .5
    }


def test_bad_options(painted, capsys):
    assert main(["benchmark", "prepare", "--wider-images", "somewhere", "--quiet"]) == 2
    assert "expected both" in capsys.readouterr().err
    assert main(options(painted, "--workers", "1,none")) == 2
    assert "--workers: expected numbers" in capsys.readouterr().err
