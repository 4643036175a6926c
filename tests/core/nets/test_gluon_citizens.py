"""What a user of Gluon and GluonCV expects of the nets."""

import doctest

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets import zoo
from gluon_mtcnn.core.nets.model_folder import load_model, save_net
from gluon_mtcnn.core.nets.mtcnn import KINDS, NetSpec, ONet, PNet, RNet
from gluon_mtcnn.core.nets.zoo import get_model
from gluon_mtcnn.core.types import INPUT_SIZE
from gluon_mtcnn.model import DEFAULT_MODEL

CLASSES = [PNet, RNet, ONet]


def images(net, count=2, more=0):
    side = INPUT_SIZE[net.kind] + more
    return mx.nd.array(np.random.default_rng(0).normal(size=(count, 3, side, side)))


def fresh(net):
    net.initialize(mx.init.Xavier())
    for parameter in net.collect_params(".*bias").values():
        parameter.set_data(mx.nd.random.normal(shape=parameter.shape))
    return net


def same(outputs, wanted, **tolerance):
    assert len(outputs) == len(wanted)
    for a, b in zip(outputs, wanted):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("cls", CLASSES)
def test_initialise_and_hybridize(cls, landmarks):
    net = cls(landmarks=landmarks)
    net.initialize()
    x = images(net)
    imperative = net(x)
    net.hybridize()
    same(net(x), imperative)
    maps = (1, 1) if cls is PNet else ()
    assert [output.shape for output in net(x)] == [(2, n, *maps) for n in (2, 4, 10)[: 2 + landmarks]]
    assert net.face_head.weight.grad().shape == net.face_head.weight.shape


@pytest.mark.parametrize("cls", CLASSES)
def test_exported_and_imported_as_a_symbol_block(cls, tmp_path):
    net = fresh(cls(landmarks=True))
    net.hybridize()
    wanted = net(images(net))
    net.export(str(tmp_path / "net"), epoch=7)
    back = mx.gluon.SymbolBlock.imports(str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0007.params"))
    same(back(images(net)), wanted)
    if cls is PNet:  # fully convolutional: any size
        same(back(images(net, more=20)), net(images(net, more=20)))


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_are_saved_and_loaded(cls, tmp_path):
    net, other = fresh(cls(landmarks=True)), cls(landmarks=True)
    net.save_parameters(str(tmp_path / "x.params"))
    other.load_parameters(str(tmp_path / "x.params"), ctx=mx.cpu())
    same(other(images(net)), net(images(net)), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_model_folder_are_gluons(kind):
    net = KINDS[kind](landmarks=kind == "onet")
    net.load_parameters(str(DEFAULT_MODEL / f"{kind}.params"))
    same(net(images(net)), load_model(DEFAULT_MODEL).nets[kind](images(net)), rtol=0, atol=0)


def test_two_nets_have_names_of_their_own():
    first, second = PNet(), PNet()
    assert not set(first.collect_params()) & set(second.collect_params())
    assert all(name.startswith("face_") for name in PNet(prefix="face_").collect_params())


def test_nets_take_a_spec_or_its_fields():
    assert PNet().spec == PNet(NetSpec("pnet")).spec == NetSpec("pnet")
    assert PNet(landmarks=True, cell=20).spec == NetSpec("pnet", landmarks=True, cell=20)
    assert RNet(pooling="valid", order="prelu_first").spec == NetSpec("rnet", pooling="valid", order="prelu_first")
    with pytest.raises(ValueError, match="PNet takes the spec of a pnet, but got that of a rnet"):
        PNet(NetSpec("rnet"))
    with pytest.raises(TypeError, match="a spec and landmarks"):
        PNet(NetSpec("pnet"), landmarks=True)
    with pytest.raises(ValueError, match="cell must be one of 12, but got 20"):
        ONet(cell=20)
    with pytest.raises(TypeError, match="lanmarks"):
        ONet(lanmarks=True)


@pytest.mark.parametrize("kind", KINDS)
def test_get_model_gives_a_net_by_name(kind, tmp_path):
    net = get_model(kind.upper(), landmarks=True)
    assert (type(net), net.spec) == (KINDS[kind], NetSpec(kind, landmarks=True))
    shipped = get_model(kind, pretrained=True)
    same(shipped(images(shipped)), load_model(DEFAULT_MODEL).nets[kind](images(shipped)), rtol=0, atol=0)
    save_net(tmp_path, fresh(net))
    same(get_model(kind, pretrained=tmp_path)(images(net)), net(images(net)), rtol=0, atol=0)
    spread = get_model(kind, pretrained=tmp_path, ctx=[mx.cpu(0), mx.cpu(1)])
    assert spread.face_head.weight.list_ctx() == [mx.cpu(0), mx.cpu(1)]


def test_get_model_refuses_what_it_does_not_have(tmp_path):
    with pytest.raises(InputError, match="expected pnet, rnet, onet, got 'ssd_512'"):
        get_model("ssd_512")
    with pytest.raises(InputError, match="the trained pnet has landmarks False, not True"):
        get_model("pnet", pretrained=True, landmarks=True)
    with pytest.raises(InputError, match=r"not a model folder: model\.json not found"):
        get_model("pnet", pretrained=tmp_path)
    save_net(tmp_path, fresh(RNet()))
    with pytest.raises(InputError, match=r"the model has no pnet \(it has: rnet\)"):
        get_model("pnet", pretrained=tmp_path)


def test_the_example_of_get_model():
    result = doctest.testmod(zoo)
    assert (result.failed, result.attempted) == (0, 5)
