"""The weights that a run starts from: drawn by a recipe, or taken from a model folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.nets.mtcnn import Net, build, initialise
from gluon_mtcnn.core.nets.spec import NetSpec

logger = logging.getLogger(__name__)


def fresh_net(kind: str, landmarks: bool, recipe: str, seed: int, cell: int = 12) -> Net:
    """Return a net with random weights on the CPU, a function of the seed.

    ``seanlinx`` keeps the paper's layer order and draws every layer, heads too, by Xavier (gaussian, fan-in, 2), with
    fully connected weights divided by 10.
    """
    order = "prelu_first" if recipe == "seanlinx" else "pool_first"
    net = build(NetSpec(kind, landmarks, order=order, cell=cell))
    initialise(net, seed=seed)
    if recipe == "seanlinx":
        xavier = mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)
        mx.random.seed(seed)
        for parameter in _weights(net):
            parameter.initialize(init=xavier, ctx=mx.cpu(), force_reinit=True)
            parameter.data().wait_to_read()
            if len(parameter.shape) == 2:
                parameter.set_data(parameter.data() / 10)
    return net


def pretrained_net(folder: PathLike, kind: str, landmarks: bool, seed: int) -> Net:
    """Return a model folder's net, its landmark head dropped, or drawn from the seed, where the asked one differs.

    Raises
    ------
    InputError
        The folder is no model, or lacks the net.
    """
    model = load_model(folder)
    model.require((kind,))
    source = model.nets[kind]
    if source.spec.landmarks == landmarks:
        return source
    net = build(replace(source.spec, landmarks=landmarks))
    initialise(net, seed=seed)
    given = source._collect_params_with_prefix()
    for name, parameter in net._collect_params_with_prefix().items():
        if name in given:
            parameter.set_data(given[name].data(mx.cpu()))
    logger.info("%s: landmark head %s", folder, "added, with random weights" if landmarks else "left out")
    return net


def _weights(net: Net) -> list[Any]:
    return [p for name, p in net._collect_params_with_prefix().items() if name.endswith("weight")]
