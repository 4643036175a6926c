"""From the options of a preparation to what plans its samples."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import INPUT_SIZE
from gluon_mtcnn.model import DEFAULT_MODEL
from gluon_mtcnn.prepare_data.sampling.planner import Planner
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES, Recipe
from gluon_mtcnn.tools.data.prepare.options import PrepareOptions

TRIES_PER_SQUARE = 6  # about one square around a face in three is a positive, and one in three a part


def make_planner(options: PrepareOptions) -> Planner:
    """Return the planner of the samples; one that runs a cascade imports MXNet.

    Raises
    ------
    InputError
        The model cannot be used.
    """
    recipe = RECIPES[options.recipe][options.net].with_options(
        min_face=options.min_face_longer_side, landmark_shift=options.landmark_shift, **_per_face(options)
    )
    if options.net == "pnet" and not options.model:
        recipe = recipe.with_options(negatives=options.negatives_per_photo)
        return PNetPlanner.for_cell(recipe, options.cell or INPUT_SIZE["pnet"])
    return _mining_planner(options, recipe)


def _mining_planner(options: PrepareOptions, recipe: Recipe) -> Planner:
    from gluon_mtcnn.prepare_data.mining.hard_examples import MINING, HardExamplePlanner

    given = {
        "thresholds": options.thresholds,
        "min_face": options.min_face,
        "negatives": options.negatives_per_photo,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.own_scores:
        chosen["own"] = True
    if options.mine_rescaled:
        chosen.update(rescale=options.mine_rescaled, seed=options.seed)
    mining = replace(MINING[options.recipe][options.net], model=_model_folder(options), **chosen)
    planner = HardExamplePlanner(options.net, recipe, mining, cell=options.cell or 0)
    return replace(planner, recipe=recipe.for_cell(planner.size)) if options.net == "pnet" else planner


def _per_face(options: PrepareOptions) -> dict[str, Any]:
    """Return what a recipe's fields become where the positives, and parts, of a face are limited."""
    if options.per_face is None:
        return {}
    most = tuple(options.per_face)
    return {"positives": most, "parts": most, "tries": tuple(TRIES_PER_SQUARE * n for n in most)}


def _model_folder(options: PrepareOptions) -> str:
    if not options.model and not (DEFAULT_MODEL / "model.json").is_file():
        raise InputError(f"{DEFAULT_MODEL}: no default model is installed: give --model DIR")
    return os.fspath(options.model or DEFAULT_MODEL)
