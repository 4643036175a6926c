"""Order of an epoch, augmentation, batches."""

import subprocess
import sys
import threading
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files import atomic as files
from gluon_mtcnn.core.ops.image import planar
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.packs.writer import PackWriter
from gluon_mtcnn.core.training import loader as dataset
from gluon_mtcnn.core.training.augment import AugmentSpec, augment, blur, coarsen, erase, mirror, recolour, turn
from gluon_mtcnn.core.training.loader import Batch, BatchLoader, prefetched, uniform
from gluon_mtcnn.core.training.sampler import EpochOrder, apportion, permute, split_slots

COUNTS = {1: 20, 0: 63, -1: 17, -2: 39}  # 139 records
NO_COLOUR = {"blur": 0, "grey": 0, "gain": 0, "offset": 0, "channel": 0}


def write_pack(folder, counts, size=12):
    """Write random samples, their classes in random order: offsets where a net learns them, points likewise."""
    rng = np.random.default_rng(5)
    labels = rng.permutation(np.repeat(list(counts), list(counts.values())))
    rows = np.zeros((len(labels), 15), np.float32)
    rows[:, 0] = labels
    rows[:, 1:5] = rng.normal(size=(len(labels), 4)) * (np.abs(labels) == 1)[:, None]
    rows[:, 5:] = rng.uniform(size=(len(labels), 10)) * (labels == -2)[:, None]
    with PackWriter(folder, size=size) as writer:
        writer.append(rng.integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8), rows)
    return Pack(folder)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("pack"), COUNTS)


def keys(value, count):
    return np.full(count, value, np.uint64)


def columns(batch):
    """Return all arrays of a batch, the record numbers too; other things as they are."""
    return list(vars(batch).values()) if isinstance(batch, Batch) else list(batch)


def same(first, second):
    first, second = columns(first), columns(second)
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second))


def count_classes(batch):
    return {label: int((batch.label == label).sum()) for label in COUNTS}


class TestPermute:
    @given(count=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
    def test_bijection(self, count, key):
        places = permute(np.arange(count), np.full(count, count), keys(key, count))
        assert np.array_equal(np.sort(places), np.arange(count))

    def test_each_position_has_its_own_permutation(self):
        counts, names = np.array([7] * 7 + [9] * 9), np.array([3] * 7 + [4] * 9, np.uint64)
        together = permute(np.concatenate([np.arange(7), np.arange(9)]), counts, names)
        assert np.array_equal(together[:7], permute(np.arange(7), counts[:7], names[:7]))
        assert np.array_equal(together[7:], permute(np.arange(9), counts[7:], names[7:]))

    def test_every_place_is_as_likely(self):
        """Over 4000 keys each of 10 positions goes to each of 10 places 400 times, standard deviation 19."""
        names = np.repeat(np.random.default_rng(0).integers(0, 2**63, 4000).astype(np.uint64), 10)
        positions = np.tile(np.arange(10), 4000)
        places = permute(positions, np.full(40000, 10), names)
        table = np.histogram2d(positions, places, bins=10)[0]
        assert table.min() > 320
        assert table.max() < 480

    def test_neighbours_part(self):
        """Of 100,000 neighbours about 2 stay neighbours in a random permutation."""
        places = permute(np.arange(100_000), np.full(100_000, 100_000), keys(1, 100_000))
        assert (np.abs(np.diff(places)) == 1).sum() < 15
        assert abs(np.corrcoef(np.arange(100_000), places)[0, 1]) < 0.02


class TestOrder:
    def test_filled_by_hand(self):
        """Classes of 2 and 4: the first takes floor(slots / 3)."""
        filled = EpochOrder([2, 4], [2, 4], 0).filled(np.arange(7))
        assert filled.tolist() == [[0, 0], [0, 1], [0, 2], [1, 2], [1, 3], [1, 4], [2, 4]]

    @given(st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any))
    def test_filled(self, sizes):
        order = EpochOrder(sizes, sizes, 0)
        filled = order.filled(np.arange(len(order) + 1))
        used = np.array([s for s in sizes if s])
        assert np.array_equal(filled.sum(axis=1), np.arange(len(order) + 1))
        assert set(np.unique(np.diff(filled, axis=0))) <= {0, 1}
        assert filled[-1].tolist() == used.tolist()
        exact = np.arange(len(order) + 1)[:, None] * used / len(order)
        assert np.abs(filled - exact).max() < len(used)

    def test_a_class_goes_on_where_it_stopped(self):
        order = EpochOrder([10], [4], seed=1)
        visits = np.concatenate([order.records(epoch, 0, 4) for epoch in range(5)])
        assert sorted(visits[:10]) == sorted(visits[10:]) == list(range(10))
        assert visits[:10].tolist() != visits[10:].tolist()

    def test_more_slots_than_records(self):
        order = EpochOrder([3], [8], seed=1)
        assert np.bincount(order.records(0, 0, 8)).min() == 2

    @pytest.mark.parametrize(
        ("total", "weights", "parts"),
        [(10, [1, 3, 1], [2, 6, 2]), (10, [1, 1, 1], [4, 3, 3]), (7, [0, 2, 1.5], [0, 4, 3]), (0, [1, 2], [0, 0])],
    )
    def test_apportion(self, total, weights, parts):
        assert apportion(total, weights).tolist() == parts

    def test_split_slots(self):
        assert split_slots(25, 12, 3, 0).tolist() == [0, 4, 8, 12]
        assert split_slots(23, 12, 3, 1).tolist() == [12, 15, 19, 23]
        assert split_slots(26, 12, 3, 2).tolist() == [24, 24, 25, 26]  # two records for three workers
        assert split_slots(27, 12, 3, 2).tolist() == [24, 25, 26, 27]


class TestMirror:
    def test_by_hand(self):
        data = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
        offsets = np.array([[0.1, 0.2, -0.3, 0.4]], np.float32)
        points = np.array([[0.1, 0.2, 0.8, 0.3, 0.5, 0.5, 0.25, 0.7, 0.75, 0.9]], np.float32)
        data, offsets, points = mirror(data, offsets, points, np.array([True]))
        assert data.ravel().tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
        assert offsets == pytest.approx(np.array([[0.3, 0.2, -0.1, 0.4]]))
        assert points == pytest.approx(np.array([[0.2, 0.3, 0.9, 0.2, 0.5, 0.5, 0.25, 0.9, 0.75, 0.7]]))

    def test_twice_is_the_identity(self, pack):
        batch = BatchLoader(pack, 139, prefetch=0).batch(0, 0)
        before = batch.data, batch.bbox_target, batch.landmark_target
        chosen = np.arange(139) % 3 > 0
        once = mirror(*before, chosen)
        assert not same(once, before)
        data, offsets, points = mirror(*once, chosen)
        assert np.array_equal(data, batch.data)
        assert np.array_equal(offsets, batch.bbox_target)
        assert points == pytest.approx(batch.landmark_target, abs=1e-7)

    def test_landmark_samples_stay_as_they_are_on_request(self, pack):
        before = BatchLoader(pack, 139, prefetch=0).batch(0, 0)
        only_others = AugmentSpec(mirror=1, mirror_landmarks=False, **NO_COLOUR)
        batch = BatchLoader(pack, 139, augment=only_others, prefetch=0).batch(0, 0)
        points = batch.label == -2
        assert 0 < points.sum() < len(points)
        assert np.array_equal(batch.landmark_target, before.landmark_target)
        assert np.array_equal(batch.data[points], before.data[points])
        assert np.array_equal(batch.data[~points], before.data[~points][..., ::-1])

    def test_rows_without_points_stay_zero(self, pack):
        batch = BatchLoader(pack, 139, augment=AugmentSpec(mirror=1, **NO_COLOUR), prefetch=0).batch(0, 0)
        assert not batch.landmark_target[batch.label != -2].any()
        assert batch.landmark_target[batch.label == -2].all()


class TestTurn:
    def test_a_quarter_by_hand(self):
        """Clockwise: the upper row becomes the right column."""
        data = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
        offsets = np.array([[0.1, 0.2, -0.3, 0.4]], np.float32)  # centre (-.1, .3), which turns to (-.3, -.1)
        points = np.array([[0.1, 0.2, 0.8, 0.3, 0.5, 0.5, 0.25, 0.7, 0.75, 0.9]], np.float32)
        data, offsets, points = turn(data, offsets, points, np.array([90.0]))
        assert data.ravel().tolist() == [2, 0, 3, 1, 6, 4, 7, 5, 10, 8, 11, 9]
        assert offsets == pytest.approx(np.array([[-0.1, -0.2, -0.5, 0.0]]), abs=1e-7)
        assert points == pytest.approx(np.array([[0.8, 0.1, 0.7, 0.8, 0.5, 0.5, 0.3, 0.25, 0.1, 0.75]]))

    def test_points_turn_with_the_image(self):
        """Where the only bright spot of an image lies, its point lies."""
        data = np.zeros((2, 3, 48, 48), np.uint8)
        data[:, :, 10:13, 33:36] = 255
        points = np.tile([34.5 / 48, 11.5 / 48], (2, 5)).astype(np.float32)
        out, _, turned = turn(data, np.zeros((2, 4), np.float32), points, np.array([-40.0, 25.0]))
        for image, (x, y) in zip(out[:, 0].astype(float), turned[:, :2] * 48 - 0.5):
            place = np.arange(48)
            assert (image.sum(axis=0) @ place / image.sum(), image.sum(axis=1) @ place / image.sum()) == pytest.approx(
                (x, y), abs=0.05
            )

    def test_edges_are_repeated_and_images_apart(self):
        """An even image stays even at any angle, whatever its neighbours are; many are more than OpenCV takes."""
        levels = np.arange(700).astype(np.uint8)
        data = np.broadcast_to(levels[:, None, None, None], (700, 3, 48, 48))
        out, *_ = turn(data, np.zeros((700, 4)), np.zeros((700, 10)), np.linspace(-45, 45, 700))
        assert np.array_equal(out, data)

    def test_no_angle_is_the_identity(self, pack):
        batch = BatchLoader(pack, 139, prefetch=0).batch(0, 0)
        before = batch.data, batch.bbox_target, batch.landmark_target
        out = turn(*before, np.zeros(139))
        assert np.array_equal(out[0], before[0])
        assert np.allclose(out[1], before[1], atol=1e-7)
        assert np.allclose(out[2], before[2], atol=1e-7)

    def test_rows_without_targets_stay_zero(self, pack):
        spec = AugmentSpec(mirror=0, turn=30, **NO_COLOUR)
        before, batch = (BatchLoader(pack, 139, augment=s, prefetch=0).batch(0, 0) for s in (None, spec))
        assert not batch.landmark_target[batch.label != -2].any()
        assert not batch.bbox_target[~before.bbox_target.any(axis=1)].any()
        assert (batch.data != before.data).any(axis=(1, 2, 3)).mean() > 0.9


class TestErase:
    def test_by_hand(self):
        """Sides .2 + .3 * draw of 10 px, the corner among those that leave it inside."""
        data = np.full((2, 3, 10, 10), 7, np.uint8)
        draws = np.zeros((2, 16))
        draws[:, 10:15] = [[0, 0.99, 0.5, 0, 0.5], [0.34, 0.34, 0.999, 0.999, 0.0]]  # width, height, left, top, level
        out = erase(data, draws)
        assert (out[0, :, 0:5, 4:6] == 128).all()
        assert (out[1, :, 7:10, 7:10] == 0).all()
        assert [(image != 7).sum() for image in out] == [3 * 10, 3 * 9]
        assert (data == 7).all()

    def test_share_and_no_points(self, pack):
        before, batch = (
            BatchLoader(pack, 139, augment=spec, prefetch=0).batch(0, 0)
            for spec in (None, AugmentSpec(mirror=0, erase=0.5, **NO_COLOUR))
        )
        changed = (batch.data != before.data).any(axis=(1, 2, 3))
        assert not changed[batch.label == -2].any()
        assert 0.35 < changed[batch.label != -2].mean() < 0.65
        assert same((batch.bbox_target, batch.landmark_target), (before.bbox_target, before.landmark_target))

    def test_other_numbers_stay_as_they_were(self, pack):
        """What is mirrored and recoloured does not depend on whether shapes change too."""
        plain = BatchLoader(pack, 139, augment=AugmentSpec(), prefetch=0).batch(0, 0)
        erased = BatchLoader(pack, 139, augment=AugmentSpec(erase=1e-9), prefetch=0).batch(0, 0)
        assert same(plain, erased)


class TestColour:
    draws = np.full((2, 8), 0.5)

    def image(self, value):
        return np.full((2, 3, 4, 4), value, np.uint8)

    def test_the_middle_changes_nothing(self):
        data = np.arange(2 * 3 * 256).astype(np.uint8).reshape(2, 3, 16, 16)
        assert np.array_equal(recolour(data, self.draws, AugmentSpec()), data)

    @pytest.mark.parametrize(
        ("column", "draw", "expected"),
        [
            (3, 1.0, [206] * 3),  # 127.5 + 1.2 * (193 - 127.5) = 206.1
            (3, 0.0, [180] * 3),  # 127.5 + 0.8 * 65.5 = 179.9
            (4, 1.0, [213] * 3),  # 193 + .16 * 128 = 213.48
            (6, 0.0, [193, 189, 193]),  # 127.5 + 0.94 * 65.5 = 189.07
        ],
    )
    def test_by_hand(self, column, draw, expected):
        draws = self.draws.copy()
        draws[1, column] = draw
        out = recolour(self.image(193), draws, AugmentSpec())
        assert (out[0] == 193).all()
        assert out[1, :, 0, 0].tolist() == expected

    def test_ends_are_cut(self):
        draws = self.draws.copy()
        draws[:, 3:5] = 1.0
        assert (recolour(self.image(250), draws, AugmentSpec()) == 255).all()
        draws[:, 4] = 0.0
        assert (recolour(self.image(3), draws, AugmentSpec()) == 0).all()

    def test_grey(self):
        draws = self.draws.copy()
        draws[1, 2] = 0.05
        data = self.image(0)
        data[:, 0], data[:, 1], data[:, 2] = 200, 100, 50
        out = recolour(data, draws, AugmentSpec())
        assert np.array_equal(out[0], data[0])
        assert (out[1] == 96).all()  # .114 * 200 + .587 * 100 + .299 * 50 = 96.45

    def test_blur_by_hand(self):
        data = np.zeros((2, 3, 12, 12), np.uint8)
        data[0, 1, 5, 5] = 160
        data[1, 2, 0, 0] = 160
        out = blur(data)
        assert out[0, 1, 4:7, 4:7].tolist() == [[10, 20, 10], [20, 40, 20], [10, 20, 10]]
        assert out[1, 2, :3, :3].tolist() == [[90, 30, 0], [30, 10, 0], [0, 0, 0]]  # the edge is repeated
        assert out.sum() == 160 + 160

    def test_coarse_by_hand(self):
        """Halved: pixels of two, and bilinear between their centres: 1/4, 3/4 of the neighbours."""
        data = np.zeros((1, 3, 4, 4), np.uint8)
        data[0, 0, :, 2:] = 160
        out = coarsen(data, np.array([np.log(2) / np.log(3)]))
        assert out[0, 0].tolist() == [[0, 40, 120, 160]] * 4
        assert not out[0, 1:].any()

    def test_coarse_leaves_an_even_image_and_at_zero_any(self):
        data = np.random.default_rng(0).integers(0, 256, (8, 3, 48, 48), dtype=np.uint8)
        draws = np.linspace(0, 0.999, 8)
        assert np.array_equal(coarsen(data, np.zeros(8)), data)
        assert (coarsen(np.full_like(data, 255), draws) == 255).all()
        detail = [np.abs(np.diff(image.astype(int))).mean() for image in coarsen(data, draws)]
        assert (np.diff(detail[:-1]) < 0).all()  # the greater the number the coarser
        assert detail[-1] < 0.15 * detail[0]

    def test_blurred_and_coarse_exclude_each_other(self):
        data = np.random.default_rng(0).integers(0, 256, (4000, 3, 12, 12), dtype=np.uint8)
        draws, spec = uniform(0, 0, 0, 4000), AugmentSpec(mirror=0, grey=0, gain=0, offset=0, channel=0, coarse=0.3)
        out, _, _ = augment(data, np.zeros((4000, 4)), np.zeros((4000, 10)), draws, spec)
        assert np.array_equal(out[draws[:, 1] < 0.1], blur(data[draws[:, 1] < 0.1]))
        assert np.array_equal(out[draws[:, 1] >= 0.4], data[draws[:, 1] >= 0.4])
        assert 0.36 < (out != data).any(axis=(1, 2, 3)).mean() < 0.43  # nearly S pixels are S

    def test_many_images_are_blurred_one_by_one(self):
        data = np.random.default_rng(0).integers(0, 256, (200, 3, 24, 24), dtype=np.uint8)
        assert np.array_equal(blur(data), np.concatenate([blur(image[None]) for image in data]))

    def test_probabilities(self):
        data = np.random.default_rng(0).integers(0, 256, (4000, 3, 4, 4), dtype=np.uint8)
        draws = uniform(0, 0, 0, 4000)
        out, _, _ = augment(data, np.zeros((4000, 4)), np.zeros((4000, 10)), draws, AugmentSpec(**NO_COLOUR))
        changed = (out != data).any(axis=(1, 2, 3)).mean()
        assert 0.47 < changed < 0.53
        out, _, _ = augment(data, np.zeros((4000, 4)), np.zeros((4000, 10)), draws, AugmentSpec(mirror=0))
        grey = (out == out[:, :1]).all(axis=(1, 2, 3)).mean()
        assert 0.08 < grey < 0.12

    def test_arguments_stay(self, pack):
        batch = BatchLoader(pack, 139, prefetch=0).batch(0, 0)
        before = [part.copy() for part in columns(batch)]
        augment(
            batch.data, batch.bbox_target, batch.landmark_target, uniform(0, 0, 0, 139), AugmentSpec(mirror=1, blur=1)
        )
        assert same(batch, before)

    def test_bad_spec(self):
        with pytest.raises(InputError, match=r"augmentation: gain: expected 0 to 1, got 1.5"):
            AugmentSpec(gain=1.5)
        with pytest.raises(InputError, match=r"augmentation: turn: expected 0 to 45, got 60"):
            AugmentSpec(turn=60)


class TestBatches:
    def test_what_a_batch_is(self, pack):
        batch = BatchLoader(pack, 32).batch(0, 0)
        assert (batch.data.shape, batch.data.dtype) == ((32, 3, 12, 12), np.uint8)
        assert batch.data.flags.c_contiguous
        images, rows = pack.read(batch.records)
        assert np.array_equal(batch.data, images.transpose(0, 3, 1, 2))
        data, *targets = batch
        assert data is batch.data
        assert np.array_equal(np.column_stack(targets), rows)
        assert [part.shape for part in (*targets, batch.records)] == [(32,), (32, 4), (32, 10), (32,)]
        assert all(part.dtype == np.float32 for part in targets)
        positives = batch[batch.label == 1]
        assert len(positives) == len(positives.records) == np.count_nonzero(batch.label == 1)
        assert np.array_equal(pack.images(positives.records), positives.data.transpose(0, 2, 3, 1))

    def test_planar(self):
        images = np.arange(2 * 5 * 5 * 3, dtype=np.uint8).reshape(2, 5, 5, 3)
        assert np.array_equal(planar(images), images.transpose(0, 3, 1, 2))

    @pytest.mark.parametrize("stratified", [True, False])
    def test_an_epoch_uses_every_record_once(self, pack, stratified):
        loader = BatchLoader(pack, 32, seed=3, stratified=stratified)
        batches = list(loader.epoch(2))
        assert loader.batches_per_epoch == len(batches) == 5
        assert [len(b.label) for b in batches] == [32, 32, 32, 32, 11]
        assert sorted(np.concatenate([b.records for b in batches])) == list(range(139))

    def test_stratified(self, pack):
        for batch in BatchLoader(pack, 32).epoch(0):
            for label, got in count_classes(batch).items():
                assert abs(got - COUNTS[label] / 139 * len(batch.label)) < 3
            halves = batch.label[: len(batch.label) // 2]  # classes alternate: a batch can be cut for two devices
            assert set(halves) == set(COUNTS)

    def test_plain_is_not_stratified(self, pack):
        numbers = [count_classes(batch)[0] for batch in islice(BatchLoader(pack, 32, stratified=False).epoch(0), 4)]
        assert max(numbers) - min(numbers) > 2

    def test_ratio(self, pack):
        """63 negatives allow 1 : 3 : 1 : 2 only 17 times: the parts are used up, 51 of the negatives are used."""
        loader = BatchLoader(pack, 70, ratio={1: 1, 0: 3, -1: 1, -2: 2})
        batches = list(loader.epoch(0))
        assert [len(b.label) for b in batches] == [70, 49]
        for label, per_seven in {1: 1, 0: 3, -1: 1, -2: 2}.items():
            assert abs(count_classes(batches[0])[label] - 10 * per_seven) < 3
        records = np.concatenate([b.records for b in batches])
        assert len(np.unique(records)) == len(records) == 17 * 7
        later = np.concatenate([b.records for b in loader.epoch(1)])
        assert sorted(np.unique(np.concatenate([records, later]))) == list(range(139))  # what was left comes next

    def test_ratio_without_a_class(self, pack, tmp_path, caplog):
        batch = BatchLoader(pack, 60, ratio={1: 1, 0: 1}).batch(0, 0)
        assert count_classes(batch) == {1: 20, 0: 20, -1: 0, -2: 0}
        few = write_pack(tmp_path, {1: 5, 0: 5})
        assert len(BatchLoader(few, 60, ratio={1: 1, 0: 1, -2: 2}).batch(0, 0).label) == 10
        assert "no landmark records" in caplog.text
        with pytest.raises(InputError, match=r"expected records of the classes {-2: 1}, got {1: 5, 0: 5}"):
            BatchLoader(few, 60, ratio={-2: 1})

    def test_epoch_size(self, pack):
        loader = BatchLoader(pack, 50, ratio={1: 1, 0: 1}, epoch_size=100)
        batches = list(loader.epoch(0))
        assert [count_classes(b) for b in batches] == [{1: 25, 0: 25, -1: 0, -2: 0}] * 2
        positives = np.concatenate([b.records[b.label == 1] for b in batches])
        assert np.bincount(np.unique(positives, return_counts=True)[1]).tolist() == [0, 0, 10, 10]  # 50 of 20 records

    def test_in_order(self, pack):
        loader = BatchLoader(pack, 50, stratified=False, shuffle=False)
        assert np.array_equal(np.concatenate([b.records for b in loader.epoch(3)]), np.arange(139))

    def test_deterministic(self, pack):
        options = {"augment": AugmentSpec(), "seed": 4}
        first, second = (list(BatchLoader(pack, 32, **options).epoch(1)) for _ in range(2))
        assert all(same(a, b) for a, b in zip(first, second))
        other_epoch = BatchLoader(pack, 32, **options).batch(2, 0)
        other_seed = BatchLoader(pack, 32, augment=AugmentSpec(), seed=5).batch(1, 0)
        assert not np.array_equal(first[0].records, other_epoch.records)
        assert not np.array_equal(first[0].records, other_seed.records)

    def test_resume_in_an_epoch(self, pack):
        whole = list(BatchLoader(pack, 20, seed=1, augment=AugmentSpec()).epoch(5))
        rest = list(BatchLoader(pack, 20, seed=1, augment=AugmentSpec()).epoch(5, start_batch=3))
        assert len(rest) == len(whole) - 3
        assert all(same(a, b) for a, b in zip(whole[3:], rest))

    def test_augmentation_does_not_depend_on_the_batch_size(self, pack):
        spec = AugmentSpec(turn=10, erase=0.5)
        small, large = (list(BatchLoader(pack, n, augment=spec).epoch(0)) for n in (10, 64))
        assert np.array_equal(np.concatenate([b.data for b in small]), np.concatenate([b.data for b in large]))

    @pytest.mark.parametrize(("batch_size", "shards"), [(20, 2), (47, 3), (69, 3), (137, 4), (35, 5), (46, 3)])
    def test_shards(self, pack, batch_size, shards):
        """Together the shards see what one worker alone sees; of 139 records the last batch may hold 1 or 2."""
        options = {"seed": 2, "augment": AugmentSpec(turn=10, erase=0.5)}
        loaders = [BatchLoader(pack, batch_size, shard=(i, shards), **options) for i in range(shards)]
        epochs = [list(loader.epoch(1)) for loader in loaders]
        assert len({len(epoch) for epoch in epochs}) == 1
        records = np.concatenate([b.records for epoch in epochs for b in epoch])
        assert np.array_equal(np.sort(records), np.arange(139))
        for number, parts in enumerate(zip(*epochs)):
            whole = BatchLoader(pack, batch_size, **options).batch(1, number)
            sizes = [len(part.label) for part in parts]
            assert max(sizes) - min(sizes) <= 1
            assert sum(sizes) == loaders[0].rows(number)
            assert same([np.concatenate(column) for column in zip(*map(columns, parts))], whole)
            assert all(part.data.shape[1:] == (3, 12, 12) for part in parts)

    @pytest.mark.parametrize("shard", [(0, 1), (1, 3)])
    def test_blocks_hold_the_batches(self, pack, shard, monkeypatch):
        """Made several at a time, from any batch on, they are what they are one by one; of the last some are empty."""
        monkeypatch.setattr(dataset, "BLOCK_BYTES", 3 * 432 * 47 // shard[1] + 432)
        loader = BatchLoader(pack, 46, seed=2, shard=shard, augment=AugmentSpec())
        blocks = list(loader.blocks(1, 1))
        assert [len(sizes) for _, sizes in blocks] == [3]
        batches = [batch for block, sizes in blocks for batch in block.parts(sizes)]
        for number, batch in enumerate(batches, 1):
            assert same(batch, loader.batch(1, number))
        assert all(np.shares_memory(batch.data, blocks[0][0].data) for batch in batches[:2])

    def test_large_packs_are_indexed_in_a_file(self, pack, monkeypatch):
        whole = BatchLoader(pack, 20, seed=1).batch(0, 3)
        monkeypatch.setattr(files, "SCRATCH_BYTES", 1)
        again = BatchLoader(Pack(pack.folder), 20, seed=1)
        assert isinstance(again.order._members.base, np.memmap)
        assert same(again.batch(0, 3), whole)

    def test_no_mxnet(self, checkout):
        code = "import sys, gluon_mtcnn.core.training.loader; sys.exit('mxnet' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], cwd=checkout, check=False).returncode == 0

    def test_errors(self, pack, tmp_path):
        with pytest.raises(ValueError, match=r"expected batch_size >= 1 and shard"):
            BatchLoader(pack, 8, shard=(2, 2))
        with pytest.raises(ValueError, match="a ratio needs stratified batches"):
            BatchLoader(pack, 8, stratified=False, ratio={1: 1})
        with pytest.raises(IndexError, match=r"expected batch 0..4, got 5"):
            BatchLoader(pack, 32).batch(0, 5)
        with PackWriter(tmp_path):
            pass
        with pytest.raises(InputError, match="expected any record"):
            BatchLoader(Pack(tmp_path), 8)


class TestPrefetch:
    def threads(self):
        return [t for t in threading.enumerate() if t.name == "batches"]

    def batches(self, count):
        yield from (Batch(*np.full((5, 1), i)) for i in range(count))

    def test_same_batches(self, pack):
        plain, ahead = (list(BatchLoader(pack, 20, prefetch=n).epoch(0)) for n in (0, 3))
        assert all(same(a, b) for a, b in zip(plain, ahead))
        assert len(plain) == len(ahead)
        assert not self.threads()

    def test_an_error_comes_through_in_its_place(self):
        def fail():
            yield from self.batches(2)
            raise InputError("record 7")

        iterator = prefetched(fail(), 5)
        assert [next(iterator).label[0] for _ in range(2)] == [0, 1]
        with pytest.raises(InputError, match="record 7"):
            next(iterator)
        assert not self.threads()

    def test_closing_ends_the_thread(self):
        iterator = prefetched(self.batches(1000), 2)
        next(iterator)
        assert self.threads()
        iterator.close()
        assert not self.threads()

    def test_bounded(self):
        made = []

        def count():
            for batch in self.batches(100):
                made.append(1)
                yield batch

        iterator = prefetched(count(), 3)
        next(iterator)
        threading.Event().wait(0.05)
        assert len(made) <= 1 + 3 + 1  # handed out, waiting, in the thread's hand
        iterator.close()
