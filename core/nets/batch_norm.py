"""Batch normalisation in training: put behind every convolution, measured after each epoch, and folded away.

A net that is trained with batch normalisation (Ioffe, Szegedy 2015) learns in fewer epochs. Saved nets do not have it.
A normalisation by fixed means and variances is a scale and a shift of the layer before it, and is folded into that
layer. Files, engines and other programs therefore see the same nets as without it.

In a step each device normalises its own rows. Running means and variances of those steps would depend on the devices
and on where a run was resumed. Nets are judged and folded by means and variances that are measured with the weights of
the end of an epoch, on its first batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.nets.mtcnn import Net, assign, build, flush_denormals
from gluon_mtcnn.core.ops.image import MEAN, SCALE

EPSILON = 1e-5
MEASURED = 16  # batches that means and variances are taken from


def attach(net: Net, pixels: Any = None) -> None:
    """Give a net on the CPU, in place, normalisations; its parameters stay as they are.

    Parameters
    ----------
    net : Net with parameters
    pixels : (n, 3, S, S) uint8 NDArray, optional
        Begin as the same function: scales and shifts undo what normalising by these images does. Without them scales
        are 1 and shifts 0, as suits weights that were just drawn.
    """
    moments = list(_moments(net, pixels)) if pixels is not None else [None] * len(net.body)
    for stage, found in zip(net.body.values(), moments):
        channels = stage.linear.bias.shape[0]
        with stage.name_scope():
            stage.norm = mx.gluon.nn.BatchNorm(epsilon=EPSILON, in_channels=channels)
        stage.norm.initialize(ctx=mx.cpu())
        if found is not None:
            mean, variance = found
            _set(stage.norm, mean, variance)
            stage.norm.gamma.set_data(mx.nd.array(np.sqrt(variance + EPSILON)))
            stage.norm.beta.set_data(mx.nd.array(mean))


def attached(net: Net) -> bool:
    """Return whether a net has normalisations."""
    return any(stage.norm is not None for stage in net.body.values())


def measure(net: Net, batches: Iterable[Any]) -> None:
    """Set the means and variances of a net's normalisations, on every device, to those over some images.

    Parameters
    ----------
    net : Net with normalisations
    batches : iterable of (n, 3, S, S) uint8 NDArray on a device of the net
        Within a batch each layer is normalised by that batch, as in training.
    """
    # Not the net itself: called one by one, the stages of a hybridized net would each keep what they compute.
    twin = _copy(net, net.face_head.weight.list_ctx()[0])
    each = [[np.stack(found) for found in _moments(twin, pixels)] for pixels in batches]
    for stage, found in zip(net.body.values(), zip(*each)):
        means, variances = np.stack(found, axis=1)
        mean = means.mean(axis=0)
        _set(stage.norm, mean, (variances + means**2).mean(axis=0) - mean**2)


def folded(net: Net) -> Net:
    """Return a net without normalisations, on the CPU, that is the same function outside of training.

    A net that has none is returned itself.
    """
    if not attached(net):
        return net
    plain = _copy(net, mx.cpu(), norms=False)
    for stage, bare in zip(net.body.values(), plain.body.values()):
        mean, variance, gamma, beta, weight, bias = (
            _host(p).astype(np.float64)
            for p in (
                stage.norm.running_mean,
                stage.norm.running_var,
                stage.norm.gamma,
                stage.norm.beta,
                stage.linear.weight,
                stage.linear.bias,
            )
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        bare.linear.weight.set_data(mx.nd.array(weight * scale.reshape(-1, *[1] * (weight.ndim - 1))))
        bare.linear.bias.set_data(mx.nd.array((bias - mean) * scale + beta))
    flush_denormals(plain)
    return plain


def _moments(net: Net, pixels: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield mean and variance (channels,) of what each stage's layer makes of some images."""
    x = (mx.nd.cast(pixels, "float32") - MEAN) * SCALE
    for stage in net.body.values():
        x = stage.linear(x)
        ones = mx.nd.ones(x.shape[1], x.context)
        gamma, beta = ones, 0 * ones
        if stage.norm is not None:
            gamma, beta = stage.norm.gamma.data(x.context), stage.norm.beta.data(x.context)
        with mx.autograd.train_mode():  # the operator gives a mean and the inverse of a deviation
            normed, mean, inverse = mx.nd.BatchNorm(
                x, gamma, beta, 0 * ones, ones, eps=EPSILON, fix_gamma=False, output_mean_var=True
            )
        yield mean.asnumpy().astype(np.float64), inverse.asnumpy().astype(np.float64) ** -2 - EPSILON
        x = stage.activate(x if stage.norm is None else normed)


def _copy(net: Net, context: Any, norms: bool = True) -> Net:
    twin = build(net.spec)
    if norms:
        attach(twin)
    given = net._collect_params_with_prefix()
    arrays = {name: given[name].data(given[name].list_ctx()[0]) for name in twin._collect_params_with_prefix()}
    assign(twin, arrays)
    twin.collect_params().reset_ctx(context)
    return twin


def _set(norm: Any, mean: np.ndarray, variance: np.ndarray) -> None:
    norm.running_mean.set_data(mx.nd.array(mean))
    norm.running_var.set_data(mx.nd.array(np.maximum(variance, 0)))


def _host(parameter: Any) -> np.ndarray:
    return parameter.data(parameter.list_ctx()[0]).asnumpy()
