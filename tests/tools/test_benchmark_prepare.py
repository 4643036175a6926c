import json

import pytest

from gluon_mtcnn.core.checkpoint import save_net
from gluon_mtcnn.core.network import NetSpec, build, initialise
from gluon_mtcnn.core.runtime import mx
from gluon_mtcnn.prepare_data.synthetic import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli import main


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
    assert 0 < sampling["share_of_decode_rate_by_processor_time"] < 2
    for net in ("rnet", "onet"):
        mining = result[net]["workers_2"]
        assert mining["photos"] == 2
        assert 0 < mining["share_of_detect_rate"] < 2
    # ten times the photos, and nothing that is kept of each
    once, ten_times = (result["memory"][f"photos_{count}"] for count in (36, 360))
    assert ten_times["megabytes_above_the_first_photos"] < once["megabytes_above_the_first_photos"] + 5
    assert ten_times["megabytes_in_all"] > ten_times["megabytes_above_the_first_photos"]


def test_bad_options(painted, capsys):
    assert main(["benchmark", "prepare", "--wider-images", "somewhere", "--quiet"]) == 2
    assert "expected both" in capsys.readouterr().err
    assert main(options(painted, "--workers", "1,none")) == 2
    assert "--workers: expected numbers" in capsys.readouterr().err
