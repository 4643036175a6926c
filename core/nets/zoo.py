"""The nets by name, with fresh or trained weights, as ``gluoncv.model_zoo`` gives its models."""

from __future__ import annotations

from typing import Any, Union

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.nets.mtcnn import KINDS, Net
from gluon_mtcnn.model import DEFAULT_MODEL


def get_model(name: str, pretrained: Union[bool, PathLike] = False, ctx: Any = None, **options: Any) -> Net:
    """Return one of the three nets by name.

    >>> from gluon_mtcnn.core.backend.runtime import mx  # MXNet, importable beside a recent NumPy
    >>> net = get_model("onet", pretrained=True)
    >>> net.hybridize()
    >>> logits, offsets, landmarks = net(mx.nd.zeros((1, 3, 48, 48)))
    >>> logits.shape, offsets.shape, landmarks.shape
    ((1, 2), (1, 4), (1, 10))

    Parameters
    ----------
    name : {"pnet", "rnet", "onet"}
        In upper or lower case.
    pretrained : bool or path
        True: with the weights that ship with the package. A path: with those of a model folder. False: without
        parameters, ``net.initialize()`` comes next.
    ctx : MXNet context or list of them, optional
        Where the trained weights are put; default CPU.
    options
        Fields of `NetSpec` (landmarks, pooling, order, cell) of a net without trained weights. Trained ones bring
        theirs along.

    Returns
    -------
    PNet, RNet or ONet
        Input and output as of `core.nets.mtcnn.Net`.

    Raises
    ------
    InputError
        No such name, options that the trained net does not have, or a model folder that lacks it or cannot be read.
    ValueError
        An option out of range.
    """
    kind = name.lower()
    if kind not in KINDS:
        raise InputError(f"get_model: expected {', '.join(KINDS)}, got {name!r}")
    if pretrained is False:
        return KINDS[kind](**options)
    model = load_model(DEFAULT_MODEL if pretrained is True else pretrained)
    model.require((kind,))
    spec = model.spec(kind)
    for option, value in options.items():
        if getattr(spec, option, None) != value:
            own = getattr(spec, option, "no such option")
            raise InputError(f"{model.path}: the trained {kind} has {option} {own!r}, not {value!r}")
    net = model.nets[kind]
    if ctx is not None:
        net.collect_params().reset_ctx(ctx)
    return net
