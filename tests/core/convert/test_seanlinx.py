import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.seanlinx import checkpoint_path, load_seanlinx, seanlinx_names
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model, save_net
from gluon_mtcnn.core.nets.mtcnn import NetSpec, build, initialise
from gluon_mtcnn.core.types import NETS


def write_seanlinx(folder, kind, pooling="full", epoch=16, change=None):
    """Write a net of ours as the original would have saved it; return the prefix and the net."""
    net = build(NetSpec(kind, pooling=pooling, order="prelu_first"))
    initialise(net, seed=4)
    ours = net._collect_params_with_prefix()
    arrays = {f"arg:{theirs}": ours[name].data() for theirs, name in seanlinx_names(kind).items()}
    if change:
        change(arrays)
    mx.nd.save(str(checkpoint_path(folder / kind, epoch)), arrays)
    return folder / kind, net


def test_names_cover_every_parameter_once():
    for kind in NETS:
        ours = build(NetSpec(kind))._collect_params_with_prefix()
        assert sorted(seanlinx_names(kind).values()) == sorted(ours)


@pytest.mark.parametrize("pooling", ["full", "valid"])
def test_a_round_trip_tells_the_pooling(tmp_path, pooling):
    written = {kind: write_seanlinx(tmp_path, kind, pooling) for kind in NETS}
    model = load_seanlinx({k: prefix for k, (prefix, _) in written.items()}, dict.fromkeys(NETS, 16))
    assert model.calibration == "clipped"
    for kind, (_, net) in written.items():
        assert model.nets[kind].spec == net.spec
        size = {"pnet": 25, "rnet": 24, "onet": 48}[kind]
        x = mx.nd.random.normal(shape=(2, 3, size, size))
        for a, b in zip(model.nets[kind](x), net(x)):
            np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_pooling_override(tmp_path):
    prefix, _ = write_seanlinx(tmp_path, "pnet")
    assert load_seanlinx({"pnet": prefix}, {"pnet": 16}).nets["pnet"].spec.pooling == "full"
    assert load_seanlinx({"pnet": prefix}, {"pnet": 16}, "valid").nets["pnet"].spec.pooling == "valid"
    prefix, _ = write_seanlinx(tmp_path, "rnet")
    with pytest.raises(InputError, match="this rnet was trained with pooling 'full', not 'valid'"):
        load_seanlinx({"rnet": prefix}, {"rnet": 16}, "valid")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("pnet", lambda a: a.pop("arg:conv2_bias"), r"pnet-0016\.params: not a Seanlinx pnet: parameter conv2_bias"),
        ("pnet", lambda a: a.update({"arg:extra": mx.nd.zeros((1,))}), "parameter extra is unknown"),
        ("pnet", lambda a: a.update({"x": mx.nd.zeros((1,))}), "expected parameters named arg:NAME, got 'x'"),
        ("rnet", lambda a: a.update({"arg:fc1_weight": mx.nd.zeros((128, 9))}), "576 or 256 inputs, got 9"),
        ("pnet", lambda a: a.update({"arg:conv1_bias": mx.nd.zeros((3,))}), r"expected \(10,\), got \(3,\)"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, kind, change, message):
    prefix, _ = write_seanlinx(tmp_path, kind, change=change)
    with pytest.raises(InputError, match=message):
        load_seanlinx({kind: prefix}, {kind: 16})
    with pytest.raises(InputError, match=r"-0007\.params: parameter file not found"):
        load_seanlinx({kind: prefix}, {kind: 7})


@pytest.mark.parametrize(("weights", "golden"), [("model", "golden_nets"), ("model_valid", "golden_nets_valid")])
@pytest.mark.parametrize("hybrid", [False, True])
def test_released_checkpoints_give_the_golden_outputs(shared, tmp_path, weights, golden, hybrid):
    folder = shared / "seanlinx"
    model = load_seanlinx({k: folder / weights / k for k in NETS}, dict.fromkeys(NETS, 16))
    for net in model.nets.values():
        save_net(tmp_path, net)
    expected = np.load(folder / f"{golden}.npz")
    for kind, net in load_model(tmp_path).nets.items():
        if hybrid:
            net.hybridize()
        logits, offsets = net(mx.nd.array(expected[f"{kind}_in"]))
        probability = mx.nd.softmax(logits, axis=1).asnumpy()
        np.testing.assert_allclose(probability, expected[f"{kind}_prob"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(offsets.asnumpy(), expected[f"{kind}_bbox"], rtol=0, atol=1e-5)
