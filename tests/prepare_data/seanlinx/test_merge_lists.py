from collections import Counter

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx import imglist
from gluon_mtcnn.core.seanlinx.imglist import read_imglist
from gluon_mtcnn.core.types import LANDMARK, NEGATIVE, PART, POSITIVE
from gluon_mtcnn.prepare_data.seanlinx.merge_lists import SEANLINX_COUNTS, gen_imglist


def write_lists(folder, pos=3, neg=20, part=10, landmark=None, size=12):
    folder.mkdir(exist_ok=True)
    lists = {
        "pos": [f"{size}/positive/{i} 1 0.1 0.2 0.3 0.4" for i in range(pos)],
        "neg": [f"{size}/negative/{i} 0" for i in range(neg)],
        "part": [f"{size}/part/{i} -1 0.1 0.2 0.3 0.4" for i in range(part)],
    }
    if landmark is not None:
        lists["landmark"] = [f"{size}/landmark/{i} -2" + " 0.5" * 10 for i in range(landmark)]
    for stem, lines in lists.items():
        (folder / f"{stem}_{size}.txt").write_text("".join(line + "\n" for line in lines))
    return folder


def gathered(folder, out, seed=0, size=12, counts=None):
    written = gen_imglist(folder, size, out, np.random.default_rng(seed), counts)
    return written, read_imglist(out)


def test_a_class_with_fewer_is_taken_whole(tmp_path):
    folder = write_lists(tmp_path / "pnet", landmark=4)
    written, samples = gathered(folder, tmp_path / "imglists" / "train_12.txt")
    assert written == {"positive": 3, "negative": 20, "part": 10, "landmark": 4}
    assert samples.labels.tolist() == [1] * 3 + [0] * 20 + [-1] * 10 + [-2] * 4
    assert samples.names[:5] == ["12/positive/0", "12/positive/1", "12/positive/2", "12/negative/0", "12/negative/1"]


def test_a_class_with_more_is_chosen_from(tmp_path, monkeypatch):
    monkeypatch.setattr(imglist, "CHUNK", 7)  # the choice goes over several chunks
    folder = write_lists(tmp_path / "pnet", neg=100, part=50)
    counts = {POSITIVE: 2, NEGATIVE: 30, PART: 0, LANDMARK: None}
    written, samples = gathered(folder, tmp_path / "a.txt", counts=counts)
    assert written == {"positive": 2, "negative": 30, "part": 0}
    numbers = [int(name.rsplit("/")[-1]) for name in samples.names[2:]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 30
    assert numbers != list(range(30))
    again, other = (
        gathered(folder, tmp_path / "b.txt", counts=counts),
        gathered(folder, tmp_path / "c.txt", 1, 12, counts),
    )
    assert again[1].names == samples.names
    assert other[1].names != samples.names


def test_every_line_is_equally_likely(tmp_path, monkeypatch):
    monkeypatch.setattr(imglist, "CHUNK", 4)
    folder = write_lists(tmp_path / "pnet", pos=0, neg=10, part=0)
    chosen = Counter()
    for seed in range(150):
        _, samples = gathered(folder, tmp_path / "a.txt", seed, counts={POSITIVE: None, NEGATIVE: 3, PART: None})
        chosen.update(samples.names)
    assert len(chosen) == 10
    # 45 of 150 expected of each; the standard deviation is 5.6
    assert all(abs(count - 45) < 28 for count in chosen.values())


def test_the_counts_of_seanlinx():
    assert SEANLINX_COUNTS == {1: None, 0: 600_000, -1: 300_000, -2: None}


def test_the_size_names_the_lists(tmp_path):
    folder = write_lists(tmp_path / "rnet", size=24)
    assert gathered(folder, tmp_path / "train_24.txt", size=24)[1].names[0] == "24/positive/0"
    with pytest.raises(InputError, match=r"pos_12\.txt: cannot be read"):
        gathered(folder, tmp_path / "train_12.txt")
    assert not (tmp_path / "train_12.txt").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("12/positive/9 1 0.1 0.2 0.3 0.4", "expected label 0, got 1"),
        ("12/negative/9 0 0.1", "expected 2, 6, 12 or 16 fields, got 3"),
    ],
)
def test_a_wrong_line_is_named_and_the_old_list_stays(tmp_path, line, message):
    folder = write_lists(tmp_path / "pnet", neg=2)
    with open(folder / "neg_12.txt", "a") as file:
        file.write(line + "\n")
    (tmp_path / "train_12.txt").write_text("old")
    with pytest.raises(InputError, match=rf"neg_12\.txt:3: {message}"):
        gathered(folder, tmp_path / "train_12.txt")
    assert (tmp_path / "train_12.txt").read_text() == "old"
