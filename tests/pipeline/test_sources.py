"""The entries of a recipe: what each is taken for, its identity, and what is said when it is not there."""

import errno
import logging
import os
import re
import threading
import time

import pytest

from pipeline import hashes, portal, program, sample, sources
from pipeline.artifacts import Store
from pipeline.download_cache import downloads_folder
from pipeline.errors import RecipeError, SourceError
from pipeline.image_index import read_index
from pipeline.image_store import ImageStore
from pipeline.source_entries import parse
from pipeline.sources import identify
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import folder_of, index, jpeg, listed_labels, recipe_of, zip_of

DRIVE_ID = "1aB-cD_eF0123456789"


@pytest.mark.parametrize(
    ("entry", "kind", "place"),
    [
        ("sample", "sample", ""),
        ("./sample", "path", "./sample"),
        ("data/images.zip", "path", "data/images.zip"),
        ("https://example.org/a.zip?x=1", "https", "https://example.org/a.zip?x=1"),
        (f"gdrive:{DRIVE_ID}", "gdrive", DRIVE_ID),
        (f"https://drive.google.com/file/d/{DRIVE_ID}/view?usp=sharing", "gdrive", DRIVE_ID),
        (f"https://drive.google.com/open?id={DRIVE_ID}", "gdrive", DRIVE_ID),
        (f"https://drive.google.com/uc?export=download&id={DRIVE_ID}", "gdrive", DRIVE_ID),
    ],
)
def test_an_entry_is_known_by_its_form(entry, kind, place):
    source = parse(entry)
    assert (source.kind, source.place) == (kind, place)


@pytest.mark.parametrize(
    "entry", ["ftp://example.org/a.zip", "s3://bucket/a.zip", "", "gdrive:", "gdrive:../../x", "a\0b.zip"]
)
def test_an_entry_of_no_known_form_is_refused_with_its_key(entry):
    with pytest.raises(SourceError, match=r"^source\.labels: "):
        parse(entry, "source.labels")


@pytest.mark.parametrize(
    "entry",
    [
        "http://[x/a.zip", "x://℀/a.zip", "https://℀.org/a.zip", "http://[1::2/a.zip", "https://", "https:a.zip",
        "https://example.org:port/a.zip",
    ],
)  # fmt: skip
def test_an_entry_that_is_no_address_is_refused_in_one_sentence_with_its_key(entry):
    said = rf"^source\.labels: '{re.escape(entry)}' is no address \(.*\); check its host$"
    with pytest.raises(SourceError, match=said):
        parse(entry, "source.labels")
    with pytest.raises(RecipeError, match=rf"source\.images\.0: '{re.escape(entry)}' is no address"):
        recipe_of(entry)


def test_a_path_may_look_like_half_an_address(tmp_path):
    assert parse("//[old]/[labels.json").kind == "path"
    assert parse("//[labels.json").kind == "path"


def test_a_share_link_to_a_drive_folder_is_refused():
    with pytest.raises(SourceError, match="names no Drive file"):
        parse("https://drive.google.com/drive/folders/1aB-cD_eF0123456789?usp=sharing")


def test_a_path_that_is_not_there_is_named_with_its_key(tmp_path):
    path = tmp_path / "nowhere"
    with pytest.raises(SourceError, match=rf"source\.images: {path} does not exist"):
        identify(str(path), recipe_of(path))
    with pytest.raises(SourceError, match=r"source\.labels: "):
        listed_labels(tmp_path / "raw", path)


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied", "/pictures/1.jpg")


@pytest.mark.parametrize("role", ["images", "labels"])
def test_a_source_that_nobody_lets_us_read_is_named_with_its_key(tmp_path, monkeypatch, role):
    recipe = recipe_of(zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()}))
    said = rf"^source\.{role}: /pictures/1\.jpg can't be read: Permission denied"
    monkeypatch.setattr(sources, "is_zip", refuse)
    with pytest.raises(SourceError, match=said):
        sources.obtain(recipe, role, tmp_path / "out", tmp_path / "downloads")
    monkeypatch.setattr(hashes, "_read", refuse)
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


def test_a_folder_inside_that_can_t_be_listed_is_named_not_passed_over(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "closed/2.jpg": jpeg()})
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError, match=rf"^{folder}/closed can't be read: Permission denied"):
        list(sources.walk(folder, (".jpg",)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_closed_folder_and_a_closed_file_are_named(tmp_path):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "closed/2.jpg": jpeg()})
    for path in (folder / "1.jpg", folder / "closed"):
        path.chmod(0)
        with pytest.raises(SourceError, match=f"{path} can't be read: Permission denied"):
            identify(str(folder), recipe_of(folder), "images")
        path.chmod(0o700)


def test_what_file_systems_keep_for_themselves_is_passed_over(tmp_path):
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found" / "1.jpg").touch()
    (tmp_path / "2.jpg").touch()
    assert [path.name for path in sources.walk(tmp_path, (".jpg",))] == ["2.jpg"]


def test_files_come_sorted_a_folder_s_own_first_and_links_in_circles_are_passed_over(tmp_path):
    folder = folder_of(tmp_path, {f"{name}.JPG": b"" for name in ("b/2", "b/1", "b/a/3", "a/4", "z", "b.d/5", ".h/6")})
    (folder / "b" / "round.jpg").symlink_to("round.jpg")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "folder.jpg").mkdir()
    found = [path.relative_to(folder).as_posix() for path in sources.walk(folder, (".jpg",))]
    assert found == ["z.JPG", "a/4.JPG", "b/1.JPG", "b/2.JPG", "b/a/3.JPG", "b.d/5.JPG"]


def test_a_source_s_stamp_changes_with_the_files_that_its_role_reads(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = folder_of(tmp_path / "set", {"train/1.jpg": jpeg(), "via_region_data.json": b"{}", "notes.txt": b""})
    source = parse("~/set")

    def both():
        return [sources.stamp(source, "images"), sources.stamp(source, "labels")]

    images, labels = both()
    folder_of(folder, {"notes.txt": b"changed", "train/.hidden.jpg": b""})
    assert both() == [images, labels]
    folder_of(folder, {"via_region_data.json": b'{"corrected": 1}'})
    assert both()[0] == images
    assert both()[1] != labels
    labels = both()[1]
    folder_of(folder, {"train/2.jpg": jpeg()})
    assert both()[0] != images
    assert both()[1] == labels


def test_what_is_not_here_has_no_stamp(tmp_path):
    assert sources.stamp(parse(str(tmp_path / "absent")), "images") is None
    assert sources.stamp(parse("sample"), "images") is None
    assert sources.stamp(parse("https://example.org/a.zip"), "images") is None


def test_a_folder_of_very_many_files_is_stamped_in_about_a_second(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20_000):
        os.mknod(folder / f"{number}.jpg")
    start = time.monotonic()
    sources.stamp(parse(str(folder)), "images")
    assert time.monotonic() - start < 1  # measured: 0.07 s


@pytest.mark.parametrize("given", ["", None, "elsewhere"])
def test_everything_that_is_kept_is_kept_in_one_data_folder(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BDD_DATA_DIR", given or "")
    if given is None:
        monkeypatch.delenv("BDD_DATA_DIR")
    folder = tmp_path / (given or "data")
    assert hashes.data_folder() == folder
    assert Store().root == folder
    assert program._arguments("raw_images", {}) == {"downloads": folder / ".downloads"}
    assert downloads_folder() == folder / ".downloads"


def test_a_missing_portal_archive_says_where_it_is_had_how_large_it_is_and_where_to_put_it(tmp_path):
    path = tmp_path / "bdd100k_images_100k.zip"
    with pytest.raises(SourceError) as caught:
        identify(str(path), recipe_of(path))
    for part in (path.name, "5.3 GB", "https://bdd-data.berkeley.edu", "account", f"put it at {path}"):
        assert part in str(caught.value)


def test_a_portal_archive_of_another_md5_is_warned_of_and_hashed_once(tmp_path, monkeypatch, caplog):
    path = tmp_path / "bdd100k_images_10k.zip"
    path.write_bytes(b"abc")
    os.utime(path, ns=(0, 0))
    archive = portal.PortalArchive(path.name, "3 B", 3, "0" * 32)
    monkeypatch.setitem(portal.ARCHIVES, path.name, archive)
    with caplog.at_level(logging.WARNING):
        portal.warn_of_difference(path)
    assert "has md5 900150983cd24fb0d6963f7d28e17f72, but the portal's" in caplog.text
    monkeypatch.setattr(hashes, "_read", lambda *_: pytest.fail("read again"))
    assert portal.difference(path)


def test_a_file_s_identity_changes_with_its_content_only(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    first = identify(str(path), recipe_of(path))
    os.utime(path, ns=(1, 1))
    assert identify(str(path), recipe_of(path)) == first
    path.write_bytes(path.read_bytes() + b" ")
    assert identify(str(path), recipe_of(path)) != first


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


def test_an_unchanged_file_is_hashed_once(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", {f"{n}.jpg": jpeg(grey=n) for n in range(3)})
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    first = identify(str(folder), recipe_of(folder))
    read = []
    real = hashes._read
    monkeypatch.setattr(hashes, "_read", lambda path, *rest: read.append(path.name) or real(path, *rest))
    assert identify(str(folder), recipe_of(folder)) == first
    assert read == []
    (folder / "1.jpg").write_bytes(jpeg(grey=99))
    assert identify(str(folder), recipe_of(folder)) != first
    assert read == ["1.jpg"]


def test_a_file_changed_a_moment_ago_is_not_trusted_to_stay(tmp_path):
    path = folder_of(tmp_path, {"a.json": b"[1]"}) / "a.json"
    first = hashes.digest(path)
    stamp = path.stat().st_mtime_ns
    path.write_bytes(b"[2]")
    os.utime(path, ns=(stamp, stamp))
    assert hashes.digest(path) != first


def test_the_sample_s_identity_is_what_it_is_drawn_from(monkeypatch):
    first = identify("sample", recipe_of("sample", seed=1))
    assert first == {"kind": "sample", "seed": 1, "train": 2, "val": 1, "generator": sample.GENERATOR_VERSION}
    assert identify("sample", recipe_of("sample", seed=2)) != first


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
    slow.on_body = lambda: gone.wait(20)
    with serving(slow) as one, serving(Behaviour(statuses=[404])) as two:
        start = time.monotonic()
        threading.Timer(0.3, gone.set).start()
        with pytest.raises(SourceError, match="answered 404"):
            sources.obtain(recipe_of(f"{one}/a.zip", f"{two}/b.zip"), "images", tmp_path / "out", data_folder / "d")
        assert time.monotonic() - start < 10


def test_several_sources_are_fetched_at_once(tmp_path, data_folder):
    both = threading.Barrier(2, timeout=20)
    servers = [Behaviour(content=jpeg(grey=grey), on_body=both.wait) for grey in (10, 20)]
    with serving(servers[0]) as one, serving(servers[1]) as two:
        found = sources.obtain(recipe_of(f"{one}/a.jpg", f"{two}/b.jpg"), "images", tmp_path, data_folder / "d")
    assert [each.path.read_bytes() for each in found] == [jpeg(grey=10), jpeg(grey=20)]


def test_a_mirror_that_has_another_archive_than_the_portal_is_warned_of(tmp_path, data_folder, caplog):
    archive = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    with serving(Behaviour(content=archive.read_bytes())) as server, caplog.at_level(logging.WARNING):
        recipe = recipe_of(f"{server}/bdd100k_labels_release.zip")
        sources.obtain(recipe, "labels", tmp_path / "out", data_folder / "d")
    assert "but the portal's bdd100k_labels_release.zip has 107 MB; it is used all the same" in caplog.text


def test_an_address_s_identity_is_what_the_server_says_of_it():
    with serving(Behaviour(content=b"12345")) as server:
        address = f"{server}/a.zip"
        identity = identify(address, recipe_of(address))
    assert identity == {"kind": "https", "address": address, "etag": '"one"', "last_modified": None, "size": 5}
