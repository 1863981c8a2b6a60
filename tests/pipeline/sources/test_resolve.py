"""The entries of a recipe: what each is taken for, what is read in it, and what is said when it is not there."""

import errno
import os
import re
import time

import pytest

from pipeline.artifacts import Store
from pipeline.errors import RecipeError, SourceError
from pipeline.files import digests, places
from pipeline.files.places import downloads_folder
from pipeline.recipe.source_entry import parse
from pipeline.sources import resolve, walking
from pipeline.sources.resolve import identify
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
        (f"https://drive.usercontent.google.com/download?id={DRIVE_ID}&confirm=t", "gdrive", DRIVE_ID),
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


def test_a_folder_inside_that_can_t_be_listed_is_named_not_passed_over(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "closed/2.jpg": jpeg()})
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError, match=rf"^{folder}/closed can't be read: Permission denied"):
        list(walking.walk(folder, (".jpg",)))


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
    assert [path.name for path in walking.walk(tmp_path, (".jpg",))] == ["2.jpg"]


def test_files_come_sorted_a_folder_s_own_first_and_links_in_circles_are_passed_over(tmp_path):
    folder = folder_of(tmp_path, {f"{name}.JPG": b"" for name in ("b/2", "b/1", "b/a/3", "a/4", "z", "b.d/5", ".h/6")})
    (folder / "b" / "round.jpg").symlink_to("round.jpg")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "folder.jpg").mkdir()
    found = [path.relative_to(folder).as_posix() for path in walking.walk(folder, (".jpg",))]
    assert found == ["z.JPG", "a/4.JPG", "b/1.JPG", "b/2.JPG", "b/a/3.JPG", "b.d/5.JPG"]


def test_a_source_s_stamp_changes_with_the_files_that_its_role_reads(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = folder_of(tmp_path / "set", {"train/1.jpg": jpeg(), "via_region_data.json": b"{}", "notes.txt": b""})
    source = parse("~/set")

    def both():
        return [walking.stamp(source, "images"), walking.stamp(source, "labels")]

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
    assert walking.stamp(parse(str(tmp_path / "absent")), "images") is None
    assert walking.stamp(parse("sample"), "images") is None
    assert walking.stamp(parse("https://example.org/a.zip"), "images") is None


def test_a_folder_of_very_many_files_is_stamped_in_about_a_second(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20_000):
        os.mknod(folder / f"{number}.jpg")
    start = time.monotonic()
    walking.stamp(parse(str(folder)), "images")
    assert time.monotonic() - start < 1  # measured: 0.07 s


@pytest.mark.parametrize("given", ["", None, "elsewhere"])
def test_everything_that_is_kept_is_kept_in_one_data_folder(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BDD_DATA_DIR", given or "")
    if given is None:
        monkeypatch.delenv("BDD_DATA_DIR")
    folder = tmp_path / (given or "data")
    assert places.data_folder() == folder
    assert Store().root == folder
    assert downloads_folder() == folder / ".downloads"
