from argparse import ArgumentParser

import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build
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
