"""Which image a label file means by a name."""

from pathlib import Path

import pytest

from pipeline.label_matching import (
    AMBIGUOUS,
    NO_SUCH_IMAGE,
    UNREADABLE,
    ImageNames,
    KnownImage,
    LabelFile,
    split_in_path,
)


def known(*paths: str, source: str = "/data/images.zip") -> list[KnownImage]:
    """Return images by their paths; the split is what a folder says, the bytes are all different."""
    return [
        KnownImage(path.replace("/", "__"), source, path, split_in_path([*path.split("/")[:-1], ""]), f"bytes {number}")
        for number, path in enumerate(paths)
    ]


def labels(path: str, member: str | None = None) -> LabelFile:
    return LabelFile(Path(path), member, named=False)


ELSEWHERE = labels("/labels/all.json")


@pytest.mark.parametrize(
    "name",
    [
        "b1c66a42-6f7d68ca.jpg",
        "b1c66a42-6f7d68ca",
        "B1C66A42-6F7D68CA.JPG",
        "train/b1c66a42-6f7d68ca.jpg",
        "https://s3.example.com/bdd/b1c66a42-6f7d68ca.jpg?size=full",
        "file:///home/me/my%20images/b1c66a42-6f7d68ca.jpg",
        r"C:\images\b1c66a42-6f7d68ca.jpg",
        "http://[a/b1c66a42-6f7d68ca.jpg",
        "https://[::1/x/b1c66a42-6f7d68ca.jpg?a=/b",
        "x://\u2100/b1c66a42-6f7d68ca.jpg",
    ],
)
def test_a_single_image_of_the_name_is_meant_however_it_is_written(name: str) -> None:
    names = ImageNames(known("100k/val/other.jpg", "100k/val/b1c66a42-6f7d68ca.jpg"))
    assert names.find(name, ELSEWHERE).row == 1


@pytest.mark.parametrize("name", ["", "/", "..", "missing.jpg", "b1c66a42-6f7d68ca.jpg.bak"])
def test_a_name_of_no_image_is_no_image(name: str) -> None:
    assert ImageNames(known("b1c66a42-6f7d68ca.jpg")).find(name, ELSEWHERE).reason == NO_SUCH_IMAGE


def test_each_of_many_videos_may_have_frames_of_the_same_names() -> None:
    """Looked at one by one, they would take minutes."""
    paths = [f"{folder}/v{video}/{frame:06}.jpg" for folder in "ab" for video in range(1500) for frame in range(10)]
    names = ImageNames([KnownImage(path.replace("/", "__"), "s", path, None, path) for path in paths])
    found = [names.find(path, ELSEWHERE).row for path in paths]
    assert found == list(range(len(paths)))
    assert names.find("v7/000001.jpg", ELSEWHERE).reason == AMBIGUOUS
    assert names.find("000001.jpg", ELSEWHERE, "v7").reason == AMBIGUOUS


def test_folders_and_what_is_unreadable_are_found_by_names_of_addresses() -> None:
    names = ImageNames(known("a dir/x y.jpg", "b dir/x y.jpg"), ["bad one.jpg"])
    assert names.find("a%20dir/x%20y.jpg", ELSEWHERE).row == 0
    assert names.find("bad%20one.jpg", ELSEWHERE).reason == UNREADABLE


def test_an_image_that_was_set_aside_is_told_from_one_that_is_absent() -> None:
    assert ImageNames(known("a.jpg"), unreadable=["b.jpg"]).find("b", ELSEWHERE).reason == UNREADABLE


def test_the_longest_agreement_of_paths_wins() -> None:
    names = ImageNames(known("one/clip/1.jpg", "two/clip/1.jpg", "two/other/1.jpg"))
    assert names.find("two/clip/1.jpg", ELSEWHERE).row == 1
    assert names.find("other/1.jpg", ELSEWHERE).row == 2
    assert names.find("clip/1.jpg", ELSEWHERE).reason == AMBIGUOUS


def test_frames_of_equal_name_are_told_apart_by_their_video() -> None:
    names = ImageNames(known("first/0001.jpg", "second/0001.jpg"))
    assert names.find("0001.jpg", ELSEWHERE, video="second").row == 1


def test_the_image_in_the_label_file_s_own_folder_is_meant() -> None:
    names = ImageNames(known("train/1.jpg", "val/1.jpg", source="/via"))
    assert names.find("1.jpg", labels("/via/train/via_region_data.json")).row == 0
    assert names.find("1.jpg", labels("/via/val/via_region_data.json")).row == 1


def test_an_image_below_the_label_file_s_folder_is_meant() -> None:
    names = ImageNames(known("a/images/1.jpg", "b/images/1.jpg", source="/via"))
    assert names.find("1.jpg", labels("/via/b/labels.json")).row == 1


def test_labels_beside_train_images_never_mean_a_val_image() -> None:
    names = ImageNames(known("train/2.jpg", "val/1.jpg", source="/via"))
    assert names.find("1.jpg", labels("/via/train/via_region_data.json")).reason == NO_SUCH_IMAGE


def test_members_of_one_archive_lie_in_folders_too() -> None:
    names = ImageNames(known("images/train/1.jpg", "images/val/1.jpg"))
    assert names.find("1.jpg", labels("/data/images.zip", "images/val/via_region_data.json")).row == 1


def test_the_split_in_the_label_file_s_name_decides_between_images_of_one_name() -> None:
    names = ImageNames(known("10k/train/a.jpg", "100k/val/a.jpg"))
    assert names.find("a.jpg", labels("/l/det_20/det_val.json")).row == 1
    assert names.find("a.jpg", labels("/l/labels.zip", "bdd100k/labels/ins_seg_train.json")).row == 0
    assert names.find("a.jpg", ELSEWHERE).reason == AMBIGUOUS


def test_copies_of_one_image_are_not_ambiguous() -> None:
    copies = [KnownImage(f"{folder}__a.jpg", "/x", f"{folder}/a.jpg", None, "same bytes") for folder in "pq"]
    assert ImageNames(copies).find("a.jpg", ELSEWHERE).row == 0


def test_the_flat_name_under_which_via_was_given_an_image_leads_back_to_it() -> None:
    names = ImageNames(known("train/1.jpg", "val/1.jpg"))
    assert names.find("val__1.jpg", labels("/corrected/via_export.json")).row == 1


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("bdd100k/labels/bdd100k_labels_images_train.json", "train"),
        ("det_20/det_val.json", "val"),
        ("dataset/val/via_region_data.json", "val"),
        ("train/val/labels.json", "val"),
        ("bdd100k_ins_seg_labels_trainval.zip/x.json", None),
        ("training/x.json", "train"),
        ("train_val.json", None),
        ("constrained/x.json", None),
        ("test_drive/x.json", None),
        ("labels_val.zip/labels/x.json", "val"),
    ],
)
def test_a_path_speaks_of_a_split_by_whole_words(path: str, split: str | None) -> None:
    assert split_in_path(path.split("/")) == split
