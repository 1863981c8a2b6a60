"""The index of raw images: which images are found, how they are named, and what is set aside."""

import hashlib
import io
import logging
import os
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline import summary
from pipeline.errors import ArchiveError, ArtifactError, SourceError
from pipeline.image_header import BadImageError, read_header
from pipeline.image_index import read_index
from pipeline.image_names import LONGEST_NAME, flat_names, split_of
from pipeline.image_store import ImageStore
from tests.pipeline.small_sources import REAL, folder_of, index, jpeg, png, png_claiming, rows, zip_of

BDD = "bdd100k/images/100k"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_indexed_and_its_images_read_where_they_lie(tmp_path, compression):
    pictures = {f"{BDD}/train/b.jpg": jpeg(20, 10), f"{BDD}/val/a.jpg": jpeg(30, 10), f"{BDD}/test/c.jpg": jpeg()}
    archive = zip_of(tmp_path / "bdd.zip", pictures, compression)
    raw = index(tmp_path / "raw", archive)
    images = read_index(raw)
    assert [(name, image.split, image.width, image.height) for name, image in images.items()] == [
        ("a.jpg", "val", 30, 10),
        ("b.jpg", "train", 20, 10),
        ("c.jpg", "test", 16, 9),
    ]
    with ImageStore(raw) as store:
        for image in images.values():
            assert image.source == str(archive)
            assert store.read(image) == pictures[image.path]
            assert image.sha256 == hashlib.sha256(pictures[image.path]).hexdigest()
            assert image.size == len(pictures[image.path])


def test_a_folder_is_indexed_with_all_its_suffixes_and_without_hidden_files(tmp_path):
    picture = jpeg()
    folder = folder_of(
        tmp_path / "photos",
        {
            "one.JPG": picture,
            "deep/er/two.jpeg": picture,
            "three.PNG": png(),
            "__MACOSX/._one.jpg": b"",
            ".trash/x.jpg": b"",
            "._one.jpg": b"",
            "notes.txt": b"",
            "labels/bitmasks/train/one.png": png(),
        },
    )
    raw = index(tmp_path / "raw", folder)
    images = read_index(raw)
    assert [(image.image, image.path, image.split) for image in images.values()] == [
        ("one.JPG", "one.JPG", None),
        ("three.PNG", "three.PNG", None),
        ("two.jpeg", "deep/er/two.jpeg", None),
    ]
    with ImageStore(raw) as store:
        assert store.read(images["two.jpeg"]) == picture


def test_a_single_image_is_a_source_too(tmp_path):
    folder_of(tmp_path, {"only.jpg": jpeg()})
    raw = index(tmp_path / "raw", tmp_path / "only.jpg")
    with ImageStore(raw) as store:
        assert store.read(read_index(raw)["only.jpg"]) == jpeg()


def test_bad_images_are_set_aside_with_their_reason(tmp_path):
    whole = jpeg(64, 64)
    folder = folder_of(
        tmp_path / "photos",
        {
            "good.jpg": whole,
            "cut.jpg": whole[:-2],
            "half.jpg": whole[: len(whole) // 2],
            "cut.png": png()[:-8],
            "empty.jpg": b"",
            "text.jpg": b"<html>404</html>",
            "vast.png": png_claiming(20_000, 20_000),
            "none.png": png_claiming(0, 20),
        },
    )
    raw = index(tmp_path / "raw", folder)
    assert list(read_index(raw)) == ["good.jpg"]
    reasons = {row["image"]: row["reason"] for row in rows(raw / "rejected.parquet")}
    assert reasons == {
        "cut.jpg": "a truncated image",
        "cut.png": "a truncated image",
        "empty.jpg": "an empty file",
        "half.jpg": "a truncated image",
        "none.png": "an image without pixels",
        "text.jpg": "not a JPEG or PNG image",
        "vast.png": "an image over 100 megapixels",
    }
    (check,) = summary.read(raw).checks
    assert not check.passed


def test_an_image_that_rotted_in_its_archive_is_set_aside(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"good.jpg": jpeg(grey=1), "bad.jpg": jpeg(grey=200)})
    content = bytearray(archive.read_bytes())
    content[content.index(b"bad.jpg") + 200] ^= 0xFF
    archive.write_bytes(content)
    raw = index(tmp_path / "raw", archive)
    assert [row["reason"] for row in rows(raw / "rejected.parquet")] == ["damaged in its archive"]


def test_bytes_after_the_end_marker_do_no_harm_and_a_thumbnail_s_end_is_not_the_image_s():
    picture = jpeg(40, 30)
    assert read_header(picture + bytes(10)).width == 40
    thumbnail = b"\xff\xe1" + (2 + len(picture)).to_bytes(2, "big") + picture
    with_thumbnail = picture[:2] + thumbnail + picture[2:]
    assert read_header(with_thumbnail).height == 30
    with pytest.raises(BadImageError, match="truncated"):
        read_header(with_thumbnail[:-2])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("orientation", "turned"), [(None, False), (1, False), (3, True), (6, True), (8, True), (9, False)]
)
def test_images_that_exif_turns_are_told_of(tmp_path, order, orientation, turned, caplog):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    if orientation:
        exif[0x0112] = orientation
    content = io.BytesIO()
    Image.new("RGB", (40, 30)).save(content, "JPEG", exif=exif)
    header = read_header(content.getvalue())
    assert (header.turned, header.width, header.height) == (turned, 40, 30)
    check = summary.read(index(tmp_path / "raw", folder_of(tmp_path / "a", {"1.jpg": content.getvalue()}))).checks[0]
    assert check.passed is not turned
    assert ("1 are stored turned" in check.description) is ("1 images are stored turned" in caplog.text) is turned


def test_damaged_exif_data_turn_nothing():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.new("RGB", (40, 30)).save(content, "JPEG", exif=exif)
    whole = content.getvalue()
    start = whole.index(b"Exif")
    for at in range(start, start + 30):
        for byte in (0, 255):
            header = read_header(whole[:at] + bytes([byte]) + whole[at + 1 :])
            assert (header.width, header.height) == (40, 30)


def test_every_prefix_of_an_image_is_refused_and_never_breaks_the_reader():
    for whole in (jpeg(), png()):
        for length in range(len(whole)):
            with pytest.raises(BadImageError):
                read_header(whole[:length])


def test_images_that_share_a_name_are_told_apart_by_their_folders(tmp_path):
    folder = folder_of(tmp_path / "set", {"train/1.jpg": jpeg(grey=1), "val/1.JPG": jpeg(grey=2), "val/2.jpg": jpeg()})
    assert list(read_index(index(tmp_path / "raw", folder))) == ["2.jpg", "train__1.jpg", "val__1.JPG"]


def test_two_sources_with_the_same_paths_are_told_apart_by_the_names_of_the_sources(tmp_path):
    first = zip_of(tmp_path / "x" / "one.zip", {"train/1.jpg": jpeg(grey=1)})
    second = zip_of(tmp_path / "x" / "two.zip", {"train/1.jpg": jpeg(grey=2)})
    assert list(read_index(index(tmp_path / "raw", first, second))) == ["one__train__1.jpg", "two__train__1.jpg"]


def test_flat_names_never_meet_not_even_where_case_does_not_count():
    paths = [
        ("s", "a", "1.jpg"),
        ("s", "b", "1.jpg"),
        ("s", "a__1.jpg"),
        ("s", "A__1.jpg"),
        ("s", "c", "x" * 300 + ".jpg"),
    ]
    names = flat_names(paths)
    assert names == ["a__1.jpg", "b__1.jpg", "s__a__1.jpg", "s__A__1-2.jpg", names[4]]
    assert len(names[4]) <= LONGEST_NAME
    assert names[4].endswith(".jpg")


def test_the_same_picture_in_two_sources_counts_once(tmp_path):
    first = zip_of(tmp_path / "10k.zip", {"images/10k/train/1.jpg": jpeg(), "images/10k/train/2.jpg": jpeg(grey=1)})
    second = zip_of(tmp_path / "100k.zip", {"images/100k/train/1.jpg": jpeg()})
    raw = index(tmp_path / "raw", first, second)
    assert list(read_index(raw)) == ["1.jpg", "2.jpg"]
    (row,) = rows(raw / "rejected.parquet")
    assert (row["image"], row["reason"]) == ("1.jpg", "the same image as one before")
    assert row["source"] == f"{second}/images/100k/train/1.jpg"


def test_the_same_picture_in_train_and_val_stays_in_both(tmp_path):
    archive = zip_of(tmp_path / "images.zip", {"images/train/1.jpg": jpeg(), "images/val/1.jpg": jpeg()})
    images = read_index(index(tmp_path / "raw", archive))
    assert {name: image.split for name, image in images.items()} == {"train__1.jpg": "train", "val__1.jpg": "val"}


def test_a_joined_name_gives_way_to_a_file_that_bears_it():
    assert flat_names([("s", "a", "1.jpg"), ("s", "b", "1.jpg"), ("s", "a__1.jpg")]) == [
        "a__1-2.jpg",
        "b__1.jpg",
        "a__1.jpg",
    ]


@given(st.lists(st.lists(st.sampled_from(["a", "A", "b", "a__b", "a-2"]), min_size=1, max_size=4), max_size=12))
def test_no_two_flat_names_are_alike(folders):
    names = flat_names([(*path[:-1], f"{path[-1]}.jpg") for path in folders])
    assert len({name.casefold() for name in names}) == len(folders)


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        (["bdd100k", "images", "10k", "Train"], "train"),
        (["train", "validation"], "val"),
        (["testing"], "test"),
        (["valid"], "val"),
        (["training_data"], None),
        ([], None),
    ],
)
def test_the_nearest_folder_named_like_a_split_decides(folders, split):
    assert split_of(folders) == split


def test_the_source_s_own_name_may_say_the_split(tmp_path):
    folder = folder_of(tmp_path / "val", {"1.jpg": jpeg()})
    archive = zip_of(tmp_path / "train.zip", {"2.jpg": jpeg(grey=1)})
    images = read_index(index(tmp_path / "raw", folder, archive))
    assert [image.split for image in images.values()] == ["val", "train"]


def test_a_link_that_leads_out_of_a_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path / "photos", {"1.jpg": jpeg()})
    folder_of(tmp_path / "elsewhere", {"secret.jpg": jpeg()})
    (folder / "2.jpg").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    with pytest.raises(SourceError, match=r"2\.jpg is a link that leads out"):
        index(tmp_path / "raw", folder)
    (folder / "2.jpg").unlink()
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="more is a link that leads out"):
        index(tmp_path / "raw2", folder)


def test_a_link_inside_a_folder_is_followed(tmp_path):
    folder = folder_of(tmp_path / "photos", {"1.jpg": jpeg()})
    (folder / "same.jpg").symlink_to("1.jpg")
    assert list(read_index(index(tmp_path / "raw", folder))) == ["1.jpg", "same.jpg"]


def test_sources_without_images_are_named_with_their_key(tmp_path):
    folder = folder_of(tmp_path / "texts", {"a.txt": b""})
    with pytest.raises(SourceError, match=r"source\.images: .*texts holds no image"):
        index(tmp_path / "raw", folder)
    folder_of(folder, {"a.jpg": b"not one"})
    with pytest.raises(SourceError, match=r"no image in .*texts can be used \(a\.jpg: not a JPEG or PNG image\)"):
        index(tmp_path / "raw2", folder)


def test_a_truncated_archive_is_named(tmp_path):
    archive = zip_of(tmp_path / "cut.zip", {"1.jpg": jpeg(), "2.jpg": jpeg(grey=3)})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ArchiveError, match=r"cut\.zip is truncated"):
        index(tmp_path / "raw", archive)


def test_names_that_are_no_clean_text_are_set_aside(tmp_path):
    folder = folder_of(tmp_path / "photos", {"good.jpg": jpeg(), "line\nbreak.jpg": jpeg()})
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as file:
        file.write(jpeg())
    raw = index(tmp_path / "raw", folder)
    assert list(read_index(raw)) == ["good.jpg"]
    assert {row["reason"] for row in rows(raw / "rejected.parquet")} == {"a name that is not clean text"}


def test_reading_an_image_whose_source_changed_says_to_index_again(tmp_path):
    folder = folder_of(tmp_path / "photos", {"1.jpg": jpeg(), "2.jpg": jpeg(grey=1)})
    raw = index(tmp_path / "raw", folder)
    images = read_index(raw)
    (folder / "1.jpg").write_bytes(jpeg(100, 100))
    (folder / "2.jpg").unlink()
    with ImageStore(raw) as store:
        for name in ("1.jpg", "2.jpg"):
            with pytest.raises(ArtifactError, match=rf"{name} is no longer what was indexed .* materialise raw_images"):
                store.read(images[name])


def test_the_same_source_gives_the_same_bytes(tmp_path):
    files = {f"{split}/{n:03}.jpg": jpeg(grey=n) for n in range(80) for split in ("train", "val")}
    archive = zip_of(tmp_path / "a.zip", files)
    first, second = index(tmp_path / "one", archive), index(tmp_path / "two", archive)
    for name in ("images.parquet", "rejected.parquet", "summary.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_sizes_of_a_portal_archive_that_is_another_are_warned_of(tmp_path, caplog):
    archive = zip_of(tmp_path / "bdd100k_images_10k.zip", {"bdd100k/images/10k/val/a.jpg": jpeg()})
    with caplog.at_level(logging.WARNING):
        index(tmp_path / "raw", archive)
    assert "but the portal's bdd100k_images_10k.zip has 1.1 GB" in caplog.text


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is absent")
def test_every_real_image_is_indexed(tmp_path):
    from PIL import Image

    raw = index(tmp_path / "raw", REAL)
    images = read_index(raw)
    assert len(images) == 13 + 45
    assert rows(raw / "rejected.parquet") == []
    with ImageStore(raw) as store:
        for image in images.values():
            path = REAL / image.path
            assert store.read(image) == path.read_bytes()
            with Image.open(path) as opened:
                assert opened.size == (image.width, image.height)
