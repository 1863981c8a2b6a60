"""Labels that are left out as too small, or since their mask is of another size."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.labelled_folders import (
    CAR,
    area,
    box,
    frame,
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
