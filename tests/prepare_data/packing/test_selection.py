import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import ALL_FACES, LANDMARK, NEGATIVE, ONE_FACE, PART, POSITIVE, Annotation
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable, write_table
from gluon_mtcnn.prepare_data.packing.selection import choose_limits, choose_validation, class_of, parse_four, targets
from gluon_mtcnn.prepare_data.sampling.candidates import KEYS

RATIO = (1, 3, 1, 2)


def test_class_of():
    np.testing.assert_array_equal(class_of(np.array([POSITIVE, NEGATIVE, PART, LANDMARK], np.float32)), range(4))


@pytest.mark.parametrize(
    ("available", "expected", "why"),
    [
        ([100, 1000, 1000, 1000], [100, 300, 100, 200], "all positives, the rest in proportion"),
        ([100, 50, 1000, 0], [100, 50, 100, 0], "a class with fewer is used whole"),
        ([0, 50, 50, 50], [0, 0, 0, 0], "nothing without positives"),
    ],
)
def test_targets_by_ratio(available, expected, why):
    np.testing.assert_array_equal(targets(np.array(available), RATIO), expected, why)


def test_targets_by_count():
    np.testing.assert_array_equal(targets(np.array([9, 9, 9, 9]), RATIO, [3, 20, 0, 9]), [3, 9, 0, 9])


@pytest.mark.parametrize("text", ["1:3:1", "0:3:1:2", "1:-3:1:2", "1:x:1:2", "1:inf:1:2", "1:nan:1:2"])
def test_parse_four_refuses(text):
    with pytest.raises(InputError, match="--ratio: expected four numbers"):
        parse_four(text, "--ratio")
    assert parse_four("1,3,1,2", "--ratio") == (1, 3, 1, 2)


@pytest.mark.parametrize("wanted", [[0, 0, 0], [1, 0, 7], [500, 499, 0], [500, 500, 500]])
def test_the_limits_choose_exactly_as_many_as_wanted(wanted):
    rng = np.random.default_rng(0)
    group, key = np.repeat([0, 1, 2], 500), rng.integers(0, KEYS, 1500)
    key[500:1000] = key[500:1000] % 4096  # all in one bin
    parts = np.array_split(rng.permutation(1500), 7)
    limits, available = choose_limits(lambda: ((group[p], key[p]) for p in parts), lambda _: np.array(wanted), 3)
    np.testing.assert_array_equal(available, [500, 500, 500])
    chosen = key < limits[group]
    if wanted[1] in (0, 500):  # keys below 4096 repeat, so that between these the count may be off
        np.testing.assert_array_equal(np.bincount(group[chosen], minlength=3), wanted)
    for index in (0, 2):
        expected = np.sort(key[group == index])[: wanted[index]]
        np.testing.assert_array_equal(np.sort(key[chosen & (group == index)]), expected)


def make_table(tmp_path, photos, root=""):
    def annotation(name, faces):
        return Annotation(f"{root}/{name}", np.tile([0, 0, 9, 9], (faces, 1)), np.zeros(faces), name=name)

    write_table(tmp_path, [(source, [annotation(name, faces)]) for source, name, faces in photos])
    return PhotoTable(tmp_path)


def test_every_event_and_every_amount_of_faces_is_validated(tmp_path):
    photos = [(ALL_FACES, f"{event}/{i}.jpg", i // 10 + 1) for event in "abcde" for i in range(40)]
    table = make_table(tmp_path, photos)
    for seed in range(5):
        chosen = choose_validation(table, 0.1, np.random.default_rng(seed)).reshape(5, 4, 10)
        np.testing.assert_array_equal(chosen.sum(axis=2), np.ones((5, 4)))  # of ten photos alike, one
    first, second = (choose_validation(table, 0.1, np.random.default_rng(seed)) for seed in (0, 1))
    assert (first != second).any()


def test_a_photo_listed_twice_and_a_person_are_not_split(tmp_path):
    photos = [(ALL_FACES, f"e/{i % 30}.jpg", 1) for i in range(60)]
    photos += [(ONE_FACE, f"images/Some_One{i % 10}_{i:02d}_a.jpg", 1) for i in range(50)]
    photos += [(ONE_FACE, f"images/No_One_{i:02d}_b.jpg", 1) for i in range(5)]
    chosen = choose_validation(make_table(tmp_path, photos), 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen[:30], chosen[30:60])
    assert chosen[:30].sum() == 9
    assert np.unique(chosen[110:]).size == 1
    people = {name: chosen[60 + i] for i, name in enumerate("0123456789")}
    for i in range(50):
        assert chosen[60 + i] == people[str(i % 10)]


def test_the_folder_and_the_order_of_the_list_do_not_matter(tmp_path):
    photos = [(ALL_FACES, f"{event}/{i}.jpg", i // 10) for event in "abc" for i in range(40)]
    photos += [(ONE_FACE, f"images/Some_One{i % 10}_{i:02d}_a.jpg", 1) for i in range(50)]

    def choose(photos, root):
        return choose_validation(make_table(tmp_path / root, photos, f"/{root}"), 0.1, np.random.default_rng(0))

    expected = choose(photos, "here")
    np.testing.assert_array_equal(choose(photos, "else/where"), expected)
    np.testing.assert_array_equal(choose(photos[::-1], "here")[::-1], expected)


def test_fractions_at_the_ends(tmp_path):
    table = make_table(tmp_path, [(ALL_FACES, f"{i}.jpg", 0) for i in range(5)])
    rng = np.random.default_rng(0)
    assert not choose_validation(table, 0.0, rng).any()
    assert choose_validation(table, 0.01, rng).sum() == 1  # never none
