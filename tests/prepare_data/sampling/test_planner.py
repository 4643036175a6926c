import pytest

from gluon_mtcnn.prepare_data.mining.hard_examples import HardExamplePlanner, Mining
from gluon_mtcnn.prepare_data.sampling.planner import Planner
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES

RECIPE = RECIPES["default"]["rnet"]
PROTOCOL = sorted(name for name in vars(Planner) if not name.startswith("_"))


@pytest.mark.parametrize("planner", [PNetPlanner(RECIPE), HardExamplePlanner("rnet", RECIPE, Mining())], ids=type)
def test_every_planner_implements_the_whole_protocol(planner):
    assert {"gather", "plan", "finish", "inline", "expected_negatives"} < set(PROTOCOL)
    assert [name for name in PROTOCOL if not hasattr(planner, name)] == []


def test_mined_negatives_without_a_limit_are_estimated():
    assert HardExamplePlanner("rnet", RECIPE, Mining(negatives=1 << 40)).expected_negatives == 500
    assert HardExamplePlanner("rnet", RECIPE, Mining(negatives=30)).expected_negatives == 30
