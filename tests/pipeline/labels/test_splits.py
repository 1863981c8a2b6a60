"""Which image goes to train, val or test, and what never lies on both sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EmptyDatasetError
from pipeline.instances.videos import LabelledFile, sure_videos, video_in_name, videos
from pipeline.labels.splits import NO_SPLIT, OVER_LIMIT, divide
from pipeline.recipe.sections import Dataset


def files(*names: str, split: str | None = None) -> list[LabelledFile]:
    return [LabelledFile(name, f"bytes of {name}", split) for name in names]


def named(images: list[LabelledFile], positions: list[int]) -> list[str]:
    return [images[position].image for position in positions]


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("00091078-875c1f73-0000166.jpg", "00091078-875c1f73"),
        ("b1c66a42-6f7d68ca.jpg", None),
        ("b1c66a42-61782345.jpg", None),
        ("drive_frame_12.jpg", "drive"),
        ("drive-frame12.png", "drive"),
        ("town_000123.jpg", "town"),
        ("Bacterial_leaf_blight28.JPG", None),
        ("IMG_1234.jpg", None),
        ("1.jpg", None),
        ("0000123.jpg", None),
    ],
)
def test_a_frame_is_known_by_its_name(name: str, video: str | None) -> None:
    assert video_in_name(name) == video


def test_numbered_names_that_make_one_video_of_everything_prove_nothing() -> None:
    assert videos(files("IMG_00001.jpg", "IMG_00002.jpg")) == [None, None]
    numbered = [f"IMG_{number:05}.jpg" for number in range(19)]
    assert videos(files(*numbered, "cover.jpg")) == [None] * 20
    assert videos(files(*numbered, *"abc")) == ["IMG"] * 19 + [None] * 3
    assert videos(files(*numbered, "00091078-875c1f73-0000166.jpg")) == [None] * 19 + ["00091078-875c1f73"]
    named_by_labels = [LabelledFile(name, name, None, video="IMG") for name in numbered[:5]]
    assert videos([*named_by_labels, *files(*numbered[5:])]) == ["IMG"] * 19
    two = ["IMG"] * 19 + ["DSC"] * 2
    assert videos(files(*numbered, "DSC_00001.jpg", "DSC_00002.jpg")) == two
    assert videos(files("a_00001.jpg", "b_00001.jpg", "c.jpg")) == ["a", "b", None]
    assert set(videos(files("00091078-875c1f73-0000166.jpg", "00091078-875c1f73-0000167.jpg"))) == {"00091078-875c1f73"}


def test_auto_follows_folders_that_say_train_and_val() -> None:
    images = [*files("a.jpg", "b.jpg", split="train"), *files("c.jpg", split="val"), *files("d.jpg")]
    division = divide(images, Dataset(), seed=1)
    assert division.method == "path"
    assert named(images, division.members["train"]) == ["a.jpg", "b.jpg"]
    assert named(images, division.members["val"]) == ["c.jpg"]
    assert division.set_aside == [(3, NO_SPLIT)]


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
    frames = [LabelledFile(f"{number}.jpg", str(number), None, video="v") for number in range(6)]
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
        LabelledFile("a.jpg", "same", "train"),
        LabelledFile("b.jpg", "other", "train"),
        LabelledFile("c.jpg", "same", "val"),
    ]
    division = divide(images, Dataset(), seed=1)
    assert named(images, division.members["train"]) == ["b.jpg"]
    assert division.set_aside == [(0, "the same bytes are in val")]


def test_a_split_that_is_nothing_but_copies_is_refused() -> None:
    images = [LabelledFile("a.jpg", "same", "train"), LabelledFile("c.jpg", "same", "val")]
    with pytest.raises(EmptyDatasetError, match="each image of train is also in another split"):
        divide(images, Dataset(), seed=1)


def test_a_video_that_the_labels_name_is_not_in_train_and_val() -> None:
    images = [
        LabelledFile("a.jpg", "1", "train", video="v"),
        LabelledFile("b.jpg", "2", "train"),
        LabelledFile("c.jpg", "3", "val", video="v"),
    ]
    division = divide(images, Dataset(), seed=1)
    assert division.set_aside == [(0, "its video is in val")]


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
    assert division.set_aside == [(position, "its video is in val") for position in (0, 1, 2)]
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
    assert (division.doubtful, division.set_aside) == (["drive"], [])
    assert divide(images, Dataset(split="hash", val_fraction=0.4), seed=1).doubtful == []


def test_the_name_of_a_bdd_image_counts_beside_the_video_that_its_labels_name() -> None:
    images = [
        LabelledFile("b1c66a42-6f7d68ca-0000001.jpg", "1", "train", video="drive"),
        LabelledFile("b1c66a42-6f7d68ca.jpg", "2", "val"),
        LabelledFile("3.jpg", "3", "val", video="drive.mov"),
        LabelledFile("4.jpg", "4", "train", video="drive"),
        LabelledFile("5.jpg", "5", "train", video="videos/b1c66a42-6f7d68ca.mov"),
        LabelledFile("6.jpg", "6", "train"),
    ]
    assert sure_videos(images) == ["b1c66a42-6f7d68ca"] * 5 + [None]
    division = divide(images, Dataset(split="path"), seed=1)
    assert named(images, division.members["val"]) == ["3.jpg", "b1c66a42-6f7d68ca.jpg"]
    assert named(images, division.members["train"]) == ["6.jpg"]
    many = [LabelledFile(f"{number}.jpg", str(number), None) for number in range(20)]
    members = divide([*images, *many], Dataset(split="hash", val_fraction=0.5), seed=1).members
    assert sum(bool(set(members[split]) & set(range(5))) for split in ("train", "val")) == 1


@pytest.mark.parametrize("video", ["..mp4", ".mp4", "a/..mp4", "/", "a/.mov"])
def test_a_video_may_have_any_name(video: str) -> None:
    assert sure_videos([LabelledFile("a.jpg", "a", None, video=video)]) != [None]


def test_videos_of_one_name_in_two_folders_are_two() -> None:
    images = [
        *(LabelledFile(f"a{number}.jpg", f"a{number}", "train", video="cityA/0001") for number in range(4)),
        *(LabelledFile(f"b{number}.jpg", f"b{number}", "val", video="cityB/0001") for number in range(4)),
    ]
    assert divide(images, Dataset(split="path"), seed=1).set_aside == []


def test_a_bdd_name_counts_also_where_the_image_is_called_otherwise_in_the_data_set() -> None:
    images = [
        LabelledFile("old__b1c66a42-6f7d68ca-2.jpg", "1", "train", file_name="b1c66a42-6f7d68ca.jpg"),
        LabelledFile("0123456789abcdef.jpg", "2", "train", file_name="b1c66a42-6f7d68ca-0000001.jpg"),
        *files("c.jpg", split="train"),
        *files("b1c66a42-6f7d68ca-0000002.jpg", split="val"),
    ]
    assert named(images, divide(images, Dataset(split="path"), seed=1).members["train"]) == ["c.jpg"]


def test_an_image_in_both_splits_is_over_no_limit_while_one_of_them_has_it() -> None:
    images = files(*"abcdef")
    division = divide(images, Dataset(split="all_in_both", limit={"train": 2}), seed=1)
    assert (len(division.members["train"]), len(division.members["val"]), division.set_aside) == (2, 6, [])
    division = divide(images, Dataset(split="all_in_both", limit={"train": 2, "val": 3}), seed=1)
    out = sorted(position for position, reason in division.set_aside)
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
    assert sum(reason == OVER_LIMIT for _, reason in few.set_aside) == 25


@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.lists(st.tuples(st.sampled_from("uvwxyz"), st.integers(0, 99)), min_size=1, max_size=40, unique=True),
    val=st.floats(0.01, 0.5),
    test=st.floats(0, 0.4),
)
def test_videos_stay_whole_and_nothing_is_lost(
    seed: int, frames: list[tuple[str, int]], val: float, test: float
) -> None:
    images = [LabelledFile(f"{video}{number}.jpg", f"{video}{number}", None, video) for video, number in frames]
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
