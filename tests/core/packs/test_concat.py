import pickle

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.concat import JoinedPack, open_packs
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.packs.writer import PackWriter
from gluon_mtcnn.core.training.loader import BatchLoader


def write(folder, values, size=12, labels=None):
    """Write one-coloured samples whose first offset is their colour."""
    rows = np.zeros((len(values), 15), np.float32)
    rows[:, 0] = 1 if labels is None else labels
    rows[:, 1] = values
    with PackWriter(folder, "train", size) as writer:
        writer.append(np.tile(np.array(values, np.uint8)[:, None, None, None], (1, size, size, 3)), rows)
    return folder


@pytest.fixture
def joined(tmp_path):
    first = write(tmp_path / "a", [0, 1, 2], labels=[1, 0, -1])
    return open_packs([first, write(tmp_path / "b", [3, 4]), write(tmp_path / "c", [5], labels=[0])])


def test_records_are_numbered_one_pack_after_another(joined):
    assert (len(joined), joined.size) == (6, 12)
    order = [5, 0, 3, 3, 2, 4, 1]
    images, rows = joined.read(order)
    np.testing.assert_array_equal(images[:, 0, 0, 0], order)
    np.testing.assert_array_equal(rows[:, 1], order)
    np.testing.assert_array_equal(joined.rows(order), rows)
    np.testing.assert_array_equal(joined.labels(), [1, 0, -1, 1, 1, 0])
    assert joined.class_counts() == {"positive": 3, "negative": 2, "part": 1, "landmark": 0}
    assert joined.read([])[0].shape == (0, 12, 12, 3)
    with pytest.raises(IndexError, match=r"expected record numbers 0\.\.5, got 6"):
        joined.read([6])


def test_batches_come_from_all_packs(joined):
    batches = list(BatchLoader(joined, 4, prefetch=0).epoch(0))
    assert sorted(np.concatenate([batch.bbox_target[:, 0] for batch in batches])) == list(range(6))


def test_one_pack_is_itself_and_several_have_a_digest_of_their_own(joined, tmp_path):
    first = open_packs([tmp_path / "a"])
    assert type(first) is Pack
    assert first.digest() == first.manifest["sha256"]
    digests = {JoinedPack(joined.packs[:2]).digest(), JoinedPack(joined.packs[1::-1]).digest(), joined.digest()}
    assert len(digests) == 3
    assert pickle.loads(pickle.dumps(joined)).digest() == joined.digest()


def test_packs_of_different_sizes(tmp_path):
    folders = [write(tmp_path / "a", [0]), write(tmp_path / "b", [0], size=24)]
    with pytest.raises(InputError, match=r"b/train\.rec: expected images of 12 px as before, got 24 px"):
        open_packs(folders)
