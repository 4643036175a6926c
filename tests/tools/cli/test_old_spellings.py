"""Options that were renamed keep their old spelling, with its old meaning, and no help names it."""

import argparse

import pytest

from gluon_mtcnn.tools.data.prepare import command as prepare
from gluon_mtcnn.tools.evaluate.boxes import command as boxes
from gluon_mtcnn.tools.evaluate.stages import command as stages

PHOTOS = ["--wider-images", "i", "--wider-annotations", "a"]
RENAMED = [
    (prepare, ["pnet", *PHOTOS], "--min-face-longer-side", "--min-face-px"),
    (boxes, ["--annotations", "a", "--images", "i"], "--min-face-shorter-side", "--min-face-px"),
    (stages, PHOTOS, "--min-face-sqrt-area", "--min-face-px"),
]


@pytest.mark.parametrize(("command", "needed", "new", "old"), RENAMED)
def test_both_spellings_mean_the_same_and_help_has_the_new_one(command, needed, new, old):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    needed = [*needed, "--out", "o"]
    by_new, by_old = (parser.parse_args([*needed, option, "33"]) for option in (new, old))
    assert by_new == by_old != parser.parse_args(needed)
    assert new in parser.format_help()
    assert old not in parser.format_help()
