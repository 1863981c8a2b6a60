"""The index of raw images: which images are found, how they are named, and what is set aside."""

import hashlib
import logging
import os
import zipfile

import cv2
import numpy as np
import pytest

from pipeline.artifacts import summary
from pipeline.errors import ArchiveError, ArtifactError, SourceError
from pipeline.sources import raw_images
from pipeline.sources.image_index import ImageStore, read_index
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
        "none.png": "a damaged PNG header",
        "text.jpg": "not a JPEG, PNG, BMP, WebP or TIFF image",
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


def test_images_that_share_a_name_are_told_apart_by_their_folders(tmp_path):
    folder = folder_of(tmp_path / "set", {"train/1.jpg": jpeg(grey=1), "val/1.JPG": jpeg(grey=2), "val/2.jpg": jpeg()})
    assert list(read_index(index(tmp_path / "raw", folder))) == ["2.jpg", "train__1.jpg", "val__1.JPG"]


def test_two_sources_with_the_same_paths_are_told_apart_by_the_names_of_the_sources(tmp_path):
    first = zip_of(tmp_path / "x" / "one.zip", {"train/1.jpg": jpeg(grey=1)})
    second = zip_of(tmp_path / "x" / "two.zip", {"train/1.jpg": jpeg(grey=2)})
    assert list(read_index(index(tmp_path / "raw", first, second))) == ["one__train__1.jpg", "two__train__1.jpg"]


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
    with pytest.raises(SourceError, match=r"more is a link that leads out .*, or name .*/elsewhere as a source"):
        index(tmp_path / "raw2", folder)


def test_a_link_to_nothing_says_so(tmp_path):
    folder = folder_of(tmp_path / "photos", {"1.jpg": jpeg()})
    (folder / "2.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(SourceError, match=r"2\.jpg is a link to .*gone\.jpg, where there is nothing"):
        index(tmp_path / "raw", folder)


def test_a_pipe_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError, match=r"pipe\.jpg is neither a file nor a folder"):
        index(tmp_path / "raw", tmp_path / "pipe.jpg")


def test_a_link_inside_a_folder_is_followed(tmp_path):
    folder = folder_of(tmp_path / "photos", {"1.jpg": jpeg()})
    (folder / "same.jpg").symlink_to("1.jpg")
    assert list(read_index(index(tmp_path / "raw", folder))) == ["1.jpg", "same.jpg"]


def test_sources_without_images_are_named_with_their_key(tmp_path):
    folder = folder_of(tmp_path / "texts", {"a.txt": b""})
    with pytest.raises(SourceError, match=r"source\.images: .*texts holds no image"):
        index(tmp_path / "raw", folder)
    folder_of(folder, {"a.jpg": b"not one"})
    with pytest.raises(
        SourceError, match=r"no image in .*texts can be used \(a\.jpg: not a JPEG, PNG, BMP, WebP or TIFF image\)"
    ):
        index(tmp_path / "raw2", folder)


def test_what_to_do_with_archives_is_said(tmp_path):
    folder = folder_of(tmp_path / "packed", {"a.zip": b"", "b.tar": b""})
    with pytest.raises(SourceError, match=r"holds no image .*; name each zip in it in source\.images, and unpack"):
        index(tmp_path / "raw", folder)


def test_a_truncated_archive_is_named(tmp_path):
    archive = zip_of(tmp_path / "cut.zip", {"1.jpg": jpeg(), "2.jpg": jpeg(grey=3)})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ArchiveError, match=r"cut\.zip is truncated"):
        index(tmp_path / "raw", archive)


def test_names_that_are_no_clean_text_are_set_aside(tmp_path):
    folder = folder_of(
        tmp_path / "photos", {"good.jpg": jpeg(), "at 1.00\u202fPM.jpg": jpeg(), "line\nbreak.jpg": jpeg()}
    )
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as file:
        file.write(jpeg())
    raw = index(tmp_path / "raw", folder)
    assert list(read_index(raw)) == ["at 1.00\u202fPM.jpg", "good.jpg"]
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


def test_images_of_every_type_that_is_read_are_indexed_and_the_others_named(tmp_path, caplog):
    read = {f"{number}{suffix}": encoded(suffix) for number, suffix in enumerate((".bmp", ".webp", ".tif", ".TIFF"))}
    unread = {"a.heic": b"x", "b.HEIC": b"x", "c.gif": b"x", "masks/1.gif": b"x", "masks/2.tif": encoded(".tif")}
    folder = folder_of(tmp_path / "photos", {**read, **unread, "sixteen.png": encoded(".png", np.uint16)})
    for number, source in enumerate((folder, zip_of(tmp_path / "photos.zip", {**read, **unread}))):
        raw = index(tmp_path / f"raw{number}", source)
        assert read_index(raw).keys() - {"sixteen.png"} == read.keys()
        assert {(row["image"], row["reason"].partition(",")[0]) for row in rows(raw / "rejected.parquet")} == {
            ("a.heic", ".heic"),
            ("b.HEIC", ".heic"),
            ("c.gif", ".gif"),
        }
    assert "2 images set aside: .heic, a type that is not read: convert it to .png (" in caplog.text
    (check,) = summary.read(raw).checks
    assert not check.passed
    assert "2: .heic, a type that is not read" in check.description


def test_images_of_16_bits_are_told_of_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    index(tmp_path / "raw", folder_of(tmp_path / "a", {f"{n}.png": encoded(".png", np.uint16) for n in range(3)}))
    assert [record.message for record in caplog.records] == [f"3 images are {raw_images.SCALED}"]


def test_images_of_16_bits_that_are_scaled_differently_have_to_be_mended(tmp_path):
    """A dark picture of a camera of 12 bits would be four times as bright as its others."""
    files = {
        f"{largest}.png": cv2.imencode(".png", np.full((9, 16), largest, np.uint16))[1] for largest in (900, 4000, 4090)
    }
    folder = folder_of(tmp_path / "a", {name: bytes(data) for name, data in files.items()})
    (check,) = summary.read(index(tmp_path / "raw", folder)).checks
    assert not check.passed
    assert f"3 are {raw_images.SCALED}; 1 hold 10 bits, 2 hold 12 bits, {raw_images.DIFFERING}" in check.description


def test_only_images_that_are_not_read_are_named_in_the_error(tmp_path):
    with pytest.raises(SourceError, match=r"holds no image \(\.jpg.*; a\.heic is \.heic, a type that"):
        index(tmp_path / "raw", folder_of(tmp_path / "photos", {"a.heic": b"x"}))


@pytest.mark.parametrize("shape", [(1, 65500), (65500, 1), (7, 701)])
def test_images_that_are_hardly_more_than_a_line_are_set_aside(tmp_path, shape):
    line = cv2.imencode(".jpg", np.zeros(shape, np.uint8))[1].tobytes()
    raw = index(tmp_path / "raw", folder_of(tmp_path / "photos", {"line.jpg": line, "good.jpg": jpeg()}))
    assert list(read_index(raw)) == ["good.jpg"]
    assert rows(raw / "rejected.parquet")[0]["reason"] == "an image over 100 times as long as it is wide"


def test_damaged_pixels_are_set_aside_in_folders_and_archives(tmp_path, capfd):
    whole = jpeg(64, 64)
    pictures = {"cut.jpg": whole[:-9] + whole[-2:], "bad.png": png()[:-20] + bytes(4) + png()[-16:], "good.jpg": whole}
    for source in (folder_of(tmp_path / "photos", pictures), zip_of(tmp_path / "photos.zip", pictures)):
        raw = index(tmp_path / f"raw-{source.name}", source)
        assert list(read_index(raw)) == ["good.jpg"]
        assert {row["image"]: row["reason"] for row in rows(raw / "rejected.parquet")} == {
            "bad.png": "a damaged PNG image, or one of a variant that OpenCV can't decode",
            "cut.jpg": "a damaged JPEG image: pixels are missing or wrong",
        }
    assert "loadsave.cpp" not in capfd.readouterr().err


def encoded(suffix, dtype=np.uint8):
    """Return a file of random pixels."""
    return cv2.imencode(suffix, np.random.default_rng(0).integers(0, 255, (9, 16, 3)).astype(dtype))[1].tobytes()
