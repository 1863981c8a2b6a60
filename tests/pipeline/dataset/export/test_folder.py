"""The folder of an export: whole or not at all, and in place of nothing but an export."""

from pathlib import Path

import pytest

from pipeline.dataset.export.folder import new_folder
from pipeline.errors import ArtifactError


def test_a_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a/out", force=False) as partial:
        (partial / "data.yaml").write_text("x")
        assert not (tmp_path / "a/out").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]
    assert (tmp_path / "a/out").stat().st_mode & 0o777 == 0o755


def fill_half(out: Path, error: type[BaseException]) -> None:
    with new_folder(out, force=True) as partial:
        (partial / "images").mkdir()
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_new_and_the_earlier_export(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "out/labels").mkdir(parents=True)
    with pytest.raises(error):
        fill_half(tmp_path / "out", error)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels"]


def test_force_replaces_an_export(tmp_path: Path) -> None:
    (tmp_path / "out/train").mkdir(parents=True)
    with new_folder(tmp_path / "out", force=True) as partial:
        (partial / "labels").mkdir()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels"]


@pytest.mark.parametrize(
    ("held", "force", "sentence"),
    [("train", False, "isn't empty; name a new"), ("notes.txt", True, "holds notes.txt, which no export wrote")],
)
def test_what_a_folder_holds_is_never_lost(tmp_path: Path, held: str, force: bool, sentence: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / held).write_text("mine")
    with pytest.raises(ArtifactError, match=sentence), new_folder(tmp_path / "out", force):
        pass
    assert (tmp_path / "out" / held).read_text() == "mine"


def test_files_and_links_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(ArtifactError, match=f"{name}: is a {name}"), new_folder(tmp_path / name, force=True):
            pass
