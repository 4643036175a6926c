"""The training loop on real packs and real MXNet."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError, NonFiniteLossError
from gluon_mtcnn.core.nets.initialise import fresh_net, pretrained_net
from gluon_mtcnn.core.nets.model_folder import save_net
from gluon_mtcnn.core.nets.mtcnn import flush_denormals, prepare_for_training
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.packs.writer import PackWriter
from gluon_mtcnn.core.training.checkpoint import newest_state
from gluon_mtcnn.core.training.config import default_config
from gluon_mtcnn.core.training.learner import Learner, check_kvstore, dead_kernels, split_batch
from gluon_mtcnn.core.training.loader import Batch, BatchLoader
from gluon_mtcnn.core.training.loss import read_tally
from gluon_mtcnn.core.training.overfit_check import overfit, sample_batch
from gluon_mtcnn.core.training.trainer import CHECK_EVERY, LossWatch, Trainer

CPU = (mx.cpu(),)


def make_samples(count, size, seed):
    """Return images and label rows: faces are bright in the middle, the other targets random."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1, -2], count, p=[0.25, 0.45, 0.15, 0.15])
    images = rng.integers(0, 100, (count, size, size, 3), dtype=np.uint8)
    middle = slice(size // 4, -(size // 4))
    images[:, middle, middle][labels != 0] += 100
    rows = rng.uniform(-0.2, 0.2, (count, 15)).astype(np.float32)
    rows[:, 0] = labels
    return images, rows


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    for name, count, seed in (("train", 500, 0), ("val", 200, 1)):
        with PackWriter(folder, name, 12) as writer:
            writer.append(*make_samples(count, 12, seed))
    return Pack(folder, "train"), Pack(folder, "val")


def make_config(**changes):
    defaults = {"landmarks": True, "epochs": 2, "batch_size": 64, "warmup": 2}
    return default_config(changes.pop("net", "pnet"), **{**defaults, **changes})


def make_trainer(packs, config=None, contexts=CPU, **options):
    config = config or make_config()
    net = fresh_net(config.net, config.landmarks, config.recipe, config.seed)
    loader = BatchLoader(packs[0], config.batch_size, seed=config.seed)
    validation = BatchLoader(packs[1], 64, stratified=False, shuffle=False)
    return Trainer(Learner(net, config, list(contexts)), loader, validation, **options)


def weights(learner):
    return {name: array for name, array in learner.state()[0].items() if name.startswith("weight/")}


def batches(count, rows, size=12, skewed=True):
    """Return batches whose valid counts differ greatly between the two halves."""
    found = []
    for i in range(count):
        images, labels = make_samples(rows, size, 100 + i)
        order = np.argsort(-labels[:, 0], kind="stable") if skewed else np.arange(rows)
        images, labels = images[order], labels[order]
        data = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        found.append(Batch(data, labels[:, 0], labels[:, 1:5], labels[:, 5:], np.arange(rows)))
    return found


@pytest.mark.parametrize(
    ("net", "devices", "optimizer", "kvstore", "lr"),
    [
        ("pnet", 2, "sgd", "device", 0.02),
        ("pnet", 3, "sgd", "local", 0.02),
        ("rnet", 2, "sgd", "local", 0.005),
        ("pnet", 2, "adamw", "device", 0.001),
    ],
)
def test_several_devices_give_the_update_of_one(net, devices, optimizer, kvstore, lr):
    """Twenty steps with momentum, weight decay and OHEM; the shares hold quite different classes."""
    found = []
    for contexts in ([mx.cpu()], [mx.cpu(i) for i in range(devices)]):
        config = make_config(net=net, optimizer=optimizer, wd=0.01, kvstore=kvstore, batch_size=50)
        learner = Learner(fresh_net(net, True, "default", 0), config, contexts)
        for batch in batches(20, 50, {"pnet": 12, "rnet": 24}[net]):
            learner.step(learner.place(batch), lr)
        found.append(weights(learner))
        for parameter in learner.parameters.values():
            first, *others = (array.asnumpy() for array in parameter.list_data())
            for other in others:
                np.testing.assert_array_equal(other, first)
    start = Learner(fresh_net(net, True, "default", 0), make_config(net=net), [mx.cpu()])
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, atol=1e-5, err_msg=name)
        assert np.abs(array - weights(start)[name]).max() > 1e-4, name


def test_a_batch_with_fewer_rows_than_devices():
    found = []
    for contexts in ([mx.cpu()], [mx.cpu(0), mx.cpu(1), mx.cpu(2)]):
        learner = Learner(fresh_net("pnet", True, "default", 0), make_config(batch_size=2), contexts)
        for batch in batches(3, 2):
            learner.step(learner.place(batch), 0.02)
        found.append((weights(learner), learner.state()[0]["tally"]))
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)
    for name, array in found[0][0].items():
        np.testing.assert_allclose(found[1][0][name], array, atol=1e-6)


def test_split_batch_keeps_every_row_and_its_argument():
    batch = batches(1, 7)[0]
    label = batch.label.copy()
    shards = split_batch(batch, [mx.cpu(0), mx.cpu(1)], landmarks=True)
    assert [len(s.label) for s in shards] == [4, 3]
    np.testing.assert_array_equal(np.concatenate([s.data.asnumpy() for s in shards]), batch.data)
    np.testing.assert_array_equal(np.concatenate([s.targets[1].asnumpy() for s in shards]), batch.landmark_target)
    split_batch(batches(1, 1)[0], [mx.cpu(0), mx.cpu(1)], landmarks=False)
    np.testing.assert_array_equal(batch.label, label)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_block_is_placed_as_its_batches_are(devices):
    """Also with empty ones, as a worker of many gets."""
    learner = Learner(
        fresh_net("pnet", True, "default", 0), make_config(batch_size=8), [mx.cpu(i) for i in range(devices)]
    )
    block = batches(1, 15)[0]
    for sizes in ([8, 7], [8, 7, 0]):
        for shards, batch in zip(learner.place_block(block, sizes), block.parts(sizes)):
            alone = learner.place(batch)
            for shard, other in zip(shards, alone):
                for array, expected in zip(
                    (shard.data, shard.label, *shard.targets), (other.data, other.label, *other.targets)
                ):
                    assert array.context == expected.context
                    np.testing.assert_array_equal(array.asnumpy(), expected.asnumpy())


def test_a_step_is_momentum_sgd_with_decay_on_weights_only():
    """The update of two steps, from the gradients, by hand."""
    config = make_config(wd=0.1, lr=0.05)
    learner = Learner(fresh_net("pnet", True, "default", 0), config, [mx.cpu()])
    start = weights(learner)
    velocity = {name: 0.0 for name in start}
    for batch in batches(2, 30):
        learner.step(learner.place(batch), 0.05)
        for name, parameter in learner.parameters.items():
            key = f"weight/{name}"
            decay = 0.1 * start[key] if name.endswith("weight") else 0.0
            velocity[key] = 0.9 * velocity[key] - 0.05 * (parameter.grad().asnumpy() + decay)
            start[key] = start[key] + velocity[key]
            if name == "stage1.prelu.alpha":
                start[key] = np.maximum(start[key], 0)
    for name, array in weights(learner).items():
        np.testing.assert_allclose(array, start[name], rtol=1e-5, atol=1e-6)


def test_adamw_by_hand():
    from gluon_mtcnn.core.training.optimizer import AdamW

    rng = np.random.default_rng(0)
    weight, mean, square = rng.normal(size=5), np.zeros(5), np.zeros(5)
    array, other = mx.nd.array(weight), mx.nd.array(weight)
    start = other.asnumpy()
    optimizer = AdamW(learning_rate=0.1, wd=0.2)
    optimizer.lr_mult = {1: 0.0}
    states = [optimizer.create_state(i, a) for i, a in enumerate((array, other))]
    for step in range(1, 6):
        grad = rng.normal(size=5) * 10.0 ** rng.integers(-9, 2, 5)
        optimizer.update([0, 1], [array, other], [mx.nd.array(grad)] * 2, states)
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        weight = weight - 0.1 * (corrected[0] / (np.sqrt(corrected[1]) + 1e-8) + 0.2 * weight)
    np.testing.assert_allclose(array.asnumpy(), weight, rtol=1e-4)
    np.testing.assert_array_equal(other.asnumpy(), start)


def test_training_learns_and_reports(packs):
    rows_seen = []
    trainer = make_trainer(packs, make_config(epochs=6), on_epoch=lambda rows, improved: rows_seen.append(improved))
    history = trainer.train()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["val_mean_accuracy"] > 0.95
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["lr"] == pytest.approx(0, abs=1e-12)
    assert rows_seen[0]
    assert trainer.best == min(row["val_calibrated_loss"] for row in history)
    assert trainer.samples == 6 * 500
    assert (trainer.epoch, trainer.batch) == (6, 0)


def test_figures_are_those_of_the_net_after_the_epoch(packs):
    trainer = make_trainer(packs)
    history = trainer.train()
    assert trainer.validate()["loss"] == history[-1]["val_loss"]
    assert not trainer.learner.state()[0]["tally"].any()  # the next epoch starts from zero


@pytest.mark.parametrize("kind", ["pnet", "rnet"])
def test_the_training_form_is_the_same_function(kind):
    """Bit-equal outputs; gradients equal but for the order in which they are added."""
    side = {"pnet": 12, "rnet": 24}[kind]
    x = mx.nd.array(np.random.default_rng(0).normal(size=(5, 3, side, side)))
    outputs, grads = [], []
    for fast in (False, True):
        net = fresh_net(kind, True, "default", 0)
        if fast:
            prepare_for_training(net)
        for parameter in net.slopes_before_pool():
            parameter.set_data(mx.nd.array(np.linspace(-0.5, 1.5, parameter.shape[0])))
        net.hybridize()
        with mx.autograd.record():
            result = net(x)
        mx.autograd.backward(list(result))
        outputs.append([r.asnumpy() for r in result])
        grads.append([p.grad().asnumpy() for p in net._collect_params_with_prefix().values()])
    for one, other in zip(*outputs):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(*grads):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stop", [1, 7, 8, 12])
def test_resuming_gives_the_same_bits(packs, tmp_path, stop, optimizer):
    """Eight batches an epoch; the checkpoint of every step is one to resume from."""
    config = make_config(optimizer=optimizer)
    whole = make_trainer(packs, config)
    whole.train()

    class Killed(Exception):
        pass

    first = make_trainer(packs, config, checkpoints=tmp_path, checkpoint_seconds=0.0)
    real_step = first.train_step

    def step_or_die(shards):
        if first.epoch * 8 + first.batch == stop:
            raise Killed
        real_step(shards)

    first.train_step = step_or_die
    with pytest.raises(Killed):
        first.train()
    second = make_trainer(packs, config, checkpoints=tmp_path)
    second.restore(newest_state(tmp_path))
    assert second.epoch * 8 + second.batch == stop
    second.train()
    for name, array in whole.learner.state()[0].items():
        np.testing.assert_array_equal(second.learner.state()[0][name], array, err_msg=name)
    for one, other in zip(whole.history, second.history):
        assert {k: v for k, v in one.items() if "second" not in k} == {
            k: v for k, v in other.items() if "second" not in k
        }


def test_resuming_on_two_devices_gives_the_same_bits(packs, tmp_path):
    contexts = [mx.cpu(0), mx.cpu(1)]
    whole = make_trainer(packs, contexts=contexts, checkpoints=tmp_path, checkpoint_seconds=0.0)
    batch = next(whole.loader.epoch(0, 0))
    whole.train_step(whole.learner.place(batch))
    whole.save()
    second = make_trainer(packs, contexts=contexts)
    second.restore(newest_state(tmp_path))
    whole.checkpoints = None
    for trainer in (whole, second):
        trainer.train()
    for name, array in whole.learner.state()[0].items():
        np.testing.assert_array_equal(second.learner.state()[0][name], array, err_msg=name)


def test_a_broken_loss_stops_the_run_and_says_where(packs, tmp_path):
    config = make_config(lr=1e9)
    trainer = make_trainer(packs, config, checkpoints=tmp_path)
    with pytest.raises(
        NonFiniteLossError, match=r"the loss became (nan|inf) at epoch 1, batch \d+, learning rate [\d.e+]+"
    ):
        trainer.train()
    state = newest_state(tmp_path)
    assert state is None or all(np.isfinite(a).all() for a in state.arrays.values())


def test_the_watch_names_the_first_bad_step():
    watch = LossWatch()
    for batch in range(CHECK_EVERY + 5):
        watch.add(2, batch, 0.5, mx.nd.array([math.nan if batch >= 7 else 1.0]))
    with pytest.raises(NonFiniteLossError, match=r"became nan at epoch 3, batch 8, learning rate 0\.5"):
        watch.drain()


def test_the_watch_looks_late_but_not_too_late():
    watch = LossWatch()
    for batch in range(2 * CHECK_EVERY - 1):
        watch.add(0, batch, 0.1, mx.nd.array([math.inf]))
    with pytest.raises(NonFiniteLossError, match="batch 1,"):
        watch.add(0, 99, 0.1, mx.nd.array([1.0]))


def test_weights_that_overflow_are_not_saved(packs, tmp_path):
    trainer = make_trainer(packs, checkpoints=tmp_path)
    trainer.learner.parameters["face_head.bias"].set_data(mx.nd.array([math.inf, 0]))
    with pytest.raises(NonFiniteLossError, match=r"face_head\.bias is no longer finite"):
        trainer.save()
    assert newest_state(tmp_path) is None


def test_frozen_parameters_stay(packs):
    config = make_config(freeze="stage1.*,*.alpha", epochs=1)
    trainer = make_trainer(packs, config)
    before = weights(trainer.learner)
    trainer.train()
    moved = {name.split("/")[1] for name, array in weights(trainer.learner).items() if (array != before[name]).any()}
    assert moved == {n for n in trainer.learner.parameters if not (n.startswith("stage1.") or n.endswith("alpha"))}


@pytest.mark.parametrize(
    ("pattern", "message"), [("fc*", "'fc\\*' matches no parameter"), ("*", "leaves nothing to train")]
)
def test_bad_freeze_patterns(pattern, message):
    with pytest.raises(InputError, match=message):
        Learner(fresh_net("pnet", False, "default", 0), make_config(landmarks=False, freeze=pattern), [mx.cpu()])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ring", "expected one of local, device, nccl, dist_sync"),
        ("nccl", "nccl needs GPUs"),
        ("dist_sync", "needs gluon-mtcnn launch"),
    ],
)
def test_kvstores_that_cannot_work_here(name, message):
    with pytest.raises(InputError, match=message):
        check_kvstore(name, [mx.cpu()])


def test_slopes_before_a_pool_stay_non_negative():
    learner = Learner(fresh_net("pnet", True, "default", 0), make_config(), [mx.cpu(0), mx.cpu(1)])
    learner.parameters["stage1.prelu.alpha"].set_data(mx.nd.ones(10) * -0.5)
    learner.step(learner.place(batches(1, 20)[0]), 0.001)
    for array in learner.parameters["stage1.prelu.alpha"].list_data():
        assert (array.asnumpy() >= 0).all()


def test_denormals_and_dead_kernels():
    net = fresh_net("pnet", False, "default", 0)
    learner = Learner(net, make_config(landmarks=False), [mx.cpu()])
    weight = learner.parameters["stage2.conv.weight"].data().asnumpy()
    weight[3], weight[5], weight[6, 0, 0, 0] = 1e-39, 1e-7, -1e-40
    learner.parameters["stage2.conv.weight"].set_data(mx.nd.array(weight))
    flush_denormals(learner.net)
    after = learner.parameters["stage2.conv.weight"].data().asnumpy()
    assert not after[3].any()
    assert after[6, 0, 0, 0] == 0
    assert (after[5] == weight[5]).all()
    assert dead_kernels(net) == {"stage2.conv.weight": 2}


@pytest.mark.parametrize(
    "net", ["pnet", pytest.param("rnet", marks=pytest.mark.slow), pytest.param("onet", marks=pytest.mark.slow)]
)
def test_twenty_samples_are_learnt_by_heart(net, tmp_path):
    size = {"pnet": 12, "rnet": 24, "onet": 48}[net]
    with PackWriter(tmp_path, "train", size) as writer:
        writer.append(*make_samples(60, size, 2))
    config = default_config(net, landmarks=True)
    result = overfit(fresh_net(net, True, "default", 0), Pack(tmp_path), config, [mx.cpu()], steps=250)
    assert result["samples"] == 20
    assert result["passed"], result
    assert not overfit(fresh_net(net, True, "default", 0), Pack(tmp_path), config, [mx.cpu()], steps=1)["passed"]


def test_the_sanity_samples_are_of_all_classes(packs):
    batch = sample_batch(packs[0], 20)
    labels, counts = np.unique(batch.label, return_counts=True)
    assert labels.tolist() == [-2, -1, 0, 1]
    assert counts.tolist() == [5, 5, 5, 5]


def test_learning_rate_schedules():
    config = replace(make_config(epochs=10, lr=1.0), warmup=4)
    rates = [config.learning_rate(step, 10) for step in range(100)]
    np.testing.assert_allclose(rates[:4], [0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert all(a > b for a, b in zip(rates[4:], rates[5:]))
    assert rates[52] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3
    short = replace(config, warmup=1000)
    assert max(short.learning_rate(step, 10) for step in range(100)) == 1.0
    seanlinx = default_config("rnet", "seanlinx")
    assert [seanlinx.learning_rate(epoch * 5, 5) for epoch in (0, 7, 8, 13, 14)] == pytest.approx(
        [0.01, 0.01, 0.001, 0.001, 0.0001]
    )


def test_recipes():
    seanlinx = default_config("onet", "seanlinx", epochs=3)
    assert (seanlinx.optimizer, seanlinx.lr, seanlinx.wd, seanlinx.batch_size, seanlinx.epochs) == (
        "sgd",
        0.01,
        1e-5,
        128,
        3,
    )
    assert seanlinx.loss.weights == (1, 1, 1)
    assert default_config("pnet").loss.weights == default_config("rnet").loss.weights == (1, 0.5, 0.5)
    assert default_config("onet").loss.weights == (1, 0.5, 1)
    assert default_config("rnet", optimizer="sgd").lr < default_config("pnet").lr
    with pytest.raises(ValueError, match="recipe must be one of default, seanlinx"):
        default_config("pnet", "caffe")


def test_seanlinx_initial_weights():
    net = fresh_net("rnet", False, "seanlinx", 3)
    again = fresh_net("rnet", False, "seanlinx", 3)
    assert net.spec.order == "prelu_first"
    for name, parameter in net._collect_params_with_prefix().items():
        array = parameter.data().asnumpy()
        np.testing.assert_array_equal(array, again._collect_params_with_prefix()[name].data().asnumpy())
        if name.endswith("weight"):
            fan_in = np.prod(array.shape[1:])
            expected = math.sqrt(2 / fan_in) / (10 if array.ndim == 2 else 1)
            assert array.std() == pytest.approx(expected, rel=0.25), name


def test_pretrained_weights_with_and_without_the_landmark_head(tmp_path):
    given = fresh_net("pnet", False, "default", 7)
    save_net(tmp_path, given)
    same = pretrained_net(tmp_path, "pnet", False, seed=1)
    more = pretrained_net(tmp_path, "pnet", True, seed=1)
    assert more.spec.landmarks
    source = given._collect_params_with_prefix()
    for net in (same, more):
        for name, parameter in net._collect_params_with_prefix().items():
            if name in source:
                np.testing.assert_array_equal(parameter.data().asnumpy(), source[name].data().asnumpy())
    with pytest.raises(InputError, match="the model has no rnet"):
        pretrained_net(tmp_path, "rnet", False, seed=1)
    assert math.isnan(read_tally(np.zeros(10))["log_loss"])
