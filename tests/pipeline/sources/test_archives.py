"""What is fetched or drawn for a recipe's entries: the portal's archives, downloads and the sample."""

import logging
import os
import threading
import time

import pytest
from msgspec import to_builtins

from pipeline import sample
from pipeline.errors import SourceError
from pipeline.files import digests
from pipeline.sources import portal, resolve
from pipeline.sources.image_index import ImageStore, read_index
from pipeline.sources.resolve import identify
from tests.pipeline.fetching import identity_of
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import index, jpeg, listed_labels, recipe_of, zip_of


def test_a_missing_portal_archive_says_where_it_is_had_how_large_it_is_and_where_to_put_it(tmp_path):
    path = tmp_path / "bdd100k_images_100k.zip"
    with pytest.raises(SourceError) as caught:
        identify(str(path), recipe_of(path))
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
    assert portal.difference(path)


def draw(folder, seed, train, val):
    picture = jpeg(grey=seed)
    zip_of(folder / "bdd100k_images_100k.zip", {"bdd100k/images/100k/train/a.jpg": picture})
    zip_of(folder / "bdd100k_labels_release.zip", {"bdd100k/labels/bdd100k_labels_images_train.json": b"[]"})


def test_the_sample_is_drawn_once_for_images_and_labels(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(sample, "generate", lambda *asked: drawn.append(asked[1:]) or draw(*asked))
    raw = index(tmp_path / "raw", "sample")
    labels = listed_labels(tmp_path / "labels", "sample")
    assert drawn == [(1, 2, 1)]
    images = read_index(raw)
    assert images["a.jpg"].source == "files/bdd100k_images_100k.zip"
    with ImageStore(raw.rename(tmp_path / "moved")) as store:
        assert store.read(images["a.jpg"]) == jpeg(grey=1)
    archive = labels / "files" / "bdd100k_labels_release.zip"
    assert archive.stat().st_nlink == 2


def test_a_drawing_that_fails_leaves_nothing_to_be_taken_for_the_sample(tmp_path, monkeypatch):
    def fail(folder, *_):
        (folder / "bdd100k_images_100k.zip").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample, "generate", fail)
    with pytest.raises(OSError, match="No space"):
        index(tmp_path / "raw", "sample")
    monkeypatch.setattr(sample, "generate", draw)
    assert list(read_index(index(tmp_path / "raw2", "sample"))) == ["a.jpg"]


def test_a_downloaded_archive_is_recorded_relative_to_the_artifact(tmp_path):
    behaviour = Behaviour(content=zip_of(tmp_path / "a.zip", {"train/1.jpg": jpeg()}).read_bytes())
    with serving(behaviour) as server:
        raw = index(tmp_path / "raw", f"{server}/images.zip")
    (image,) = read_index(raw).values()
    assert (image.source, image.split) == ("files/images.zip", "train")
    with ImageStore(raw) as store:
        assert store.read(image) == jpeg()


def test_two_downloads_of_one_name_stay_two_files(tmp_path):
    first, second = (
        Behaviour(content=zip_of(tmp_path / f"{n}.zip", {f"{n}.jpg": jpeg(grey=n)}).read_bytes()) for n in (1, 2)
    )
    with serving(first) as one, serving(second) as two:
        raw = index(tmp_path / "raw", f"{one}/images.zip", f"{two}/images.zip")
    assert [image.source for image in read_index(raw).values()] == ["files/images.zip", "files/images-2.zip"]


def test_a_failure_of_one_source_stops_the_download_of_another(tmp_path, data_folder):
    slow = Behaviour(content=bytes(20_000_000))
    gone = threading.Event()
    slow.on_body = lambda: len(slow.requests) == 2 and gone.wait(20)
    with serving(slow) as one, serving(Behaviour(statuses=[200, 404])) as two:
        start = time.monotonic()
        threading.Timer(0.3, gone.set).start()
        with pytest.raises(SourceError, match="answered 404"):
            resolve.obtain(recipe_of(f"{one}/a.zip", f"{two}/b.zip"), "images", tmp_path / "out", data_folder / "d")
        assert time.monotonic() - start < 10


def test_several_sources_are_fetched_at_once(tmp_path, data_folder):
    both = threading.Barrier(2, timeout=20)
    servers = [Behaviour(content=jpeg(grey=grey), on_body=both.wait) for grey in (10, 20)]
    with serving(servers[0]) as one, serving(servers[1]) as two:
        addresses = [f"{one}/a.jpg", f"{two}/b.jpg"]
        known = {f"{n}: {at}": to_builtins(identity_of(servers[n], at)) for n, at in enumerate(addresses)}
        found = resolve.obtain(recipe_of(*addresses), "images", tmp_path, data_folder / "d", known)
    assert [each.path.read_bytes() for each in found] == [jpeg(grey=10), jpeg(grey=20)]


def test_a_mirror_that_has_another_archive_than_the_portal_is_warned_of(tmp_path, data_folder, caplog):
    archive = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    with serving(Behaviour(content=archive.read_bytes())) as server, caplog.at_level(logging.WARNING):
        recipe = recipe_of(f"{server}/bdd100k_labels_release.zip")
        resolve.obtain(recipe, "labels", tmp_path / "out", data_folder / "d")
    assert "but the portal's bdd100k_labels_release.zip has 107 MB; it is used all the same" in caplog.text


def test_a_file_system_that_can_t_link_gets_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with serving(Behaviour(content=jpeg())) as server:
        index(tmp_path / "raw", f"{server}/a.jpg")
    assert (tmp_path / "raw" / "files" / "a.jpg").read_bytes() == jpeg()
    assert (tmp_path / "raw" / "files" / "a.jpg").stat().st_nlink == 1
