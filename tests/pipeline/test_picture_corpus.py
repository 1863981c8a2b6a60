"""Broken, empty, huge and mislabelled pictures: each has its outcome, and none ends a run."""

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.sources.image_index import flat_names, read_index
from tests.pipeline.picture_corpus import CORPUS, fill, hostile_zips
from tests.pipeline.small_sources import index, rows, zip_of

SET_ASIDE = {
    name.encode("utf-8", "backslashreplace").decode(): case.reason for name, case in CORPUS.items() if case.reason
}
USED = set(flat_names([(name,) for name, case in CORPUS.items() if not case.reason]))


def outcome(raw: Path) -> tuple[set[str], dict[object, object]]:
    """Return the names of images of an index, and the reasons of those that are set aside."""
    return set(read_index(raw)), {row["image"]: row["reason"] for row in rows(raw / "rejected.parquet")}


def test_each_file_of_a_folder_is_used_or_set_aside_with_its_reason(tmp_path: Path) -> None:
    assert outcome(index(tmp_path / "raw", fill(tmp_path / "pictures"))) == (USED, SET_ASIDE)


def test_each_member_of_an_archive_is_used_or_set_aside_with_its_reason(tmp_path: Path) -> None:
    clean = {name: case.data for name, case in CORPUS.items() if "\udce9" not in name}
    used, set_aside = outcome(index(tmp_path / "raw", zip_of(tmp_path / "pictures.zip", clean)))
    assert used == USED
    assert set_aside == {name: SET_ASIDE[name] for name in set_aside}
    assert len(used) + len(set_aside) == len(clean)


def test_hostile_archives_are_refused_with_their_reason(tmp_path: Path) -> None:
    for number, (reason, archive) in enumerate(hostile_zips(tmp_path / "zips").items()):
        with pytest.raises(PipelineError, match=rf"{archive.name}.*{reason}"):
            index(tmp_path / f"raw{number}", archive)
