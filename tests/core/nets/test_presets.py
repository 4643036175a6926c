import json

import pytest

from gluon_mtcnn.core.detection.detector import Detector
from gluon_mtcnn.core.detection.score_calibration import write_model
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model, save_net, write_presets, write_thresholds
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.nets.presets import Preset, choose, parse_presets
from gluon_mtcnn.core.types import NETS

FAST = Preset((0.9, 0.95, 0.8), 32, 0.6, False)
ONCE = Preset((0.8, 0.9, 0.75), test_time_augmentation=False)
ACCURATE = Preset((0.5, 0.5, 0.7), test_time_augmentation=True)
PRESETS = {"fast": FAST, "default": ONCE, "accurate": ACCURATE}


def fresh(kind, seed=0):
    net = build(NetSpec(kind, landmarks=kind == "onet"))
    initialise(net, seed=seed)
    return net


@pytest.fixture
def bare(tmp_path):
    for kind in NETS:
        save_net(tmp_path / "model", fresh(kind), thresholds=(0.3, 0.4, 0.5))
    return tmp_path / "model"


@pytest.fixture
def folder(bare):
    write_presets(bare, PRESETS)
    return bare


def options(detector):
    return detector.thresholds, detector.min_face, detector.scale_factor, detector.test_time_augmentation


def test_a_folder_without_presets_is_as_before(bare):
    config = (bare / "model.json").read_text()
    assert "presets" not in json.loads(config)
    assert load_model(bare).presets == {}
    for preset in (None, "default"):
        assert options(Detector(bare, preset=preset)) == ((0.3, 0.4, 0.5), 20, 0.709, True)
    write_presets(bare, {})
    assert (bare / "model.json").read_text() == config


def test_presets_are_an_optional_key_that_leaves_the_others_alone(bare):
    before = json.loads((bare / "model.json").read_text())
    write_presets(bare, PRESETS)
    after = json.loads((bare / "model.json").read_text())
    assert after.pop("presets")["default"] == {"thresholds": [0.8, 0.9, 0.75], "test_time_augmentation": False}
    assert after == before
    assert load_model(bare).presets == PRESETS
    write_presets(bare, {})
    assert json.loads((bare / "model.json").read_text()) == before


def test_a_detector_has_the_options_of_its_preset(folder):
    assert options(Detector(folder, preset="fast")) == (FAST.thresholds, 32, 0.6, False)
    assert options(Detector(folder, preset="accurate")) == (ACCURATE.thresholds, 20, 0.709, True)
    for preset in (None, "default"):
        assert options(Detector(folder, preset=preset)) == (ONCE.thresholds, 20, 0.709, False)
    assert options(Detector(folder, preset=Preset())) == ((0.3, 0.4, 0.5), 20, 0.709, True)
    assert options(Detector(folder, preset="fast").clone()) == (FAST.thresholds, 32, 0.6, False)


def test_given_options_win_over_the_preset(folder):
    given = {"thresholds": (0.1, 0.2, 0.3), "min_face": 40, "scale_factor": 0.5, "test_time_augmentation": True}
    for name, value in given.items():
        expected = {**vars(FAST), name: value}
        assert options(Detector(folder, preset="fast", **{name: value})) == tuple(expected.values())
    assert Detector(folder, look_again=True).test_time_augmentation
    assert not Detector(folder, preset="accurate", look_again=False).test_time_augmentation


def test_an_option_that_a_preset_does_not_name_is_the_models(bare):
    write_presets(bare, {"large": Preset(min_face=80)})
    assert options(Detector(bare, preset="large")) == ((0.3, 0.4, 0.5), 80, 0.709, True)
    assert options(Detector(bare)) == ((0.3, 0.4, 0.5), 20, 0.709, True)


def test_compat_runs_without_augmentation_whatever_the_default_preset_is(bare):
    write_presets(bare, {"default": ACCURATE})
    assert options(Detector(bare, compat="seanlinx")) == (ACCURATE.thresholds, 20, 0.709, False)
    with pytest.raises(InputError, match="compat 'seanlinx' runs without test-time augmentation"):
        Detector(bare, compat="seanlinx", preset="default")


def test_a_wrong_name_names_those_that_there_are(folder, bare):
    with pytest.raises(InputError, match=r"model: expected a preset .*\(fast, default, accurate\), got 'slow'"):
        Detector(folder, preset="slow")
    with pytest.raises(InputError, match=r"m: expected a preset of the model \(default\), got 'fast'"):
        choose({}, "fast", "m")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "presets: expected an object of presets by name, got list"),
        ({"a": 3}, "preset 'a': expected the options thresholds, .*, got int"),
        ({"a": {"speed": 3}}, r"preset 'a': expected the options .*, got \['speed'\]"),
        ({"a": {"thresholds": [0.1, 0.2]}}, "thresholds: expected three numbers from 0 to 1"),
        ({"a": {"thresholds": [0.1, 0.2, True]}}, "thresholds: expected three numbers from 0 to 1"),
        ({"a": {"min_face": 0}}, "min_face: expected a number above 0, got 0"),
        ({"a": {"scale_factor": 1}}, "scale_factor: expected a number between 0 and 1"),
        ({"a": {"test_time_augmentation": 1}}, "test_time_augmentation: expected true or false"),
    ],
)
def test_bad_presets_are_one_line(value, message, bare):
    with pytest.raises(InputError, match=message):
        parse_presets(value, "model.json")
    config = json.loads((bare / "model.json").read_text())
    (bare / "model.json").write_text(json.dumps({**config, "presets": value}))
    with pytest.raises(InputError, match=rf"model\.json: .*{message}"):
        load_model(bare)


def test_other_weights_drop_them_with_a_line_and_the_same_keep_them(folder, caplog):
    save_net(folder, fresh("rnet"), {"from": "again"})
    assert load_model(folder).presets == PRESETS
    assert not caplog.records
    save_net(folder, fresh("rnet", seed=1))
    assert load_model(folder).presets == {}
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "model.json: presets fast, default, accurate were chosen for other weights: dropped"
    )


def test_written_thresholds_are_those_of_the_default_preset_from_then_on(folder, caplog):
    write_thresholds(folder, (0.2, 0.3, 0.4))
    assert load_model(folder).presets == {**PRESETS, "default": Preset(test_time_augmentation=False)}
    assert options(Detector(folder)) == ((0.2, 0.3, 0.4), 20, 0.709, False)
    (record,) = caplog.records
    assert record.getMessage().endswith("preset 'default': now with the model's thresholds, which were written")


def test_a_copy_with_other_thresholds_keeps_them_and_one_with_other_scores_does_not(folder, tmp_path, caplog):
    write_model(folder, (0.2, 0.3, 0.4), folder=tmp_path / "copy")
    assert load_model(tmp_path / "copy").presets == {**PRESETS, "default": Preset(test_time_augmentation=False)}
    write_model(folder, (0.2, 0.3, 0.4), (0.6, 0.7, 0.7), folder=tmp_path / "moved")
    assert load_model(tmp_path / "moved").presets == {}
    assert "moved: presets fast, default, accurate were chosen for other weights: dropped" in caplog.text
    write_model(folder, (0.2, 0.3, 0.4), (0.6, 0.7, 0.7))
    assert load_model(folder).presets == {}
    assert caplog.text.count("dropped") == 2
