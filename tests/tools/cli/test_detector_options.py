import json
from argparse import ArgumentParser

import cv2
import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import save_net, write_presets
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, add_detector_options, open_detector
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.cli.options import options_from


def options(*argv):
    parser = ArgumentParser()
    add_detector_options(parser)
    return options_from(DetectorOptions, parser.parse_args([str(value) for value in argv]))


def write_model(folder, kinds=NETS):
    for kind in kinds:
        net = build(NetSpec(kind, False, "full", "prelu_first"))
        net.initialize()
        save_net(folder, net, thresholds=(0.55, 0.65, 0.75))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def test_curves_use_a_low_last_threshold_and_the_models_own_is_the_operating_point(model):
    detector, operating = open_detector(options("--model", model, "--min-face", 33))
    assert detector.thresholds == (0.55, 0.65, 0.002)
    assert detector.min_face == 33
    assert operating == 0.75


def test_a_command_may_have_other_defaults(model):
    detector, operating = open_detector(options("--model", model), (0.6, 0.7, 0.7))
    assert detector.thresholds == (0.6, 0.7, 0.7)
    assert operating == 0.75


def test_given_thresholds_win_and_may_raise_the_operating_point(model):
    detector, operating = open_detector(options("--model", model, "--thresholds", ".1,.2,.9"), (0.6, 0.7, 0.7))
    assert detector.thresholds == (0.1, 0.2, 0.9)
    assert operating == 0.9


def test_the_number_of_looks_can_be_asked_for(model):
    """These nets have no points: they look once by default."""
    given = ((), ("--look-again",), ("--no-look-again",))
    assert [open_detector(options("--model", model, *argv))[0].look_again for argv in given] == [False, True, False]
    with pytest.raises(InputError, match="compat 'seanlinx' runs without test-time augmentation"):
        open_detector(options("--model", model, "--compat", "seanlinx", "--look-again"))


@pytest.mark.parametrize("smallest", ["0", "-3", "nan", "inf"])
def test_a_smallest_face_that_is_none_is_refused_at_once(smallest, capsys):
    with pytest.raises(SystemExit):
        options("--min-face", smallest)
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "rnet", "--out", "x", "--min-face", smallest])
    assert capsys.readouterr().err.count("argument --min-face: expected") == 2


def test_all_three_nets_are_needed(tmp_path):
    write_model(tmp_path / "model", ("pnet", "rnet"))
    with pytest.raises(InputError, match="the model has no onet"):
        open_detector(options("--model", tmp_path / "model"))


@pytest.fixture
def with_presets(tmp_path):
    folder = write_model(tmp_path / "model")
    write_presets(folder, {"fast": Preset((0.9, 0.95, 0.8), 32, 0.6), "default": Preset((0.8, 0.9, 0.7))})
    return folder


def test_curves_of_a_preset_have_its_first_two_thresholds(with_presets):
    detector, operating = open_detector(options("--model", with_presets, "--preset", "fast"))
    assert detector.thresholds == (0.9, 0.95, 0.002)
    assert (detector.min_face, detector.scale_factor, operating) == (32, 0.6, 0.8)
    detector, operating = open_detector(options("--model", with_presets))
    assert (detector.thresholds, operating) == ((0.8, 0.9, 0.002), 0.7)
    detector, operating = open_detector(options("--model", with_presets, "--thresholds", ".1,.2,.3"))
    assert (detector.thresholds, operating) == ((0.1, 0.2, 0.3), 0.7)
    given = options("--model", with_presets, "--preset", "fast", "--min-face", 20)
    assert open_detector(given)[0].min_face == 20


def test_a_preset_that_is_asked_for_wins_over_the_thresholds_of_a_command(with_presets):
    detector, _ = open_detector(options("--model", with_presets), (0.6, 0.7, 0.7))
    assert detector.thresholds == (0.6, 0.7, 0.7)
    detector, _ = open_detector(options("--model", with_presets, "--preset", "fast"), (0.6, 0.7, 0.7))
    assert detector.thresholds == (0.9, 0.95, 0.8)


def test_an_unknown_preset_is_one_line_and_code_2(with_presets, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((60, 80, 3), 128, np.uint8))
    argv = ["detect", tmp_path / "grey.png", "--model", with_presets, "--preset"]
    assert main([str(word) for word in (*argv, "slow")]) == 2
    assert capsys.readouterr().err == f"{with_presets}: expected a preset of the model (fast, default), got 'slow'\n"
    assert main([str(word) for word in (*argv, "fast")]) == 0
    assert json.loads(capsys.readouterr().out) == {str(tmp_path / "grey.png"): {"faces": []}}


def test_inspect_lists_the_presets_of_a_model(with_presets, model, capsys):
    assert main(["inspect", str(with_presets)]) == 0
    told = "  fast\n    thresholds    0.9, 0.95, 0.8\n    min_face      32\n    scale_factor  0.6\n"
    assert told in capsys.readouterr().out
    assert main(["inspect", str(with_presets), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["presets"]["default"] == {"thresholds": [0.8, 0.9, 0.7]}
    assert main(["inspect", str(model)]) == 0
    assert "presets" not in capsys.readouterr().out
