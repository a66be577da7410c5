from pathlib import Path

from shotcrop_cli.library.crops import CropTrees
from shotcrop_cli.library.output_folder import LOCK_NAME


def test_an_output_is_known_by_what_it_is_not_by_its_path(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    (tmp_path / "alias").symlink_to(shots)
    crops = CropTrees(shots)
    assert crops.is_output((tmp_path / "alias").stat())
    assert not crops.is_output(tmp_path.stat())


def test_everything_below_an_output_belongs_to_it(tmp_path: Path) -> None:
    deep = tmp_path / "shots" / "2026" / "ana"
    deep.mkdir(parents=True)
    crops = CropTrees(tmp_path / "shots")
    assert crops.hold(str(deep))
    assert crops.hold(str(deep.parent.parent))
    assert not crops.hold(str(tmp_path))


def test_a_lock_tells_the_output_of_another_run(tmp_path: Path) -> None:
    deep = tmp_path / "old" / "2026"
    deep.mkdir(parents=True)
    (tmp_path / "old" / LOCK_NAME).touch()
    assert CropTrees(tmp_path / "new").hold(str(deep))


def test_an_output_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    crops = CropTrees(tmp_path / "new")
    assert not crops.hold(str(tmp_path))
    assert not crops.hold("/")
