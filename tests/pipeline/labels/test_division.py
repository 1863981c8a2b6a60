"""Which split the images of filtered labels are in, and that none is in two unless it is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import summary
from pipeline.errors import EmptyDatasetError
from tests.pipeline.labelled_folders import CAR, SQUARE, filtered, frame, recipe_of, stage, table
from tests.pipeline.small_datasets import entry, square

TWO = ["train/a.jpg", "val/b.jpg"]


def test_labels_named_after_a_split_give_flat_images_their_split(tmp_path: Path) -> None:
    files = {"l/det_train.json": [frame("a.jpg", CAR)], "l/det_val.json": [frame("b.jpg", CAR)]}
    out = stage(tmp_path, ["a.jpg", "b.jpg"], files, dataset={"split": "path"})
    assert [(row["image"], row["split"]) for row in table(out, "images")] == [("a.jpg", "train"), ("b.jpg", "val")]


def test_a_correction_leaves_an_image_on_its_side(tmp_path: Path) -> None:
    corrected = {"b.jpg1": entry("b.jpg", [square(1, 1, 9, "car")])}
    files = {
        "l/det_train.json": [frame("a.jpg", CAR)],
        "l/det_val.json": [frame("b.jpg", CAR)],
        "train/june.json": corrected,
        "test/july.json": corrected,
    }
    out = stage(
        tmp_path, ["a.jpg", "b.jpg"], files, "l", "train/june.json", "test/july.json", dataset={"split": "path"}
    )
    assert [(row["image"], row["split"]) for row in table(out, "images")] == [("a.jpg", "train"), ("b.jpg", "val")]
    assert [row["box"]["width"] for row in table(out, "labels")] == [10, 9]


def test_corrections_named_after_a_split_give_images_none(tmp_path: Path) -> None:
    """The labels speak of no split, so that a hash decides; corrections from `via open --split …` don't change that."""
    images = [f"{number}.jpg" for number in range(20)]
    files = {
        "l.json": [frame(name, CAR) for name in images],
        **{
            f"{split}.json": {"x": entry(f"{at}.jpg", [square(1, 1, 9, "car")])}
            for at, split in enumerate(("train", "val"))
        },
    }
    before = stage(tmp_path / "before", images, files, "l.json")
    after = stage(tmp_path / "after", images, files, "l.json", "train.json", "val.json")
    sides = [[(row["image"], row["split"]) for row in table(out, "images")] for out in (before, after)]
    assert sides[0] == sides[1]
    assert len(sides[0]) == 20


def test_folders_above_a_source_say_nothing_of_splits(tmp_path: Path) -> None:
    files = {"l/det_val.json": [frame("b.jpg", CAR)], "l/labels.json": [frame("a.jpg", CAR)]}
    out = stage(tmp_path / "train", ["a.jpg", "b.jpg"], files, "l", dataset={"split": "all_in_both"})
    said = recipe_of([tmp_path / "train/data"], [tmp_path / "train/data/l"], dataset={"split": "path"})
    with pytest.raises(EmptyDatasetError, match="train"):
        filtered(said, tmp_path / "again")
    assert len(table(out, "labels")) == 4


def test_images_left_out_by_a_limit_are_kept_with_all_their_labels(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR, CAR), frame("b.jpg", CAR), *(frame(f"{n}.jpg", CAR, id=n) for n in range(3))]
    images = ["train/a.jpg", "val/b.jpg", *(f"train/{n}.jpg" for n in range(3))]
    out = stage(tmp_path, images, {"l.json": frames}, dataset={"split": "path", "limit": {"train": 1}})
    rows = table(out, "rejected")
    kept = {row["image"] for row in table(out, "labels")}
    assert {row["image"] for row in rows} == {frame["name"] for frame in frames} - kept
    for row in rows:
        assert row["source"] == "l.json"
        labels = json.loads(row["label"])["labels"]
        assert len(labels) == (2 if row["image"] == "a.jpg" else 1)
        assert all(label["category"] == "car" and label["rings"] == [[*map(list, SQUARE)]] for label in labels)


def test_all_in_both_has_each_row_twice_and_says_so(tmp_path: Path) -> None:
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR), frame("b.jpg")]}, dataset={"split": "all_in_both"})
    assert [(row["split"], row["image"]) for row in table(out, "images")] == [
        ("train", "a.jpg"),
        ("train", "b.jpg"),
        ("val", "a.jpg"),
        ("val", "b.jpg"),
    ]
    assert [row["split"] for row in table(out, "labels")] == ["train", "val"]
    assert "overfitting" in summary.read(out).texts["split"]


def test_frames_of_a_video_named_by_the_labels_stay_together(tmp_path: Path) -> None:
    images = [f"{number}.jpg" for number in range(8)]
    frames = [frame(name, CAR, videoName="v" if number < 6 else "w") for number, name in enumerate(images)]
    out = stage(tmp_path, images, {"l.json": frames}, dataset={"split": "hash", "val_fraction": 0.5})
    sides = {(row["video"], row["split"]) for row in table(out, "images")}
    assert len(sides) == 2
    assert {video for video, _ in sides} == {"v", "w"}


def test_the_same_picture_is_not_in_train_and_val(tmp_path: Path) -> None:
    images = {"train/a.jpg": 1, "train/copy.jpg": 2, "val/b.jpg": 2}
    frames = [frame("a.jpg", CAR), frame("copy.jpg", CAR, CAR), frame("b.jpg", CAR)]
    out = stage(tmp_path, images, {"l.json": frames})
    assert [row["image"] for row in table(out, "images")] == ["a.jpg", "b.jpg"]
    (row,) = table(out, "rejected")
    assert (row["image"], row["reason"]) == ("copy.jpg", "the same bytes are in val")
    assert [label["id"] for label in json.loads(row["label"])["labels"]] == ["0", "1"]


def test_a_check_says_whether_splits_are_apart(tmp_path: Path) -> None:
    def check(name: str, images: Any, **dataset: Any) -> summary.Check:
        label_files = {"l.json": [frame(Path(path).name, CAR) for path in images]}
        out = stage(tmp_path / name, images, label_files, dataset=dataset)
        return next(check for check in summary.read(out).checks if check.name == "splits_apart")

    copies = check("copies", {"train/a.jpg": 1, "train/b.jpg": 2, "val/c.jpg": 2})
    assert (copies.passed, copies.numbers) == (True, {"set_aside": 1, "doubtful": 0})
    assert "1 images were set aside" in copies.description
    doubtful = check("doubtful", ["train/x_frame_1.jpg", "train/b.jpg", "val/x_frame_2.jpg"], split="path")
    assert (doubtful.passed, doubtful.numbers) == (False, {"set_aside": 0, "doubtful": 1})
    assert "(x)" in doubtful.description
    both = check("both", ["a.jpg"], split="all_in_both")
    assert not both.passed
    assert "overfitting" in both.description
