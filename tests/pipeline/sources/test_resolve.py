"""The entries of a recipe: what each is now, where its files can be read, and what is said when they can't be."""

import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import to_builtins

from pipeline import sample
from pipeline.artifacts import Built, Store
from pipeline.errors import SourceError
from pipeline.files import digests
from pipeline.recipe import Recipe
from pipeline.sources import resolve
from pipeline.sources.image_index import ImageStore, read_index
from pipeline.sources.resolve import identify
from pipeline.stages import STAGES
from tests.pipeline.fetching import identity_of
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import folder_of, index, jpeg, listed_labels, recipe_of, zip_of


def test_a_path_that_is_not_there_is_named_with_its_key(tmp_path):
    path = tmp_path / "nowhere"
    with pytest.raises(SourceError, match=rf"source\.images: {path} does not exist"):
        identify(str(path), recipe_of(path), "images")
    with pytest.raises(SourceError, match=r"source\.labels: "):
        listed_labels(tmp_path / "raw", path)


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied", "/pictures/1.jpg")


@pytest.mark.parametrize("role", ["images", "labels"])
def test_a_source_that_nobody_lets_us_read_is_named_with_its_key(tmp_path, monkeypatch, role):
    recipe = recipe_of(zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()}))
    said = rf"^source\.{role}: /pictures/1\.jpg can't be read: Permission denied"
    monkeypatch.setattr(resolve, "is_zip", refuse)
    with pytest.raises(SourceError, match=said):
        resolve.obtain(recipe, role, tmp_path / "out", tmp_path / "downloads")
    monkeypatch.setattr(digests, "_read", refuse)
    with pytest.raises(SourceError, match=said):
        identify(recipe.source.images[0], recipe, role)


def test_a_place_that_nobody_lets_us_look_at_is_named_with_its_key(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.exists", refuse)
    with pytest.raises(SourceError, match=r"^source\.images: /pictures/1\.jpg can't be read: Permission denied"):
        identify(str(tmp_path), recipe_of(tmp_path), "images")


def test_a_path_that_no_file_can_have_is_said_with_its_key():
    with pytest.raises(SourceError, match=r"^source\.images: .*x can't be read: File name too long"):
        identify("x" * 300, recipe_of("x" * 300), "images")


def test_an_image_that_nobody_lets_us_read_is_named_with_its_key(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg()})
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(SourceError, match=r"^source\.images: /pictures/1\.jpg can't be read: Permission denied"):
        index(tmp_path / "raw", folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_closed_folder_and_a_closed_file_are_named(tmp_path):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "closed/2.jpg": jpeg()})
    for path in (folder / "1.jpg", folder / "closed"):
        path.chmod(0)
        with pytest.raises(SourceError, match=f"{path} can't be read: Permission denied"):
            identify(str(folder), recipe_of(folder), "images")
        path.chmod(0o700)


def test_a_file_s_identity_changes_with_its_content_only(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    first = identify(str(path), recipe_of(path), "images")
    os.utime(path, ns=(1, 1))
    assert identify(str(path), recipe_of(path), "images") == first
    path.write_bytes(path.read_bytes() + b" ")
    assert identify(str(path), recipe_of(path), "images") != first


def test_a_folder_s_identity_is_that_of_what_is_read_in_it(tmp_path):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "via_region_data.json": b"{}", "notes.txt": b""})
    recipe = recipe_of(folder)

    def both():
        return [identify(str(folder), recipe, role)["sha256"] for role in ("images", "labels")]

    images, labels = both()
    folder_of(folder, {"notes.txt": b"changed", ".hidden.json": b"{}"})
    assert both() == [images, labels]
    folder_of(folder, {"via_region_data.json": b'{"corrected": 1}'})
    assert both()[0] == images
    assert both()[1] != labels
    (folder / "1.jpg").rename(folder / "2.jpg")
    assert both()[0] != images


def test_the_sample_s_identity_is_what_it_is_drawn_from(monkeypatch):
    first = identify("sample", recipe_of("sample", seed=1), "images")
    assert first == {"kind": "sample", "seed": 1, "train": 2, "val": 1, "generator": sample.GENERATOR_VERSION}
    assert identify("sample", recipe_of("sample", seed=2), "images") != first


def test_an_address_s_identity_is_what_the_server_says_of_it():
    with serving(Behaviour(content=b"12345")) as server:
        address = f"{server}/a.zip"
        identity = identify(address, recipe_of(address), "images")
    assert identity == {"kind": "https", "address": address, "etag": '"one"', "last_modified": None, "size": 5}


PROGRAM = """
import sys
from pipeline import program
from pipeline.sources import download
download.RETRY = download.RETRY.new(total=2, backoff_factor=0.01)
sys.exit(program.main("raw_images", sys.argv[1:]))
"""


@dataclass(frozen=True)
class Runs:
    """Runs of `raw_images` as Dagster does them: this process asks the source, another one fetches it."""

    recipe: Recipe
    folder: Path
    server: Behaviour

    def build(self, between=lambda: None) -> Built:
        """Build the artifact; `between` is what happens after this process has asked, before the other one fetches."""
        stage = STAGES["raw_images"]
        identities = stage.identities(self.recipe)
        between()
        return Store().build(stage, self.recipe, {}, lambda partial: self._fetch(identities, partial), identities)

    def _fetch(self, identities, out):
        files = {"--recipe": self.recipe.model_dump(mode="json"), "--identities": identities}
        command = [sys.executable, "-c", PROGRAM, "--out", str(out)]
        for option, content in files.items():
            file = self.folder / f"{option}.json"
            file.write_text(json.dumps(content))
            command += [option, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr.splitlines()[-1])

    def change(self, number, statuses=()):
        """Let the server have another picture, and answer so the next requests."""
        self.server.content, self.server.etag = jpeg(grey=number), f'"{number}"'
        self.server.statuses = list(statuses)
        self.server.requests.clear()

    def stored(self):
        """Return the pictures of all artifacts, the newest first."""
        return [(found.folder / "files/a.jpg").read_bytes() for found in Store().complete(STAGES["raw_images"])]


@pytest.fixture
def runs(tmp_path, behaviour):
    with serving(behaviour) as server:
        first = Runs(recipe_of(f"{server}/a.jpg"), tmp_path, behaviour)
        first.change(1)
        assert not first.build().cached
        yield first


def test_an_old_copy_is_not_stored_as_the_new_file_that_can_t_be_had(runs):
    runs.change(2, statuses=[200, *[503] * 9])
    with pytest.raises(AssertionError, match=r"source\.images: .*/a\.jpg answered 503 .*; try again later"):
        runs.build()
    assert runs.stored() == [jpeg(grey=1)]


def test_a_file_that_changes_after_it_was_asked_for_is_not_stored_as_the_one_before(runs):
    runs.change(2)
    with pytest.raises(AssertionError, match="has changed since it was looked at; run it again"):
        runs.build(between=lambda: runs.change(3))
    assert runs.stored() == [jpeg(grey=1)]
    runs.build()
    assert runs.stored() == [jpeg(grey=3), jpeg(grey=1)]


def test_the_program_is_told_what_a_source_is_and_doesn_t_ask_again(runs):
    assert len(runs.server.requests) == 2  # one to ask, one to fetch
    assert runs.build().cached
    assert len(runs.server.requests) == 3
    (artifact,) = Store().complete(STAGES["raw_images"])
    (artifact.folder / "images.parquet").unlink()
    runs.change(1, statuses=[503] * 9)
    assert runs.build().reasons == ["damaged: images.parquet is missing"]
    assert runs.stored() == [jpeg(grey=1)]


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


def test_a_file_system_that_can_t_link_gets_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with serving(Behaviour(content=jpeg())) as server:
        index(tmp_path / "raw", f"{server}/a.jpg")
    assert (tmp_path / "raw" / "files" / "a.jpg").read_bytes() == jpeg()
    assert (tmp_path / "raw" / "files" / "a.jpg").stat().st_nlink == 1


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
    with caplog.at_level(logging.WARNING):
        resolve._warn_of_difference(path)
    assert "has md5 900150983cd24fb0d6963f7d28e17f72, but the portal's" in caplog.text
    monkeypatch.setattr(digests, "_read", lambda *_: pytest.fail("read again"))
    resolve._warn_of_difference(path)
    assert caplog.text.count("but the portal's") == 2


def test_a_mirror_that_has_another_archive_than_the_portal_is_warned_of(tmp_path, data_folder, caplog):
    archive = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    with serving(Behaviour(content=archive.read_bytes())) as server, caplog.at_level(logging.WARNING):
        recipe = recipe_of(f"{server}/bdd100k_labels_release.zip")
        resolve.obtain(recipe, "labels", tmp_path / "out", data_folder / "d")
    assert "but the portal's has e21be3e7d6a07ee439faf61e769667e4; it is used all the same" in caplog.text
