"""The split as a function: the same lists as the command leaves."""

import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.data.split.run import SplitOptions, split


@pytest.fixture(scope="module")
def small_wider(tmp_path_factory):
    """Return the folder of 20 painted photos and the list of their faces."""
    paths = write_dataset(tmp_path_factory.mktemp("painted"), SyntheticSpec(20, 1, 1, 1, 1, 1), 0, quiet=True)
    return paths.wider_images, paths.wider_train_annotations


def test_the_function_leaves_what_the_command_leaves(small_wider, tmp_path, capsys):
    images, annotations = small_wider
    result = split(SplitOptions(images, annotations, tmp_path / "function", fraction=0.2, seed=1))
    assert result.folder == tmp_path / "function"
    assert list(result.photos) == ["training_bbx_gt.txt", "development_bbx_gt.txt"]
    assert sum(result.photos.values()) == 20
    for name, count in result.photos.items():
        assert len(list(read_wider(tmp_path / "function" / name, images))) == count > 0
    words = ["--wider-images", images, "--wider-annotations", annotations, "--fraction", 0.2, "--seed", 1]
    assert main(["split", *map(str, words), "--out", str(tmp_path / "command")]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed == [[name, str(count)] for name, count in result.photos.items()]
    for name in result.photos:
        assert (tmp_path / "function" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()


def test_bad_input_is_refused(small_wider, tmp_path):
    images, annotations = small_wider
    with pytest.raises(InputError, match=r"gone\.txt: annotations not found"):
        split(SplitOptions(images, tmp_path / "gone.txt", tmp_path / "out"))
    with pytest.raises(InputError, match="--landmark-images and --landmark-annotations: expected both, got one"):
        split(SplitOptions(images, annotations, tmp_path / "out", landmark_images=images))
    with pytest.raises(InputError, match=r"split: fraction: expected 0 to 1, got 1\.5"):
        SplitOptions(images, annotations, tmp_path / "out", fraction=1.5)
