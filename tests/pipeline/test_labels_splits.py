"""Which split the images of filtered labels are in, and that none is in two unless it is said."""

from pathlib import Path
from typing import Any

from pipeline import summary
from tests.pipeline.labelled_folders import CAR, frame, stage, table

TWO = ["train/a.jpg", "val/b.jpg"]


def test_labels_named_after_a_split_give_flat_images_their_split(tmp_path: Path) -> None:
    files = {"l/det_train.json": [frame("a.jpg", CAR)], "l/det_val.json": [frame("b.jpg", CAR)]}
    out = stage(tmp_path, ["a.jpg", "b.jpg"], files, dataset={"split": "path"})
    assert [(row["image"], row["split"]) for row in table(out, "images")] == [("a.jpg", "train"), ("b.jpg", "val")]


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
    assert (row["image"], row["reason"], row["label"]) == ("copy.jpg", "the same bytes are in val", '{"instances":2}')


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
