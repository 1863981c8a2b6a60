"""The portal's archives: how a missing one is had, and a different one."""

import logging
import os

import pytest

from pipeline.errors import SourceError
from pipeline.files import digests
from pipeline.sources import portal, resolve
from pipeline.sources.image_index import read_index
from pipeline.sources.resolve import identify
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import index, jpeg, recipe_of, zip_of


def test_a_missing_portal_archive_says_where_it_is_had_how_large_it_is_and_where_to_put_it(tmp_path):
    path = tmp_path / "bdd100k_images_100k.zip"
    with pytest.raises(SourceError) as caught:
        identify(str(path), recipe_of(path), "images")
    for part in (path.name, "5.3 GB", "https://bdd-data.berkeley.edu", "account", f"put it at {path}"):
        assert part in str(caught.value)
    assert "or from anywhere a copy of any name with that md5" in str(caught.value)
    assert "md5 5a0359c86a0b8713adab1eee9a3041cb" in str(caught.value)


def test_a_copy_of_a_portal_archive_of_any_name_is_accepted(tmp_path, caplog):
    copy = zip_of(tmp_path / "bdd (1).zip", {"bdd100k/images/100k/val/1.jpg": jpeg()})
    assert list(read_index(index(tmp_path / "raw", copy))) == ["1.jpg"]
    assert "md5" not in caplog.text


def test_a_portal_archive_of_another_md5_is_warned_of_and_hashed_once(tmp_path, monkeypatch, caplog):
    path = tmp_path / "bdd100k_images_10k.zip"
    path.write_bytes(b"abc")
    os.utime(path, ns=(0, 0))
    archive = portal.PortalArchive(path.name, "3 B", 3, "0" * 32)
    monkeypatch.setitem(portal.ARCHIVES, path.name, archive)
    with caplog.at_level(logging.WARNING):
        portal.warn_of_difference(path)
    assert "has md5 900150983cd24fb0d6963f7d28e17f72, but the portal's" in caplog.text
    monkeypatch.setattr(digests, "_read", lambda *_: pytest.fail("read again"))
    portal.warn_of_difference(path)
    assert caplog.text.count("but the portal's") == 2


def test_a_mirror_that_has_another_archive_than_the_portal_is_warned_of(tmp_path, data_folder, caplog):
    archive = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    with serving(Behaviour(content=archive.read_bytes())) as server, caplog.at_level(logging.WARNING):
        recipe = recipe_of(f"{server}/bdd100k_labels_release.zip")
        resolve.obtain(recipe, "labels", tmp_path / "out", data_folder / "d")
    assert "but the portal's bdd100k_labels_release.zip has 107 MB; it is used all the same" in caplog.text


def test_the_sizes_of_a_portal_archive_that_is_another_are_warned_of(tmp_path, caplog):
    archive = zip_of(tmp_path / "bdd100k_images_10k.zip", {"bdd100k/images/10k/val/a.jpg": jpeg()})
    with caplog.at_level(logging.WARNING):
        index(tmp_path / "raw", archive)
    assert "but the portal's bdd100k_images_10k.zip has 1.1 GB" in caplog.text
