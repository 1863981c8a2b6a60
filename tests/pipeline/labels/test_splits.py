"""Which split an image belongs to, and what never lies in two splits."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts import summary
from pipeline.errors import EmptyDatasetError
from pipeline.instances.reasons import NO_SPLIT, OVER_LIMIT
from pipeline.labels.splits import LabelledImage, certain_video, divide, likely_videos, rank, repeat_factors
from pipeline.recipe import Recipe, parse
from pipeline.recipe.sections import Dataset
from pipeline.stages import STAGES
from tests.pipeline.labelled_folders import CAR, SQUARE, filtered, frame, recipe_of, stage, table
from tests.pipeline.small_datasets import entry, square


def files(*names: str, split: str | None = None) -> list[LabelledImage]:
    return [LabelledImage(name, f"bytes of {name}", split) for name in names]


def named(images: list[LabelledImage], positions: list[int]) -> list[str]:
    return [images[position].image for position in positions]


def test_numbered_names_that_make_one_video_of_everything_prove_nothing() -> None:
    assert likely_videos(files("IMG_00001.jpg", "IMG_00002.jpg")) == [None, None]
    numbered = [f"IMG_{number:05}.jpg" for number in range(19)]
    assert likely_videos(files(*numbered, "cover.jpg")) == [None] * 20
    assert likely_videos(files(*numbered, *"abc")) == ["IMG"] * 19 + [None] * 3
    assert likely_videos(files(*numbered, "00091078-875c1f73-0000166.jpg")) == [None] * 19 + ["00091078-875c1f73"]
    named_by_labels = [LabelledImage(name, name, None, video="IMG") for name in numbered[:5]]
    assert likely_videos([*named_by_labels, *files(*numbered[5:])]) == ["IMG"] * 19
    two = ["IMG"] * 19 + ["DSC"] * 2
    assert likely_videos(files(*numbered, "DSC_00001.jpg", "DSC_00002.jpg")) == two
    assert likely_videos(files("a_00001.jpg", "b_00001.jpg", "c.jpg")) == ["a", "b", None]
    frames = files("00091078-875c1f73-0000166.jpg", "00091078-875c1f73-0000167.jpg")
    assert set(likely_videos(frames)) == {"00091078-875c1f73"}


def test_auto_follows_folders_that_say_train_and_val() -> None:
    images = [*files("a.jpg", "b.jpg", split="train"), *files("c.jpg", split="val"), *files("d.jpg")]
    division = divide(images, Dataset(), seed=1)
    assert division.method == "path"
    assert named(images, division.members["train"]) == ["a.jpg", "b.jpg"]
    assert named(images, division.members["val"]) == ["c.jpg"]
    assert division.left_out == [(3, NO_SPLIT)]


def test_auto_draws_where_only_one_split_has_a_folder() -> None:
    images = files(*(f"{number}.jpg" for number in range(16)), split="val")
    division = divide(images, Dataset(), seed=1)
    assert division.method == "hash"
    assert division.members["train"]
    assert division.members["val"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([f"v_{n:05}.jpg" for n in range(900)] + [f"w_{n:05}.jpg" for n in range(40)], True),
        ([f"{n}.jpg" for n in range(900)], False),
        ([f"v{n}_00001.jpg" for n in range(900)], False),
        (["v_00001.jpg", "w_00001.jpg", "w_00002.jpg"], False),
    ],
)
def test_a_val_that_is_far_from_what_was_asked_for_is_warned_of(
    names: list[str], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    division = divide(files(*names), Dataset(val_fraction=0.2), seed=1)
    share = len(division.members["val"]) / len(names)
    assert (abs(share - 0.2) > 0.14 and len(names) > 3) is told
    assert ("dataset.val_fraction asks for 20.0 %" in caplog.text) is told
    assert ("v has 900 of the 940 images" in caplog.text) is told


def test_path_says_which_folder_is_missing() -> None:
    with pytest.raises(EmptyDatasetError, match=r"no labelled image in a folder called val, nor .*; use hash"):
        divide(files("a.jpg", "b.jpg", split="train"), Dataset(split="path"), seed=1)


def test_all_in_both_is_the_same_images_twice() -> None:
    division = divide(files("b.jpg", "a.jpg"), Dataset(split="all_in_both"), seed=1)
    assert division.members == {"train": [1, 0], "val": [1, 0], "test": []}


def test_one_video_alone_cannot_be_drawn_apart() -> None:
    frames = [LabelledImage(f"{number}.jpg", str(number), None, video="v") for number in range(6)]
    with pytest.raises(EmptyDatasetError, match="use all_in_both"):
        divide(frames, Dataset(split="hash"), seed=1)


def test_two_images_give_one_to_each_side() -> None:
    for seed in range(20):
        division = divide(files("a.jpg", "b.jpg"), Dataset(split="hash"), seed)
        assert [len(division.members[split]) for split in ("train", "val", "test")] == [1, 1, 0]


def test_three_images_can_fill_three_splits() -> None:
    for seed in range(20):
        division = divide(files("a.jpg", "b.jpg", "c.jpg"), Dataset(split="hash", test_fraction=0.1), seed)
        assert [len(division.members[split]) for split in ("train", "val", "test")] == [1, 1, 1]


def test_more_images_move_none_of_the_others() -> None:
    few = files(*(f"{number}.jpg" for number in range(200)))
    many = files(*(f"{number}.jpg" for number in range(400)))
    of_few, of_many = (set(named(images, divide(images, Dataset(), 7).members["val"])) for images in (few, many))
    assert of_few == of_many & {image.image for image in few}
    assert 25 <= len(of_many) <= 55


def test_a_copy_of_a_val_image_leaves_train() -> None:
    images = [
        LabelledImage("a.jpg", "same", "train"),
        LabelledImage("b.jpg", "other", "train"),
        LabelledImage("c.jpg", "same", "val"),
    ]
    division = divide(images, Dataset(), seed=1)
    assert named(images, division.members["train"]) == ["b.jpg"]
    assert division.left_out == [(0, "the same bytes are in val")]


def test_a_split_that_is_nothing_but_copies_is_refused() -> None:
    images = [LabelledImage("a.jpg", "same", "train"), LabelledImage("c.jpg", "same", "val")]
    with pytest.raises(EmptyDatasetError, match="each image of train is also in another split"):
        divide(images, Dataset(), seed=1)


def test_a_video_that_the_labels_name_is_not_in_train_and_val() -> None:
    images = [
        LabelledImage("a.jpg", "1", "train", video="v"),
        LabelledImage("b.jpg", "2", "train"),
        LabelledImage("c.jpg", "3", "val", video="v"),
    ]
    division = divide(images, Dataset(), seed=1)
    assert division.left_out == [(0, "its video is in val")]


def test_frames_and_the_picture_of_a_bdd_video_are_not_in_train_and_val() -> None:
    train = files(
        "00091078-875c1f73-0000166.jpg",
        "10k__train__00091078-875c1f73.jpg",
        "b1c66a42-6f7d68ca.jpg",
        "11111111-22222222.jpg",
        split="train",
    )
    images = [*train, *files("00091078-875c1f73-0000171.jpg", "100k__val__b1c66a42-6f7d68ca.jpg", split="val")]
    division = divide(images, Dataset(split="path"), seed=1)
    assert named(images, division.members["train"]) == ["11111111-22222222.jpg"]
    assert division.left_out == [(position, "its video is in val") for position in (0, 1, 2)]
    assert (division.leaks, division.doubtful) == (3, [])


def test_a_bdd_picture_is_drawn_with_the_frames_of_its_video() -> None:
    videos_of = [f"{number:08x}-875c1f73" for number in range(40)]
    images = files(*(f"{video}{end}" for video in videos_of for end in (".jpg", "-0000001.jpg", "-0000002.jpg")))
    division = divide(images, Dataset(split="hash", val_fraction=0.4), seed=1)
    sides = [{images[at].image[:17] for at in division.members[split]} for split in ("train", "val")]
    assert not sides[0] & sides[1]
    assert division.leaks == 0


def test_names_that_may_be_frames_of_one_video_are_doubted_and_kept() -> None:
    images = [
        *files("drive_frame_1.jpg", "town_frame_1.jpg", split="train"),
        *files("drive_frame_2.jpg", "port_frame_1.jpg", split="val"),
    ]
    division = divide(images, Dataset(split="path"), seed=1)
    assert (division.doubtful, division.left_out) == (["drive"], [])
    assert divide(images, Dataset(split="hash", val_fraction=0.4), seed=1).doubtful == []


def test_the_name_of_a_bdd_image_counts_before_the_video_that_its_labels_name() -> None:
    images = [
        LabelledImage("b1c66a42-6f7d68ca-0000001.jpg", "1", "train", video="drive"),
        LabelledImage("b1c66a42-6f7d68ca.jpg", "2", "val"),
        LabelledImage("3.jpg", "3", "train", video="videos/b1c66a42-6f7d68ca.mov"),
        LabelledImage("4.jpg", "4", "train"),
    ]
    assert list(map(certain_video, images)) == ["b1c66a42-6f7d68ca"] * 3 + [None]
    division = divide(images, Dataset(split="path"), seed=1)
    assert named(images, division.members["val"]) == ["b1c66a42-6f7d68ca.jpg"]
    assert named(images, division.members["train"]) == ["4.jpg"]
    many = [LabelledImage(f"m{number}.jpg", f"m{number}", None) for number in range(20)]
    members = divide([*images, *many], Dataset(split="hash", val_fraction=0.5), seed=1).members
    assert sum(bool(set(members[split]) & set(range(3))) for split in ("train", "val")) == 1


@pytest.mark.parametrize("video", ["..mp4", ".mp4", "a/..mp4", "/", "a/.mov"])
def test_a_video_may_have_any_name(video: str) -> None:
    assert certain_video(LabelledImage("a.jpg", "a", None, video=video)) is not None


def test_videos_of_one_name_in_two_folders_are_two() -> None:
    images = [
        *(LabelledImage(f"a{number}.jpg", f"a{number}", "train", video="cityA/0001") for number in range(4)),
        *(LabelledImage(f"b{number}.jpg", f"b{number}", "val", video="cityB/0001") for number in range(4)),
    ]
    assert divide(images, Dataset(split="path"), seed=1).left_out == []


def test_a_bdd_name_counts_also_where_the_image_is_called_otherwise_in_the_data_set() -> None:
    images = [
        LabelledImage("old__b1c66a42-6f7d68ca-2.jpg", "1", "train", file_name="b1c66a42-6f7d68ca.jpg"),
        LabelledImage("0123456789abcdef.jpg", "2", "train", file_name="b1c66a42-6f7d68ca-0000001.jpg"),
        *files("c.jpg", split="train"),
        *files("b1c66a42-6f7d68ca-0000002.jpg", split="val"),
    ]
    assert named(images, divide(images, Dataset(split="path"), seed=1).members["train"]) == ["c.jpg"]


def test_an_image_in_both_splits_is_over_no_limit_while_one_of_them_has_it() -> None:
    images = files(*"abcdef")
    division = divide(images, Dataset(split="all_in_both", limit={"train": 2}), seed=1)
    assert (len(division.members["train"]), len(division.members["val"]), division.left_out) == (2, 6, [])
    division = divide(images, Dataset(split="all_in_both", limit={"train": 2, "val": 3}), seed=1)
    out = sorted(position for position, reason in division.left_out)
    assert out == sorted({*range(6)} - {*division.members["train"], *division.members["val"]})


def test_what_is_over_the_limit_holds_nothing_back() -> None:
    images = [*files("a.jpg", "b.jpg", split="train"), *files("v.jpg", "w.jpg", split="val")]
    division = divide(images, Dataset(split="path", limit={"val": 1}), seed=1)
    assert named(images, division.members["train"]) == ["a.jpg", "b.jpg"]
    assert division.leaks == 0


def test_a_higher_limit_keeps_what_a_lower_one_kept() -> None:
    images = [*files(*(f"{number}.jpg" for number in range(30)), split="train"), *files("v.jpg", split="val")]
    few, more = (divide(images, Dataset(limit={"train": limit}), seed=3) for limit in (5, 9))
    assert len(few.members["train"]) == 5
    assert set(few.members["train"]) < set(more.members["train"])
    assert sum(reason == OVER_LIMIT for _, reason in few.left_out) == 25


@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.lists(st.tuples(st.sampled_from("uvwxyz"), st.integers(0, 99)), min_size=1, max_size=40, unique=True),
    val=st.floats(0.01, 0.5),
    test=st.floats(0, 0.4),
)
def test_videos_stay_whole_and_nothing_is_lost(
    seed: int, frames: list[tuple[str, int]], val: float, test: float
) -> None:
    images = [LabelledImage(f"{video}{number}.jpg", f"{video}{number}", None, video) for video, number in frames]
    dataset = Dataset(split="hash", val_fraction=val, test_fraction=test)
    if len({video for video, _ in frames}) < 2:
        with pytest.raises(EmptyDatasetError):
            divide(images, dataset, seed)
        return
    members = divide(images, dataset, seed).members
    assert sorted(position for positions in members.values() for position in positions) == list(range(len(images)))
    sides = [{images[position].video for position in positions} for positions in members.values()]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert members["train"]
    assert members["val"]


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
    assert doubtful.examples == [{"video": "x"}]
    both = check("both", ["a.jpg"], split="all_in_both")
    assert not both.passed
    assert "overfitting" in both.description
    labels, free = STAGES["filtered_labels"], parse({"checks": {"splits_apart": "warn", "masks_not_boxes": "block"}})
    assert [summary.blocks(labels, each, Recipe()) for each in (doubtful, both)] == [True, False]
    assert not summary.blocks(labels, doubtful, free)
    assert summary.blocks(labels, summary.Check("masks_not_boxes", False, ""), free)


def test_an_image_counts_by_its_rarest_class() -> None:
    images = [{"car"}] * 14 + [{"car", "train"}, set()]
    factors = repeat_factors(images, 0.25)
    assert factors[:14] == [1.0] * 14
    assert factors[14:] == [2.0, 1.0]  # one image of 16 holds a train: sqrt(0.25 / (1 / 16))


def test_without_a_threshold_each_image_counts_once() -> None:
    assert repeat_factors([{"car"}, {"train"}, set()], 0) == [1.0] * 3
    assert repeat_factors([], 0.5) == []


def test_draws_are_in_proportion_to_the_weights() -> None:
    names = [f"{number}.jpg" for number in range(3000)]
    first = sum(rank(1, f"a {name}", 3.0) < rank(1, f"b {name}", 1.0) for name in names)
    assert first / len(names) == pytest.approx(0.75, abs=0.03)


def pictures(split: str, count: int, rare: int) -> list[LabelledImage]:
    return [
        LabelledImage(
            f"{split}{number}.jpg", f"{split} {number}", split, None, frozenset({"train" if number < rare else "car"})
        )
        for number in range(count)
    ]


def test_a_limit_that_is_balanced_favours_rare_classes_in_train_alone() -> None:
    images = [*pictures("train", 1000, rare=20), *pictures("val", 400, rare=20)]
    limit = {"train": 100, "val": 100}

    def rare(balance: float) -> Counter[str]:
        drawn = [divide(images, Dataset(limit=limit, balance=balance), seed).members for seed in range(20)]
        return Counter(
            split for members in drawn for split in members for at in members[split] if "train" in images[at].categories
        )

    alike, balanced_draws = rare(0), rare(1)
    assert alike["train"] / 20 == pytest.approx(2, abs=1)  # 2% of 100
    assert balanced_draws["train"] / 20 == pytest.approx(10, abs=2)  # seven times as likely each, while there are any
    assert balanced_draws["val"] == alike["val"]


def test_a_higher_balanced_limit_keeps_what_a_lower_one_kept() -> None:
    images = [*pictures("train", 200, rare=9), *pictures("val", 2, rare=1)]
    few, more = (divide(images, Dataset(limit={"train": most}, balance=0.5), seed=1).members for most in (20, 40))
    assert set(few["train"]) < set(more["train"])
