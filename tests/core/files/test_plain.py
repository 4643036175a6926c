import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from gluon_mtcnn.core.files.plain import json_values
from gluon_mtcnn.core.training.config import LossConfig, default_config
from gluon_mtcnn.prepare_data.mining.hard_examples import Mining
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES


@dataclass
class Inner:
    sizes: tuple[Any, ...] = ((1, 2), 3)


@dataclass
class Outer:
    name: str = "a"
    inner: Inner = field(default_factory=Inner)
    late: int = 0


def test_values_are_as_json_reads_them_back():
    assert json_values(Outer()) == {"name": "a", "inner": {"sizes": [[1, 2], 3]}, "late": 0}
    assert json_values(Outer(), {"late"}) == {"name": "a", "inner": {"sizes": [[1, 2], 3]}}


@pytest.mark.parametrize(
    ("values", "later"),
    [
        (default_config("onet").as_dict(), ("mirror_landmarks", "turn", "erase", "batch_norm")),
        (Mining(seed=3).describe(), ("rescale", "seed", "own")),
        (RECIPES["default"]["pnet"].describe(), ("landmark_shift",)),
    ],
    ids=["training", "mining", "sampling"],
)
def test_fields_that_came_later_are_not_in_records_that_do_not_use_them(values, later):
    assert not set(later) & set(values)
    assert json.loads(json.dumps(values)) == values


def test_fields_that_are_used_are_recorded():
    assert default_config("onet", turn=20.0, loss=LossConfig()).as_dict()["turn"] == 20
    mining = Mining(rescale=(0.5, 2.0), seed=3, own=True).describe()
    assert (mining["rescale"], mining["seed"], mining["own"]) == ([0.5, 2.0], 3, True)
    assert RECIPES["default"]["pnet"].with_options(landmark_shift=0.8).describe()["landmark_shift"] == 0.8
