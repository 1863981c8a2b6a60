"""What of single labels the stage leaves out, and how it calls the files that they come from."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.labelled_folders import (
    CAR,
    SQUARE,
    area,
    box,
    filtered,
    folder_with,
    frame,
    reasons,
    recipe_of,
    stage,
    table,
)

TWO = ["train/a.jpg", "val/b.jpg"]


def test_small_instances_are_left_out_when_the_recipe_says_so(tmp_path: Path) -> None:
    small = box("car", 0, 0, 9, 11, id="99 px")
    frames = [frame("a.jpg", CAR, small), frame("b.jpg", CAR)]
    out = stage(tmp_path, TWO, {"l.json": frames}, labels={"least_area": 100})
    assert [row["label_id"] for row in table(out, "rejected")] == ["99 px"]
    assert len(table(out, "labels")) == 2


@pytest.mark.parametrize(("least", "gone"), [(24, ["twice"]), (30, ["eight", "twice"]), (10, [])])
def test_least_area_is_that_of_what_is_filled(tmp_path: Path, least: int, gone: list[str]) -> None:
    """A figure of eight of 25 px, whose halves the shoelace formula takes from each other; 20 px that come twice."""
    eight = area("car", [(0.0, 0.0), (10.0, 5.0), (10.0, 0.0), (0.0, 5.0)], id="eight")
    twice = area("car", [(0.0, 0.0), (4.0, 0.0), (4.0, 5.0), (0.0, 5.0)] * 2, id="twice")
    frames = [frame("a.jpg", CAR, eight, twice), frame("b.jpg", CAR)]
    out = stage(tmp_path, TWO, {"l.json": frames}, labels={"least_area": least})
    assert [row["label_id"] for row in table(out, "rejected")] == gone


def test_a_run_length_mask_of_another_size_is_left_out(tmp_path: Path) -> None:
    def mask(label_id: str, height: int, width: int) -> dict[str, Any]:
        counts = [height * 10, height * 10, height * (width - 20)]
        return {"id": label_id, "category": "car", "rle": {"counts": counts, "size": [height, width]}}

    frames = [frame("a.jpg", mask("fits", 48, 64), mask("turned", 64, 48), mask("half", 24, 32)), frame("b.jpg", CAR)]
    out = stage(tmp_path, TWO, {"l.json": frames})
    assert [row["instance_id"] for row in table(out, "labels")] == ["fits", "0"]
    rejected = {row["label_id"]: row["reason"] for row in table(out, "rejected")}
    assert rejected == dict.fromkeys(("turned", "half"), "made for an image of another size")
    sizes = [json.loads(row["label"])["mask_size"] for row in table(out, "rejected")]
    assert sizes == [[48, 64], [32, 24]]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = {
        f"l/{split}/labels.json": [frame(f"{split}.jpg", CAR, CAR | {"category": ""})] for split in ("train", "val")
    }
    out = stage(tmp_path, ["train.jpg", "val.jpg"], files, "l")
    assert [row["source"] for row in table(out, "labels")] == ["train/labels.json#0", "val/labels.json#0"]
    assert {row["source"] for row in table(out, "rejected")} == {"train/labels.json", "val/labels.json"}


@pytest.mark.parametrize("name", ["http://[a/c.jpg", "https://[::1/c.jpg", "x://\u2100/c.jpg"])
def test_an_address_that_is_none_is_a_name_like_any_other(tmp_path: Path, name: str) -> None:
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR), frame("b.jpg", CAR), frame(name, CAR)]})
    assert reasons(out) == [(name, "no such image")]


def test_of_a_name_that_an_archive_has_twice_the_last_file_counts_and_the_other_has_a_row(tmp_path: Path) -> None:
    data = folder_with(tmp_path / "data", TWO, {})
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr("l.json", json.dumps([frame("a.jpg", area("person", SQUARE))]))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("l.json", json.dumps([frame("a.jpg", CAR), frame("b.jpg", CAR)]))
    out = filtered(recipe_of([data], [tmp_path / "l.zip"]), tmp_path / "work")
    assert [row["category"] for row in table(out, "labels")] == ["car", "car"]
    (row,) = table(out, "rejected")
    assert (row["source"], row["reason"]) == (f"{tmp_path}/l.zip/l.json", "a name that comes again")
    assert "the last file counts" in row["label"]
