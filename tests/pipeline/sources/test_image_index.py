"""Flat names, of which no two are alike, and the splits that folders speak of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances.image_paths import split_of
from pipeline.sources.image_index import LONGEST_NAME, flat_names


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
