"""Pictures of all kinds and states in `python -m pipeline.prediction`: each has its outcome, and none ends the run."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.prediction.__main__ import main
from pipeline.prediction.picture import Loaded, Unusable
from pipeline.prediction.pictures import Pictures, identified, sources_of
from pipeline.prediction.writing.picture_files import take_over
from pipeline.recipe import Recipe
from pipeline.sources.image_index import flat_names
from tests.pipeline.picture_corpus import CORPUS, JPEG, fill, hostile_zips
from tests.pipeline.picture_kinds import KINDS, named
from tests.pipeline.small_sources import folder_of


def listed(tmp_path: Path, *entries: Path) -> list[Loaded | Unusable]:
    """Return the pictures of sources, read, and what is set aside."""
    with Pictures(identified(sources_of(entries), Recipe()), Recipe(), tmp_path) as found:
        return [*found.unusable, *found.loaded(found.pictures)]


def test_prediction_sees_the_pixels_that_training_sees(tmp_path: Path) -> None:
    pictures = named()
    expected = dict(zip(pictures, KINDS.values(), strict=True))
    found = [each for each in listed(tmp_path, folder_of(tmp_path / "all", pictures)) if isinstance(each, Loaded)]
    assert {each.picture.name for each in found} == set(pictures)
    for each in found:
        kind = expected[each.picture.name]
        assert each.pixels.shape == kind.pixels.shape
        assert np.abs(each.pixels.astype(int) - kind.pixels).max() <= kind.tolerance


def test_none_of_a_corpus_of_broken_pictures_ends_the_run(tmp_path: Path, model_folder: Path) -> None:
    folder = fill(tmp_path / "pictures")
    (folder / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    folder_of(tmp_path / "elsewhere", {"a.jpg": JPEG})
    (folder / "elsewhere.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    archives = hostile_zips(tmp_path / "zips")
    (tmp_path / "notes.txt").write_text("no picture")
    out = tmp_path / "found"
    sources = map(str, [folder, *archives.values(), tmp_path / "notes.txt"])
    saved = "coco,via,overlays,crops,masks,bitmasks"
    options = ["--model", str(model_folder), "--out", str(out), "--min-score", "0", "--save", saved]
    assert main([*sources, *options]) == 0

    used = set(flat_names([(name,) for name, case in CORPUS.items() if not case.reason]))
    assert {row["image"] for row in rows(out / "images.parquet")} == used
    for made in ("pictures", "overlays", "bitmasks"):
        assert len(list((out / made).iterdir())) == len(used)
    reasons = {row["image"]: row["reason"] for row in rows(out / "rejected.parquet")}
    expected = {spelled(name): case.reason for name, case in CORPUS.items() if case.reason}
    assert {name: reasons[name] for name in expected} == expected
    others = {
        "gone.jpg": "where there is nothing",
        "elsewhere.jpg": "a link that leads out of",
        "notes.txt": "not named like a picture or video that is read",
        **{archive.name: reason for reason, archive in archives.items() if reason != "holds no image"},
    }
    assert reasons.keys() == {*expected, *others}
    assert all(reason in reasons[name] for name, reason in others.items())


def test_a_picture_that_may_not_be_read_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "drive", {"a.jpg": JPEG, "locked.jpg": JPEG})
    read = Path.read_bytes

    def read_unless_locked(path: Path) -> bytes:
        if path.name == "locked.jpg":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_unless_locked)
    found = {each.picture.name: each for each in listed(tmp_path, folder)}
    assert isinstance(found["a.jpg"], Loaded)
    assert isinstance(found["locked.jpg"], Unusable)
    assert found["locked.jpg"].reason == "Permission denied"


def test_sources_without_any_picture_end_with_a_sentence(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = folder_of(tmp_path / "empty", {"notes.txt": b""})
    for reason, source in {"empty: no picture or video (.jpg": empty, **hostile_zips(tmp_path / "zips")}.items():
        assert main([str(source), "--model", str(model_folder), "--out", str(tmp_path / "found")]) == 2
        assert reason.replace("holds no image", "no picture") in capsys.readouterr().err


def test_pictures_that_differ_in_their_suffix_alone_have_files_of_their_own(tmp_path: Path, model_folder: Path) -> None:
    png = KINDS["PNG"].data
    folder = folder_of(tmp_path / "drive", {"a.jpg": JPEG, "a.PNG": png, "b.png": png})
    out = tmp_path / "found"
    assert main([str(folder), "--model", str(model_folder), "--out", str(out), "--save", "overlays"]) == 0
    assert {path.name for path in (out / "overlays").iterdir()} == {"a.jpg.jpg", "a.PNG.jpg", "b.jpg"}
    with Image.open(out / "overlays" / "a.PNG.jpg") as drawn:
        assert drawn.size == (41, 28)


def test_a_drawing_is_taken_over_under_the_name_that_is_its_own_now(tmp_path: Path) -> None:
    for folder in ("earlier", "new"):
        (tmp_path / folder / "overlays").mkdir(parents=True)
    (tmp_path / "earlier" / "overlays" / "a.jpg").write_bytes(b"drawn")
    beside = folder_of(tmp_path / "drive", {"a.png": KINDS["PNG"].data, "a.jpg": JPEG})
    for each in listed(tmp_path, beside):
        take_over(each.picture, tmp_path / "earlier", tmp_path / "new", ["overlays"])
    assert {path.name for path in (tmp_path / "new" / "overlays").iterdir()} == {"a.png.jpg", "a.jpg.jpg"}


def rows(table: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return pq.read_table(table).to_pylist()


def spelled(name: str) -> str:
    """Return a name as a table has it."""
    return name.encode("utf-8", "backslashreplace").decode()
