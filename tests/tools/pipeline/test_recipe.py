import copy
import json

import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.pipeline.options import PipelineOptions
from gluon_mtcnn.tools.pipeline.recipe import find_recipe, read_recipe, shipped_folder
from gluon_mtcnn.tools.pipeline.steps import make_steps

RECIPE = {
    "format": 1,
    "name": "tiny",
    "about": "for tests",
    "seed": 0,
    "development_fraction": 0.25,
    "stages": [
        {"name": "data", "command": ["prepare", "pnet", "{photos}", "--out", "{out}"]},
        {"name": "pnet", "command": ["train", "pnet", "--data", "{data}", "--out", "{out}"]},
        {"name": "cascade", "command": ["assemble", "--pnet", "{pnet}", "--out", "{model}"]},
    ],
}


def written(path, **changed):
    path.write_text(json.dumps({**copy.deepcopy(RECIPE), **changed}))
    return path


def with_stage(*stages):
    return {"stages": [*RECIPE["stages"], *stages]}


def test_a_recipe(tmp_path):
    recipe = read_recipe(written(tmp_path / "recipe.json"))
    assert [stage.name for stage in recipe.stages] == ["data", "pnet", "cascade"]
    assert recipe.stages[1].placeholders() == ["data", "out"]
    assert [stage.makes_model() for stage in recipe.stages] == [False, False, True]
    assert recipe.uses("photos")
    assert not recipe.uses("wider_photos", "development_photos")


@pytest.mark.parametrize("name", ["default", "quick"])
def test_recipes_that_ship(name, checkout):
    assert shipped_folder() == checkout / "example" / "recipes"
    assert read_recipe(find_recipe(name)).name == name


@pytest.mark.parametrize("name", ["default", "quick"])
@pytest.mark.parametrize("landmarks", [{}, {"landmark_images": "photos", "landmark_annotations": "landmarks.txt"}])
def test_commands_take_the_options_of_recipes_that_ship(name, landmarks, tmp_path):
    steps = make_steps(read_recipe(find_recipe(name)), PipelineOptions(tmp_path, "photos", "faces.txt", **landmarks))
    assert {"pnet", "rnet", "onet", "thresholds"} <= {step.name for step in steps}


def test_an_unknown_name():
    with pytest.raises(InputError, match=r"none.json: expected a recipe's file or one of .* \(default, quick\)"):
        find_recipe("none.json")


STAGE = {"name": "more", "command": ["inspect", "{out}"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": 2}, "expected a recipe of format 1, got 2"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"seed": True}, "seed: expected a number, got True"),
        ({"stages": {}}, "stages: expected a list, got {}"),
        ({"stages": []}, "expected stages, got none"),
        ({"development_fraction": 1}, "development_fraction: expected above 0 and below 1"),
        ({"more": 1}, "unknown entry 'more': a recipe has format, name"),
        ({"evaluate": [1]}, "evaluate: expected a list of words"),
        (with_stage("x"), "stage 4: expected an object of name and command, got 'x'"),
        (with_stage({**STAGE, "name": "A b"}), "stage 4: expected a name of a-z, 0-9 and -, got 'A b'"),
        (with_stage({**STAGE, "name": "photos"}), "stage 4: the name photos is the pipeline's own"),
        (with_stage({**STAGE, "name": "pnet"}), "stage 4: another stage is named pnet"),
        (with_stage({**STAGE, "command": ["fly", "{out}"]}), "stage more: 'fly {out}' is no command for a stage"),
        (with_stage({**STAGE, "command": ["pipeline", "x"]}), "stage more: 'pipeline x' is no command for a stage"),
        (with_stage({**STAGE, "command": "inspect"}), "stage more: command: expected a list of words"),
        (with_stage({**STAGE, "command": ["inspect"]}), "stage more: expected {out} in its command"),
        (with_stage({**STAGE, "command": ["inspect", "{ou}"]}), "stage more: expected {out} in its command"),
        (with_stage({**STAGE, "command": ["inspect", "{out}", "{x}"]}), "stage more: unknown placeholder {x}: out, "),
        (with_stage({**STAGE, "command": ["inspect", "{out}", "-{photos}"]}), "{photos} stands for several words"),
        (with_stage({**STAGE, "command": ["inspect", "{out}", "{cascade}"]}), "writes to {model} only"),
        (
            with_stage({**STAGE, "command": ["inspect", "{out}", "{late}"]}, {**STAGE, "name": "late"}),
            "stage more: {late} is not there yet: stage late comes later",
        ),
        (with_stage({**STAGE, "command": ["inspect", "{out}", "{more}"]}), "{more} is not there yet"),
        (with_stage({**STAGE, "command": ["import", "--out", "{model}"]}), "expected one stage that leaves the model"),
        ({"stages": RECIPE["stages"][:2]}, "expected one stage that leaves the model (--out or --write-to {model})"),
    ],
)
def test_what_is_refused(changed, message, tmp_path):
    path = written(tmp_path / "recipe.json", **changed)
    with pytest.raises(InputError) as refused:
        read_recipe(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_text_that_is_no_recipe(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('{\n"format": 1,,}')
    with pytest.raises(InputError, match=r"recipe.json:2: expected JSON"):
        read_recipe(path)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"expected a recipe, a JSON object, got list"):
        read_recipe(path)
